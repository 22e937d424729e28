import type { Connection } from "./connection.ts"
import type { Buffered, Flusher } from "./flusher.ts"

export type LogLevel = "debug" | "info" | "warn" | "error" | "stdout" | "stderr"

export interface LogLine {
  readonly id: number
  readonly runId: number
  readonly time: number
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>> | undefined
}

/** Log lines of runs, written in the background like metrics. */
export class Logs implements Buffered {
  readonly #connection: Connection
  readonly #flusher: Flusher
  #held: (readonly [number, number, LogLevel, string, string | null])[] = []
  #writing = 0

  constructor(connection: Connection, flusher: Flusher) {
    this.#connection = connection
    this.#flusher = flusher
    flusher.add(this)
  }

  get pending(): number {
    return this.#held.length
  }

  /** Notes a line; it is on disk within 250 ms. */
  append(runId: number, level: LogLevel, message: string, fields?: object): void {
    this.#held.push([runId, Date.now(), level, message, fields === undefined ? null : JSON.stringify(fields)])
    this.#flusher.schedule()
  }

  flush(): void {
    this.#flusher.flush(this)
  }

  write(): void {
    this.#writing = this.#held.length
    const insert = this.#connection.sql(
      "INSERT INTO logs (run_id, time, level, message, fields) VALUES (?, ?, ?, ?, ?)",
    )
    for (const line of this.#held) insert.run(...line)
  }

  settled(committed: boolean): void {
    if (committed) this.#held = this.#held.slice(this.#writing)
  }

  /** The lines of a run after the line `after` (0: from the first), at most `limit`, oldest first. Poll it to follow. */
  page(
    runId: number,
    options: { readonly after?: number; readonly limit?: number; readonly levels?: readonly LogLevel[] } = {},
  ): LogLine[] {
    return this.#connection
      .sql<Omit<LogLine, "fields"> & { fields: string | null }>(
        `SELECT id, run_id, time, level, message, fields FROM logs WHERE run_id = ? AND id > ?
           AND (? IS NULL OR level IN (SELECT value FROM json_each(?))) ORDER BY id LIMIT ?`,
      )
      .all(runId, options.after ?? 0, ...levels(options.levels), options.limit ?? 1000)
      .map(decode)
  }

  /** The last lines of a run, oldest first. */
  tail(runId: number, options: { readonly limit?: number; readonly levels?: readonly LogLevel[] } = {}): LogLine[] {
    return this.#connection
      .sql<Omit<LogLine, "fields"> & { fields: string | null }>(
        `SELECT id, run_id, time, level, message, fields FROM logs WHERE run_id = ?
           AND (? IS NULL OR level IN (SELECT value FROM json_each(?))) ORDER BY id DESC LIMIT ?`,
      )
      .all(runId, ...levels(options.levels), options.limit ?? 20)
      .map(decode)
      .reverse()
  }
}

function levels(wanted: readonly LogLevel[] | undefined): [string | null, string | null] {
  const list = wanted === undefined ? null : JSON.stringify(wanted)
  return [list, list]
}

function decode(row: Omit<LogLine, "fields"> & { fields: string | null }): LogLine {
  return { ...row, fields: row.fields === null ? undefined : (JSON.parse(row.fields) as Record<string, unknown>) }
}
