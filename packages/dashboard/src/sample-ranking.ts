/** The ranking that `exp rank` gives, for the live view. */
import { comparable, knownGoal, type RankedCompetitor, rank, resultsFromRows, votesFromRows } from "@exp/ranking"
import type { Store } from "@exp/store"

/** What is to be ranked: the arms of an experiment, or what was imported. */
export interface RankingQuestion {
  readonly experiment: string | undefined
  readonly profile: string
  /** The metric that the experiment compares. */
  readonly metric: string
}

/** A ranking as it is shown. Scores are natural-log strengths, mean 0. */
export interface SampleRanking {
  readonly metrics: readonly string[]
  readonly identifiable: boolean
  readonly reason: string
  readonly comparisons: number
  readonly ties: number
  readonly samples: number
  readonly competitors: readonly RankedCompetitor[]
}

/** Ranks competitors on their per-sample results; undefined where there are none. The numbers are those of `exp rank`. */
export function sampleRanking(store: Store, question: RankingQuestion): SampleRanking | undefined {
  const available = store.samples.metricsWithResults()
  const wanted =
    question.experiment === undefined ? available : available.includes(question.metric) ? [question.metric] : available
  const goals = new Map(store.metrics.names().map(({ name, goal }) => [name, goal ?? knownGoal(name)]))
  const metrics = wanted.filter((name) => goals.get(name) !== undefined)
  const matrix = store.samples.matrix({
    metrics,
    ...(question.experiment === undefined ? {} : { experiments: [question.experiment] }),
    profile: question.profile,
  })
  const pooled = comparable({ ...matrix, metrics: metrics.length })
  const votes = question.experiment === undefined ? store.samples.votes() : undefined
  const names = [...matrix.competitors]
  const voters = votes?.competitors.map((name) => {
    const at = names.indexOf(name)
    return at < 0 ? names.push(name) - 1 : at
  })
  if (names.length === 0 || (pooled.value.length === 0 && (votes?.winner.length ?? 0) === 0)) return undefined
  const ranking = rank({
    names,
    results: resultsFromRows(
      pooled,
      { competitors: names.length, samples: pooled.samples.length },
      (sample) => goals.get(metrics[pooled.samples[sample]!.metric]!)!,
    ),
    ...(votes === undefined || votes.winner.length === 0
      ? {}
      : {
          votes: votesFromRows(
            names.length,
            votes.left.map((c) => voters![c]!),
            votes.right.map((c) => voters![c]!),
            Int8Array.from(votes.winner, (w) => (w === 0 ? 1 : w === 1 ? -1 : 0)),
          ),
        }),
  })
  const { identifiable, reason, comparisons, ties, samples, competitors } = ranking
  const used = new Set(pooled.samples.map((sample) => metrics[sample.metric]!))
  return { metrics: [...used], identifiable, reason, comparisons, ties, samples, competitors }
}
