import { readFileSync } from "node:fs"
import { openStore, type Store } from "@exp/store"
import { programName } from "./program-name.ts"
import { UsageError } from "./report-error.ts"
import { formats, printResult, sqlError } from "./sql/print.ts"
import { splitStatements } from "./sql/statements.ts"
import { terminalWidth } from "./terminal.ts"

/** What `exp sql` was asked. */
export interface SqlRequest {
  readonly db: string
  /** Statements; `-` reads them from standard input. */
  readonly query: string | undefined
  readonly format: string
  readonly write: boolean
}

/**
 * Runs statements; without any it is a conversation in a terminal, and lists tables and views elsewhere.
 *
 * @throws UsageError for an unknown format, for a statement that writes without --write, and for SQL mistakes
 */
export async function runSql(request: SqlRequest): Promise<void> {
  if (!formats.includes(request.format)) {
    throw new UsageError(`--format takes ${formats.join(", ")}, not ${request.format}.`)
  }
  using store = openStore(request.db, { mode: request.write ? "write" : "read" })
  if (request.query === undefined && process.stdin.isTTY === true && process.stdout.isTTY === true) {
    const { interactive } = await import("./sql/interactive.ts")
    // Awaited: the store must stay open for as long as the conversation goes on.
    return await interactive(store, { mode: request.format, write: request.write })
  }
  const text =
    request.query === "-"
      ? readFileSync(0, "utf8")
      : (request.query ??
        "SELECT type, name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY type DESC, name")
  const { complete, rest } = splitStatements(text)
  const statements = rest.trim() === "" ? complete : [...complete, rest.trim()]
  if (statements.length === 0) throw new UsageError("There is no statement to run.")
  for (const statement of statements) runOne(store, statement, request.format)
}

function runOne(store: Store, statement: string, format: string): void {
  let result: ReturnType<Store["sql"]>
  try {
    result = store.sql(statement)
  } catch (error) {
    const known = sqlError(error, statement)
    throw /would change/.test(known.message)
      ? known
      : new UsageError(`${known.message}\nList the tables and views with: ${programName()} sql`)
  }
  if (result.columns.length === 0) process.stderr.write(`${result.changes} rows changed\n`)
  else printResult(result, format, terminalWidth())
}
