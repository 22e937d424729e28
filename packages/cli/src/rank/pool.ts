/** What is to be ranked: sample results from the database, turned into comparable columns. */
import { comparable, knownGoal, type Results, resultsFromRows, type Votes, votesFromRows } from "@exp/ranking"
import { parseWhere, type Store } from "@exp/store"
import type { RankCommandOptions } from "../commands/rank.ts"
import { UsageError } from "../report-error.ts"

/** One column of the results: a sample of the database under one metric and one seed. */
export interface PoolSample {
  readonly id: number
  readonly metric: string
  /** NaN for imported results. */
  readonly seed: number
}

export interface Pool {
  readonly names: readonly string[]
  readonly results: Results
  readonly votes: Votes | undefined
  readonly samples: readonly PoolSample[]
  readonly metrics: readonly string[]
  /** Experiments that are ranked; none for imported competitors. */
  readonly experiments: readonly string[]
  readonly profile: string
  /** Measurements that were NaN and are left out. */
  readonly nan: number
}

/** Splits a repeated option that may also hold comma-separated names. */
const listed = (values: readonly string[] | undefined): readonly string[] | undefined =>
  values === undefined || values.length === 0 ? undefined : values

/**
 * Reads what the arguments name.
 * @throws UsageError for unknown experiments, metrics, directions, or when nothing fits
 */
export function readPool(store: Store, named: readonly string[], options: RankCommandOptions): Pool {
  const profile = options.profile ?? (options.quick === true ? "quick" : "default")
  const experiments = whichExperiments(store, named, profile)
  const filtered =
    options.where !== undefined ||
    options.about !== undefined ||
    options.dataset !== undefined ||
    options.metric !== undefined
  const available = store.samples.metricsWithResults()
  const declared = new Map(store.metrics.names().map((metric) => [metric.name, metric.goal]))
  let chosen: Int32Array | undefined
  if (options.where !== undefined || options.about !== undefined || options.dataset !== undefined) {
    chosen = store.samples.select({
      dataset: options.dataset,
      about: options.about,
      where: options.where?.flatMap((text) => parseWhere(text)),
      limit: options.about === undefined ? undefined : options.top,
    })
    if (chosen.length === 0) throw new UsageError(nothingFits(store, options))
  } else if (options.top !== undefined)
    throw new UsageError("--top needs --about: it takes the best matches of a text search.")
  let wanted = listed(options.metric)
  for (const metric of wanted ?? []) {
    if (!available.includes(metric)) {
      throw new UsageError(
        `There are no sample results in a metric called ${metric}; there are some in ${available.join(", ") || "none"}.`,
      )
    }
  }
  if (wanted === undefined && experiments.length > 0) {
    // What the experiments compare, where they recorded it by sample; else all that they recorded.
    const compared = experiments
      .flatMap((name) => comparedMetrics(store, name))
      .filter((metric) => available.includes(metric))
    if (compared.length > 0) wanted = [...new Set(compared)].slice(0, 1)
  }
  const matrix = store.samples.matrix({
    metrics: wanted ?? available,
    ...(experiments.length > 0 ? { experiments } : {}),
    profile,
    samples: chosen,
  })
  const used = [...new Set(matrix.metric)].map((m) => matrix.metrics[m]!)
  const goals = new Map<string, "max" | "min">()
  for (const metric of used) {
    const goal = declared.get(metric) ?? options.goal ?? knownGoal(metric)
    if (goal === undefined) {
      throw new UsageError(
        `Nobody said whether more or less ${metric} is better: add --goal max or --goal min, or choose other metrics with --metric (${used.join(", ")}).`,
      )
    }
    goals.set(metric, goal)
  }
  const pooled = comparable({ ...matrix, metrics: matrix.metrics.length })
  const samples = pooled.samples.map(
    ({ sample: s, metric }): PoolSample => ({
      id: matrix.sampleIds[s]!,
      seed: matrix.seeds[s]!,
      metric: matrix.metrics[metric]!,
    }),
  )
  // Competitors that only ever appear in votes, or outside the selected samples, have no results here.
  const seen = new Uint8Array(matrix.competitors.length)
  for (const competitor of pooled.competitor) seen[competitor] = 1
  const votes = experiments.length === 0 && !filtered ? store.samples.votes() : undefined
  const names: string[] = []
  const place = new Map<string, number>()
  const add = (name: string): number => {
    let at = place.get(name)
    if (at === undefined) {
      at = names.length
      place.set(name, at)
      names.push(name)
    }
    return at
  }
  // Arms without any result are named as unranked; imported names only when they have results or votes.
  const renumber = matrix.competitors.map((name, c) => (experiments.length > 0 || seen[c] === 1 ? add(name) : -1))
  const voteNames = votes?.competitors.map(add)
  const competitor = pooled.competitor.map((c) => renumber[c]!)
  const results = resultsFromRows(
    { competitor, sample: pooled.sample, value: pooled.value },
    { competitors: names.length, samples: samples.length },
    (s) => goals.get(samples[s]!.metric)!,
  )
  const read =
    votes === undefined || votes.winner.length === 0
      ? undefined
      : votesFromRows(
          names.length,
          votes.left.map((c) => voteNames![c]!),
          votes.right.map((c) => voteNames![c]!),
          Int8Array.from(votes.winner, (w) => (w === 0 ? 1 : w === 1 ? -1 : 0)),
        )
  if (names.length === 0) throw new UsageError(nothingFits(store, options))
  return { names, results, votes: read, samples, metrics: used, experiments, profile, nan: pooled.nan }
}

function whichExperiments(store: Store, named: readonly string[], profile: string): readonly string[] {
  const all = store.experiments.list().map((row) => row.name)
  for (const name of named) {
    if (!all.includes(name)) {
      throw new UsageError(
        `There is no experiment called ${name} in ${store.path}; there are ${all.join(", ") || "none"}.`,
      )
    }
    if (!store.experiments.profiles(name).includes(profile)) {
      throw new UsageError(
        `${name} was not run under the profile ${profile}, but under ${store.experiments.profiles(name).join(", ") || "none"}: say it with --profile.`,
      )
    }
  }
  if (named.length > 0) return named
  const imported = store.connection
    .sql<{ n: number }>("SELECT count(*) AS n FROM (SELECT 1 FROM competitors WHERE name IS NOT NULL LIMIT 1)")
    .get()!.n
  if (imported > 0) return []
  const recorded = all.filter((name) => store.experiments.profiles(name).includes(profile))
  if (recorded.length === 1) return recorded
  throw new UsageError(
    recorded.length === 0
      ? `${store.path} holds no sample results: import some with \`exp import\`, or run an experiment whose task records samples.`
      : `Say which experiment to rank: ${recorded.join(", ")}.`,
  )
}

function comparedMetrics(store: Store, experiment: string): readonly string[] {
  const row = store.experiments.get(experiment) as { compare?: unknown } | undefined
  const compare = typeof row?.compare === "string" ? (JSON.parse(row.compare) as unknown) : row?.compare
  return Array.isArray(compare) ? compare.filter((name): name is string => typeof name === "string") : []
}

function nothingFits(store: Store, options: RankCommandOptions): string {
  const tags = store.samples
    .tagNames()
    .slice(0, 12)
    .map(({ tag }) => tag)
  const asked = [
    options.dataset === undefined ? undefined : `--dataset ${options.dataset}`,
    ...(options.where ?? []).map((text) => `--where ${JSON.stringify(text)}`),
    options.about === undefined ? undefined : `--about ${JSON.stringify(options.about)}`,
  ].filter((text) => text !== undefined)
  return asked.length === 0
    ? `${store.path} holds no sample results for this.`
    : `No sample fits ${asked.join(" and ")}. Tags in use: ${tags.join(", ") || "none"}.`
}
