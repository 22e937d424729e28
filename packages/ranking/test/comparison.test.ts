import { describe, expect, it } from "vitest"
import {
  bootstrapMean,
  ComparisonInputError,
  hedgesCorrection,
  holm,
  meanInterval,
  pairedComparison,
  pairedPower,
  pairsNeeded,
  wilcoxonSignedRank,
} from "../src/comparison.ts"
import { noncentralTCdf, normalCdf, normalQuantile, tCdf, tQuantile } from "../src/distributions.ts"

// Expected numbers are from scipy 1.17 (stats.t, nct, ttest_rel, wilcoxon) unless a closed form is given.

describe("distributions", () => {
  it("has the t quantiles of the tables to 7 digits", () => {
    for (const [p, degrees, t] of [
      [0.975, 1, 12.706204736174694],
      [0.975, 4, 2.7764451051977934],
      [0.995, 9, 3.249835541592126],
      [0.95, 100, 1.6602343260853392],
      [0.8, 3.5, 0.9567588339323106],
      [0.025, 2, -4.302652729749462],
    ] as const) {
      expect(Math.abs(tQuantile(p, degrees) / t - 1)).toBeLessThan(1e-7)
    }
  })
  it("keeps the relative precision of small tails", () => {
    expect(Math.abs(tCdf(-30, 7) / 5.894234440366572e-9 - 1)).toBeLessThan(1e-8)
    expect(tCdf(2.5, 7)).toBeCloseTo(1 - 0.020496109292876444, 10)
    expect(Math.abs(normalCdf(-6) / 9.865876450376946e-10 - 1)).toBeLessThan(1e-6)
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 8)
  })
  it("agrees with the non-central t at no shift", () => {
    expect(noncentralTCdf(1.3, 6, 0)).toBeCloseTo(tCdf(1.3, 6), 8)
  })
})

describe("meanInterval", () => {
  it("is mean ± t · sd / √n", () => {
    const found = meanInterval([1, 2, 3, 4, 5])
    expect(found.mean).toBe(3)
    expect(found.sd).toBeCloseTo(Math.sqrt(2.5), 12)
    expect(found.high - 3).toBeCloseTo((2.7764451051977934 * Math.sqrt(2.5)) / Math.sqrt(5), 7)
    expect(found.low + found.high).toBeCloseTo(6, 12)
  })
  it("says that one value knows nothing of its spread", () => {
    expect(meanInterval([0.5])).toMatchObject({ n: 1, mean: 0.5, low: -Infinity, high: Infinity })
  })
  it("has no spread for equal values that are not exact in binary", () => {
    expect(meanInterval([0.1, 0.1, 0.1])).toMatchObject({ mean: 0.1, sd: 0, low: 0.1, high: 0.1 })
  })
  it("refuses NaN, nothing and bad levels", () => {
    expect(() => meanInterval([1, Number.NaN])).toThrow(/position 1/)
    expect(() => meanInterval([])).toThrow(ComparisonInputError)
    expect(() => meanInterval([1, 2], 95)).toThrow(/level/)
  })
})

describe("pairedComparison", () => {
  const a = [0.81, 0.83, 0.79, 0.85, 0.8, 0.84, 0.82]
  const b = [0.8, 0.8, 0.8, 0.83, 0.79, 0.8, 0.82]
  it("matches the paired t test and its interval", () => {
    const found = pairedComparison(a, b)
    expect(found.t).toBeCloseTo(2.1997067253202998, 9)
    expect(found.pValue).toBeCloseTo(0.07013051445189948, 8)
    expect(found.low).toBeCloseTo(-0.0016054421059158164, 9)
    expect(found.high).toBeCloseTo(0.03017687067734435, 9)
    expect(found.effect.cohen).toBeCloseTo(found.t / Math.sqrt(7), 10)
    expect(found.effect.hedges).toBeLessThan(found.effect.cohen)
  })
  it("changes sign and nothing else when the sides are swapped", () => {
    const one = pairedComparison(a, b)
    const two = pairedComparison(b, a)
    expect(two.difference).toBeCloseTo(-one.difference, 12)
    expect(two.pValue).toBeCloseTo(one.pValue, 12)
    expect(two.wilcoxon.pValue).toBe(one.wilcoxon.pValue)
    expect(two.seedsNeeded).toBe(one.seedsNeeded)
  })
  it("reports equal arms as no difference and a constant one as certain", () => {
    expect(pairedComparison(a, a)).toMatchObject({ difference: 0, pValue: 1, seedsNeeded: Infinity })
    // Three equal differences: only their sign can be tested, and three alike come about in a quarter of all cases.
    expect(pairedComparison([1, 2, 3], [0, 1, 2])).toMatchObject({ difference: 1, pValue: 0.25, low: 1, high: 1 })
  })
  it("has no test for one pair and refuses unequal lengths", () => {
    const one = pairedComparison([1], [0])
    expect(one.pValue).toBeNaN()
    expect(one.high).toBe(Infinity)
    expect(() => pairedComparison([1, 2], [1])).toThrow(/2 and 1/)
  })
})

describe("wilcoxonSignedRank", () => {
  const twelve = [0.426, 0.168, 0.94, 0.405, -0.236, 0.662, 1.604, 1.247, -0.404, -0.965, -0.323, 0.341]
  it("is exact for small samples", () => {
    const found = wilcoxonSignedRank(twelve)
    expect(found).toMatchObject({ statistic: 20, exact: true })
    expect(found.pValue).toBeCloseTo(0.1513671875, 12)
  })
  it("counts sign patterns with ties as a full enumeration does", () => {
    const values = [1, 1, 2, -1, 3, -2, 0, 4]
    const kept = values.filter((v) => v !== 0)
    const sorted = kept.map(Math.abs).sort((x, y) => x - y)
    const rank = (v: number) => (sorted.indexOf(Math.abs(v)) + sorted.lastIndexOf(Math.abs(v))) / 2 + 1
    const sum = (signs: number) => kept.reduce((s, v, i) => s + ((signs >> i) & 1 ? rank(v) : 0), 0)
    const all = kept.length * (kept.length + 1) * 0.5
    const observed = kept.reduce((s, v) => s + (v > 0 ? rank(v) : 0), 0)
    const statistic = Math.min(observed, all - observed)
    let extreme = 0
    for (let signs = 0; signs < 2 ** kept.length; signs++) if (sum(signs) <= statistic) extreme++
    const found = wilcoxonSignedRank(values)
    expect(found.statistic).toBe(statistic)
    expect(found.pValue).toBeCloseTo((2 * extreme) / 2 ** kept.length, 12)
  })
  it("uses the tie-corrected normal approximation for many pairs", () => {
    const sixty =
      "-2.1 0 -1 -.5 -.3 -.1 .6 1.2 .1 1.6 -.5 .6 1.1 .3 -.5 -.7 -.3 .4 -.8 0 0 .7 .4 .6 -.5 .1 1 1.7 -1.1 1.7 1.5 1 .5 -.1 1.7 2.2 2 1.5 .6 -1 .2 .9 -1.1 .6 .6 .9 -1 -.5 -.2 -1 1.9 -.3 .5 -.1 1.8 1.5 .8 -2 .3 .9"
        .split(" ")
        .map(Number)
    const found = wilcoxonSignedRank(sixty)
    expect(found).toMatchObject({ statistic: 539, exact: false, n: 57 })
    expect(found.pValue).toBeCloseTo(0.022258091600262233, 8)
  })
  it("sees nothing in zeros", () => {
    expect(wilcoxonSignedRank([0, 0])).toMatchObject({ pValue: 1, n: 0 })
  })
})

describe("bootstrapMean", () => {
  const values = Array.from({ length: 200 }, (_, i) => Math.sin(i * 12.9898) * 3)
  it("repeats with its seed and changes with another", () => {
    expect(bootstrapMean(values, 0.95, 500, 1)).toEqual(bootstrapMean(values, 0.95, 500, 1))
    expect(bootstrapMean(values, 0.95, 500, 1)).not.toEqual(bootstrapMean(values, 0.95, 500, 2))
  })
  it("agrees with the t interval on many values", () => {
    const boot = bootstrapMean(values, 0.95, 4000, 3)
    const t = meanInterval(values)
    expect((boot.high - boot.low) / (t.high - t.low)).toBeGreaterThan(0.93)
    expect((boot.high - boot.low) / (t.high - t.low)).toBeLessThan(1.07)
  })
})

describe("seeds needed", () => {
  it("matches the power of the non-central t", () => {
    expect(pairedPower(0.5, 10)).toBeCloseTo(0.29317560651407687, 6)
    expect(pairedPower(2, 3)).toBeCloseTo(0.47074943127843494, 6)
    expect([3, 1, 0.5, 0.2].map((d) => pairsNeeded(d))).toEqual([4, 10, 34, 199])
  })
  it("is infinite for no effect and 2 for a certain one", () => {
    expect(pairsNeeded(0)).toBe(Infinity)
    expect(pairsNeeded(Infinity)).toBe(2)
  })
  it("uses the exact small-sample factor", () => {
    expect(hedgesCorrection(4)).toBeCloseTo(0.7978845608028653, 9)
  })
})

describe("holm", () => {
  it("steps down and stays monotone", () => {
    expect(Array.from(holm([0.01, 0.04, 0.03, 0.005]))).toEqual([0.03, 0.06, 0.06, 0.02])
  })
  it("passes over comparisons without a test", () => {
    expect(Array.from(holm([Number.NaN, 0.02, 0.9]))).toEqual([Number.NaN, 0.04, 0.9])
    expect(() => holm([1.2])).toThrow(ComparisonInputError)
  })
})
