import type { Connection } from "./connection.ts"

export interface TrialDetail {
  readonly id: string
  readonly task: string
  readonly taskVersion: number
  readonly config: Readonly<Record<string, unknown>>
  readonly seed: number
  readonly createdAt: number
}

/** Trials: resolved config and seed under a content hash. They are made by `experiments.addTrials`. */
export class Trials {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  get(id: string): TrialDetail | undefined {
    const row = this.#connection
      .sql<Omit<TrialDetail, "config"> & { config: string }>(
        "SELECT id, task, task_version, config, seed, created_at FROM trials WHERE id = ?",
      )
      .get(id)
    return row && { ...row, config: JSON.parse(row.config) as Record<string, unknown> }
  }

  /** Trials whose id starts with these characters, at most `limit`: what a user types is rarely the whole hash. */
  startingWith(prefix: string, limit = 10): string[] {
    return this.#connection
      .sql<{ id: string }>("SELECT id FROM trials WHERE id >= ? AND id < ? ORDER BY id LIMIT ?")
      .all(prefix, `${prefix}\u{10ffff}`, limit)
      .map((row) => row.id)
  }

  /** Every path that occurs in a config, for completion and for columns of tables. */
  configPaths(): string[] {
    return this.#connection
      .sql<{ path: string }>("SELECT path FROM config_paths ORDER BY path")
      .all()
      .map((row) => row.path)
  }
}
