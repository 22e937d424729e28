import { openStore, type SqlResult, type SqlValue } from "@exp/store"
import { json } from "./json.ts"
import { UsageError } from "./report-error.ts"
import { textTable } from "./table.ts"
import { terminalWidth } from "./terminal.ts"

/** What `exp sql` was asked. */
export interface SqlRequest {
  readonly db: string
  readonly query: string | undefined
  readonly format: string
  readonly write: boolean
}

const formats = ["table", "json", "csv", "markdown"]

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
  if (format === "csv") return [columns.join(","), ...rows.map((row) => row.map(csvCell).join(","))].join("\n")
  if (format === "markdown") {
    const line = (cells: readonly string[]) => `| ${cells.map((text) => text.replaceAll("|", "\\|")).join(" | ")} |`
    return [line(columns), line(columns.map(() => "---")), ...rows.map((row) => line(row.map(cell)))].join("\n")
  }
  const numeric = columns.map((_, i) => rows.length > 0 && rows.every((row) => typeof row[i] !== "string"))
  return textTable(
    columns.map((title, i) => ({ title, align: numeric[i] ? "right" : "left" })),
    rows.map((row) => row.map(cell)),
    width,
  )
}

/**
 * Runs one statement, or lists tables and views when there is none.
 *
 * @throws UsageError for an unknown format, for a statement that writes without --write, and for SQL mistakes
 */
export async function runSql(request: SqlRequest): Promise<void> {
  if (!formats.includes(request.format)) {
    throw new UsageError(`--format takes ${formats.join(", ")}, not ${request.format}.`)
  }
  using store = openStore(request.db, { mode: request.write ? "write" : "read" })
  const query =
    request.query ??
    "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name"
  let result: SqlResult
  try {
    result = store.sql(query)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    if (/readonly|read-only/i.test(message)) {
      throw new UsageError("That statement would change the database. Add --write if it should.")
    }
    throw new UsageError(`${message}\n  in: ${query}\nList the tables and views with: exp sql`)
  }
  if (result.columns.length === 0) {
    process.stderr.write(`${result.changes} rows changed\n`)
    return
  }
  process.stdout.write(`${formatResult(result, request.format, terminalWidth())}\n`)
}
