/** Results of SQL as text. */
import type { SqlResult, SqlValue } from "@exp/store"
import { json } from "../json.ts"
import { UsageError } from "../report-error.ts"
import { textTable } from "../table.ts"
import { plainText } from "../terminal.ts"

export const formats = ["table", "json", "csv", "markdown"]

const cell = (value: SqlValue): string =>
  value === null ? "" : value instanceof Uint8Array ? `x'${Buffer.from(value).toString("hex")}'` : String(value)

const csvCell = (value: SqlValue): string => {
  const text = cell(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** A result in one of the formats `table`, `json`, `csv`, `markdown`, without a final newline. */
export function formatResult(result: SqlResult, format: string, width: number): string {
  const { columns, rows } = result
  if (format === "json") {
    return json(rows.map((row) => Object.fromEntries(columns.map((column, i) => [column, row[i]]))))
  }
  if (format === "csv")
    return [columns.map(csvCell).join(","), ...rows.map((row) => row.map(csvCell).join(","))].join("\n")
  if (format === "markdown") {
    const line = (cells: readonly string[]) =>
      `| ${cells.map((text) => text.replaceAll("|", "\\|").replaceAll(/\r?\n/g, "<br>")).join(" | ")} |`
    return [line(columns), line(columns.map(() => "---")), ...rows.map((row) => line(row.map(cell)))].join("\n")
  }
  const numeric = columns.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] !== "string"))
  return textTable(
    columns.map((title, i) => ({ title, align: numeric[i] ? "right" : "left" })),
    rows.map((row) => row.map(cell)),
    width,
  )
}

/** Writes a result to stdout. A terminal gets no control codes; a file or a pipe gets CSV as it is. */
export function printResult(result: SqlResult, format: string, width: number): void {
  if (result.columns.length === 0) return
  const text = formatResult(result, format, width)
  process.stdout.write(`${process.stdout.isTTY === true ? plainText(text) : text}\n`)
}

/** What to tell the user about a statement that failed. */
export function sqlError(error: unknown, statement: string): UsageError {
  const message = error instanceof Error ? error.message : String(error)
  if (/readonly|read-only/i.test(message)) {
    return new UsageError("That statement would change the database. Add --write if it should.")
  }
  return new UsageError(`${message}\n  in: ${statement}`)
}
