/** Figures as Apache ECharts options, and as SVG without a browser. */

import { smooth } from "@exp/dashboard"
import type { EChartsOption, SeriesOption } from "echarts"
import { number } from "../numbers.ts"
import type { BarsFigure, CurvesFigure, Figure, HeatFigure, ParallelFigure, ScatterFigure } from "./figures.ts"

/** Colours that people with any colour vision tell apart (Okabe and Ito), the strongest first. */
export const palette = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195", "#666666"]

/** How a figure is coloured. */
export interface Theme {
  readonly text: string
  readonly faint: string
  readonly background: string
}

export const light: Theme = { text: "#222222", faint: "#e4e4e4", background: "#ffffff" }
export const dark: Theme = { text: "#e2e2e2", faint: "#3a3a3a", background: "#16181c" }

/** Size in pixels. */
export interface PictureSize {
  readonly width: number
  readonly height: number
}

const font = "'DejaVu Sans', Verdana, 'Helvetica Neue', Arial, sans-serif"

/** The part of ECharts' drawing interface that bands and intervals need. */
interface DrawApi {
  value(dimension: number): number
  coord(point: readonly number[]): number[]
  style(): object
  visual(name: string): unknown
}

/**
 * Draws one piece of a band: the quadrilateral between two neighbouring steps. It is also written into HTML pages as
 * text, so it uses nothing from outside itself. Dimensions: x, low, high, next x, next low, next high.
 */
export function drawBand(_: unknown, api: DrawApi): object {
  const at = (x: number, y: number) => api.coord([api.value(x), api.value(y)])
  return {
    type: "polygon",
    shape: { points: [at(0, 1), at(3, 4), at(3, 5), at(0, 2)] },
    style: { fill: api.visual("color"), opacity: 0.18 },
    silent: true,
  }
}

/** Draws an interval with whiskers. Dimensions: position, low, high. Written into HTML pages too. */
export function drawInterval(_: unknown, api: DrawApi): object {
  const low = api.coord([api.value(1), api.value(0)])
  const high = api.coord([api.value(2), api.value(0)])
  const line = (x1: number, y1: number, x2: number, y2: number) => ({
    type: "line",
    shape: { x1, y1, x2, y2 },
    style: { stroke: api.visual("color"), lineWidth: 2 },
  })
  return {
    type: "group",
    silent: true,
    children: [
      line(low[0]!, low[1]!, high[0]!, high[1]!),
      line(low[0]!, low[1]! - 5, low[0]!, low[1]! + 5),
      line(high[0]!, high[1]! - 5, high[0]!, high[1]! + 5),
    ],
  }
}

const axisText = (theme: Theme) => ({
  axisLabel: { color: theme.text, fontFamily: font },
  nameTextStyle: { color: theme.text, fontFamily: font, fontSize: 13 },
  axisLine: { show: true, onZero: false, lineStyle: { color: theme.text } },
  splitLine: { lineStyle: { color: theme.faint } },
})

const titled = (name: string, unit: string | undefined): string =>
  unit === undefined || unit === "ratio" || unit === "count" ? name : `${name} (${unit})`

/** Short text for ticks: `0.05`, `2k`, `1e-4`. */
const tick = (value: number): string => {
  const size = Math.abs(value)
  if (value === 0) return "0"
  if (size >= 1e9 || size < 1e-3) return value.toExponential().replace("e+", "e")
  if (size >= 999_950) return `${+(value / 1e6).toPrecision(4)}M`
  if (size >= 1e4) return `${+(value / 1e3).toPrecision(4)}k`
  return String(+value.toPrecision(4))
}

/** Rows that a legend of these labels takes at this width. */
const legendRows = (labels: readonly string[], width: number): number => {
  let rows = 1
  let used = 0
  for (const label of labels) {
    const cells = 46 + 7.6 * label.length
    if (used > 0 && used + cells > width - 40) {
      rows++
      used = 0
    }
    used += cells
  }
  return rows
}

function common(figure: Figure, labels: readonly string[], size: PictureSize, theme: Theme, subtitle: string) {
  const rows = labels.length > 1 ? legendRows(labels, size.width) : 0
  return {
    animation: false,
    backgroundColor: theme.background,
    color: palette,
    textStyle: { fontFamily: font, color: theme.text },
    title: {
      text: figure.title,
      subtext: subtitle,
      left: 16,
      top: 10,
      textStyle: { color: theme.text, fontSize: 17, fontFamily: font },
      subtextStyle: { color: theme.text, fontSize: 12, fontFamily: font, opacity: 0.75 },
    },
    legend: {
      show: rows > 0,
      data: [...labels],
      bottom: 8,
      left: "center",
      textStyle: { color: theme.text, fontFamily: font },
      itemGap: 14,
      icon: "roundRect",
      itemWidth: 18,
      itemHeight: 6,
    },
    grid: { left: 56, right: 34, top: 78, bottom: 44 + rows * 24, containLabel: true },
    tooltip: {},
  } satisfies EChartsOption
}

const better = (goal: "max" | "min"): string => (goal === "max" ? "more is better" : "less is better")

function curvesOption(figure: CurvesFigure, size: PictureSize, theme: Theme, smoothing: number): EChartsOption {
  const positive = (x: number) => (figure.log && !(x > 0) ? null : x)
  const series = figure.curves.flatMap((curve, i): SeriesOption[] => {
    const apply = (values: readonly number[]) => (smoothing > 0 ? [...smooth(values, smoothing)] : values)
    const [mean, low, high] = [apply(curve.mean), apply(curve.low), apply(curve.high)]
    const color = palette[i % palette.length]!
    const pieces = curve.x.slice(0, -1).flatMap((x, k) => {
      const piece = [x, low[k]!, high[k]!, curve.x[k + 1]!, low[k + 1]!, high[k + 1]!]
      const drawable = piece.every(Number.isFinite) && !(figure.log && (piece[1]! <= 0 || piece[4]! <= 0))
      return drawable ? [piece] : []
    })
    return [
      {
        type: "custom",
        id: `band ${i}`,
        data: pieces,
        color,
        itemStyle: { color },
        encode: { x: [0, 3], y: [1, 2] },
        clip: true,
        tooltip: { show: false },
        z: 1,
      } as SeriesOption,
      {
        type: "line",
        name: curve.label,
        color,
        showSymbol: curve.x.length < 30,
        symbolSize: 5,
        lineStyle: { width: 2.2, type: i >= palette.length ? "dashed" : "solid" },
        data: curve.x.map((x, k) => [x, positive(mean[k]!)]),
        z: 2,
      } as SeriesOption,
    ]
  })
  const seeds = Math.max(...figure.curves.map((curve) => curve.seeds))
  const base = common(
    figure,
    figure.curves.map((curve) => curve.label),
    size,
    theme,
    `${better(figure.goal)}${seeds > 1 ? `; mean and 95% interval over ${seeds} seeds` : ""}${smoothing > 0 ? `; smoothed ${smoothing}` : ""}`,
  )
  return {
    ...base,
    tooltip: { trigger: "axis" },
    xAxis: {
      type: figure.logX ? "log" : "value",
      name: figure.x,
      nameLocation: "middle",
      nameGap: 28,
      min: "dataMin",
      max: "dataMax",
      ...axisText(theme),
      axisLabel: { ...axisText(theme).axisLabel, formatter: tick, showMinLabel: true, hideOverlap: true },
      splitLine: { show: false },
    },
    yAxis: {
      type: figure.log ? "log" : "value",
      scale: true,
      name: titled(figure.metric, figure.unit),
      nameLocation: "middle",
      nameGap: 46,
      ...axisText(theme),
      axisLabel: { ...axisText(theme).axisLabel, formatter: tick },
    },
    series,
  }
}

function barsOption(figure: BarsFigure, size: PictureSize, theme: Theme): EChartsOption {
  const labels = figure.bars.map((bar) => bar.label)
  const base = common(figure, [], size, theme, `${better(figure.goal)}; mean, 95% interval and every seed`)
  return {
    ...base,
    grid: { ...base.grid, left: 24, bottom: 34 },
    xAxis: {
      type: figure.log ? "log" : "value",
      scale: true,
      name: titled(figure.metric, figure.unit),
      nameLocation: "middle",
      nameGap: 30,
      ...axisText(theme),
      axisLabel: { ...axisText(theme).axisLabel, formatter: tick, hideOverlap: true },
    },
    yAxis: {
      type: "category",
      data: labels,
      inverse: true,
      ...axisText(theme),
      axisTick: { show: false },
      axisLabel: {
        ...axisText(theme).axisLabel,
        width: Math.floor(size.width * 0.3),
        overflow: "truncate",
        interval: 0,
      },
    },
    series: [
      {
        type: "scatter",
        name: "seeds",
        symbolSize: 6,
        itemStyle: { color: palette[5]!, opacity: 0.75 },
        data: figure.bars.flatMap((bar, i) => bar.values.map((value) => [value, i])),
        z: 1,
      },
      {
        type: "custom",
        id: "interval",
        itemStyle: { color: palette[0]! },
        encode: { x: [1, 2], y: 0 },
        data: figure.bars.flatMap((bar, i) => (Number.isFinite(bar.low) ? [[i, bar.low, bar.high]] : [])),
        z: 2,
      } as SeriesOption,
      {
        type: "scatter",
        name: "mean",
        symbol: "diamond",
        symbolSize: 13,
        itemStyle: { color: palette[0]! },
        label: {
          show: true,
          position: "top",
          distance: 6,
          color: theme.text,
          fontFamily: font,
          fontSize: 11,
        },
        data: figure.bars.map((bar, i) => ({ value: [bar.mean, i], label: { formatter: number(bar.mean) } })),
        z: 3,
      } as SeriesOption,
    ],
  }
}

function scatterOption(figure: ScatterFigure, size: PictureSize, theme: Theme): EChartsOption {
  const base = common(
    figure,
    figure.groups.map(({ label }) => label),
    size,
    theme,
    "one point a run",
  )
  const axis = (name: string) => ({
    type: "value" as const,
    scale: true,
    name,
    nameLocation: "middle" as const,
    ...axisText(theme),
    axisLabel: { ...axisText(theme).axisLabel, formatter: tick, hideOverlap: true },
  })
  const symbols = ["circle", "rect", "triangle", "diamond", "roundRect"]
  return {
    ...base,
    tooltip: { trigger: "item" },
    xAxis: { ...axis(figure.x), nameGap: 30 },
    yAxis: { ...axis(figure.y), nameGap: 46, ...(figure.log ? { type: "log" as const } : {}) },
    series: figure.groups.map(({ label, points }, i) => ({
      type: "scatter",
      name: label,
      symbol: symbols[i % symbols.length]!,
      symbolSize: 11,
      itemStyle: { color: palette[i % palette.length]!, opacity: 0.8 },
      data: points.map((point) => [point.x, point.y, point.run]),
    })),
  }
}

/** A scale that is ordered in lightness, so that it survives grey printing and colour blindness (viridis, seven steps). */
const heatColours = ["#440154", "#443983", "#31688e", "#21918c", "#35b779", "#90d743", "#fde725"]

function heatOption(figure: HeatFigure, size: PictureSize, theme: Theme): EChartsOption {
  const means = figure.cells.map((cell) => cell.mean)
  const [low, high] = [Math.min(...means), Math.max(...means)]
  const base = common(figure, [], size, theme, `${figure.metric}: mean of each cell; ${better(figure.goal)}`)
  const axis = { ...axisText(theme), splitLine: { show: false }, axisTick: { show: false } }
  return {
    ...base,
    tooltip: { trigger: "item" },
    grid: { ...base.grid, right: 120, bottom: 40 },
    xAxis: { type: "category", data: [...figure.xs], name: figure.x, nameLocation: "middle", nameGap: 30, ...axis },
    yAxis: {
      type: "category",
      data: [...figure.ys],
      name: figure.y,
      nameLocation: "middle",
      nameGap: 20 + 7 * Math.max(...figure.ys.map((label) => label.length)),
      ...axis,
    },
    visualMap: {
      type: "continuous",
      min: low,
      max: high === low ? low + 1e-9 : high,
      calculable: false,
      right: 16,
      top: "center",
      itemHeight: Math.min(220, size.height * 0.45),
      text: [number(high), number(low)],
      textStyle: { color: theme.text, fontFamily: font },
      inRange: { color: figure.goal === "min" ? [...heatColours].reverse() : heatColours },
    },
    series: [
      {
        type: "heatmap",
        data: figure.cells.map((cell) => {
          // Words are black on the light half of the scale and white on the dark one.
          const share = high === low ? 0 : (cell.mean - low) / (high - low)
          const bright = figure.goal === "min" ? 1 - share : share
          return {
            value: [cell.x, cell.y, cell.mean],
            label: { show: true, color: bright > 0.55 ? "#111" : "#fff", formatter: number(cell.mean) },
          }
        }),
        itemStyle: { borderColor: theme.background, borderWidth: 2 },
      },
    ],
  }
}

function parallelOption(figure: ParallelFigure, size: PictureSize, theme: Theme): EChartsOption {
  const labels = figure.groups.map(({ label }) => label)
  const base = common(figure, labels, size, theme, `one line a run; ${figure.metric}: ${better(figure.goal)}`)
  return {
    ...base,
    parallel: {
      left: 70,
      right: 90,
      top: 100,
      bottom: 30 + (labels.length > 1 ? legendRows(labels, size.width) * 24 : 0),
    },
    parallelAxis: figure.axes.map(({ name, categories }, dim) => ({
      dim,
      name,
      ...(categories === undefined ? { scale: true } : { type: "category" as const, data: [...categories] }),
      ...axisText(theme),
      nameTextStyle: { ...axisText(theme).nameTextStyle, fontSize: 11 },
    })),
    series: figure.groups.map(({ label, lines }, i) => ({
      type: "parallel",
      name: label,
      lineStyle: { color: palette[i % palette.length]!, width: 2, opacity: 0.7 },
      data: lines.map((line) => [...line]),
    })),
  }
}

/** The ECharts option of a figure; custom series are without their drawing functions (see {@link withDrawing}). */
export function figureOption(figure: Figure, size: PictureSize, theme: Theme, smoothing = 0): EChartsOption {
  switch (figure.kind) {
    case "curves":
      return curvesOption(figure, size, theme, smoothing)
    case "bars":
      return barsOption(figure, size, theme)
    case "scatter":
      return scatterOption(figure, size, theme)
    case "heat":
      return heatOption(figure, size, theme)
    case "parallel":
      return parallelOption(figure, size, theme)
  }
}

/** Gives the custom series of an option their drawing functions. */
export function withDrawing(option: EChartsOption): EChartsOption {
  const series = (option.series as SeriesOption[]).map((one) =>
    one.type === "custom" ? { ...one, renderItem: String(one.id).startsWith("band") ? drawBand : drawInterval } : one,
  ) as SeriesOption[]
  return { ...option, series }
}

/** The height that suits a figure, in pixels. */
export function suitedHeight(figure: Figure): number {
  if (figure.kind === "bars") return 140 + 44 * figure.bars.length
  if (figure.kind === "heat") return 180 + 48 * figure.ys.length
  return 520
}

/** A figure as the text of an SVG, drawn without a browser. */
export async function figureSvg(figure: Figure, size: PictureSize, theme: Theme, smoothing = 0): Promise<string> {
  const echarts = await import("echarts")
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, ...size })
  try {
    chart.setOption(withDrawing(figureOption(figure, size, theme, smoothing)))
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}
