/**
 * Text from data with everything made visible that could steer a terminal or reorder what it shows: C0 and C1 controls,
 * line separators, and the marks that change the direction of writing. A name in a database stays a name.
 */
export function safeText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g, (c) =>
    c === "\n" || c === "\t" || c === "\r"
      ? " "
      : c < "\u0100"
        ? `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`
        : `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}

/** Seconds in at most seven cells: `12.3s`, `4m05s`, `2h03m`, `3d04h`. */
export function shortDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–"
  if (seconds < 59.95) return `${Math.max(0, seconds).toFixed(1)}s`
  const s = Math.round(seconds)
  const two = (n: number) => String(n).padStart(2, "0")
  if (s < 3600) return `${Math.floor(s / 60)}m${two(s % 60)}s`
  if (s < 86_400) return `${Math.floor(s / 3600)}h${two(Math.floor((s % 3600) / 60))}m`
  return `${Math.floor(s / 86_400)}d${two(Math.floor((s % 86_400) / 3600))}h`
}

/** A measured value in at most nine cells. */
export function shortNumber(x: number): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "∞" : "−∞"
  const size = Math.abs(x)
  if (x === 0) return "0"
  if (size >= 1e5 || size < 1e-4) return x.toExponential(2)
  if (size < 0.01) return x.toPrecision(3)
  return size >= 1000 ? x.toFixed(0) : x.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4)
}

/** Bytes with a decimal unit. */
export function shortBytes(n: number): string {
  if (!Number.isFinite(n)) return "–"
  const units = ["B", "kB", "MB", "GB", "TB"]
  let unit = 0
  let value = n
  for (; value >= 999.5 && unit < units.length - 1; unit++) value /= 1000
  return unit === 0 ? `${Math.round(value)} B` : `${value.toPrecision(3)} ${units[unit]}`
}

/** A count with grouping: `10,001,000`. */
export const shortCount = (n: number): string => n.toLocaleString("en-US")
