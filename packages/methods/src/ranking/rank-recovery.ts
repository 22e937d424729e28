/** The task of the ranking studies: how much of a ranking an estimator recovers from the results that are left. */
import { derive, type Key, key } from "@exp/random"
import {
  applyTieRule,
  borda,
  connectivityOfWins,
  countResults,
  dowdall,
  dropBlocks,
  dropByHash,
  dropMeasurements,
  dropSamples,
  elo,
  eloAveraged,
  type Fit,
  fitConnected,
  kendallTau,
  kendallTauB,
  luceSpectral,
  meanObserved,
  pairRates,
  type Results,
  rank,
  separability,
  takeSamples,
  topOneLists,
  topOneRates,
  topPrecision,
} from "@exp/ranking"
import { Metric, Task } from "@exp/spec"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, nonNegative, ratio } from "../config-fields.ts"
import { gumbelPool, mmluPro, type ResultPool, thresholdPool, wmt21 } from "./result-pools.ts"

export const estimators = [
  "plackett-luce",
  "bradley-terry-half",
  "bradley-terry-drop",
  "spectral-step",
  "spectral-top1",
  "mean",
  "elo",
  "elo-averaged",
  "borda",
  "dowdall",
] as const

const RankRecoveryConfig = Schema.Struct({
  pool: Schema.Literals(["mmlu-pro", "wmt21", "threshold", "gumbel"]).pipe(
    described("mmlu-pro, wmt21: results of real models; threshold, gumbel: made from known truth"),
    defaultsTo("mmlu-pro"),
  ),
  reference: Schema.Literals(["mean", "min-max", "z-score"]).pipe(
    described("wmt21 only: how the means of its two data sets make the reference ranking"),
    defaultsTo("mean"),
  ),
  estimator: Schema.Literals(estimators).pipe(
    described(
      "plackett-luce: exact fit, a tie one win each; bradley-terry-half, -drop: other tie rules; spectral-step: one LSR round at alpha 0.05; spectral-top1: one round on top-1 lists at alpha 0.05",
    ),
    defaultsTo("plackett-luce"),
  ),
  missing: Schema.Literals(["none", "cells", "measurements", "samples", "blocks"]).pipe(
    described(
      "cells: by the reference hash, each with the probability; measurements: exactly that share of every competitor; samples: whole samples; blocks: whole categories of a competitor",
    ),
    defaultsTo("none"),
  ),
  fraction: ratio.pipe(described("share that is missing"), defaultsTo(0)),
  hashSeed: atLeast(0).pipe(described("added to the trial's seed in the hash of cells and blocks"), defaultsTo(0)),
  competitors: atLeast(2).pipe(described("made pools: number of competitors"), defaultsTo(100)),
  samples: atLeast(1).pipe(described("made pools: number of samples"), defaultsTo(1000)),
  dispersion: nonNegative.pipe(
    described("made pools: noise (threshold) or step of strength (gumbel)"),
    defaultsTo(0.1),
  ),
  separability: Schema.Boolean.pipe(described("also measure the separability of random halves"), defaultsTo(false)),
})

interface Scored {
  readonly scores: Float64Array
  readonly rounds: number
}

/**
 * Scores of all competitors under an estimator; larger is better, NaN where there are none.
 * @returns undefined when the comparisons do not determine the scores
 */
export function estimate(estimator: (typeof estimators)[number], results: Results, stream: Key): Scored | undefined {
  const m = results.competitors
  const plain = (scores: Float64Array): Scored => ({ scores, rounds: 0 })
  switch (estimator) {
    case "mean":
      return plain(meanObserved(results))
    case "elo":
      return plain(elo(results))
    case "elo-averaged":
      return plain(eloAveraged(results, derive(stream, "orders"), 10))
    case "borda":
      return plain(borda(countResults(results)))
    case "dowdall":
      return plain(dowdall(countResults(results)))
    case "spectral-top1": {
      // Alpha makes the chain irreducible whatever the data: as published, and only here.
      const { theta, rounds } = luceSpectral(topOneRates(topOneLists(results), m), m, { alpha: 0.05, rounds: 1 })
      return { scores: theta, rounds }
    }
    case "spectral-step": {
      const wins = applyTieRule(countResults(results), "one-each")
      const { theta, rounds } = luceSpectral(pairRates(wins, m), m, { alpha: 0.05, rounds: 1 })
      return { scores: theta, rounds }
    }
    default: {
      const rule = estimator === "plackett-luce" ? "one-each" : estimator === "bradley-terry-half" ? "half" : "drop"
      const wins = applyTieRule(countResults(results), rule)
      const { components, unranked } = connectivityOfWins(wins, m)
      if (components.length !== 1 || unranked.length > 0) return undefined
      const fit: Fit = fitConnected(wins, m)
      return { scores: fit.theta, rounds: fit.rounds }
    }
  }
}

function poolOf(config: typeof RankRecoveryConfig.Type, seed: number): ResultPool {
  switch (config.pool) {
    case "mmlu-pro":
      return mmluPro()
    case "wmt21":
      return wmt21(config.reference)
    case "threshold":
      return thresholdPool(config.competitors, config.samples, config.dispersion, key(seed, "threshold-pool"))
    case "gumbel":
      return gumbelPool(config.competitors, config.samples, config.dispersion, key(seed, "gumbel-pool"))
  }
}

function leave(config: typeof RankRecoveryConfig.Type, pool: ResultPool, seed: number): Results {
  const { fraction, hashSeed } = config
  const stream = key(seed, "missing")
  switch (config.missing) {
    case "none":
      return pool.results
    case "cells":
      return dropByHash(pool.results, fraction, hashSeed + seed)
    case "measurements":
      return dropMeasurements(pool.results, fraction, stream)
    case "samples":
      return dropSamples(pool.results, fraction, stream)
    case "blocks":
      return dropBlocks(pool.results, pool.category, 1 - fraction, hashSeed + seed)
  }
}

/**
 * One estimator on what is left of one pool. Where the comparisons do not connect all competitors, `rank/tau` and the
 * like are not logged, since there is no ranking; `rank/identifiable` is 0 then. Exact fits also record the strength of
 * every competitor with its error and rank interval as a sample of `competitors`.
 */
export const RankRecovery = Task.make("rank-recovery", {
  version: 1,
  description: "How much of a ranking an estimator recovers from incomplete sample-level results",
  config: RankRecoveryConfig,
  metrics: {
    "rank/tau": Metric.max({ description: "Kendall's tau on rank positions to the reference ranking, ties by name" }),
    "rank/tau_b": Metric.max({ description: "Kendall's tau-b on values to the reference" }),
    "rank/top10_precision": Metric.max({ unit: "ratio", description: "shared members of the first ten" }),
    "rank/separability": Metric.max({
      unit: "ratio",
      description: "pairs that both random halves order like the whole",
    }),
    "rank/identifiable": Metric.max({ description: "1 where the results determine a score of every competitor" }),
    "rank/components": Metric.min({ description: "strongly connected components of the comparisons, ties connecting" }),
    "fit/rounds": Metric.min({ description: "rounds of the fit" }),
    "fit/ms": Metric.min({ unit: "ms", description: "counting and fitting" }),
    "fit/rmse": Metric.min({ description: "root mean square error of the strengths, where they are known" }),
    "data/measurements": Metric.max({ description: "measurements that are left" }),
    "competitor/theta": Metric.max({ description: "natural-log strength" }),
    "competitor/se": Metric.min({ description: "standard error of the strength" }),
    "competitor/rank_lo": Metric.min({ description: "best rank in its interval" }),
    "competitor/rank_hi": Metric.min({ description: "worst rank in its interval" }),
  },
  run: async (config, trial) => {
    const pool = poolOf(config, trial.seed)
    const results = leave(config, pool, trial.seed)
    const m = pool.names.length
    const connectivity = connectivityOfWins(applyTieRule(countResults(results), "one-each"), m)
    const stream = key(trial.seed, "rank-recovery")
    const began = performance.now()
    const found = estimate(config.estimator, results, stream)
    const ms = performance.now() - began
    trial.log(0, {
      "data/measurements": results.value.length,
      "rank/components": connectivity.components.length + connectivity.unranked.length,
      "fit/ms": ms,
      "rank/identifiable": found === undefined || found.scores.some(Number.isNaN) ? 0 : 1,
    })
    if (found === undefined || found.scores.some(Number.isNaN)) {
      trial.logger.warn("the results do not determine a score of every competitor", {
        components: connectivity.components.length,
        unranked: connectivity.unranked.length,
      })
      return
    }
    const { scores, rounds } = found
    trial.log(0, {
      "rank/tau": kendallTau(scores, pool.reference, pool.names),
      "rank/tau_b": kendallTauB(scores, pool.reference),
      "rank/top10_precision": topPrecision(scores, pool.reference, 10, pool.names),
      "fit/rounds": rounds,
    })
    if (config.separability) {
      const score = (chosen: Uint32Array): ArrayLike<number> =>
        estimate(config.estimator, takeSamples(results, chosen), stream)?.scores ?? new Float64Array(m).fill(Number.NaN)
      trial.log(0, { "rank/separability": separability(results.samples, scores, score, derive(stream, "halves")) })
    }
    if (!config.estimator.startsWith("plackett") && !config.estimator.startsWith("bradley")) return
    if (pool.strengths !== undefined) {
      let squares = 0
      for (let i = 0; i < m; i++) squares += (scores[i]! - pool.strengths[i]!) ** 2
      trial.log(0, { "fit/rmse": Math.sqrt(squares / m) })
    }
    const tie =
      config.estimator === "plackett-luce" ? "one-each" : config.estimator === "bradley-terry-half" ? "half" : "drop"
    for (const c of rank({ names: pool.names, results }, { tie }).competitors) {
      if (c.score === null || c.se === null) continue
      trial.samples.record("competitors", c.name, {
        "competitor/theta": c.score,
        "competitor/se": c.se,
        "competitor/rank_lo": c.rankLow!,
        "competitor/rank_hi": c.rankHigh!,
      })
    }
  },
})
