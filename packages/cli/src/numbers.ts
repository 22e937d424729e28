/** Seconds as people read them: `12.3 s`, `4 min 05 s`, `2 h 03 min`. */
export function duration(milliseconds: number): string {
  const s = milliseconds / 1000
  if (s < 1) return `${Math.round(milliseconds)} ms`
  if (s < 60) return `${s.toFixed(1)} s`
  const whole = Math.round(s)
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`
}

/** Bytes with a decimal unit: `345 B`, `1.58 MB`. */
export function bytes(n: number): string {
  if (!Number.isFinite(n)) return String(n)
  const units = ["B", "kB", "MB", "GB", "TB"]
  let unit = 0
  let value = n
  while (Math.abs(value) >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return unit === 0 ? `${Math.round(value)} B` : `${value.toPrecision(3)} ${units[unit]}`
}

/** A whole number with thin grouping: `28,672`. */
export const whole = (n: number): string => (Number.isFinite(n) ? Math.round(n).toLocaleString("en-US") : String(n))

/** A measured value with four significant digits, without a trailing exponent where it can be avoided. */
export function number(x: number): string {
  if (!Number.isFinite(x)) return String(x)
  const size = Math.abs(x)
  if (x === 0) return "0"
  if (size >= 1e5 || size < 1e-4) return x.toExponential(2)
  if (size >= 1000) return x.toFixed(0)
  return x.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4)
}

/** A value in its unit: ratios as they are, bytes and milliseconds in readable units. */
export function inUnit(x: number, unit: string | undefined): string {
  if (unit === "B") return bytes(x)
  if (unit === "ms") return duration(x)
  if (unit === "count") return whole(x)
  return unit === undefined || unit === "ratio" ? number(x) : `${number(x)} ${unit}`
}
