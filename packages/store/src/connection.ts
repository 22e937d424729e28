import Sqlite from "better-sqlite3"
import { isBusy, toStoreError } from "./errors.ts"

/** A value that SQLite stores. */
export type SqlValue = string | number | bigint | null | Uint8Array
export type Parameters = readonly SqlValue[] | Readonly<Record<string, SqlValue>>

/** A prepared statement whose rows come back with camelCase keys. */
export interface Statement<Row> {
  get(...parameters: SqlValue[]): Row | undefined
  all(...parameters: SqlValue[]): Row[]
  run(...parameters: SqlValue[]): { changes: number; lastInsertRowid: number }
}

export interface ConnectionOptions {
  readonly readonly: boolean
  /** How long a statement waits for a lock that another process holds, in ms. */
  readonly lockTimeoutMs: number
}

const cell = new Int32Array(new SharedArrayBuffer(4))

/** Stops this thread for `ms` milliseconds. */
export function sleepSync(ms: number): void {
  Atomics.wait(cell, 0, 0, ms)
}

/**
 * How long to nap before asking for a lock again, in ms, after having waited for `waited` ms. Random, so that waiters
 * do not march in step; shorter the longer one has waited, so that the oldest waiter has the best chance and none
 * starves; long again when the holder is no quick writer but somebody who has forgotten a transaction.
 */
export function napMs(waited: number): number {
  if (waited > 3000) return 5 + Math.random() * 20
  return 0.1 + Math.random() * Math.max(0.3, 6 * (1 - waited / 200))
}

function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

/**
 * One SQLite connection: cached statements, write transactions that take the lock at once, and waiting for locks.
 *
 * Waiting is ours, not SQLite's: its busy handler backs off to fixed 100 ms naps, and with many writers the one that
 * naps longest starves. See {@link napMs}.
 */
export class Connection {
  readonly path: string
  readonly readonly: boolean
  readonly sqlite: Sqlite.Database
  #lockTimeoutMs: number
  #busyAt = Number.NEGATIVE_INFINITY
  #statements = new Map<string, Statement<unknown>>()
  #forgetters: (() => void)[] = []

  constructor(path: string, file: string | Buffer, options: ConnectionOptions) {
    this.path = path
    this.readonly = options.readonly
    this.#lockTimeoutMs = options.lockTimeoutMs
    try {
      this.sqlite = new Sqlite(file, {
        readonly: options.readonly,
        fileMustExist: options.readonly && typeof file === "string",
        timeout: 0,
      })
    } catch (thrown) {
      throw toStoreError(path, thrown)
    }
  }

  /** Whether another process was in the way within the last two seconds: then transactions are short and leave gaps. */
  get contended(): boolean {
    return performance.now() - this.#busyAt < 2000
  }

  /** Runs `work`, again and again while another process holds the lock, until the time-out; maps what it throws. */
  attempt<A>(work: () => A): A {
    let start = 0
    for (;;) {
      try {
        return work()
      } catch (thrown) {
        // Inside a transaction a wait cannot help: whoever holds the lock may be waiting for us.
        if (!isBusy(thrown) || this.sqlite.inTransaction) throw toStoreError(this.path, thrown)
        const now = performance.now()
        this.#busyAt = now
        if (start === 0) start = now
        const waited = now - start
        if (waited > this.#lockTimeoutMs) throw toStoreError(this.path, thrown, waited)
        sleepSync(napMs(waited))
      }
    }
  }

  /** The prepared statement for `text`, made once. */
  sql<Row = unknown>(text: string): Statement<Row> {
    const known = this.#statements.get(text)
    if (known !== undefined) return known as Statement<Row>
    const made = this.#prepare<Row>(text)
    this.#statements.set(text, made)
    return made
  }

  #prepare<Row>(text: string): Statement<Row> {
    const statement = this.attempt(() => this.sqlite.prepare(text))
    const run = (...parameters: SqlValue[]) =>
      this.attempt(() => {
        const result = statement.run(...parameters)
        return { changes: result.changes, lastInsertRowid: Number(result.lastInsertRowid) }
      })
    if (!statement.reader) return { run, get: () => undefined, all: () => [] }
    statement.raw(true)
    const names = statement.columns().map((column) => camel(column.name))
    const toRow = (values: unknown[]): Row => {
      const row: Record<string, unknown> = {}
      for (let i = 0; i < names.length; i++) row[names[i]!] = values[i]
      return row as Row
    }
    return {
      run,
      get: (...parameters) => {
        const found = this.attempt(() => statement.get(...parameters) as unknown[] | undefined)
        return found === undefined ? undefined : toRow(found)
      },
      all: (...parameters) => this.attempt(() => statement.all(...parameters) as unknown[][]).map(toRow),
    }
  }

  /**
   * Runs `work` in one write transaction (BEGIN IMMEDIATE: the lock is taken before anything is read, so two writers
   * can never both decide on the same old state). Within another `write` it simply joins it. All or nothing.
   */
  write<A>(work: () => A): A {
    if (this.sqlite.inTransaction) return work()
    this.attempt(() => this.sqlite.exec("BEGIN IMMEDIATE"))
    return this.#finish(work)
  }

  /** Like {@link write}, but gives up with `undefined` when another process still holds the lock after `waitMs`. */
  tryWrite<A>(work: () => A, waitMs = 0): { readonly done: A } | undefined {
    const began = performance.now()
    for (;;) {
      try {
        this.sqlite.exec("BEGIN IMMEDIATE")
        break
      } catch (thrown) {
        if (!isBusy(thrown)) throw toStoreError(this.path, thrown)
        this.#busyAt = performance.now()
        const waited = this.#busyAt - began
        if (waited >= waitMs) return undefined
        sleepSync(napMs(waited))
      }
    }
    return { done: this.#finish(work) }
  }

  /** Calls `forget` whenever a transaction is undone: what was remembered from inside it may not exist. */
  onRollback(forget: () => void): void {
    this.#forgetters.push(forget)
  }

  #finish<A>(work: () => A): A {
    try {
      const result = work()
      this.sqlite.exec("COMMIT")
      return result
    } catch (thrown) {
      // Some failures (a full disk) end the transaction by themselves.
      if (this.sqlite.inTransaction) this.sqlite.exec("ROLLBACK")
      for (const forget of this.#forgetters) forget()
      throw toStoreError(this.path, thrown)
    }
  }

  /** Runs `work` on one unchanging view of the database. */
  snapshot<A>(work: () => A): A {
    if (this.sqlite.inTransaction) return work()
    this.attempt(() => this.sqlite.exec("BEGIN"))
    try {
      return work()
    } finally {
      if (this.sqlite.inTransaction) this.sqlite.exec("COMMIT")
    }
  }

  close(): void {
    this.#statements.clear()
    this.sqlite.close()
  }
}
