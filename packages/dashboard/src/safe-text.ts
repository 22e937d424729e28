/** Text from data with control characters made visible, so that a name in a database cannot steer the terminal. */
export function safeText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) =>
    c === "\n" || c === "\t" || c === "\r" ? " " : `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`,
  )
}

/** Seconds in at most seven cells: `12.3s`, `4m05s`, `2h03m`. */
export function shortDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–"
  if (seconds < 60) return `${seconds.toFixed(1)}s`
  const s = Math.round(seconds)
  if (s < 3600) return `${Math.floor(s / 60)}m${String(s % 60).padStart(2, "0")}s`
  return `${Math.floor(s / 3600)}h${String(Math.floor((s % 3600) / 60)).padStart(2, "0")}m`
}

/** A measured value in at most nine cells. */
export function shortNumber(x: number): string {
  if (!Number.isFinite(x)) return String(x)
  const size = Math.abs(x)
  if (x === 0) return "0"
  if (size >= 1e5 || size < 1e-4) return x.toExponential(2)
  return size >= 1000 ? x.toFixed(0) : String(+x.toPrecision(4))
}

/** Bytes with a decimal unit. */
export function shortBytes(n: number): string {
  if (!Number.isFinite(n)) return "–"
  const units = ["B", "kB", "MB", "GB", "TB"]
  let unit = 0
  let value = n
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000
  return unit === 0 ? `${value} B` : `${value.toPrecision(3)} ${units[unit]}`
}
