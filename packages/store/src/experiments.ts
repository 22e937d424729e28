import type { Connection } from "./connection.ts"
import type { MetricDeclaration, MetricNames } from "./metric-names.ts"
import type { experiments } from "./schema.ts"
import type { RunState } from "./states.ts"

export type ExperimentRow = typeof experiments.$inferSelect

export interface ExperimentRegistration {
  readonly name: string
  readonly question?: string | undefined
  readonly task: string
  readonly taskVersion: number
  /** Compared metrics, the first is the one that is ranked. */
  readonly compare: readonly string[]
  readonly baseline?: string | undefined
  /** The declaration as JSON. */
  readonly spec?: unknown
  readonly file?: string | undefined
  readonly metrics?: Readonly<Record<string, MetricDeclaration>> | undefined
}

/** A trial as the plan of an experiment names it. */
export interface TrialRegistration {
  readonly id: string
  readonly taskName: string
  readonly taskVersion: number
  readonly config: Readonly<Record<string, unknown>>
  readonly seed: number
  readonly arm: string
  readonly condition: string
  readonly point?: unknown
}

export interface SelectionRegistration {
  readonly experiment: string
  readonly profile?: string | undefined
  readonly arm: string
  readonly condition: string
  readonly metric: string
  readonly choice: unknown
  readonly candidates: unknown
}

/** How many trials of an experiment stand where. */
export type Progress = Readonly<Record<RunState | "waiting" | "lost" | "stopped", number>> & {
  readonly total: number
  /** Mean duration of completed runs in seconds; NaN without any. */
  readonly meanSeconds: number
}

export interface Membership {
  readonly experiment: string
  readonly profile: string
  readonly phase: "tune" | "compare"
  readonly arm: string
  readonly condition: string
  readonly trialId: string
  readonly position: number
  readonly current: boolean
}

/** The leaves of a config: `{ a: { b: 1 } }` gives `["a.b", 1]`. Lists of plain values are one leaf, as JSON. */
export function configLeaves(config: unknown, path = ""): (readonly [string, string | number | null])[] {
  if (config === null || config === undefined) return [[path, null]]
  if (typeof config === "boolean") return [[path, config ? 1 : 0]]
  if (typeof config === "number" || typeof config === "string") return [[path, config]]
  if (Array.isArray(config) && config.every((item) => typeof item !== "object" || item === null))
    return [[path, JSON.stringify(config)]]
  return Object.entries(config as object).flatMap(([key, value]) =>
    configLeaves(value, path === "" ? key : `${path}.${key}`),
  )
}

/** Experiments and which trials they consist of. */
export class Experiments {
  readonly #connection: Connection
  readonly #names: MetricNames
  readonly #paths = new Map<string, number>()

  constructor(connection: Connection, names: MetricNames) {
    this.#connection = connection
    this.#names = names
    connection.onRollback(() => this.#paths.clear())
  }

  /** Records an experiment, or brings what is recorded under its name up to date (and back, if removed). Returns its id. */
  register(experiment: ExperimentRegistration): number {
    const now = Date.now()
    return this.#connection.write(() => {
      if (experiment.metrics !== undefined) this.#names.declare(experiment.metrics)
      const row = this.#connection
        .sql<{ id: number }>(
          `INSERT INTO experiments
             (name, question, task, task_version, compare, baseline, spec, file, created_at, updated_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (name) DO UPDATE SET question = excluded.question, task = excluded.task,
             task_version = excluded.task_version, compare = excluded.compare, baseline = excluded.baseline,
             spec = excluded.spec, file = excluded.file, updated_at = excluded.updated_at,
             cancel_requested_at = NULL, deleted_at = NULL
           RETURNING id`,
        )
        .get(
          experiment.name,
          experiment.question ?? null,
          experiment.task,
          experiment.taskVersion,
          JSON.stringify(experiment.compare),
          experiment.baseline ?? null,
          JSON.stringify(experiment.spec ?? {}),
          experiment.file ?? null,
          now,
          now,
        )
      return row!.id
    })
  }

  /**
   * Records the trials of one phase. For every arm that is named here they become its current trials: earlier ones of
   * the same profile and phase stay on record and no longer count in summaries. Trials that are there are reused.
   *
   * @param from position of the first one. Above 0 they follow others, which stay: a search finds its trials bit by bit
   */
  addTrials(
    experiment: string | number,
    phase: "tune" | "compare",
    trials: readonly TrialRegistration[],
    profile = "default",
    from = 0,
  ): void {
    const now = Date.now()
    const retire = this.#connection.sql(
      "UPDATE experiment_trials SET current = 0 WHERE experiment_id = ? AND profile = ? AND phase = ? AND arm = ?",
    )
    const member = this.#connection.sql(
      `INSERT INTO experiment_trials (experiment_id, profile, phase, arm, condition, trial_id, position, point, current)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)
       ON CONFLICT DO UPDATE SET position = excluded.position, point = excluded.point, current = 1`,
    )
    this.#connection.write(() => {
      const id = typeof experiment === "number" ? experiment : this.#id(experiment)
      if (from === 0) for (const arm of new Set(trials.map((each) => each.arm))) retire.run(id, profile, phase, arm)
      trials.forEach((each, position) => {
        this.recordTrial({ ...each, createdAt: now })
        const point = JSON.stringify(each.point ?? {})
        member.run(id, profile, phase, each.arm, each.condition, each.id, from + position, point)
      })
    })
  }

  /** Records a trial, of no experiment yet, unless it is there. */
  recordTrial(
    trial: Pick<TrialRegistration, "id" | "taskName" | "taskVersion" | "config" | "seed"> & {
      readonly createdAt: number
    },
  ): void {
    const made = this.#connection
      .sql<{ row: number }>(
        `INSERT INTO trials (id, task, task_version, config, seed, created_at) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING RETURNING row`,
      )
      .get(trial.id, trial.taskName, trial.taskVersion, JSON.stringify(trial.config), trial.seed, trial.createdAt)
    if (made !== undefined) this.#recordConfig(made.row, trial.config)
  }

  #recordConfig(row: number, config: Readonly<Record<string, unknown>>): void {
    const value = this.#connection.sql("INSERT INTO config_values (trial_row, path_id, value) VALUES (?, ?, ?)")
    for (const [path, leaf] of configLeaves(config)) value.run(row, this.#path(path), leaf)
  }

  /**
   * Adds fields to the config of a trial whose id is not a hash of it: of an imported one, of which another file says
   * more.
   */
  addToConfig(trialId: string, fields: Readonly<Record<string, unknown>>): void {
    const trial = this.#connection
      .sql<{ row: number; config: string }>("SELECT row, config FROM trials WHERE id = ?")
      .get(trialId)
    if (trial === undefined || Object.keys(fields).length === 0) return
    const config = { ...(JSON.parse(trial.config) as Record<string, unknown>), ...fields }
    this.#connection.sql("UPDATE trials SET config = ? WHERE row = ?").run(JSON.stringify(config), trial.row)
    this.#connection.sql("DELETE FROM config_values WHERE trial_row = ?").run(trial.row)
    this.#recordConfig(trial.row, config)
  }

  #id(name: string): number {
    const found = this.#connection.sql<{ id: number }>("SELECT id FROM experiments WHERE name = ?").get(name)
    if (found === undefined) throw new Error(`experiment ${name} was not registered`)
    return found.id
  }

  #path(path: string): number {
    let id = this.#paths.get(path)
    if (id === undefined) {
      this.#connection.sql("INSERT INTO config_paths (path) VALUES (?) ON CONFLICT DO NOTHING").run(path)
      id = this.#connection.sql<{ id: number }>("SELECT id FROM config_paths WHERE path = ?").get(path)!.id
      this.#paths.set(path, id)
    }
    return id
  }

  /** Records which point tuning chose for an arm, with all candidates and their scores. */
  select(selection: SelectionRegistration): void {
    this.#connection.write(() =>
      this.#connection
        .sql(
          `INSERT OR REPLACE INTO selections (experiment_id, profile, arm, condition, metric, choice, candidates, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          this.#id(selection.experiment),
          selection.profile ?? "default",
          selection.arm,
          selection.condition,
          selection.metric,
          JSON.stringify(selection.choice),
          JSON.stringify(selection.candidates),
          Date.now(),
        ),
    )
  }

  /** What tuning chose, with JSON decoded. */
  selections(experiment: string, profile = "default") {
    return this.#connection
      .sql<{ arm: string; condition: string; metric: string; choice: string; candidates: string }>(
        `SELECT s.arm, s.condition, s.metric, s.choice, s.candidates FROM selections s
         JOIN experiments e ON e.id = s.experiment_id WHERE e.name = ? AND s.profile = ? ORDER BY s.arm, s.condition`,
      )
      .all(experiment, profile)
      .map((row) => ({
        ...row,
        choice: JSON.parse(row.choice) as unknown,
        candidates: JSON.parse(row.candidates) as unknown,
      }))
  }

  /** Experiments, the newest first; removed ones only when asked for. */
  list(options: { readonly removed?: boolean } = {}): ExperimentRow[] {
    return this.#connection
      .sql<ExperimentRow>("SELECT * FROM experiments WHERE deleted_at IS NULL OR ? ORDER BY updated_at DESC, id DESC")
      .all(options.removed ? 1 : 0)
  }

  get(name: string): ExperimentRow | undefined {
    return this.#connection.sql<ExperimentRow>("SELECT * FROM experiments WHERE name = ?").get(name)
  }

  /** Experiments in which compared trials are of an arm or a condition. */
  having(name: string): string[] {
    return this.#connection
      .sql<{ name: string }>(
        `SELECT name FROM experiments WHERE id IN (SELECT DISTINCT experiment_id FROM experiment_trials
           WHERE phase = 'compare' AND current = 1 AND (condition = ? OR arm = ?)) AND deleted_at IS NULL ORDER BY id`,
      )
      .all(name, name)
      .map((row) => row.name)
  }

  /** The current trials of an experiment in the order of the plan, on demand of one arm or condition only. */
  trials(experiment: string, profile = "default", only?: string): Membership[] {
    return this.#connection
      .sql<Omit<Membership, "current"> & { current: number }>(
        `SELECT e.name AS experiment, x.profile, x.phase, x.arm, x.condition, x.trial_id, x.position, x.current
         FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
         WHERE e.name = ? AND x.profile = ? AND x.current = 1 AND (? IS NULL OR x.arm = ? OR x.condition = ?)
         ORDER BY x.phase DESC, x.position`,
      )
      .all(experiment, profile, only ?? null, only ?? null, only ?? null)
      .map((row) => ({ ...row, current: row.current === 1 }))
  }

  /** Profiles under which an experiment was run. */
  profiles(experiment: string): string[] {
    return this.#connection
      .sql<{ profile: string }>(
        `SELECT DISTINCT x.profile FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
         WHERE e.name = ? ORDER BY x.profile`,
      )
      .all(experiment)
      .map((row) => row.profile)
  }

  /**
   * Counts of the current trials by the state of their latest run; `waiting` have none. A live run with an expired
   * lease counts as `lost` only, one that a stopping rule ended as `stopped` only.
   */
  // The plus keeps SQLite from looking through all completed runs, by the index on states, for each trial.
  progress(experiment: string, profile = "default", now = Date.now()): Progress {
    const counts = {
      queued: 0,
      running: 0,
      completed: 0,
      failed: 0,
      cancelled: 0,
      stopped: 0,
      interrupted: 0,
      waiting: 0,
      lost: 0,
      total: 0,
      meanSeconds: Number.NaN,
    }
    const rows = this.#connection
      .sql<{ state: Exclude<keyof Progress, "total" | "meanSeconds">; n: number; seconds: number | null }>(
        `WITH members AS (
           SELECT DISTINCT x.trial_id FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
           WHERE e.name = ? AND x.profile = ? AND x.current = 1
         ),
         latest AS (
           SELECT m.trial_id,
             coalesce(
               (SELECT max(id) FROM runs r WHERE r.trial_id = m.trial_id AND r.deleted_at IS NULL AND +r.status = 'completed'),
               (SELECT max(id) FROM runs r WHERE r.trial_id = m.trial_id AND r.deleted_at IS NULL)
             ) AS run_id
           FROM members m
         )
         SELECT CASE
             WHEN r.id IS NULL THEN 'waiting'
             WHEN r.status IN ('queued', 'running') AND r.lease_expires_at < ? THEN 'lost'
             WHEN r.status = 'cancelled' AND r.error ->> '$.kind' = 'StoppedEarly' THEN 'stopped'
             ELSE r.status
           END AS state,
           count(*) AS n, avg(CASE WHEN r.status = 'completed' THEN r.finished_at - r.started_at END) / 1000.0 AS seconds
         FROM latest l LEFT JOIN runs r ON r.id = l.run_id GROUP BY state`,
      )
      .all(experiment, profile, now)
    for (const { state, n, seconds } of rows) {
      counts[state] = n
      counts.total += n
      if (state === "completed" && seconds !== null) counts.meanSeconds = seconds
    }
    return counts
  }

  /** Takes an experiment out of all lists and views. Nothing is erased; {@link restore} undoes it. */
  remove(name: string): boolean {
    return (
      this.#connection
        .sql("UPDATE experiments SET deleted_at = ? WHERE name = ? AND deleted_at IS NULL")
        .run(Date.now(), name).changes > 0
    )
  }

  restore(name: string): boolean {
    return this.#connection.sql("UPDATE experiments SET deleted_at = NULL WHERE name = ?").run(name).changes > 0
  }

  note(name: string, note: string | null): boolean {
    return this.#connection.sql("UPDATE experiments SET note = ? WHERE name = ?").run(note, name).changes > 0
  }
}
