/**
 * Line charts of braille dots for a terminal: every character cell holds 2 × 4 dots, so a chart of w × h cells has a
 * resolution of 2w × 4h.
 */

/** One curve. Points need not be evenly spaced; those with a NaN are gaps. */
export interface Curve {
  readonly label: string
  readonly x: ArrayLike<number>
  readonly y: ArrayLike<number>
}

export interface ChartOptions {
  /** Width and height of the whole chart in character cells, axes and labels included. */
  readonly width: number
  readonly height: number
  /** Logarithmic y axis; values that are not positive become gaps. */
  readonly logY?: boolean
  /** Weight of the past in an exponential moving average, 0 (none) to below 1. */
  readonly smoothing?: number
  readonly xLabel?: string
}

/** A drawn chart: lines of plain text, and for each cell of the plot the curve that drew there last (−1 for none). */
export interface Chart {
  readonly lines: readonly string[]
  /** Column at which the plot area starts. */
  readonly plotLeft: number
  readonly owners: readonly Int8Array[]
}

const dots = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const

/** Exponential moving average with the start-up bias removed (as Adam does it); NaNs are passed over. */
export function smooth(values: ArrayLike<number>, weight: number): Float64Array {
  const out = new Float64Array(values.length)
  let average = 0
  let mass = 0
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!
    if (Number.isFinite(v)) {
      average = weight * average + (1 - weight) * v
      mass = weight * mass + (1 - weight)
      out[i] = average / mass
    } else out[i] = Number.NaN
  }
  return out
}

/** A number for an axis, at most seven characters. */
export function axisLabel(value: number): string {
  if (value === 0) return "0"
  const size = Math.abs(value)
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("e+", "e")
  return String(+value.toPrecision(4))
}

/** Draws curves into a chart of exactly `height` lines of at most `width` cells. Without a finite point it says so. */
export function brailleChart(curves: readonly Curve[], options: ChartOptions): Chart {
  const { width, height, logY = false, smoothing = 0 } = options
  const ready = curves.map((curve) => {
    const y = smoothing > 0 ? smooth(curve.y, smoothing) : Float64Array.from(curve.y)
    return { x: curve.x, y: logY ? y.map((v) => (v > 0 ? Math.log10(v) : Number.NaN)) : y }
  })
  let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity]
  for (const { x, y } of ready) {
    for (let i = 0; i < y.length; i++) {
      if (!Number.isFinite(y[i]!)) continue
      x0 = Math.min(x0, x[i]!)
      x1 = Math.max(x1, x[i]!)
      y0 = Math.min(y0, y[i]!)
      y1 = Math.max(y1, y[i]!)
    }
  }
  if (x0 > x1) {
    const lines = Array.from({ length: height }, () => "")
    lines[Math.floor(height / 2)] = "no values yet".slice(0, width)
    return { lines, plotLeft: 0, owners: [] }
  }
  if (y0 === y1) [y0, y1] = [y0 - Math.max(Math.abs(y0) * 0.01, 1e-9), y1 + Math.max(Math.abs(y1) * 0.01, 1e-9)]
  if (x0 === x1) [x0, x1] = [x0 - 0.5, x1 + 0.5]

  const back = (v: number) => (logY ? 10 ** v : v)
  const labels = [axisLabel(back(y1)), axisLabel(back((y0 + y1) / 2)), axisLabel(back(y0))]
  const plotLeft = Math.max(...labels.map((label) => label.length)) + 2
  const columns = Math.max(1, width - plotLeft)
  const rows = Math.max(1, height - 2)
  const cells = Array.from({ length: rows }, () => new Uint8Array(columns))
  const owners = Array.from({ length: rows }, () => new Int8Array(columns).fill(-1))
  const dot = (column: number, row: number, owner: number) => {
    const [c, r] = [column >> 1, row >> 2]
    if (c < 0 || r < 0 || c >= columns || r >= rows) return
    cells[r]![c]! |= dots[row & 3]![column & 1]!
    owners[r]![c] = owner
  }
  const toColumn = (x: number) => Math.round(((x - x0) / (x1 - x0)) * (columns * 2 - 1))
  const toRow = (y: number) => Math.round(((y1 - y) / (y1 - y0)) * (rows * 4 - 1))
  for (const [owner, { x, y }] of ready.entries()) {
    let last: readonly [number, number] | undefined
    for (let i = 0; i < y.length; i++) {
      if (!Number.isFinite(y[i]!)) {
        last = undefined
        continue
      }
      const [c, r] = [toColumn(x[i]!), toRow(y[i]!)]
      if (last === undefined) dot(c, r, owner)
      else {
        const steps = Math.max(Math.abs(c - last[0]), Math.abs(r - last[1]), 1)
        for (let s = 1; s <= steps; s++) {
          dot(
            Math.round(last[0] + ((c - last[0]) * s) / steps),
            Math.round(last[1] + ((r - last[1]) * s) / steps),
            owner,
          )
        }
      }
      last = [c, r]
    }
  }

  const middle = Math.floor((rows - 1) / 2)
  const lines = cells.map((row, r) => {
    const label = r === 0 ? labels[0]! : r === rows - 1 ? labels[2]! : r === middle && rows > 4 ? labels[1]! : ""
    const plot = Array.from(row, (bits) => (bits === 0 ? " " : String.fromCharCode(0x2800 + bits))).join("")
    return `${label.padStart(plotLeft - 2)} ${label === "" ? "│" : "┤"}${plot.trimEnd()}`
  })
  lines.push(`${" ".repeat(plotLeft - 1)}└${"─".repeat(columns)}`)
  const [left, right] = [axisLabel(x0), axisLabel(x1)]
  const label = options.xLabel ?? ""
  const space = columns - left.length - right.length - label.length
  const middlePad = space < 2 ? " ".repeat(Math.max(1, columns - left.length - right.length)) : undefined
  const foot =
    middlePad === undefined
      ? `${left}${" ".repeat(Math.floor(space / 2))}${label}${" ".repeat(Math.ceil(space / 2))}${right}`
      : `${left}${middlePad}${right}`
  lines.push(`${" ".repeat(plotLeft)}${foot}`.slice(0, width))
  return { lines, plotLeft, owners }
}

/** Eighth blocks for bars. */
const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]

/** A horizontal bar of `share` (0 to 1) of `width` cells, in eighths of a cell. */
export function bar(share: number, width: number): string {
  const filled = Math.max(0, Math.min(1, share)) * width
  const whole = Math.floor(filled)
  return "█".repeat(whole) + (whole < width ? eighths[Math.floor((filled - whole) * 8)] : "")
}

/** An interval on a scale: `──●──`, `width` cells from `from` to `to`. */
export function intervalBar(low: number, at: number, high: number, from: number, to: number, width: number): string {
  if (!Number.isFinite(at) || !(to > from)) return " ".repeat(width)
  const cell = (v: number) => Math.max(0, Math.min(width - 1, Math.round(((v - from) / (to - from)) * (width - 1))))
  const out = Array.from({ length: width }, () => " ")
  if (Number.isFinite(low) && Number.isFinite(high)) for (let i = cell(low); i <= cell(high); i++) out[i] = "─"
  out[cell(at)] = "●"
  return out.join("")
}
