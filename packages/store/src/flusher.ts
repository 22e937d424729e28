import { type Connection, napMs, sleepSync } from "./connection.ts"
import { StoreError } from "./errors.ts"

/** Something that holds rows in memory until they are written in a transaction. */
export interface Buffered {
  readonly pending: number
  /**
   * Writes what is held, or as much of it as is decent to hold the lock for; called inside a write transaction, and may
   * be undone with it.
   */
  write(): void
  /** The transaction of the last `write` is on disk (true) or was undone (false). */
  settled(committed: boolean): void
}

/** Rows are written this long after the first of them came, in ms; the promise to users is 250. */
const interval = 150
const retryFull = 1000

/**
 * Writes buffered rows of one store in the background: by timer, by size, and at the end of the process.
 *
 * A background write never waits for a lock: when another process is writing it comes back after a few random
 * milliseconds, and meanwhile the caller goes on. When the disk is full the rows are kept and tried again every second.
 */
export class Flusher {
  readonly #connection: Connection
  readonly #warn: (problem: Error) => void
  readonly #members = new Set<Buffered>()
  #timer: NodeJS.Timeout | undefined
  #dueAt = 0
  #troubled = false
  #waitingSince: number | undefined
  readonly #atExit = () => {
    try {
      this.flush()
    } catch (problem) {
      this.#warn(problem as Error)
    }
  }

  constructor(connection: Connection, warn: (problem: Error) => void) {
    this.#connection = connection
    this.#warn = warn
    process.on("exit", this.#atExit)
  }

  add(member: Buffered): void {
    this.#members.add(member)
  }

  remove(member: Buffered): void {
    this.#members.delete(member)
  }

  /** Milliseconds since 1970 when the next background write is due; infinite when nothing is held. */
  get dueAt(): number {
    return this.#timer === undefined ? Number.POSITIVE_INFINITY : this.#dueAt
  }

  /** Rows have come: see that they are written in time. */
  schedule(): void {
    if (this.#timer === undefined) this.#arm(interval)
  }

  #arm(delay: number): void {
    clearTimeout(this.#timer)
    this.#dueAt = Date.now() + delay
    this.#timer = setTimeout(() => this.background(), delay)
    this.#timer.unref()
  }

  /**
   * One background write. Also called by a busy loop that does not let timers fire, once `dueAt` has passed, and by one
   * that brings rows faster than they are written, which then waits a moment (`waitMs`) for the lock.
   */
  background(waitMs = 0): void {
    const members = this.#holding()
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (members.length === 0) return
    // A flood writes one transaction after the other; the same courtesy as in flush.
    if (waitMs > 0 && this.#connection.contended) sleepSync(napMs(0) / 4)
    try {
      const written = this.#connection.tryWrite(() => {
        for (const member of members) member.write()
      }, waitMs)
      for (const member of members) member.settled(written !== undefined)
      if (written === undefined) {
        const now = Date.now()
        this.#waitingSince ??= now
        this.#arm(napMs(now - this.#waitingSince))
      } else {
        this.#waitingSince = undefined
        this.#troubled = false
        // More than one transaction's worth: let others in between.
        if (this.#holding().length > 0) this.#arm(napMs(0))
      }
    } catch (problem) {
      for (const member of members) member.settled(false)
      this.#arm(retryFull)
      if (!this.#troubled) this.#warn(problem as Error)
      this.#troubled = true
    }
  }

  #holding(): Buffered[] {
    return [...this.#members].filter((member) => member.pending > 0)
  }

  /**
   * Writes everything now, waiting for locks. Throws (`DiskFull`, `DatabaseLocked`, …) when it cannot; the rows are
   * kept.
   */
  flush(only?: Buffered): void {
    for (let transactions = 0; ; transactions++) {
      // Whoever takes the lock again at once gets it before those that nap: let others in between.
      if (transactions > 0 && this.#connection.contended) sleepSync(napMs(0) / 4)
      const members = only === undefined ? this.#holding() : only.pending > 0 ? [only] : []
      if (members.length === 0) break
      try {
        this.#connection.write(() => {
          for (const member of members) member.write()
        })
      } catch (problem) {
        for (const member of members) member.settled(false)
        if (problem instanceof StoreError) this.#arm(retryFull)
        throw problem
      }
      for (const member of members) member.settled(true)
    }
    if (this.#holding().length === 0) {
      clearTimeout(this.#timer)
      this.#timer = undefined
    }
  }

  /** Writes everything and stops. */
  close(): void {
    try {
      this.flush()
    } finally {
      clearTimeout(this.#timer)
      this.#timer = undefined
      process.off("exit", this.#atExit)
    }
  }
}
