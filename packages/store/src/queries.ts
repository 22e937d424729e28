import type { Connection } from "./connection.ts"
import { fromReal } from "./fold.ts"
import type { RunState } from "./states.ts"
import { BadFilter, comparisonSql, type WhereTerm } from "./where.ts"

export interface RunFilter {
  readonly experiment?: string | undefined
  readonly profile?: string | undefined
  readonly arm?: string | undefined
  readonly phase?: "tune" | "compare" | undefined
  readonly trial?: string | undefined
  /** States; `lost` are live runs whose lease has run out. */
  readonly status?: readonly (RunState | "lost")[] | undefined
  readonly tag?: string | undefined
  /** Created at or after this time, in ms since 1970. */
  readonly since?: number | undefined
  /** Comparisons on config paths, metrics (last value) and `seed`, `device`, `host`, `attempt`, `status`, `name`, `arm`. */
  readonly where?: readonly WhereTerm[] | undefined
  /** Removed runs too, or only them; a run of nothing but removed experiments is removed with them. */
  readonly removed?: boolean | "only" | undefined
  /** Only runs older than this one: pass the last id of a page to get the next. */
  readonly before?: number | undefined
  /** 50 unless said otherwise. */
  readonly limit?: number | undefined
  /** Metrics whose last values come with each run. */
  readonly metrics?: readonly string[] | undefined
}

export interface RunListItem {
  readonly id: number
  readonly trialId: string
  readonly attempt: number
  readonly status: RunState
  readonly lost: boolean
  readonly name: string | null
  readonly note: string | null
  /** Of the run and of its trial, in alphabetical order. */
  readonly tags: readonly string[]
  readonly removed: boolean
  readonly experiment: string | null
  readonly profile: string | null
  readonly phase: "tune" | "compare" | null
  readonly arm: string | null
  readonly condition: string | null
  readonly task: string
  readonly seed: number
  readonly device: string | null
  readonly host: string | null
  readonly pid: number | null
  readonly createdAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly heartbeatAt: number | null
  readonly progressDone: number | null
  readonly progressTotal: number | null
  readonly codeHash: string | null
  readonly error: string | null
  readonly config: Readonly<Record<string, unknown>>
  readonly metrics: Readonly<Record<string, number>>
}

/** The final value of one compared trial. */
export interface FinalValue {
  readonly arm: string
  readonly condition: string
  readonly seed: number
  readonly trialId: string
  readonly runId: number
  readonly codeHash: string | null
  readonly value: number
  readonly step: number
}

export interface ArmSummary {
  readonly experiment: string
  readonly profile: string
  readonly arm: string
  readonly condition: string
  readonly metric: string
  readonly unit: string | null
  readonly goal: "max" | "min" | null
  /** Seeds with a finite value. */
  readonly n: number
  readonly mean: number | null
  /** Sample standard deviation; null below two seeds. */
  readonly sd: number | null
  /** 95 % t interval of the mean; null below two seeds. */
  readonly low: number | null
  readonly high: number | null
  readonly min: number | null
  readonly max: number | null
  /** Seeds that ended in NaN or infinity. */
  readonly diverged: number
}

const fewTrials = 2000

/** A run of trials that belong to removed experiments and to no other. */
const orphaned = `(EXISTS (SELECT 1 FROM experiment_trials x WHERE x.trial_id = r.trial_id) AND NOT EXISTS (
  SELECT 1 FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
  WHERE x.trial_id = r.trial_id AND e.deleted_at IS NULL))`

const columns: Readonly<Record<string, string>> = {
  seed: "(SELECT seed FROM trials WHERE id = r.trial_id)",
  task: "(SELECT task FROM trials WHERE id = r.trial_id)",
  device: "r.device",
  host: "r.host",
  attempt: "r.attempt",
  status: "r.status",
  name: "r.name",
  note: "r.note",
  run: "r.id",
  trial: "r.trial_id",
}

/** What lists, tables and comparisons show. None of it reads the metric series. */
export class Queries {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** A page of runs, the newest first. Throws `BadFilter` when `where` names what no config or metric has. */
  runs(filter: RunFilter = {}, now = Date.now()): RunListItem[] {
    const { text, parameters } = this.#where(filter, now)
    return this.#connection.snapshot(() => {
      const ids = this.#connection
        .sql<{ id: number }>(`SELECT r.id FROM runs r WHERE ${text} ORDER BY r.id DESC LIMIT ?`)
        .all(...parameters, filter.limit ?? 50)
        .map((row) => row.id)
      return this.#items(ids, filter, now)
    })
  }

  /** The numbers of all runs that a filter finds, the newest first; `limit` does not count. */
  ids(filter: RunFilter = {}, now = Date.now()): number[] {
    const { text, parameters } = this.#where(filter, now)
    return this.#connection
      .sql<{ id: number }>(`SELECT r.id FROM runs r WHERE ${text} ORDER BY r.id DESC`)
      .all(...parameters)
      .map((row) => row.id)
  }

  /** Runs by their numbers, the newest first, in the place that the filter names. */
  byIds(ids: readonly number[], filter: RunFilter = {}, now = Date.now()): RunListItem[] {
    return this.#connection.snapshot(() => this.#items(ids, filter, now))
  }

  /** All runs of some trials, the newest first, in the place that the filter names: quicker than a list when they are few. */
  ofTrials(trialIds: readonly string[], filter: RunFilter = {}, now = Date.now()): RunListItem[] {
    return this.#connection.snapshot(() => {
      const ids = this.#connection
        .sql<{ id: number }>(
          "SELECT r.id FROM json_each(?) j JOIN runs r ON r.trial_id = j.value WHERE r.deleted_at IS NULL",
        )
        .all(JSON.stringify([...new Set(trialIds)]))
        .map((row) => row.id)
      return this.#items(ids, filter, now)
    })
  }

  /**
   * The newest completed run of each trial that has one. (The plus in this SQL keeps SQLite from looking through all
   * completed runs, by the index on states, for each trial.)
   */
  newestCompleted(trialIds: readonly string[]): Map<string, number> {
    return new Map(
      this.#connection
        .sql<{ trialId: string; id: number }>(
          `SELECT r.trial_id, max(r.id) AS id FROM json_each(?) j JOIN runs r ON r.trial_id = j.value
           WHERE +r.status = 'completed' AND r.deleted_at IS NULL GROUP BY r.trial_id`,
        )
        .all(JSON.stringify(trialIds))
        .map((row) => [row.trialId, row.id]),
    )
  }

  /** How many runs a filter finds; counting stops at `most`, which is all that many questions need. */
  count(filter: RunFilter = {}, now = Date.now(), most = Number.MAX_SAFE_INTEGER): number {
    const { text, parameters } = this.#where(filter, now)
    return this.#connection
      .sql<{ n: number }>(`SELECT count(*) AS n FROM (SELECT 1 FROM runs r WHERE ${text} ORDER BY r.id DESC LIMIT ?)`)
      .get(...parameters, most)!.n
  }

  #where(filter: RunFilter, now: number) {
    const parts: string[] = []
    const parameters: (string | number | null)[] = []
    const add = (part: string, ...values: (string | number | null)[]) => {
      parts.push(part)
      parameters.push(...values)
    }
    if (filter.removed === undefined || filter.removed === false) {
      add("r.deleted_at IS NULL")
      // An experiment that is asked for by its name is shown, removed or not.
      if (filter.experiment === undefined && this.#anyRemoved()) add(`NOT ${orphaned}`)
    } else if (filter.removed === "only") add(`(r.deleted_at IS NOT NULL OR ${orphaned})`)
    if (filter.before !== undefined) add("r.id < ?", filter.before)
    if (filter.since !== undefined) add("r.created_at >= ?", filter.since)
    if (filter.trial !== undefined) add("r.trial_id = ?", filter.trial)
    if (filter.status !== undefined) {
      const lease = "r.status IN ('queued', 'running') AND r.lease_expires_at < ?"
      const states = JSON.stringify(filter.status.filter((state) => state !== "lost"))
      if (filter.status.includes("lost"))
        add(`(r.status IN (SELECT value FROM json_each(?)) OR (${lease}))`, states, now)
      else add("r.status IN (SELECT value FROM json_each(?))", states)
    }
    if (filter.tag !== undefined) {
      add(
        `(r.id IN (SELECT CAST(g.target AS INTEGER) FROM tags g WHERE g.kind = 'run' AND g.tag = ?)
          OR r.trial_id IN (SELECT g.target FROM tags g WHERE g.kind = 'trial' AND g.tag = ?)
          OR r.trial_id IN (SELECT x.trial_id FROM tags g JOIN experiments e ON e.name = g.target
            JOIN experiment_trials x ON x.experiment_id = e.id WHERE g.kind = 'experiment' AND g.tag = ?))`,
        filter.tag,
        filter.tag,
        filter.tag,
      )
    }
    const member: string[] = []
    const values: string[] = []
    if (filter.experiment !== undefined) {
      member.push("x.experiment_id = (SELECT id FROM experiments WHERE name = ?)")
      values.push(filter.experiment)
    }
    for (const column of ["profile", "arm", "phase"] as const) {
      const value = filter[column]
      if (value === undefined) continue
      member.push(`x.${column} = ?`)
      values.push(value)
    }
    if (member.length > 0)
      add(
        `EXISTS (SELECT 1 FROM experiment_trials x WHERE x.trial_id = r.trial_id AND ${member.join(" AND ")})`,
        ...values,
      )
    for (const term of filter.where ?? []) this.#term(term, add)
    return { text: parts.length === 0 ? "1" : parts.join(" AND "), parameters }
  }

  #anyRemoved(): boolean {
    return this.#connection.sql("SELECT 1 FROM experiments WHERE deleted_at IS NOT NULL LIMIT 1").get() !== undefined
  }

  #term(term: WhereTerm, add: (part: string, ...values: (string | number | null)[]) => void): void {
    const { name, comparison, value } = term
    const prefixed = /^(config|metric)[.:](.+)$/.exec(name)
    if (prefixed?.[1] === undefined) {
      const column = columns[name]
      if (column !== undefined) {
        add(comparisonSql(column, comparison), value)
        return
      }
      if (name === "arm") {
        add(
          `EXISTS (SELECT 1 FROM experiment_trials x WHERE x.trial_id = r.trial_id AND ${comparisonSql("x.arm", comparison)})`,
          value,
        )
        return
      }
    }
    const plain = prefixed?.[2] ?? name
    const path =
      prefixed?.[1] === "metric"
        ? undefined
        : this.#connection.sql<{ id: number }>("SELECT id FROM config_paths WHERE path = ?").get(plain)
    if (path !== undefined) {
      const matches = `SELECT c.trial_row FROM config_values c WHERE c.path_id = ? AND ${comparisonSql("c.value", comparison)}`
      const few = this.#connection
        .sql<{ n: number }>(`SELECT count(*) AS n FROM (${matches} LIMIT ?)`)
        .get(path.id, value, fewTrials + 1)!.n
      // Few: go from them to their runs. Many: go through the runs, newest first, and soon have a page.
      if (few <= fewTrials) add(`r.trial_id IN (SELECT t.id FROM trials t WHERE t.row IN (${matches}))`, path.id, value)
      else add(`(SELECT t.row FROM trials t WHERE t.id = r.trial_id) IN (${matches})`, path.id, value)
      return
    }
    const metric =
      prefixed?.[1] === "config"
        ? undefined
        : this.#connection.sql<{ id: number }>("SELECT id FROM metric_names WHERE name = ?").get(plain)
    if (metric !== undefined) {
      add(
        `EXISTS (SELECT 1 FROM metric_summaries s WHERE s.run_id = r.id AND s.metric_id = ?
           AND ${comparisonSql("s.last", comparison)})`,
        metric.id,
        value,
      )
      return
    }
    throw new BadFilter(name, "no config and no metric in this database has that name")
  }

  #items(ids: readonly number[], filter: RunFilter, now: number): RunListItem[] {
    const list = JSON.stringify(ids)
    const values = new Map<number, Record<string, number>>()
    if (filter.metrics !== undefined && filter.metrics.length > 0) {
      for (const { runId, name, last } of this.#connection
        .sql<{ runId: number; name: string; last: number | null }>(
          `SELECT s.run_id, m.name, s.last FROM metric_summaries s JOIN metric_names m ON m.id = s.metric_id
           WHERE s.run_id IN (SELECT value FROM json_each(?)) AND m.name IN (SELECT value FROM json_each(?))`,
        )
        .all(list, JSON.stringify(filter.metrics))) {
        const of = values.get(runId) ?? {}
        of[name] = fromReal(last)
        values.set(runId, of)
      }
    }
    const tags = new Map<string, string[]>()
    for (const { target, tag } of this.#connection
      .sql<{ target: string; tag: string }>(
        `SELECT DISTINCT target, tag FROM (
           SELECT g.target, g.tag FROM json_each(?) j
           JOIN tags g ON g.kind = 'run' AND g.target = CAST(j.value AS TEXT)
           UNION ALL
           SELECT CAST(r.id AS TEXT), g.tag FROM json_each(?) j JOIN runs r ON r.id = j.value
           JOIN tags g ON g.kind = 'trial' AND g.target = r.trial_id
         ) ORDER BY tag`,
      )
      .all(list, list)) {
      const of = tags.get(target)
      if (of === undefined) tags.set(target, [tag])
      else of.push(tag)
    }
    type Found = Omit<RunListItem, "lost" | "config" | "metrics" | "tags" | "removed"> & {
      lost: number
      config: string
      removed: number
    }
    const items = new Map<number, RunListItem>()
    const preferred = (x: Found) =>
      (filter.experiment === undefined || x.experiment === filter.experiment) &&
      (filter.arm === undefined || x.arm === filter.arm) &&
      (filter.profile === undefined || x.profile === filter.profile) &&
      (filter.phase === undefined || x.phase === filter.phase)
    for (const row of this.#connection
      .sql<Found>(
        `SELECT r.id, r.trial_id, r.attempt, r.status,
           r.status IN ('queued', 'running') AND coalesce(r.lease_expires_at < ?, 0) AS lost,
           r.name, r.note, e.name AS experiment, x.profile, x.phase, x.arm, x.condition, t.task, t.seed, r.device, r.host,
           r.pid, r.created_at, r.started_at, r.finished_at, r.heartbeat_at, r.progress_done, r.progress_total,
           r.code_hash, r.error ->> '$.message' AS error, t.config,
           r.deleted_at IS NOT NULL OR (e.deleted_at IS NOT NULL AND ${orphaned}) AS removed
         FROM runs r JOIN trials t ON t.id = r.trial_id
         LEFT JOIN experiment_trials x ON x.trial_id = r.trial_id
         LEFT JOIN experiments e ON e.id = x.experiment_id
         WHERE r.id IN (SELECT value FROM json_each(?))
         ORDER BY r.id DESC, e.deleted_at IS NOT NULL, x.current DESC, x.phase, e.id, x.position`,
      )
      .all(now, list)) {
      if (items.has(row.id) || !preferred(row)) continue
      const { lost, config, removed, ...rest } = row
      items.set(row.id, {
        ...rest,
        lost: lost === 1,
        removed: removed === 1,
        tags: tags.get(String(row.id)) ?? [],
        config: JSON.parse(config) as Record<string, unknown>,
        metrics: values.get(row.id) ?? {},
      })
    }
    return [...items.values()]
  }

  /**
   * The last value of a metric for every current compared trial with a completed run (the latest one), in the order of
   * the plan. What paired comparisons between arms are made of: pair by seed. (The plus sign: else SQLite may walk the
   * index of states, all completed runs for every trial.)
   */
  finalValues(experiment: string, metric: string, profile = "default"): FinalValue[] {
    return this.#connection
      .sql<FinalValue>(
        `SELECT x.arm, x.condition, t.seed, x.trial_id, r.id AS run_id, r.code_hash, s.last AS value, s.last_step AS step
         FROM experiments e
         JOIN experiment_trials x ON x.experiment_id = e.id AND x.phase = 'compare' AND x.current = 1
         JOIN trials t ON t.id = x.trial_id
         JOIN runs r ON r.id = (SELECT max(o.id) FROM runs o
           WHERE o.trial_id = x.trial_id AND +o.status = 'completed' AND o.deleted_at IS NULL)
         JOIN metric_names m ON m.name = ?
         JOIN metric_summaries s ON s.run_id = r.id AND s.metric_id = m.id
         WHERE e.name = ? AND x.profile = ? ORDER BY x.position`,
      )
      .all(metric, experiment, profile)
      .map((row) => ({ ...row, value: fromReal(row.value) }))
  }

  /** The view `arm_summary` for one experiment, optionally one metric. */
  armSummaries(
    experiment: string,
    options: { readonly profile?: string; readonly metric?: string } = {},
  ): ArmSummary[] {
    return this.#connection
      .sql<ArmSummary>(
        `SELECT * FROM arm_summary WHERE experiment = ? AND profile = ? AND (? IS NULL OR metric = ?)
         ORDER BY metric, arm, condition`,
      )
      .all(experiment, options.profile ?? "default", options.metric ?? null, options.metric ?? null)
  }
}
