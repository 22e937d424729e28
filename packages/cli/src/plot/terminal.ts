/** Pictures in the terminal: braille charts, bars, scatter and heat maps of characters. */
import { styleText } from "node:util"
import { brailleChart, type Chart, intervalBar } from "@exp/dashboard"
import stringWidth from "string-width"
import { inUnit, number } from "../numbers.ts"
import { UsageError } from "../report-error.ts"
import { textTable } from "../table.ts"
import { plainText } from "../terminal.ts"
import type { BarsFigure, Figure, HeatFigure, ScatterFigure } from "./figures.ts"

/** Colours of curves, in order; they repeat beyond eight. */
const colours = ["cyan", "magenta", "yellow", "green", "red", "blue", "white", "gray"] as const

/** Text in the colour of a curve, plain where stdout takes no colours. */
export function inColour(text: string, owner: number): string {
  return styleText(colours[owner % colours.length]!, text, { stream: process.stdout, validateStream: true })
}

/** A chart in colours with a legend under it, at most `width` cells wide. */
export function paintChart(chart: Chart, labels: readonly string[], width: number): string {
  const lines = chart.lines.map((line, row) => {
    const owners = chart.owners[row]
    if (owners === undefined) return line
    const left = line.slice(0, chart.plotLeft)
    const plot = [...line.slice(chart.plotLeft)]
    let out = left
    for (let from = 0; from < plot.length; ) {
      let to = from
      while (to < plot.length && owners[to] === owners[from]) to++
      const text = plot.slice(from, to).join("")
      out += owners[from]! < 0 ? text : inColour(text, owners[from]!)
      from = to
    }
    return out
  })
  return [...lines, ...legend(labels, width)].join("\n")
}

/** Labels behind their marks, as many to a line as fit. */
export function legend(labels: readonly string[], width: number): string[] {
  const lines: string[] = []
  let line = ""
  let used = 0
  for (const [owner, label] of labels.entries()) {
    const text = plainText(label).replaceAll(/[\n\t]/g, " ")
    const cells = stringWidth(text) + 4
    if (used > 0 && used + cells > width) {
      lines.push(line)
      line = ""
      used = 0
    }
    line += `${inColour("━━", owner)} ${text}  `
    used += cells + 1
  }
  return used > 0 ? [...lines, line.trimEnd()] : lines
}

/** Drawn with axes around them, points as single dots; the last group lies on top. */
function scatter(figure: ScatterFigure, width: number, height: number): string {
  const chart = brailleChart(
    figure.groups.map(({ label, points }) => ({
      label,
      // A gap after every point keeps points from being joined.
      x: points.flatMap((point) => [point.x, point.x]),
      y: points.flatMap((point) => [point.y, Number.NaN]),
    })),
    { width, height, logY: figure.log, xLabel: plainText(figure.x) },
  )
  return paintChart(
    chart,
    figure.groups.map(({ label }) => label),
    width,
  )
}

function bars(figure: BarsFigure, width: number): string {
  const shown = figure.bars.flatMap((bar) => [bar.low, bar.high, ...bar.values]).filter(Number.isFinite)
  const [from, to] = [Math.min(...shown), Math.max(...shown)]
  const cells = Math.max(16, width - 46 - Math.max(...figure.bars.map(({ label }) => Math.min(28, label.length))))
  return textTable(
    [
      { title: "" },
      { title: figure.metric, align: "right" },
      { title: "95% interval", align: "right" },
      {
        title: `${number(from)}${" ".repeat(Math.max(1, cells - number(from).length - number(to).length))}${number(to)}`,
      },
    ],
    figure.bars.map((bar) => [
      bar.label,
      inUnit(bar.mean, figure.unit),
      Number.isFinite(bar.low) ? `${number(bar.low)} … ${number(bar.high)}` : "–",
      intervalBar(bar.low, bar.mean, bar.high, from, to, cells),
    ]),
    width,
  )
}

/** Shades from the worst to the best cell. */
const shades = ["░", "▒", "▓", "█"] as const

function heat(figure: HeatFigure, width: number): string {
  const means = figure.cells.map((cell) => cell.mean)
  const [low, high] = [Math.min(...means), Math.max(...means)]
  const of = new Map(figure.cells.map((cell) => [`${cell.x} ${cell.y}`, cell.mean]))
  const cell = (x: number, y: number): string => {
    const mean = of.get(`${x} ${y}`)
    if (mean === undefined) return "·"
    const share = high === low ? 1 : (mean - low) / (high - low)
    const good = figure.goal === "max" ? share : 1 - share
    return `${shades[Math.min(3, Math.floor(good * 4))]!} ${number(mean)}`
  }
  const table = textTable(
    [
      { title: `${figure.y} ╲ ${figure.x}` },
      ...figure.xs.map((title) => ({ title: plainText(title), align: "right" }) as const),
    ],
    figure.ys.map((label, y) => [label, ...figure.xs.map((_, x) => cell(x, y))]),
    width,
  )
  return `${table}\n${shades.join("")} from the worst to the best mean`
}

/**
 * A figure in the terminal, at most `width` cells wide.
 *
 * @throws UsageError for parallel coordinates, which need more dots than a terminal has
 */
export function drawFigure(
  figure: Figure,
  size: { readonly width: number; readonly height: number; readonly smoothing: number },
): string {
  const { width, height, smoothing } = size
  switch (figure.kind) {
    case "curves": {
      const place = (x: number) => (figure.logX ? Math.log10(x) : x)
      const axis = plainText(figure.x)
      const chart = brailleChart(
        figure.curves.map(({ label, x, mean }) => ({ label, x: x.map(place), y: mean })),
        { width, height, logY: figure.log, smoothing, xLabel: figure.logX ? `log10 ${axis}` : axis },
      )
      return paintChart(
        chart,
        figure.curves.map(({ label, mean, seeds }) => `${label} ${number(mean.at(-1)!)} (n = ${seeds})`),
        width,
      )
    }
    case "bars":
      return bars(figure, width)
    case "scatter":
      return scatter(figure, width, height)
    case "heat":
      return heat(figure, width)
    case "parallel":
      throw new UsageError("Parallel coordinates are drawn into files only: add --out sweep.svg (or .png, .html).")
  }
}
