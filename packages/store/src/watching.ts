/**
 * What a live view asks many times a second. Nothing here reads a series of metrics or decodes a config; what grows with
 * the number of trials is kept apart from what grows with the number of live runs only.
 */
import type { Connection } from "./connection.ts"
import { fromReal } from "./fold.ts"
import type { RunState } from "./states.ts"

/** A run as a line of a live view. Times in ms since 1970. */
export interface WatchedRun {
  readonly id: number
  readonly trialId: string
  readonly attempt: number
  readonly status: RunState
  /** Live by its state, but its lease has run out. */
  readonly lost: boolean
  /** Ended by a stopping rule: it is over, and nothing more is to come of it. */
  readonly stopped: boolean
  readonly name: string | null
  readonly experiment: string | null
  readonly profile: string | null
  readonly phase: "tune" | "compare" | null
  readonly condition: string | null
  readonly seed: number
  readonly device: string | null
  readonly host: string | null
  readonly pid: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly heartbeatAt: number | null
  readonly progressDone: number | null
  readonly progressTotal: number | null
  readonly error: string | null
  /** Last value of the asked metric (of the experiment's compared metric, where none was asked); NaN without one. */
  readonly value: number
}

/** How many trials of one condition stand where. */
export interface ConditionProgress {
  readonly experimentId: number
  readonly profile: string
  readonly phase: "tune" | "compare"
  readonly condition: string
  /** State of the latest run of each trial, completed before all others; `waiting` without one, `stopped` by a rule. */
  readonly state: RunState | "waiting" | "lost" | "stopped"
  readonly trials: number
  /** Mean duration of the completed ones, in seconds. */
  readonly seconds: number | null
}

/**
 * A text that differs when runs began, ended, were lost, or an experiment or a trial was registered. It costs one walk
 * over the narrow index of states, so it may be asked at every look.
 */
export function stateFingerprint(connection: Connection, now = Date.now()): string {
  const rows = connection
    .sql<{ part: string | null }>(
      `SELECT group_concat(status || ' ' || n || ' ' || last) AS part FROM (
         SELECT status, count(*) AS n, max(id) AS last FROM runs GROUP BY status)
       UNION ALL
       SELECT group_concat(id || ' ' || coalesce(started_at, 0)) FROM runs
         WHERE status IN ('queued', 'running') AND lease_expires_at >= ?
       UNION ALL SELECT count(*) || ' ' || max(updated_at) || ' ' || count(deleted_at) FROM experiments
       UNION ALL SELECT max(row) FROM trials`,
    )
    .all(now)
  return rows.map((row) => row.part).join("|")
}

/**
 * Progress of all current trials of all experiments that are not removed, grouped. The plus sign keeps SQLite from
 * walking all completed runs for every trial: it would take the index of states for the narrower one.
 */
export function conditionProgress(connection: Connection, now = Date.now()): ConditionProgress[] {
  return connection
    .sql<ConditionProgress>(
      `WITH members AS MATERIALIZED (
         SELECT x.experiment_id, x.profile, max(x.phase) AS phase, min(x.condition) AS condition, x.trial_id
         FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
         WHERE x.current = 1 AND e.deleted_at IS NULL GROUP BY x.experiment_id, x.profile, x.trial_id
       )
       SELECT m.experiment_id, m.profile, m.phase, m.condition,
         CASE
           WHEN r.id IS NULL THEN 'waiting'
           WHEN r.status IN ('queued', 'running') AND r.lease_expires_at < ? THEN 'lost'
           WHEN r.status = 'cancelled' AND r.error ->> '$.kind' = 'StoppedEarly' THEN 'stopped'
           ELSE r.status
         END AS state,
         count(*) AS trials,
         avg(CASE WHEN r.status = 'completed' THEN r.finished_at - r.started_at END) / 1000.0 AS seconds
       FROM members m LEFT JOIN runs r ON r.id = coalesce(
         (SELECT max(id) FROM runs o WHERE o.trial_id = m.trial_id AND o.deleted_at IS NULL AND +o.status = 'completed'),
         (SELECT max(id) FROM runs o WHERE o.trial_id = m.trial_id AND o.deleted_at IS NULL))
       GROUP BY m.experiment_id, m.profile, m.phase, m.condition, state`,
    )
    .all(now)
}

const run = (metric: string) => `r.id, r.trial_id, r.attempt, r.status,
  r.status IN ('queued', 'running') AND coalesce(r.lease_expires_at < ?, 0) AS lost,
  coalesce(r.status = 'cancelled' AND r.error ->> '$.kind' = 'StoppedEarly', 0) AS stopped,
  r.name, e.name AS experiment, x.profile, x.phase, x.condition,
  t.seed, r.device, r.host, r.pid, r.started_at, r.finished_at, r.heartbeat_at, r.progress_done, r.progress_total,
  CASE WHEN r.error IS NOT NULL THEN coalesce(r.error ->> '$.message', r.error) END AS error,
  (SELECT s.last FROM metric_summaries s WHERE s.run_id = r.id AND s.metric_id = ${metric}) AS value`

const compared = "(SELECT id FROM metric_names WHERE name = json_extract(e.compare, '$[0]'))"

/** The membership that says most of a run: current before former, compared before tuning, the newest experiment. */
const place = `LEFT JOIN experiment_trials x ON (x.experiment_id, x.profile, x.phase, x.arm, x.condition, x.trial_id) = (
    SELECT y.experiment_id, y.profile, y.phase, y.arm, y.condition, y.trial_id FROM experiment_trials y
    WHERE y.trial_id = r.trial_id ORDER BY y.current DESC, y.phase, y.experiment_id DESC, y.profile LIMIT 1)
  LEFT JOIN experiments e ON e.id = x.experiment_id`

type Found = Omit<WatchedRun, "lost" | "stopped" | "value"> & {
  readonly lost: number
  readonly stopped: number
  readonly value: number | null
}
const decode = (row: Found): WatchedRun => ({
  ...row,
  lost: row.lost === 1,
  stopped: row.stopped === 1,
  value: fromReal(row.value),
})

/** The live runs of all experiments, the oldest first; at most `limit`. */
export function liveRuns(connection: Connection, limit: number, now = Date.now()): WatchedRun[] {
  return connection
    .sql<Found>(
      `SELECT ${run(compared)} FROM runs r JOIN trials t ON t.id = r.trial_id ${place}
       WHERE r.status IN ('queued', 'running') ORDER BY r.id LIMIT ?`,
    )
    .all(now, limit)
    .map(decode)
}

/** One run, whatever its state. */
export function watchedRun(connection: Connection, runId: number, now = Date.now()): WatchedRun | undefined {
  const row = connection
    .sql<Found>(`SELECT ${run(compared)} FROM runs r JOIN trials t ON t.id = r.trial_id ${place} WHERE r.id = ?`)
    .get(now, runId)
  return row && decode(row)
}

/** All runs of an experiment under a profile, the newest first. A trial that is in both phases comes once. */
export function experimentRuns(
  connection: Connection,
  experiment: string,
  profile: string,
  metric: string,
  now = Date.now(),
): WatchedRun[] {
  const seen = new Set<number>()
  return connection
    .sql<Found>(
      `SELECT ${run("(SELECT id FROM metric_names WHERE name = ?)")}
       FROM experiments e JOIN experiment_trials x ON x.experiment_id = e.id AND x.profile = ?
       JOIN runs r ON r.trial_id = x.trial_id AND r.deleted_at IS NULL JOIN trials t ON t.id = x.trial_id
       WHERE e.name = ? ORDER BY r.id DESC, x.current DESC, x.phase`,
    )
    .all(now, metric, profile, experiment)
    .filter((row) => !seen.has(row.id) && seen.add(row.id))
    .map(decode)
}

/** The runs of an experiment that ended last, the latest first. */
export function endedRuns(
  connection: Connection,
  experiment: string,
  profile: string,
  metric: string,
  limit: number,
  now = Date.now(),
): WatchedRun[] {
  return connection
    .sql<Found>(
      `SELECT ${run("(SELECT id FROM metric_names WHERE name = ?)")}
       FROM (
         SELECT DISTINCT o.id, o.finished_at FROM experiments f
         JOIN experiment_trials y ON y.experiment_id = f.id AND y.profile = ?
         JOIN runs o ON o.trial_id = y.trial_id AND o.deleted_at IS NULL
         WHERE f.name = ? AND o.finished_at IS NOT NULL ORDER BY o.finished_at DESC, o.id DESC LIMIT ?
       ) ended JOIN runs r ON r.id = ended.id JOIN trials t ON t.id = r.trial_id ${place}
       ORDER BY r.finished_at DESC, r.id DESC`,
    )
    .all(now, metric, profile, experiment, limit)
    .map(decode)
}

/** How many compared trials each condition has, in the order of the plan. */
export function plannedConditions(
  connection: Connection,
  experiment: string,
  profile: string,
): { readonly arm: string; readonly condition: string; readonly planned: number }[] {
  return connection
    .sql<{ arm: string; condition: string; planned: number }>(
      `SELECT x.arm, x.condition, count(*) AS planned FROM experiments e JOIN experiment_trials x ON x.experiment_id = e.id
       WHERE e.name = ? AND x.profile = ? AND x.phase = 'compare' AND x.current = 1
       GROUP BY x.arm, x.condition ORDER BY min(x.position)`,
    )
    .all(experiment, profile)
}

/** How much there is in the database, from summaries. */
export function databaseCounts(connection: Connection): {
  readonly experiments: number
  readonly trials: number
  readonly runs: number
  readonly points: number
} {
  return connection
    .sql<{ experiments: number; trials: number; runs: number; points: number }>(
      `SELECT (SELECT count(*) FROM experiments WHERE deleted_at IS NULL) AS experiments,
         (SELECT count(*) FROM trials) AS trials, (SELECT count(*) FROM runs WHERE deleted_at IS NULL) AS runs,
         (SELECT coalesce(sum(count), 0) FROM metric_summaries) AS points`,
    )
    .get()!
}

/** Whether an experiment recorded results by sample in completed runs, and a text that differs when there are new ones. */
export function sampleFingerprint(
  connection: Connection,
  experiment: string | undefined,
  profile: string,
): { readonly any: boolean; readonly key: string } {
  if (experiment === undefined) {
    const row = connection
      .sql<{ n: number; votes: number | null }>(
        "SELECT count(*) AS n, (SELECT max(id) FROM votes) AS votes FROM competitors WHERE name IS NOT NULL",
      )
      .get()!
    return { any: row.n > 0, key: `${row.n} ${row.votes}` }
  }
  const row = connection
    .sql<{ n: number; last: number | null }>(
      `SELECT count(c.id) AS n, max(r.id) AS last FROM experiments e
       JOIN experiment_trials x ON x.experiment_id = e.id AND x.profile = ? AND x.phase = 'compare' AND x.current = 1
       JOIN runs r ON r.trial_id = x.trial_id AND +r.status = 'completed' AND r.deleted_at IS NULL
       JOIN competitors c ON c.run_id = r.id WHERE e.name = ?`,
    )
    .get(profile, experiment)!
  return { any: row.n > 0, key: `${row.n} ${row.last}` }
}
