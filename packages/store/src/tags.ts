import type { Connection } from "./connection.ts"

export type Taggable = "experiment" | "trial" | "run"

/** Words that users hang on experiments (by name), trials and runs (by id). */
export class Tags {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  add(kind: Taggable, target: string | number, tag: string): void {
    this.#connection
      .sql("INSERT OR IGNORE INTO tags (kind, target, tag, created_at) VALUES (?, ?, ?, ?)")
      .run(kind, String(target), tag, Date.now())
  }

  remove(kind: Taggable, target: string | number, tag: string): boolean {
    return (
      this.#connection.sql("DELETE FROM tags WHERE kind = ? AND target = ? AND tag = ?").run(kind, String(target), tag)
        .changes > 0
    )
  }

  of(kind: Taggable, target: string | number): string[] {
    return this.#connection
      .sql<{ tag: string }>("SELECT tag FROM tags WHERE kind = ? AND target = ? ORDER BY tag")
      .all(kind, String(target))
      .map((row) => row.tag)
  }

  /** Every tag with how often it is used. */
  all(): { readonly kind: Taggable; readonly tag: string; readonly count: number }[] {
    return this.#connection
      .sql<{ kind: Taggable; tag: string; count: number }>(
        "SELECT kind, tag, count(*) AS count FROM tags GROUP BY kind, tag ORDER BY kind, tag",
      )
      .all()
  }
}
