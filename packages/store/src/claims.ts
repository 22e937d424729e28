/**
 * Who works on a trial. A trial is owned by the coordinator that holds its live (queued or running) run, and the schema
 * admits one live run per trial. Everything that gives, takes over or ends ownership is in this file, each in one write
 * transaction.
 *
 * Whether an owner still lives is for the caller to say (`isGone`): on one machine the system knows, and no clock has
 * to be trusted.
 */
import type { Connection } from "./connection.ts"
import { defaultLeaseMs as leaseMs } from "./runs.ts"
import { type RunState, sourcesOf } from "./states.ts"

/** What a run remembers of where it came from. */
export interface RunOrigin {
  readonly device: string
  readonly host: string
  readonly codeHash: string
  readonly gitCommit: string | undefined
  readonly gitDirty: boolean | undefined
  readonly packages: Readonly<Record<string, string>>
  readonly environment: Readonly<Record<string, unknown>>
}

export interface ClaimRequest {
  readonly trialId: string
  readonly owner: string
  /** Process that will execute the trial; undefined when there is none (yet). */
  readonly pid: number | undefined
  readonly origin: RunOrigin
  /** Whether the result of a completed run counts. */
  readonly accepts: (run: { readonly id: number; readonly codeHash: string | null }) => boolean
  /** Whether an unfinished run may be gone on with: its checkpoint, and its series if it was interrupted. */
  readonly continues: (run: { readonly id: number; readonly codeHash: string | null }) => boolean
  readonly isGone: (owner: string | null, leaseExpiresAt: number | null) => boolean
  /** A cancellation of the waiting trial counts when it is newer than this run: an older one was of another command. */
  readonly cancelledAfter: number
  /** Whether a trial that a stopping rule ended need not be run: the rule would end it again. */
  readonly stopped?: (run: StoppedRun) => boolean
}

/** A run that a stopping rule ended: cancelled, with an error of the kind `StoppedEarly`. */
export interface StoppedRun {
  readonly id: number
  readonly trialId: string
  readonly codeHash: string | null
  readonly error: unknown
}

export type Claim =
  /** The caller owns the trial now. `resumed`: an interrupted run goes on, its series and checkpoint included. */
  | {
      readonly type: "mine"
      readonly runId: number
      readonly attempt: number
      readonly resumed: boolean
      /** The live run of a dead owner that was ended for this: its process may still be about. */
      readonly buried:
        | { readonly runId: number; readonly pid: number | null; readonly owner: string | null }
        | undefined
    }
  /** There is a result that counts. */
  | { readonly type: "done"; readonly runId: number }
  /** A stopping rule has ended it. */
  | { readonly type: "stopped"; readonly runId: number; readonly error: unknown }
  /** Another living coordinator is at it. */
  | { readonly type: "busy"; readonly owner: string | null }
  /** Somebody cancelled it while it waited for its turn. */
  | { readonly type: "cancelled"; readonly runId: number }

interface RunRow {
  readonly id: number
  readonly attempt: number
  readonly status: RunState
  readonly owner: string | null
  readonly pid: number | null
  readonly codeHash: string | null
  readonly leaseExpiresAt: number | null
  readonly startedAt: number | null
}

const quoted = (states: readonly RunState[]) => states.map((state) => `'${state}'`).join(", ")

/** Takes a trial, or says why there is nothing to take. */
export function claimTrial(connection: Connection, request: ClaimRequest): Claim {
  return connection.write(() => {
    const now = Date.now()
    const runs = connection
      .sql<RunRow>(
        `SELECT id, attempt, status, owner, pid, code_hash, lease_expires_at, started_at FROM runs
         WHERE trial_id = ? AND deleted_at IS NULL ORDER BY attempt`,
      )
      .all(request.trialId)
    const live = runs.find((run) => run.status === "queued" || run.status === "running")
    let buried: { readonly runId: number; readonly pid: number | null; readonly owner: string | null } | undefined
    if (live !== undefined) {
      if (!request.isGone(live.owner, live.leaseExpiresAt)) return { type: "busy", owner: live.owner }
      connection
        .sql("UPDATE runs SET status = 'interrupted', finished_at = ?, lease_expires_at = NULL WHERE id = ?")
        .run(now, live.id)
      buried = { runId: live.id, pid: live.pid, owner: live.owner }
    }
    const done = runs.findLast((run) => run.status === "completed" && request.accepts(run))
    if (done !== undefined) return { type: "done", runId: done.id }
    if (request.stopped !== undefined && runs.some((run) => run.status === "cancelled")) {
      const stopped = stoppedRuns(connection, [request.trialId]).findLast(request.stopped)
      if (stopped !== undefined) return { type: "stopped", runId: stopped.id, error: stopped.error }
    }

    const last = runs.at(-1)
    if (last?.status === "cancelled" && last.startedAt === null && last.id > request.cancelledAfter)
      return { type: "cancelled", runId: last.id }
    const { origin, owner } = request
    const continues = last !== undefined && last.status !== "completed" && request.continues(last)
    // Their files are for artifacts.collect. A checkpoint of other code, or of a result that is to be made again, must not be continued from.
    if (!continues) connection.sql("DELETE FROM checkpoints WHERE trial_id = ?").run(request.trialId)
    if (continues && (last === live || last.status === "interrupted")) {
      connection
        .sql(
          `UPDATE runs SET status = 'running', owner = ?, pid = ?, host = ?, device = ?, heartbeat_at = ?,
             lease_expires_at = ?, finished_at = NULL, cancel_requested_at = NULL, error = NULL WHERE id = ?`,
        )
        .run(owner, request.pid ?? null, origin.host, origin.device, now, now + leaseMs, last.id)
      return { type: "mine", runId: last.id, attempt: last.attempt, resumed: true, buried }
    }
    const attempt =
      (connection
        .sql<{ n: number | null }>("SELECT max(attempt) AS n FROM runs WHERE trial_id = ?")
        .get(request.trialId)?.n ?? 0) + 1
    const { lastInsertRowid } = connection
      .sql(
        `INSERT INTO runs (trial_id, attempt, status, owner, pid, host, device, created_at, started_at, heartbeat_at,
           lease_expires_at, code_hash, git_commit, git_dirty, packages, environment)
         VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        request.trialId,
        attempt,
        owner,
        request.pid ?? null,
        origin.host,
        origin.device,
        now,
        now,
        now,
        now + leaseMs,
        origin.codeHash,
        origin.gitCommit ?? null,
        origin.gitDirty === undefined ? null : Number(origin.gitDirty),
        JSON.stringify(origin.packages),
        JSON.stringify(origin.environment),
      )
    return { type: "mine", runId: lastInsertRowid, attempt, resumed: false, buried }
  })
}

/**
 * Ends a live run of this owner. False when it is not (any more) live or not (any more) his: then whoever has it
 * decides.
 */
export function settleRun(
  connection: Connection,
  run: {
    readonly runId: number
    readonly owner: string
    readonly to: Extract<RunState, "completed" | "failed" | "cancelled" | "interrupted">
    readonly error?: unknown
  },
): boolean {
  const { changes } = connection
    .sql(
      `UPDATE runs SET status = '${run.to}', finished_at = ?, lease_expires_at = NULL, error = ?
       WHERE id = ? AND owner = ? AND status IN (${quoted(sourcesOf(run.to))})`,
    )
    .run(Date.now(), run.error === undefined ? null : JSON.stringify(run.error), run.runId, run.owner)
  return changes > 0
}

/** Renews the leases of all live runs of an owner. */
export function renewLeases(connection: Connection, owner: string): number {
  const now = Date.now()
  return connection
    .sql("UPDATE runs SET heartbeat_at = ?, lease_expires_at = ? WHERE owner = ? AND status IN ('queued', 'running')")
    .run(now, now + leaseMs, owner).changes
}

/** Completed runs of these trials, oldest first. */
export function completedRuns(
  connection: Connection,
  trialIds: readonly string[],
): { readonly id: number; readonly trialId: string; readonly codeHash: string | null }[] {
  return connection
    .sql<{ id: number; trialId: string; codeHash: string | null }>(
      `SELECT id, trial_id, code_hash FROM runs
       WHERE status = 'completed' AND deleted_at IS NULL AND trial_id IN (SELECT value FROM json_each(?)) ORDER BY id`,
    )
    .all(JSON.stringify(trialIds))
}

/** Runs of these trials that a stopping rule ended, oldest first. */
export function stoppedRuns(connection: Connection, trialIds: readonly string[]): StoppedRun[] {
  return connection
    .sql<Omit<StoppedRun, "error"> & { readonly error: string }>(
      `SELECT id, trial_id, code_hash, error FROM runs
       WHERE status = 'cancelled' AND deleted_at IS NULL AND error ->> '$.kind' = 'StoppedEarly'
         AND trial_id IN (SELECT value FROM json_each(?)) ORDER BY id`,
    )
    .all(JSON.stringify(trialIds))
    .map((run) => ({ ...run, error: JSON.parse(run.error) as unknown }))
}

/** The values of a metric in a run, by rising step. */
export function curveOf(
  connection: Connection,
  runId: number,
  metric: string,
): (readonly [step: number, value: number])[] {
  return connection
    .sql<{ step: number; value: number | null }>(
      `SELECT m.step, m.value FROM metrics m JOIN metric_names n ON n.id = m.metric_id
       WHERE m.run_id = ? AND n.name = ? ORDER BY m.step`,
    )
    .all(runId, metric)
    .map(({ step, value }) => [step, value ?? Number.NaN])
}

/** The live runs of these trials. */
export function liveRuns(
  connection: Connection,
  trialIds: readonly string[],
): { readonly trialId: string; readonly owner: string | null; readonly leaseExpiresAt: number | null }[] {
  return connection
    .sql<{ trialId: string; owner: string | null; leaseExpiresAt: number | null }>(
      `SELECT trial_id, owner, lease_expires_at FROM runs
       WHERE status IN ('queued', 'running') AND trial_id IN (SELECT value FROM json_each(?))`,
    )
    .all(JSON.stringify(trialIds))
}

/** Live runs of an owner that somebody asked to cancel, and when its experiment was. */
export function cancelRequests(
  connection: Connection,
  owner: string,
  experiment: string,
): { readonly runs: readonly number[]; readonly experimentAt: number | null } {
  const runs = connection
    .sql<{ id: number }>(
      `SELECT id FROM runs WHERE status IN ('queued', 'running') AND owner = ? AND cancel_requested_at IS NOT NULL`,
    )
    .all(owner)
  const at = connection
    .sql<{ at: number | null }>("SELECT cancel_requested_at AS at FROM experiments WHERE name = ?")
    .get(experiment)
  return { runs: runs.map((run) => run.id), experimentAt: at?.at ?? null }
}

/** Whether {@link buryDeadRuns} would find any; reads only. */
export function hasDeadRuns(connection: Connection, isGone: ClaimRequest["isGone"]): boolean {
  return connection
    .sql<{ owner: string | null; leaseExpiresAt: number | null }>(
      "SELECT DISTINCT owner, lease_expires_at FROM runs WHERE status IN ('queued', 'running')",
    )
    .all()
    .some((run) => isGone(run.owner, run.leaseExpiresAt))
}

/**
 * Ends the live runs whose owners are gone, so that nothing says `running` when no process runs it. Returns the runs
 * that were ended, with the process that executed them: it may still be about.
 */
export function buryDeadRuns(
  connection: Connection,
  isGone: ClaimRequest["isGone"],
): { readonly runId: number; readonly pid: number | null; readonly owner: string | null }[] {
  return connection.write(() => {
    const gone = connection
      .sql<RunRow>(
        "SELECT id, attempt, status, owner, pid, code_hash, lease_expires_at, started_at FROM runs WHERE status IN ('queued', 'running')",
      )
      .all()
      .filter((run) => isGone(run.owner, run.leaseExpiresAt))
    const bury = connection.sql(
      "UPDATE runs SET status = 'interrupted', finished_at = ?, lease_expires_at = NULL WHERE id = ?",
    )
    for (const run of gone) bury.run(Date.now(), run.id)
    return gone.map((run) => ({ runId: run.id, pid: run.pid, owner: run.owner }))
  })
}

/**
 * Asks for a live run, for the live run of a trial, or for everything of an experiment to stop. Returns the live runs
 * that were asked. A trial without one that waits for its turn in an experiment under way gets a run that is cancelled
 * before it began, which its coordinator finds when it comes to the trial: `dropped`.
 */
export function requestCancel(
  connection: Connection,
  target: { readonly run: number } | { readonly trial: string } | { readonly experiment: string },
): { readonly asked: readonly number[]; readonly dropped: readonly number[] } {
  return connection.write(() => {
    const now = Date.now()
    const ask = (where: string, key: string | number) =>
      connection
        .sql<{ id: number }>(
          `UPDATE runs SET cancel_requested_at = ? WHERE status IN ('queued', 'running') AND ${where} RETURNING id`,
        )
        .all(now, key)
    let rows: { id: number }[]
    if ("run" in target) rows = ask("id = ?", target.run)
    else if ("trial" in target) rows = ask("trial_id = ?", target.trial)
    else {
      connection.sql("UPDATE experiments SET cancel_requested_at = ? WHERE name = ?").run(now, target.experiment)
      rows = ask(
        "trial_id IN (SELECT trial_id FROM experiment_trials t JOIN experiments e ON e.id = t.experiment_id WHERE e.name = ?)",
        target.experiment,
      )
    }
    const dropped = "trial" in target && rows.length === 0 ? dropWaiting(connection, target.trial, now) : []
    return { asked: rows.map((row) => row.id), dropped }
  })
}

/** Cancels a trial before its turn, if an experiment that it belongs to is under way and has no result of it. */
function dropWaiting(connection: Connection, trialId: string, now: number): readonly number[] {
  const waits = connection
    .sql<{ n: number }>(
      `SELECT count(*) AS n FROM experiment_trials x
       JOIN experiment_trials other ON other.experiment_id = x.experiment_id
       JOIN runs r ON r.trial_id = other.trial_id AND r.status IN ('queued', 'running')
       WHERE x.trial_id = ? AND x.current = 1
         AND NOT EXISTS (SELECT 1 FROM runs done WHERE done.trial_id = x.trial_id AND +done.status = 'completed')`,
    )
    .get(trialId)!.n
  if (waits === 0) return []
  const { lastInsertRowid } = connection
    .sql(
      `INSERT INTO runs (trial_id, attempt, status, created_at, finished_at, cancel_requested_at)
       VALUES (?, (SELECT coalesce(max(attempt), 0) + 1 FROM runs WHERE trial_id = ?), 'cancelled', ?, ?, ?)`,
    )
    .run(trialId, trialId, now, now, now)
  return [lastInsertRowid]
}

/**
 * What a new attempt takes over from the run whose checkpoint it continues from: the values logged up to then. Of a
 * value logged after the checkpoint it does not matter whether it comes along: it is about to be logged again.
 */
export function valuesUpTo(
  connection: Connection,
  checkpoint: { readonly runId: number; readonly step: number; readonly createdAt: number },
): { readonly name: string; readonly step: number; readonly value: number }[] {
  return connection
    .sql<{ name: string; step: number; value: number | null }>(
      `SELECT n.name, m.step, m.value FROM metrics m JOIN metric_names n ON n.id = m.metric_id
       WHERE m.run_id = ? AND (m.step <= ? OR m.time <= ?) ORDER BY m.step`,
    )
    .all(checkpoint.runId, checkpoint.step, checkpoint.createdAt)
    .map((row) => ({ ...row, value: row.value ?? Number.NaN }))
}

/** Lets a run refer to the named artifacts of another one. Its own stay as they are. */
export function inheritArtifacts(connection: Connection, from: number, to: number): void {
  connection
    .sql(
      `INSERT OR IGNORE INTO run_artifacts (run_id, name, hash, created_at)
       SELECT ?, name, hash, created_at FROM run_artifacts WHERE run_id = ?`,
    )
    .run(to, from)
}

/**
 * Lets a run take over the sample results of another one. As with {@link valuesUpTo}, one measured after the checkpoint
 * is about to be measured again and may come along. What the run has measured itself stays as it is.
 */
export function inheritSamples(connection: Connection, from: number, to: number): void {
  connection.write(() => {
    const results = connection.sql<{ n: number }>(
      "SELECT count(*) AS n FROM sample_results WHERE competitor_id = (SELECT id FROM competitors WHERE run_id = ?)",
    )
    if (results.get(from)!.n === 0) return
    connection
      .sql("INSERT INTO competitors (run_id, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
      .run(to, Date.now())
    connection
      .sql(
        `INSERT OR IGNORE INTO sample_results (competitor_id, metric_id, sample_id, value)
         SELECT (SELECT id FROM competitors WHERE run_id = ?), metric_id, sample_id, value FROM sample_results
         WHERE competitor_id = (SELECT id FROM competitors WHERE run_id = ?)`,
      )
      .run(to, from)
  })
}

/** Forgets the result of a stage whose bytes are lost, so that it is computed anew. */
export function forgetStage(connection: Connection, key: string): void {
  connection.sql("UPDATE stages SET status = 'failed', hash = NULL WHERE key = ? AND status = 'completed'").run(key)
}
