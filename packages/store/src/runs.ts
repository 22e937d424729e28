import type { Connection } from "./connection.ts"
import { IllegalTransition, LeaseLost, UnknownRow } from "./errors.ts"
import type { runs } from "./schema.ts"
import { canTransition, isLive, type RunState } from "./states.ts"

type Row = typeof runs.$inferSelect

/** A run with its JSON columns decoded. */
export interface Run extends Omit<Row, "error" | "packages" | "environment" | "gitDirty"> {
  readonly error: unknown
  readonly packages: Readonly<Record<string, string>> | undefined
  readonly environment: Readonly<Record<string, unknown>> | undefined
  readonly gitDirty: boolean | undefined
  /** Live by its state, but its lease has run out: a hint to readers, not a state. */
  readonly lost: boolean
}

export interface RunStart {
  readonly trialId: string
  readonly owner?: string | undefined
  readonly device?: string | undefined
  readonly host?: string | undefined
  readonly pid?: number | undefined
  readonly codeHash?: string | undefined
  readonly gitCommit?: string | undefined
  readonly gitDirty?: boolean | undefined
  readonly packages?: Readonly<Record<string, string>> | undefined
  readonly environment?: Readonly<Record<string, unknown>> | undefined
  readonly name?: string | undefined
  /** State to start in; `running` unless said otherwise. */
  readonly status?: "queued" | "running" | undefined
  readonly leaseMs?: number | undefined
}

export interface TransitionOptions {
  /** What went wrong, kept as JSON. */
  readonly error?: unknown
  /** Only if this owner still holds the run; else `LeaseLost`. */
  readonly owner?: string | undefined
  readonly leaseMs?: number | undefined
}

export const defaultLeaseMs = 30_000

const json = (value: unknown) => (value === undefined ? null : JSON.stringify(value))

/** Runs and their life. */
export class Runs {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * Starts a new attempt at a trial and returns the run's id. A trial has at most one live run, whatever the programs
   * do: when there is one, `LeaseLost` names its owner.
   */
  start(run: RunStart): number {
    return this.#connection.write(() => {
      const live = this.#connection
        .sql<{ id: number; owner: string | null }>(
          "SELECT id, owner FROM runs WHERE trial_id = ? AND status IN ('queued', 'running')",
        )
        .get(run.trialId)
      if (live !== undefined) throw new LeaseLost(this.#connection.path, `Trial ${run.trialId}`, live.owner)
      const now = Date.now()
      const status = run.status ?? "running"
      return this.#connection
        .sql(
          `INSERT INTO runs (trial_id, attempt, status, name, device, host, pid, owner, created_at, started_at,
             heartbeat_at, lease_expires_at, code_hash, git_commit, git_dirty, packages, environment)
           VALUES (?, (SELECT coalesce(max(attempt), 0) + 1 FROM runs WHERE trial_id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          run.trialId,
          run.trialId,
          status,
          run.name ?? null,
          run.device ?? null,
          run.host ?? null,
          run.pid ?? null,
          run.owner ?? null,
          now,
          status === "running" ? now : null,
          now,
          now + (run.leaseMs ?? defaultLeaseMs),
          run.codeHash ?? null,
          run.gitCommit ?? null,
          run.gitDirty === undefined ? null : Number(run.gitDirty),
          json(run.packages),
          json(run.environment),
        ).lastInsertRowid
    })
  }

  /**
   * Moves a run to another state, if the state machine allows it from where the run stands (`IllegalTransition`) and
   * it still belongs to `owner`, when one is given (`LeaseLost`).
   */
  transition(runId: number, to: RunState, options: TransitionOptions = {}): void {
    this.#connection.write(() => {
      const run = this.#connection
        .sql<{ status: RunState; owner: string | null; startedAt: number | null }>(
          "SELECT status, owner, started_at FROM runs WHERE id = ?",
        )
        .get(runId)
      if (run === undefined) throw new UnknownRow(this.#connection.path, `run ${runId}`)
      if (options.owner !== undefined && run.owner !== options.owner)
        throw new LeaseLost(this.#connection.path, `Run ${runId}`, run.owner)
      if (!canTransition(run.status, to)) throw new IllegalTransition(this.#connection.path, runId, run.status, to)
      const now = Date.now()
      const live = isLive(to)
      this.#connection
        .sql(
          `UPDATE runs SET status = ?, started_at = ?, finished_at = ?, heartbeat_at = ?, lease_expires_at = ?, error = ?,
             cancel_requested_at = CASE WHEN ? THEN NULL ELSE cancel_requested_at END
           WHERE id = ?`,
        )
        .run(
          to,
          to === "running" ? (run.startedAt ?? now) : run.startedAt,
          live ? null : now,
          now,
          live ? now + (options.leaseMs ?? defaultLeaseMs) : null,
          json(options.error),
          run.status === "interrupted" ? 1 : 0,
          runId,
        )
    })
  }

  /**
   * Says that a live run is alive and renews its lease; with `progress` also how far it is. Returns whether the run
   * should stop because somebody asked for it. `LeaseLost` when it is not live or not (any more) this owner's.
   */
  heartbeat(
    runId: number,
    options: {
      readonly owner?: string | undefined
      readonly leaseMs?: number | undefined
      readonly progress?: { readonly done: number; readonly total: number } | undefined
    } = {},
  ): { readonly cancelRequested: boolean } {
    const now = Date.now()
    const { owner, progress } = options
    return this.#connection.write(() => {
      const row = this.#connection
        .sql<{ cancelRequestedAt: number | null }>(
          `UPDATE runs SET heartbeat_at = ?, lease_expires_at = ?, progress_done = coalesce(?, progress_done),
             progress_total = coalesce(?, progress_total)
           WHERE id = ? AND status IN ('queued', 'running') AND (? IS NULL OR owner = ?) RETURNING cancel_requested_at`,
        )
        .get(
          now,
          now + (options.leaseMs ?? defaultLeaseMs),
          progress?.done ?? null,
          progress?.total ?? null,
          runId,
          owner ?? null,
          owner ?? null,
        )
      if (row === undefined) {
        const held = this.#connection.sql<{ owner: string | null }>("SELECT owner FROM runs WHERE id = ?").get(runId)
        if (held === undefined) throw new UnknownRow(this.#connection.path, `run ${runId}`)
        throw new LeaseLost(this.#connection.path, `Run ${runId}`, held.owner)
      }
      return { cancelRequested: row.cancelRequestedAt !== null }
    })
  }

  get(runId: number, now = Date.now()): Run | undefined {
    const row = this.#connection.sql<Row>("SELECT * FROM runs WHERE id = ?").get(runId)
    return row && decode(row, now)
  }

  /** All attempts at a trial, the first one first. */
  ofTrial(trialId: string, now = Date.now()): Run[] {
    return this.#connection
      .sql<Row>("SELECT * FROM runs WHERE trial_id = ? AND deleted_at IS NULL ORDER BY attempt")
      .all(trialId)
      .map((row) => decode(row, now))
  }

  /** Runs that are live by their state, lost ones included. */
  live(now = Date.now()): Run[] {
    return this.#connection
      .sql<Row>("SELECT * FROM runs WHERE status IN ('queued', 'running') ORDER BY id")
      .all()
      .map((row) => decode(row, now))
  }

  /** Live runs whose lease has run out. */
  lost(now = Date.now()): Run[] {
    return this.live(now).filter((run) => run.lost)
  }

  /** Takes a run out of all lists and views. Nothing is erased; {@link restore} undoes it. Live runs stay. */
  remove(runId: number): boolean {
    return (
      this.#connection
        .sql(
          "UPDATE runs SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL AND status NOT IN ('queued', 'running')",
        )
        .run(Date.now(), runId).changes > 0
    )
  }

  restore(runId: number): boolean {
    return this.#connection.sql("UPDATE runs SET deleted_at = NULL WHERE id = ?").run(runId).changes > 0
  }

  /** Runs that bear a name, the oldest first; removed ones are left out. */
  named(name: string): number[] {
    return this.#connection
      .sql<{ id: number }>("SELECT id FROM runs WHERE name = ? AND deleted_at IS NULL ORDER BY id")
      .all(name)
      .map((row) => row.id)
  }

  rename(runId: number, name: string | null): boolean {
    return this.#connection.sql("UPDATE runs SET name = ? WHERE id = ?").run(name, runId).changes > 0
  }

  note(runId: number, note: string | null): boolean {
    return this.#connection.sql("UPDATE runs SET note = ? WHERE id = ?").run(note, runId).changes > 0
  }
}

function decode(row: Row, now: number): Run {
  return {
    ...row,
    error: row.error === null ? undefined : (JSON.parse(row.error) as unknown),
    packages: row.packages === null ? undefined : (JSON.parse(row.packages) as Record<string, string>),
    environment: row.environment === null ? undefined : (JSON.parse(row.environment) as Record<string, unknown>),
    gitDirty: row.gitDirty === null ? undefined : row.gitDirty === 1,
    lost: isLive(row.status) && row.leaseExpiresAt !== null && row.leaseExpiresAt < now,
  }
}
