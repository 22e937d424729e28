import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"
import { CommitteeUnderBias, RankRecovery, wmt21 } from "../../src/ranking/ranking.ts"
import { last, runTrial } from "../trial-in-memory.ts"

const expected = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../../experiments/data/onebench/${name}`, import.meta.url), "utf8"))

describe("rank-recovery", () => {
  it("has the published agreement on complete data", async () => {
    const { tauToMean, seClusterSandwich } = expected("onebench-mmlupro-binary.expected.json")
    const found = await runTrial(RankRecovery, {})
    expect(last(found, "rank/tau")).toBeCloseTo(tauToMean.official, 5)
    expect(last(found, "rank/top10_precision")).toBe(1)
    expect(last(found, "rank/components")).toBe(1)
    expect(found.samples.length).toBe(29)
    const se = found.samples.find((s) => s.key === "DeepSeek-Coder-V2")!.values["competitor/se"]!
    expect(se).toBeCloseTo(seClusterSandwich[0], 5)
    expect(last(await runTrial(RankRecovery, { estimator: "elo" }), "rank/tau")).toBeCloseTo(tauToMean.elo, 5)
    expect(last(await runTrial(RankRecovery, { estimator: "mean" }), "rank/tau")).toBe(1)
  })
  it("drops the cells of the reference masks for its seeds", async () => {
    const { missing } = expected("onebench-mmlupro-binary.expected.json") as { missing: Record<string, number>[] }
    for (const run of missing.filter((r) => [0.5, 0.95, 0.99].includes(r["fraction"]!))) {
      const config = { missing: "cells", fraction: run["fraction"]! } as const
      const found = await runTrial(RankRecovery, config, { seed: run["seed"]! })
      expect(last(found, "data/measurements")).toBe(run["observed"])
      expect(last(found, "rank/tau")).toBeCloseTo(run["tau_official"]!, 5)
      const mean = await runTrial(RankRecovery, { ...config, estimator: "mean" }, { seed: run["seed"]! })
      expect(last(mean, "rank/tau")).toBeCloseTo(run["tau_mean"]!, 5)
    }
  })
  it("has the reference taus under missing blocks", async () => {
    const { blockMissing } = expected("onebench-mmlupro-binary.expected.json") as {
      blockMissing: { runs: Record<string, number>[] }
    }
    for (const run of blockMissing.runs) {
      const config = { missing: "blocks", fraction: 1 - run["keep"]!, hashSeed: 100 } as const
      const seed = run["seed"]! - 100
      expect(last(await runTrial(RankRecovery, config, { seed }), "rank/tau")).toBeCloseTo(run["tau_official"]!, 5)
      const mean = await runTrial(RankRecovery, { ...config, estimator: "mean" }, { seed })
      expect(last(mean, "rank/tau")).toBeCloseTo(run["tau_mean_of_observed"]!, 5)
    }
  })
  it("measures against either reference of mixed data sets", async () => {
    const file = expected("onebench-wmt21-ende-numeric.expected.json")
    const found = await runTrial(RankRecovery, { pool: "wmt21", reference: "min-max" })
    expect(last(found, "rank/tau")).toBeCloseTo(file.tau_official_vs_publishedGT, 5)
    expect(wmt21("z-score").reference).not.toEqual(wmt21("min-max").reference)
  })
  it("gives no tau where there is no ranking, and says so", async () => {
    const found = await runTrial(RankRecovery, {
      pool: "threshold",
      competitors: 30,
      samples: 4,
      missing: "cells",
      fraction: 0.8,
    })
    expect(last(found, "rank/identifiable")).toBe(0)
    expect(last(found, "rank/components")).toBeGreaterThan(1)
    expect(found.logged.has("rank/tau")).toBe(false)
  })
  it("finds the true order of the published generator, better than Elo", async () => {
    const config = { pool: "threshold", dispersion: 0.25 } as const
    const fit = last(await runTrial(RankRecovery, config, { seed: 1 }), "rank/tau")
    expect(fit).toBeGreaterThan(0.96)
    expect(fit).toBeGreaterThan(
      last(await runTrial(RankRecovery, { ...config, estimator: "elo" }, { seed: 1 }), "rank/tau"),
    )
  })
  it("has an error of true strengths that falls like one over the root of the samples", async () => {
    const error = async (samples: number) => {
      let squares = 0
      for (let seed = 0; seed < 3; seed++) {
        squares +=
          last(await runTrial(RankRecovery, { pool: "gumbel", competitors: 20, samples }, { seed }), "fit/rmse") ** 2
      }
      return Math.sqrt(squares / 3)
    }
    const [few, many] = [await error(100), await error(1600)]
    expect(few / many).toBeGreaterThan(2.8)
    expect(few / many).toBeLessThan(5.6)
    expect(few).toBeLessThan(0.2)
  })
  it.each(["measurements", "samples"] as const)(
    "keeps most of the ranking with half of the %s gone",
    async (missing) => {
      const found = await runTrial(RankRecovery, { missing, fraction: 0.5 }, { seed: 3 })
      expect(last(found, "rank/tau")).toBeGreaterThan(0.93)
    },
  )
  it.each(["spectral-step", "spectral-top1", "elo-averaged", "borda", "dowdall", "bradley-terry-drop"] as const)(
    "runs %s with separability",
    async (estimator) => {
      const found = await runTrial(RankRecovery, { pool: "wmt21", estimator, separability: true })
      // Totals of wins punish the three references that saw half of the segments: their agreement is low, and real.
      expect(last(found, "rank/tau")).toBeGreaterThan(0.2)
      expect(last(found, "rank/separability")).toBeGreaterThan(0.2)
    },
  )
})

describe("committee-under-bias", () => {
  const mean = async (
    config: Parameters<typeof runTrial<string, typeof CommitteeUnderBias.config, typeof CommitteeUnderBias.metrics>>[1],
    metric: string,
  ) => {
    let sum = 0
    for (let seed = 0; seed < 8; seed++) sum += last(await runTrial(CommitteeUnderBias, config, { seed }), metric)
    return sum / 8
  }
  it("lets a guarantee recover quality for Borda with few rankings, not for single votes", async () => {
    const voters = [10, 1000]
    const borda = { score: "borda", voters } as const
    expect(await mean(borda, "ratio/fair/10")).toBeGreaterThan(0.95)
    expect(await mean(borda, "ratio/fair/10")).toBeGreaterThan(await mean(borda, "ratio/free/10"))
    expect(await mean(borda, "ratio/free/1000")).toBeLessThan(0.97)
    const single = { score: "sntv", voters } as const
    expect(await mean(single, "ratio/fair/1000")).toBeLessThan(0.85)
    expect(await mean(single, "ratio/free/1000")).toBeLessThan(0.85)
  })
  it("changes nothing without bias", async () => {
    for (const bias of ["utility", "swap"] as const) {
      const found = await runTrial(
        CommitteeUnderBias,
        { theta: 1, swaps: 0, bias, voters: [1000], population: 1000 },
        { seed: 2 },
      )
      expect(last(found, "ratio/free/1000")).toBe(last(found, "ratio/unbiased"))
      expect(last(found, "ratio/unbiased")).toBeGreaterThan(0.99)
    }
  })
  it("judges greedy rules and the swap model too", async () => {
    for (const score of ["cc", "acc", "hb"] as const) {
      const found = await runTrial(
        CommitteeUnderBias,
        { score, voters: [3, 30], population: 500, bias: "swap" },
        { seed: 1 },
      )
      expect(last(found, "ratio/fair/30")).toBeGreaterThan(0.8)
      expect(last(found, "ratio/fair/30")).toBeLessThan(1.01)
    }
  })
})
