import { axisLabel, intervalBar } from "../braille-chart.ts"
import { type Line, type Look, s } from "../line.ts"

/** A common scale for intervals in a column of `width` cells. */
export interface Scale {
  readonly from: number
  readonly to: number
  readonly width: number
}

/** The scale that holds all these values; infinite ends of intervals do not stretch it. */
export function scaleOf(values: readonly number[], width: number): Scale {
  const finite = values.filter(Number.isFinite)
  const [low, high] = [Math.min(...finite), Math.max(...finite)]
  const room = high > low ? 0 : Math.max(Math.abs(high) * 0.01, 1e-6)
  return { from: low - room, to: high + room, width }
}

/** The ends of the scale, over its column. */
export function scaleTitle({ from, to, width }: Scale): string {
  if (!Number.isFinite(from) || width < 12) return " ".repeat(Math.max(0, width))
  const [left, right] = [axisLabel(from), axisLabel(to)]
  return left + " ".repeat(Math.max(1, width - left.length - right.length)) + right
}

/** An interval with its point on the scale. */
export function onScale(scale: Scale, low: number, at: number, high: number, look: Look): Line {
  if (scale.width < 4) return []
  const drawn = intervalBar(low, at, high, scale.from, scale.to, scale.width)
  const point = drawn.indexOf("●")
  if (point < 0) return [s(drawn)]
  return [
    s(drawn.slice(0, point), { ...look, bold: false, dim: true }),
    s("●", look),
    s(drawn.slice(point + 1), { ...look, bold: false, dim: true }),
  ]
}
