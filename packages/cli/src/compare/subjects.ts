/** What `exp compare`, `exp plot` and `exp report` speak of: conditions with one run a seed, or single runs. */
import type { RunListItem, Store } from "@exp/store"
import { runNamed } from "../find-run.ts"
import { UsageError } from "../report-error.ts"

/** One side of a comparison: the finished runs of a condition, one a seed, or one run on its own. */
export interface Subject {
  readonly label: string
  readonly experiment: string | undefined
  readonly profile: string | undefined
  readonly arm: string | undefined
  /** Finished runs, the newest of each trial, in the order of their seeds; for a named run that run in any state. */
  readonly runs: readonly RunListItem[]
  /** Planned trials, finished or not. */
  readonly planned: number
}

const parsed = (compare: unknown): readonly string[] =>
  (typeof compare === "string" ? (JSON.parse(compare) as unknown) : compare) as readonly string[]

/** The metrics that an experiment compares; the first one is the one ranked. */
export const comparedMetrics = (store: Store, experiment: string): readonly string[] =>
  parsed(store.experiments.get(experiment)?.compare ?? [])

/**
 * The profile to read: the one asked for, else `default`, else the only one there is.
 *
 * @throws UsageError when the experiment was not run under it
 */
export function profileOfExperiment(
  store: Store,
  experiment: string,
  options: { readonly profile?: string | undefined; readonly quick?: boolean | undefined },
): string {
  const there = store.experiments.profiles(experiment)
  const wanted = options.profile ?? (options.quick === true ? "quick" : undefined)
  if (wanted !== undefined) {
    if (there.includes(wanted)) return wanted
    throw new UsageError(
      `${experiment} has no trials under the profile ${wanted}; it has some under ${there.join(", ") || "none"}.`,
    )
  }
  return there.includes("default") || there.length === 0 ? "default" : there[0]!
}

/**
 * Every compared condition of an experiment, in the order of the plan, or those of one arm or condition only. Metrics
 * come with their last values.
 */
export function conditionsOf(
  store: Store,
  experiment: string,
  profile: string,
  metrics: readonly string[],
  only?: string,
): Subject[] {
  const members = store.experiments
    .trials(experiment, profile, only)
    .filter((member) => member.phase === "compare" && member.current)
  const ids = store.queries.newestCompleted(members.map((member) => member.trialId))
  const newest = new Map<string, RunListItem>()
  const place = { experiment, profile, phase: "compare", metrics } as const
  for (const run of store.queries.byIds([...ids.values()], place)) newest.set(run.trialId, run)
  return [...new Set(members.map((member) => member.condition))].map((label) => {
    const own = members.filter((member) => member.condition === label)
    const runs = own.map((member) => newest.get(member.trialId)).filter((run) => run !== undefined)
    return {
      label,
      experiment,
      profile,
      arm: own[0]!.arm,
      runs: runs.sort((a, b) => a.seed - b.seed),
      planned: own.length,
    }
  })
}

/**
 * The experiment of that name.
 *
 * @throws UsageError when there is none, with those that there are
 */
export function requireExperiment(store: Store, name: string): void {
  if (store.experiments.get(name) !== undefined) return
  const names = store.experiments.list().map((row) => row.name)
  throw new UsageError(`There is no experiment ${name} in ${store.path}. There are: ${names.join(", ") || "none"}.`)
}

/** The run that a number, a name or the beginning of a trial id names. */
function itemNamed(store: Store, name: string, metrics: readonly string[]): RunListItem | undefined {
  const run = runNamed(store, name)
  if (run === undefined) return undefined
  return store.queries
    .runs({ trial: run.trialId, removed: true, limit: 1000, metrics })
    .find((item) => item.id === run.id)
}

/** How names are read. */
export interface NamingOptions {
  readonly profile?: string | undefined
  readonly quick?: boolean | undefined
  readonly experiment?: string | undefined
  /** Metrics that come with each run besides those that its experiment compares. */
  readonly metrics: readonly string[]
}

/**
 * Reads the arguments of `exp compare`: an experiment stands for all its conditions; `experiment:condition` and
 * `experiment:arm` for one of them; a bare condition or arm for that of `--experiment`, or of the only experiment that
 * has it; a run number or the beginning of a trial id for that run.
 *
 * @throws UsageError for names that say nothing, or more than one thing
 */
export function readSubjects(store: Store, names: readonly string[], options: NamingOptions): Subject[] {
  const experiments = store.experiments.list().map((row) => row.name)
  if (options.experiment !== undefined) requireExperiment(store, options.experiment)
  const conditions = (experiment: string, only?: string): Subject[] => {
    const metrics = [...new Set([...comparedMetrics(store, experiment), ...options.metrics])]
    return conditionsOf(store, experiment, profileOfExperiment(store, experiment, options), metrics, only)
  }
  const matching = (experiment: string, name: string) => {
    const all = conditions(experiment, name)
    const exact = all.filter((subject) => subject.label === name)
    return exact.length > 0 ? exact : all.filter((subject) => subject.arm === name)
  }
  const found = names.flatMap((name): Subject[] => {
    if (experiments.includes(name)) return conditions(name)
    const colon = experiments.find((experiment) => name.startsWith(`${experiment}:`))
    if (colon !== undefined) {
      const subjects = matching(colon, name.slice(colon.length + 1))
      if (subjects.length > 0) return subjects
      throw new UsageError(
        `${colon} has no condition ${name.slice(colon.length + 1)}; it has ${conditions(colon)
          .map((subject) => subject.label)
          .join(", ")}.`,
      )
    }
    const where = options.experiment === undefined ? store.experiments.having(name) : [options.experiment]
    const having = where
      .map((experiment) => ({ experiment, subjects: safely(() => matching(experiment, name)) }))
      .filter(({ subjects }) => subjects.length > 0)
    if (having.length === 1) return [...having[0]!.subjects]
    if (having.length > 1) {
      throw new UsageError(
        `${name} is a condition of ${having.map((one) => one.experiment).join(", ")}: write ${having[0]!.experiment}:${name}, or add --experiment.`,
      )
    }
    const run = itemNamed(store, name, [
      ...new Set([...experiments.flatMap((experiment) => comparedMetrics(store, experiment)), ...options.metrics]),
    ])
    if (run !== undefined) {
      return [
        {
          label: `run ${run.id}`,
          experiment: run.experiment ?? undefined,
          profile: run.profile ?? undefined,
          arm: run.arm ?? undefined,
          runs: [run],
          planned: 1,
        },
      ]
    }
    throw new UsageError(
      `Nothing in ${store.path} is called ${name}. Give an experiment (${experiments.join(", ") || "there are none yet"}), experiment:condition, a run number or the beginning of a trial id.`,
    )
  })
  const unique = [...new Map(found.map((one) => [`${one.experiment} ${one.profile} ${one.label}`, one])).values()]
  // Labels alone do not tell conditions of two experiments apart.
  const several = new Set(unique.map((subject) => subject.experiment)).size > 1
  return several
    ? unique.map((subject) =>
        subject.label.startsWith("run ") ? subject : { ...subject, label: `${subject.experiment}:${subject.label}` },
      )
    : unique
}

/** Conditions of an experiment that was not run under the wanted profile are none. */
function safely(read: () => Subject[]): Subject[] {
  try {
    return read()
  } catch (error) {
    if (error instanceof UsageError) return []
    throw error
  }
}

/** A config as paths and values: `tuner.rank` → 8. Arrays are values. */
export function flatten(config: unknown, path = ""): Map<string, unknown> {
  const out = new Map<string, unknown>()
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    out.set(path, config)
    return out
  }
  for (const [key, value] of Object.entries(config)) {
    for (const [inner, x] of flatten(value, path === "" ? key : `${path}.${key}`)) out.set(inner, x)
  }
  return out
}

/** One config path on which subjects differ, with the values that each of them has (several where its runs differ). */
export interface ConfigDifference {
  readonly path: string
  /** By subject; no values where the path is absent. */
  readonly values: readonly (readonly unknown[])[]
}

/** The config paths whose values are not the same for all subjects, in alphabetical order. */
export function configDifferences(subjects: readonly Subject[]): { differing: ConfigDifference[]; shared: number } {
  const perSubject = subjects.map((subject) => {
    const values = new Map<string, Map<string, unknown>>()
    for (const run of subject.runs) {
      for (const [path, value] of flatten(run.config)) {
        const known = values.get(path) ?? new Map<string, unknown>()
        known.set(JSON.stringify(value) ?? "undefined", value)
        values.set(path, known)
      }
    }
    return values
  })
  const known = perSubject.filter((_, i) => subjects[i]!.runs.length > 0)
  const paths = [...new Set(known.flatMap((values) => [...values.keys()]))].sort()
  const differing = paths
    .filter((path) => {
      const seen = known.map((values) => [...(values.get(path)?.keys() ?? [])].sort().join("\n"))
      return new Set(seen).size > 1
    })
    .map((path) => ({ path, values: perSubject.map((values) => [...(values.get(path)?.values() ?? [])]) }))
  return { differing, shared: paths.length - differing.length }
}
