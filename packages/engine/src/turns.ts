/**
 * What coordinators on one database have to agree on besides who owns a trial: whose turn it is. A row for each of them
 * in `<db>-engine` says its priority, how many trials wait there, and how much of a device that the machine has once it
 * uses. Rows of dead coordinators count for nothing. Who owns a trial is not decided here.
 */
import Database from "better-sqlite3"
import { liveness } from "./process-identity.ts"

/** A coordinator that has not been heard of for so long, stopped perhaps, holds nobody up. */
const staleMs = 10_000
/** Shares are fractions that people write down: a third three times is one. */
const tolerance = 1e-6

interface Row {
  readonly owner: string
  readonly priority: number
  readonly waiting: number
  readonly used: number
  readonly seenAt: number
}

export interface TurnOptions {
  /** Path of the engine's file beside runs.db. */
  readonly file: string
  readonly owner: string
  readonly experiment: string
  readonly priority: number
  /** Name of the device, and how much of it there is for all coordinators together; infinite for a CPU. */
  readonly device: string
  readonly capacity: number
}

/** This coordinator's row. */
export class Turns {
  readonly #options: TurnOptions
  readonly #db: Database.Database
  readonly #others: Database.Statement
  readonly #write: Database.Statement
  #used = 0
  #waiting = 0
  #written = ""
  #writtenAt = Number.NEGATIVE_INFINITY

  constructor(options: TurnOptions) {
    this.#options = options
    this.#db = new Database(options.file, { timeout: 10_000 })
    this.#db.pragma("journal_mode = WAL")
    this.#db.pragma("synchronous = NORMAL")
    this.#db.exec(`CREATE TABLE IF NOT EXISTS coordinators (
      owner TEXT PRIMARY KEY, experiment TEXT NOT NULL, priority REAL NOT NULL, waiting INTEGER NOT NULL,
      device TEXT NOT NULL, used REAL NOT NULL, seen_at INTEGER NOT NULL) STRICT, WITHOUT ROWID`)
    const dead = this.#db
      .prepare<[], { owner: string }>("SELECT owner FROM coordinators")
      .all()
      .filter(({ owner }) => liveness(owner) === "dead")
    for (const { owner } of dead) this.#db.prepare("DELETE FROM coordinators WHERE owner = ?").run(owner)
    this.#others = this.#db.prepare(`SELECT owner, priority, waiting, CASE WHEN device = ? THEN used ELSE 0 END AS used,
      seen_at AS seenAt FROM coordinators WHERE owner <> ?`)
    this.#write =
      this.#db.prepare(`INSERT INTO coordinators (owner, experiment, priority, waiting, device, used, seen_at)
      VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET waiting = excluded.waiting, used = excluded.used, seen_at = excluded.seen_at`)
  }

  /** Says how many trials wait here; written when it has changed, and every two seconds. */
  waiting(trials: number): void {
    this.#waiting = trials
    const now = performance.now()
    if (this.#written === `${this.#waiting} ${this.#used}` && now - this.#writtenAt < 2_000) return
    this.#tell()
  }

  #tell(): void {
    if (!this.#db.open) return
    const { owner, experiment, priority, device } = this.#options
    this.#write.run(owner, experiment, priority, this.#waiting, device, this.#used, Date.now())
    this.#written = `${this.#waiting} ${this.#used}`
    this.#writtenAt = performance.now()
  }

  /**
   * Takes a share of the device for a trial, if it is this coordinator's turn: no trial of a higher priority waits
   * elsewhere, and the device has room. A share that is larger than the device has it alone.
   */
  take(share: number): boolean {
    if (!this.#db.open) return false
    const { device, owner, priority, capacity } = this.#options
    const limited = Number.isFinite(capacity)
    const attempt = () => {
      const now = Date.now()
      let used = this.#used
      for (const row of this.#others.all(device, owner) as Row[]) {
        if (row.waiting === 0 && row.used === 0) continue
        if (liveness(row.owner) === "dead") continue
        // Whatever its clock or ours did in between.
        const heardOf = Math.abs(now - row.seenAt) < staleMs
        if (heardOf && row.waiting > 0 && row.priority > priority) return false
        // What a stopped one holds it still holds. Another machine has devices of its own.
        if (liveness(row.owner) === "alive") used += row.used
      }
      if (limited && used > 0 && used + share > capacity + tolerance) return false
      this.#used += share
      if (limited) this.#tell()
      return true
    }
    try {
      // The device is counted under the write lock; a glance at priorities needs none.
      return limited ? this.#db.transaction(attempt).immediate() : attempt()
    } catch (error) {
      if (/^SQLITE_BUSY/.test((error as { readonly code?: string }).code ?? "")) return false
      throw error
    }
  }

  /** Gives a share back. */
  give(share: number): void {
    this.#used = Math.max(0, this.#used - share)
    if (this.#used < tolerance) this.#used = 0
    if (Number.isFinite(this.#options.capacity)) this.#tell()
  }

  close(): void {
    try {
      this.#db.prepare("DELETE FROM coordinators WHERE owner = ?").run(this.#options.owner)
    } catch {
      // Locked or full: a dead coordinator's row counts for nothing.
    }
    this.#db.close()
  }
}
