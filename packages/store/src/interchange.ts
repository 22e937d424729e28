/**
 * Runs as other programs may have them: everything recorded of a run as one plain value, its points in portions, and
 * the way back. What `exp export` and `exp import` are made of.
 */

import { fromReal } from "./fold.ts"
import type { MetricDeclaration } from "./metric-names.ts"
import type { Store } from "./open-store.ts"
import { isLive, type RunState } from "./states.ts"

/** A place that a run's trial has in an experiment, and the experiment. */
export interface RecordedPlace {
  readonly experiment: {
    readonly name: string
    readonly question: string | null
    readonly task: string
    readonly taskVersion: number
    readonly compare: readonly string[]
    readonly baseline: string | null
    readonly spec: unknown
    readonly file: string | null
    readonly note: string | null
    readonly createdAt: number
    readonly updatedAt: number
  }
  readonly profile: string
  readonly phase: "tune" | "compare"
  readonly arm: string
  readonly condition: string
  readonly position: number
  readonly point: unknown
  readonly current: boolean
}

/** Everything recorded of a run but its points, its log and its sample results. Times in ms since 1970. */
export interface RunRecord {
  readonly version: 1
  readonly trial: {
    readonly id: string
    readonly task: string
    readonly taskVersion: number
    readonly config: Readonly<Record<string, unknown>>
    readonly seed: number
    readonly createdAt: number
  }
  readonly run: {
    readonly attempt: number
    readonly status: RunState
    readonly name: string | null
    readonly note: string | null
    readonly device: string | null
    readonly host: string | null
    readonly createdAt: number
    readonly startedAt: number | null
    readonly finishedAt: number | null
    readonly progressDone: number | null
    readonly progressTotal: number | null
    readonly error: unknown
    readonly codeHash: string | null
    readonly gitCommit: string | null
    readonly gitDirty: boolean | null
    readonly packages: unknown
    readonly environment: unknown
  }
  readonly tags: readonly string[]
  readonly places: readonly RecordedPlace[]
  /** What is declared of the metrics that the run has. */
  readonly metrics: Readonly<Record<string, Partial<MetricDeclaration>>>
}

/** Where an imported run comes from. Kept in `runs.environment` as `origin`. */
export interface RunOrigin {
  /** `mlflow`, `tensorboard`, `wandb`. */
  readonly format: string
  /** File or folder that it was read from. */
  readonly source: string
  /** What the other program calls it. */
  readonly id: string
  /** Hash of what was read. */
  readonly hash: string
}

/** A portion of one series, in step order; `time` in ms since 1970. */
export interface PointBlock {
  readonly metric: string
  readonly step: Float64Array
  readonly value: Float64Array
  readonly time: Float64Array
}

const json = (text: string | null): unknown => (text === null ? null : (JSON.parse(text) as unknown))

/** Everything recorded of a run but its points; undefined when there is no such run. */
export function readRunRecord(store: Store, runId: number): RunRecord | undefined {
  const { connection } = store
  type Row = Omit<RunRecord["run"], "error" | "packages" | "environment" | "gitDirty"> & {
    readonly trialId: string
    readonly error: string | null
    readonly packages: string | null
    readonly environment: string | null
    readonly gitDirty: number | null
  }
  const row = connection
    .sql<Row>(
      `SELECT trial_id, attempt, status, name, note, device, host, created_at, started_at, finished_at, progress_done,
         progress_total, error, code_hash, git_commit, git_dirty, packages, environment FROM runs WHERE id = ?`,
    )
    .get(runId)
  if (row === undefined) return undefined
  const { trialId, ...run } = row
  const trial = store.trials.get(trialId)!
  type Place = Omit<RecordedPlace, "experiment" | "point" | "current"> & {
    readonly name: string
    readonly point: string
    readonly current: number
  }
  const places = connection
    .sql<Place>(
      `SELECT e.name, x.profile, x.phase, x.arm, x.condition, x.position, x.point, x.current
       FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id WHERE x.trial_id = ?
       ORDER BY e.id, x.profile, x.phase, x.arm, x.condition`,
    )
    .all(trialId)
    .map(({ name, point, current, ...place }): RecordedPlace => {
      const { question, task, taskVersion, compare, baseline, spec, file, note, createdAt, updatedAt } =
        store.experiments.get(name)!
      return {
        ...place,
        point: json(point),
        current: current === 1,
        experiment: {
          ...{ name, question, task, taskVersion, compare: json(compare) as string[], baseline, spec: json(spec) },
          ...{ file, note, createdAt, updatedAt },
        },
      }
    })
  const declared = connection
    .sql<{ name: string; goal: "max" | "min" | null; unit: string | null; description: string | null }>(
      `SELECT m.name, m.goal, m.unit, m.description FROM metric_summaries s JOIN metric_names m ON m.id = s.metric_id
       WHERE s.run_id = ? ORDER BY m.name`,
    )
    .all(runId)
  return {
    version: 1,
    trial,
    run: {
      ...run,
      gitDirty: run.gitDirty === null ? null : run.gitDirty === 1,
      error: json(run.error),
      packages: json(run.packages),
      environment: json(run.environment),
    },
    tags: store.tags.of("run", runId),
    places,
    metrics: Object.fromEntries(
      declared.map(({ name, goal, unit, description }) => [
        name,
        {
          ...(goal === null ? {} : { goal }),
          ...(unit === null ? {} : { unit }),
          ...(description === null ? {} : { description }),
        },
      ]),
    ),
  }
}

/** Every point of a run, series after series, in portions of at most `size` points: memory does not grow with the run. */
export function* pointBlocks(store: Store, runId: number, size = 8192): Generator<PointBlock> {
  const names = store.connection
    .sql<{ id: number; name: string }>(
      `SELECT m.id, m.name FROM metric_summaries s JOIN metric_names m ON m.id = s.metric_id
       WHERE s.run_id = ? ORDER BY m.name`,
    )
    .all(runId)
  const page = store.connection.sqlite
    .prepare(
      "SELECT step, value, time FROM metrics WHERE run_id = ? AND metric_id = ? AND step > ? ORDER BY step LIMIT ?",
    )
    .raw(true)
  for (const { id, name } of names) {
    for (let after = Number.MIN_SAFE_INTEGER - 1; ; ) {
      const last = after
      const rows = store.connection.attempt(
        () => page.all(runId, id, BigInt(last), size) as [number, number | null, number][],
      )
      if (rows.length === 0) break
      const block = {
        metric: name,
        step: new Float64Array(rows.length),
        value: new Float64Array(rows.length),
        time: new Float64Array(rows.length),
      }
      for (let i = 0; i < rows.length; i++) {
        const row = rows[i]!
        block.step[i] = row[0]
        block.value[i] = fromReal(row[1])
        block.time[i] = row[2]
      }
      yield block
      after = block.step.at(-1)!
      if (rows.length < size) break
    }
  }
}

/** What became of a record that was to be brought in. */
export interface Adoption {
  readonly runId: number
  /**
   * `new`: its points are still to be written; `changed`: the run is there and its source has changed since; `same`: it
   * is there already; `own`: it is a run that this database recorded itself.
   */
  readonly state: "new" | "changed" | "same" | "own"
}

/**
 * Brings a run in, without its points: its experiments where there are none of their names, its trial, the run itself,
 * tags and declarations. A run is the same as one that is here when trial and time of creation are; for a `foreign` one,
 * whose trial id stands for what the other program calls it, the trial alone decides, and what its source says now is
 * added. A live state becomes `interrupted`, since nobody here will ever end it. Follow it with {@link settle}.
 */
export function adoptRun(
  store: Store,
  record: RunRecord,
  origin: RunOrigin,
  options: {
    readonly foreign: boolean
    /** The source says nothing of how the run went: what is known of that stays. */
    readonly partial?: boolean | undefined
  },
): Adoption {
  const { foreign } = options
  const { connection } = store
  const { trial, run } = record
  return connection.write(() => {
    const known = connection
      .sql<{ id: number; origin: string | null; hash: string | null }>(
        `SELECT id, environment ->> '$.origin.id' AS origin, environment ->> '$.origin.hash' AS hash
         FROM runs WHERE trial_id = ? AND (? OR created_at = ?) ORDER BY id`,
      )
      .get(trial.id, Number(foreign), run.createdAt)
    if (known !== undefined) {
      const state = known.origin === null ? "own" : known.hash === origin.hash ? "same" : "changed"
      if (state === "changed" && foreign) {
        connection
          .sql(
            `UPDATE runs SET status = coalesce(?, status), started_at = coalesce(?, started_at), finished_at = coalesce(?, finished_at),
               name = coalesce(name, ?), note = coalesce(note, ?) WHERE id = ?`,
          )
          .run(
            options.partial === true ? null : run.status,
            run.startedAt,
            run.finishedAt,
            run.name,
            run.note,
            known.id,
          )
        store.experiments.addToConfig(trial.id, trial.config)
        for (const tag of record.tags) store.tags.add("run", known.id, tag)
      }
      return { runId: known.id, state }
    }
    for (const { experiment } of record.places) {
      connection
        .sql(
          `INSERT INTO experiments (name, question, task, task_version, compare, baseline, spec, file, note, created_at, updated_at)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`,
        )
        .run(
          ...[experiment.name, experiment.question, experiment.task, experiment.taskVersion],
          ...[JSON.stringify(experiment.compare), experiment.baseline, JSON.stringify(experiment.spec)],
          ...[experiment.file, experiment.note, experiment.createdAt, experiment.updatedAt],
        )
    }
    store.experiments.recordTrial({ ...trial, taskName: trial.task })
    for (const place of record.places) {
      connection
        .sql(
          `INSERT INTO experiment_trials (experiment_id, profile, phase, arm, condition, trial_id, position, point, current)
           VALUES ((SELECT id FROM experiments WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        )
        .run(
          ...[place.experiment.name, place.profile, place.phase, place.arm, place.condition, trial.id],
          ...[place.position, JSON.stringify(place.point), Number(place.current)],
        )
    }
    // What is declared here stays: it may have been corrected by hand.
    for (const [name, { goal, unit, description }] of Object.entries(record.metrics)) {
      connection
        .sql(
          `INSERT INTO metric_names (name, goal, unit, description) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET
             goal = coalesce(goal, excluded.goal), unit = coalesce(unit, excluded.unit),
             description = coalesce(description, excluded.description)`,
        )
        .run(name, goal ?? null, unit ?? null, description ?? null)
    }
    const taken = new Set(
      connection
        .sql<{ attempt: number }>("SELECT attempt FROM runs WHERE trial_id = ?")
        .all(trial.id)
        .map((row) => row.attempt),
    )
    const live = isLive(run.status)
    const { hash: _, ...unfinished } = origin
    const environment = { ...(run.environment as object | null), origin: { ...unfinished, importedAt: Date.now() } }
    const text = (value: unknown) => (value === null || value === undefined ? null : JSON.stringify(value))
    const runId = connection
      .sql(
        `INSERT INTO runs (trial_id, attempt, status, name, note, device, host, created_at, started_at, finished_at,
           heartbeat_at, progress_done, progress_total, error, code_hash, git_commit, git_dirty, packages, environment)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        ...[trial.id, taken.has(run.attempt) ? Math.max(...taken) + 1 : run.attempt],
        ...[live ? "interrupted" : run.status, run.name, run.note, run.device, run.host],
        ...[
          run.createdAt,
          run.startedAt,
          run.finishedAt,
          run.finishedAt,
          run.progressDone,
          run.progressTotal,
          text(run.error),
        ],
        ...[run.codeHash, run.gitCommit, run.gitDirty === null ? null : Number(run.gitDirty), text(run.packages)],
        JSON.stringify(environment),
      ).lastInsertRowid
    for (const tag of record.tags) store.tags.add("run", runId, tag)
    return { runId, state: "new" }
  })
}

/** Says that all points of an imported run are written: from now on the same source is recognised and left alone. */
export function settle(store: Store, runId: number, origin: RunOrigin): void {
  store.connection
    .sql("UPDATE runs SET environment = json_set(environment, '$.origin.hash', ?, '$.origin.source', ?) WHERE id = ?")
    .run(origin.hash, origin.source, runId)
}

/** A trial of an imported experiment with its run, for {@link regroup}. */
export interface ImportedMember {
  readonly trialId: string
  readonly runId: number
  readonly name: string | null
  readonly config: Readonly<Record<string, unknown>>
  readonly seed: number
  readonly createdAt: number
}

/** The runs of an experiment, the first one first. */
export function membersOf(store: Store, experiment: string): ImportedMember[] {
  return store.connection
    .sql<Omit<ImportedMember, "config"> & { config: string }>(
      `SELECT DISTINCT t.id AS trial_id, r.id AS run_id, r.name, t.config, t.seed, r.created_at
       FROM experiments e JOIN experiment_trials x ON x.experiment_id = e.id JOIN trials t ON t.id = x.trial_id
       JOIN runs r ON r.trial_id = t.id WHERE e.name = ? ORDER BY r.created_at, r.id`,
    )
    .all(experiment)
    .map((row) => ({ ...row, config: JSON.parse(row.config) as Record<string, unknown> }))
}

/**
 * Gives the trials of an imported experiment their arms and seeds anew, and the experiment what it compares: another
 * import may have added runs that differ in other fields.
 */
export function regroup(
  store: Store,
  experiment: string,
  places: readonly { readonly trialId: string; readonly arm: string; readonly seed: number }[],
  compare: readonly string[],
): void {
  const { connection } = store
  connection.write(() => {
    const id = store.experiments.get(experiment)!.id
    connection.sql("DELETE FROM experiment_trials WHERE experiment_id = ?").run(id)
    places.forEach(({ trialId, arm, seed }, position) => {
      connection.sql("UPDATE trials SET seed = ? WHERE id = ? AND seed <> ?").run(seed, trialId, seed)
      connection
        .sql(
          `INSERT INTO experiment_trials (experiment_id, profile, phase, arm, condition, trial_id, position)
           VALUES (?, 'default', 'compare', ?, ?, ?, ?)`,
        )
        .run(id, arm, arm, trialId, position)
    })
    connection
      .sql("UPDATE experiments SET compare = ?, updated_at = ? WHERE id = ?")
      .run(JSON.stringify(compare), Date.now(), id)
  })
}

/** What metrics the runs of an experiment have, those that most runs have first. */
export function metricsOf(
  store: Store,
  experiment: string,
): { readonly name: string; readonly goal: "max" | "min" | null; readonly runs: number }[] {
  return store.connection
    .sql<{ name: string; goal: "max" | "min" | null; runs: number }>(
      `SELECT m.name, m.goal, count(DISTINCT s.run_id) AS runs FROM experiments e
       JOIN experiment_trials x ON x.experiment_id = e.id JOIN runs r ON r.trial_id = x.trial_id
       JOIN metric_summaries s ON s.run_id = r.id JOIN metric_names m ON m.id = s.metric_id
       WHERE e.name = ? GROUP BY m.id ORDER BY runs DESC, m.name`,
    )
    .all(experiment)
}
