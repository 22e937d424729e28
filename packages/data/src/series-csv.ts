/** Time series from a CSV file: first column a date, the others numbers. */
import type { Conversion } from "./conversion.ts"

/**
 * Parses a plain CSV (no quotes): `columns` are kept, in that order.
 *
 * @returns `times` in milliseconds since 1970 (dates without a zone are UTC); `values` is [rows, columns], row-major
 * @throws Error naming the line when a cell is not a number, a date does not parse, or times do not increase
 */
export function parseSeriesCsv(name: string, csv: string, timeColumn: string, columns: readonly string[]) {
  const [head, ...rows] = csv
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
  const header = (head ?? "").split(",")
  const place = (column: string) => {
    const at = header.indexOf(column)
    if (at < 0) throw new Error(`${name} has no column "${column}", only ${header.join(", ")}`)
    return at
  }
  const timeAt = place(timeColumn)
  const places = columns.map(place)
  const times = new Float64Array(rows.length)
  const values = new Float64Array(rows.length * columns.length)
  for (const [i, row] of rows.entries()) {
    const cells = row.split(",")
    const date = cells[timeAt] ?? ""
    times[i] = Date.parse(date.length > 10 ? `${date}Z` : date)
    if (!(i === 0 ? Number.isFinite(times[i]) : times[i]! > times[i - 1]!))
      throw new Error(`${name}, line ${i + 2}: the time "${date}" does not follow the one before`)
    for (const [j, at] of places.entries()) {
      const cell = cells[at] ?? ""
      const value = Number(cell)
      if (cell === "" || !Number.isFinite(value)) throw new Error(`${name}, line ${i + 2}: "${cell}" is not a number`)
      values[i * columns.length + j] = value
    }
  }
  return { times, values }
}

export function convertSeriesCsv(path: string, timeColumn: string, columns: readonly string[]): Conversion {
  let parsed: ReturnType<typeof parseSeriesCsv> | undefined
  return {
    wanted: (candidate) => candidate === path,
    file: (name, bytes) => {
      parsed = parseSeriesCsv(name, new TextDecoder().decode(bytes), timeColumn, columns)
    },
    finish: () => {
      if (parsed === undefined) throw new Error(`the archive lacks ${path}`)
      const bytes = (a: Float64Array) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength)
      return {
        arrays: [
          { name: "times", dtype: "float64", shape: [parsed.times.length], bytes: bytes(parsed.times) },
          {
            name: "values",
            dtype: "float64",
            shape: [parsed.times.length, columns.length],
            bytes: bytes(parsed.values),
          },
        ],
        facts: { kind: "series", channels: columns },
      }
    },
  }
}
