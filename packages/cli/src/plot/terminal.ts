/** Pictures in the terminal: braille charts, bars, scatter and heat maps of characters. */
import { styleText } from "node:util"
import type { Chart } from "@exp/dashboard"
import stringWidth from "string-width"
import { plainText } from "../terminal.ts"

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
