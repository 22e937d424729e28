import { brailleChart, type Curve, smooth } from "../braille-chart.ts"
import { fit } from "../cells.ts"
import { type Colour, type Line, type Span, s } from "../line.ts"
import { shortNumber } from "../safe-text.ts"
import type { CurveView } from "../watcher.ts"

export interface ChartState {
  readonly smoothing: number
  readonly logScale: boolean
}

/** A curve under its name and last value, in exactly `height` lines; smoothed over the raw one where asked. */
export function chartLines(curve: CurveView, state: ChartState, color: Colour, width: number, height: number): Line[] {
  const curves: Curve[] = [{ label: curve.metric, x: curve.x, y: curve.y }]
  if (state.smoothing > 0)
    curves.push({ label: "smoothed", x: curve.x, y: Array.from(smooth(curve.y, state.smoothing)) })
  const chart = brailleChart(curves, { width, height: Math.max(3, height - 1), logY: state.logScale, xLabel: "step" })
  const notes = [state.logScale ? "log" : "", state.smoothing > 0 ? `smoothed ${state.smoothing}` : ""].filter(Boolean)
  const value = shortNumber(curve.last)
  const title: Line = [
    s(fit(curve.metric, Math.min(curve.metric.length, Math.max(8, width - value.length - 12))), { bold: true }),
    s(`  ${value}`, { color, bold: true }),
    s(notes.length > 0 ? `  ${notes.join(", ")}` : "", { dim: true }),
  ]
  const rows = chart.owners.length
  return [
    title,
    ...chart.lines.map((text, row): Line => {
      const axis = s(text.slice(0, chart.plotLeft), { dim: true })
      const plot = text.slice(chart.plotLeft)
      const owners = chart.owners[row]
      if (row >= rows || owners === undefined) return [axis, s(plot, { dim: true })]
      return [axis, ...coloured(plot, owners, curves.length, color)]
    }),
  ]
}

/** The raw curve stands back behind a smoothed one. */
function coloured(plot: string, owners: Int8Array, curves: number, color: Colour): Span[] {
  if (curves === 1) return [s(plot, { color })]
  const spans: Span[] = []
  for (let from = 0; from < plot.length; ) {
    const raw = owners[from] === 0
    let to = from + 1
    while (to < plot.length && (owners[to] === 0) === raw) to++
    spans.push(s(plot.slice(from, to), raw ? { dim: true } : { color, bold: true }))
    from = to
  }
  return spans
}
