import { derive, key } from "@exp/random"
import { beforeAll, describe, expect, it } from "vitest"
import { kendallTau, topPrecision } from "../src/agreement.ts"
import { elo, globalMinMax, luceSpectral, meanByDataset, meanObserved, pairRates } from "../src/baselines.ts"
import { connectivityOfWins } from "../src/connectivity.ts"
import { applyTieRule, type Counts, countResults, packResults, type TieRule } from "../src/counts.ts"
import { fitStrengths, informationInverse } from "../src/fit.ts"
import { dropBlocks, dropByHash, dropHash } from "../src/missing.ts"
import { rank } from "../src/rank.ts"
import { type Results, selectSamples } from "../src/results.ts"
import { bootstrap, naiveErrors, sandwich } from "../src/uncertainty.ts"
import {
  type MmluExpected,
  mmluExpected,
  mmluPro,
  type Pool,
  type WmtExpected,
  wmt,
  wmtExpected,
} from "./reference-data.ts"

const strengths = (results: Results, tie: TieRule): Float64Array =>
  fitStrengths(applyTieRule(countResults(results), tie), results.competitors).theta

function expectNear(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(found.length).toBe(expected.length)
  for (let k = 0; k < expected.length; k++) {
    expect(Math.abs(found[k]! - expected[k]!), `element ${k}: ${found[k]} against ${expected[k]}`).toBeLessThanOrEqual(
      tolerance,
    )
  }
}

describe("MMLU-Pro, 29 models × 12,032 questions", () => {
  let pool: Pool
  let expected: MmluExpected
  let counts: Counts
  let mean: Float64Array
  beforeAll(() => {
    pool = mmluPro()
    expected = mmluExpected()
    counts = countResults(pool.results)
    mean = meanObserved(pool.results)
  })

  it("counts exactly", () => {
    const observed = new Array<number>(29).fill(0)
    for (const c of pool.results.competitor) observed[c]!++
    expect(observed).toEqual(expected.nObserved)
    expect(Array.from(counts.wins.slice(0, 29))).toEqual(expected.wins_row0)
    expect(Array.from(counts.ties.slice(0, 29))).toEqual(expected.ties_row0)
    expect(counts.wins.reduce((s, x) => s + x, 0)).toBe(expected.totalWins)
    expect(counts.ties.reduce((s, x) => s + x, 0) / 2).toBe(expected.totalTiesUnordered)
    expectNear(mean, expected.meanScore, 1e-6)
  })
  it.each([
    ["one-each", "ilsr_tie_counts_as_one_win_each (official)"],
    ["half", "bt_tie_half"],
    ["drop", "bt_ties_dropped"],
  ] as const)("has the strengths of ties as %s", (tie, field) => {
    expectNear(strengths(pool.results, tie), expected.logStrength[field]!, 1e-5)
  })
  it("has the strengths of one LSR step at alpha 0.05", () => {
    const found = luceSpectral(pairRates(applyTieRule(counts, "one-each"), 29), 29, { alpha: 0.05, rounds: 1 })
    expectNear(found.theta, expected.logStrength["one_step_lsr_alpha0.05_tie_one_each"]!, 1e-5)
  })
  it("has the ranking, Elo and the taus", () => {
    const theta = strengths(pool.results, "one-each")
    const ranking = rank({ names: pool.names, results: pool.results })
    expect(ranking.identifiable).toBe(true)
    expect(ranking.competitors.map((c) => c.name)).toEqual(expected.ranking_official)
    const ratings = elo(pool.results)
    expectNear(ratings, expected["elo_K4_samples_in_order_pairs_i<j"], 1e-5)
    expect(kendallTau(theta, mean, pool.names)).toBeCloseTo(expected.tauToMean["official"]!, 5)
    expect(kendallTau(strengths(pool.results, "half"), mean, pool.names)).toBeCloseTo(expected.tauToMean["bt_half"]!, 5)
    expect(kendallTau(strengths(pool.results, "drop"), mean, pool.names)).toBeCloseTo(expected.tauToMean["bt_drop"]!, 5)
    expect(kendallTau(ratings, mean, pool.names)).toBeCloseTo(expected.tauToMean["elo"]!, 5)
  })
  it("has the strengths by category", () => {
    const whole = strengths(pool.results, "one-each")
    for (const [name, wanted] of Object.entries(expected.byCategory)) {
      const category = pool.categories.indexOf(name)
      const part = selectSamples(pool.results, (s) => pool.category[s] === category)
      expect(part.samples).toBe(wanted.n)
      const theta = strengths(part, "one-each")
      expectNear(theta, wanted.logStrength, 1e-5)
      expect(kendallTau(theta, whole, pool.names)).toBeCloseTo(wanted.tauToGlobal, 5)
    }
  })
  it("drops the measurements of the hash", () => {
    for (const [cell, value] of Object.entries(expected.u01_check)) {
      const [i, j, seed] = cell.replace(/[()]/g, "").split(",").map(Number)
      expect(dropHash(i!, j!, seed!)).toBe(value)
    }
    for (const run of expected.missing) {
      const left = dropByHash(pool.results, run["fraction"]!, run["seed"]!)
      const where = `fraction ${run["fraction"]}, seed ${run["seed"]}`
      expect(left.value.length, where).toBe(run["observed"])
      const wins = applyTieRule(countResults(left), "one-each")
      expect(connectivityOfWins(wins, 29).components.length, where).toBe(run["strongComponents"])
      const dropped = applyTieRule(countResults(left), "drop")
      expect(connectivityOfWins(dropped, 29).components.length, where).toBe(run["strongComponents_ties_dropped"])
      const { theta } = fitStrengths(wins, 29)
      if (run.logStrength_official) expectNear(theta, run.logStrength_official, 1e-5)
      expect(kendallTau(theta, mean, pool.names), where).toBeCloseTo(run["tau_official"]!, 5)
      expect(kendallTau(strengths(left, "half"), mean, pool.names), where).toBeCloseTo(run["tau_bt_half"]!, 5)
      expect(kendallTau(elo(left), mean, pool.names), where).toBeCloseTo(run["tau_elo"]!, 5)
      expect(kendallTau(meanObserved(left), mean, pool.names), where).toBeCloseTo(run["tau_mean"]!, 5)
      expect(topPrecision(theta, mean, 10, pool.names), where).toBeCloseTo(run["top10_official"]!, 5)
    }
  })
  it("holds under missing blocks where the mean does not", () => {
    let wins = 0
    for (const run of expected.blockMissing.runs) {
      const left = dropBlocks(pool.results, pool.category, run["keep"]!, run["seed"]!)
      const tau = kendallTau(strengths(left, "one-each"), mean, pool.names)
      const tauMean = kendallTau(meanObserved(left), mean, pool.names)
      expect(tau).toBeCloseTo(run["tau_official"]!, 5)
      expect(kendallTau(strengths(left, "half"), mean, pool.names)).toBeCloseTo(run["tau_bt_half"]!, 5)
      expect(tauMean).toBeCloseTo(run["tau_mean_of_observed"]!, 5)
      if (tau > tauMean) wins++
    }
    expect(wins).toBe(expected.blockMissing.runs.length)
  })
  it("has the standard errors of the sandwich, and shows that independent games are too sure", () => {
    const wins = applyTieRule(counts, "one-each")
    const { theta } = fitStrengths(wins, 29)
    const inverse = informationInverse(wins, theta)!
    const covariance = sandwich(theta, inverse, pool.results, undefined)
    const se = Float64Array.from({ length: 29 }, (_, a) => Math.sqrt(covariance[a * 29 + a]!))
    expectNear(se, expected.seClusterSandwich, 1e-5)
    expectNear(naiveErrors(inverse, 29), expected.seNaiveIndependentGames, 1e-5)
  })
  it("bootstraps standard errors within 20 %", () => {
    const wins = applyTieRule(counts, "one-each")
    const { theta } = fitStrengths(wins, 29)
    const boot = bootstrap(theta, informationInverse(wins, theta)!, packResults(pool.results), undefined, {
      replicates: 200,
      stream: derive(key(1), "test"),
    })
    expect(boot.unidentifiable).toBe(0)
    for (let a = 0; a < 29; a++) {
      let sum = 0
      let squares = 0
      for (let r = 0; r < 200; r++) sum += boot.theta[r * 29 + a]!
      for (let r = 0; r < 200; r++) squares += (boot.theta[r * 29 + a]! - sum / 200) ** 2
      const se = Math.sqrt(squares / 199)
      expect(Math.abs(se / expected.bootstrapOverSamples_B200.se[a]! - 1)).toBeLessThan(0.2)
    }
  })
})

describe("WMT21 English–German, 17 systems × 1,056 segments", () => {
  let pool: Pool
  let expected: WmtExpected
  beforeAll(() => {
    pool = wmt()
    expected = wmtExpected()
  })
  it("counts exactly", () => {
    const counts = countResults(pool.results)
    for (let a = 0; a < 17; a++) {
      expect(Array.from(counts.wins.slice(a * 17, a * 17 + 17))).toEqual(expected.wins[a])
      expect(Array.from(counts.ties.slice(a * 17, a * 17 + 17))).toEqual(expected.tiesUnordered[a])
    }
  })
  it("has strengths, Elo, means and taus", () => {
    const theta = strengths(pool.results, "one-each")
    const mean = meanObserved(pool.results)
    expectNear(theta, expected.logStrength_official, 1e-5)
    expectNear(strengths(pool.results, "half"), expected.logStrength_bt_half, 1e-5)
    expectNear(elo(pool.results), expected["elo_K4_samples_in_order_pairs_i<j"], 1e-5)
    expectNear(mean, expected.meanScore, 1e-5)
    expect(kendallTau(theta, mean, pool.names)).toBeCloseTo(expected.tauToMean_official, 5)
    const truth = globalMinMax(meanByDataset(pool.results, pool.category, 2))
    expectNear(truth, expected.publishedGroundTruth_globalMinMax, 1e-5)
    expect(kendallTau(theta, truth, pool.names)).toBeCloseTo(expected.tau_official_vs_publishedGT, 5)
  })
  it("has the taus under missing measurements", () => {
    const mean = meanObserved(pool.results)
    for (const run of expected.missing) {
      const left = dropByHash(pool.results, run["fraction"]!, run["seed"]!)
      expect(kendallTau(strengths(left, "one-each"), mean, pool.names)).toBeCloseTo(run["tau_official"]!, 5)
      expect(kendallTau(meanObserved(left), mean, pool.names)).toBeCloseTo(run["tau_mean"]!, 5)
    }
  })
})
