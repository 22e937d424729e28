import { integer, key, normal, permutation, uniform } from "@exp/random"
import { describe, expect, it } from "vitest"
import { kendallTau, kendallTauB, separability, topPrecision } from "../src/agreement.ts"
import {
  borda,
  dowdall,
  elo,
  eloAveraged,
  eloVotes,
  luceSpectral,
  meanObserved,
  meanOfZScores,
  pairRates,
  rankingLists,
  stationary,
  toEloScale,
  topOneLists,
  topOneRates,
} from "../src/baselines.ts"
import { componentOrder, connectivityOfData, connectivityOfWins } from "../src/connectivity.ts"
import { applyTieRule, countResults, countVotes, packResults, type TieRule } from "../src/counts.ts"
import { ContradictoryResult, NotConverged, NotIdentifiable, RankingInputError } from "../src/errors.ts"
import { fitNear, fitNewman, fitStrengths, gradientOf, informationInverse, logLikelihood } from "../src/fit.ts"
import { LiveCounts } from "../src/incremental.ts"
import { mostInformative } from "../src/informative.ts"
import { dropMeasurements, dropSamples } from "../src/missing.ts"
import { rank } from "../src/rank.ts"
import { type Results, resultsFromMatrix, resultsFromRows, takeSamples, votesFromRows } from "../src/results.ts"
import { binomial, sandwich } from "../src/uncertainty.ts"
import { plainCounts, plainFit, plainSandwich, plainWins } from "./plain.ts"

const rules: readonly TieRule[] = ["one-each", "half", "drop"]

/** Random results: numeric, binary or few-valued samples, some cells missing. */
function randomResults(seed: number, competitors = 7, samples = 60, missing = 0.3): Results {
  const k = key(seed, "invariants")
  let at = 0
  const u = () => uniform(k, at++)
  const skill = Array.from({ length: competitors }, () => u())
  return resultsFromMatrix(
    skill.map((s) =>
      Array.from({ length: samples }, (_, j) => {
        const draw = s + 0.8 * u()
        if (u() < missing) return null
        return j % 3 === 0 ? draw : j % 3 === 1 ? (draw > 0.8 ? 1 : 0) : Math.round(draw * 3)
      }),
    ),
  )
}

function near(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  for (let i = 0; i < expected.length; i++) expect(Math.abs(found[i]! - expected[i]!)).toBeLessThanOrEqual(tolerance)
  expect(found.length).toBe(expected.length)
}

const strengths = (results: Results, tie: TieRule = "one-each") =>
  fitStrengths(applyTieRule(countResults(results), tie), results.competitors).theta
const names = (n: number) => Array.from({ length: n }, (_, i) => `m${String(i).padStart(2, "0")}`)
const seeds = [1, 2, 3, 4, 5, 6]

describe("counts", () => {
  it("agree with the plain implementation, tolerance or not, packed or not", () => {
    for (const seed of seeds) {
      for (const [results, tolerance] of [
        [randomResults(seed), 0],
        [randomResults(seed, 7, 60, 0), 0.1],
        [
          resultsFromMatrix(
            [0, 1, 2, 3].map((i) =>
              Array.from({ length: 100 }, (_, j) =>
                uniform(key(seed, i), j) < 0.1 ? null : integer(key(seed, i + 9), 2, j),
              ),
            ),
          ),
          0,
        ],
      ] as const) {
        const found = countResults(results, { tolerance })
        const plain = plainCounts(results, tolerance)
        expect(Array.from(found.wins)).toEqual(plain.wins.flat())
        expect(Array.from(found.ties)).toEqual(plain.ties.flat())
      }
    }
  })
  it("packs dense binary data and weighs it like the loop", () => {
    const results = resultsFromMatrix([0, 1, 2].map((i) => Array.from({ length: 77 }, (_, j) => integer(key(i), 2, j))))
    expect(packResults(results).packed.length).toBe(77)
    const times = Float64Array.from({ length: 77 }, (_, j) => integer(key(8), 5, j))
    const chosen = Array.from(times).flatMap((n, j) => new Array<number>(n).fill(j))
    expect(countResults(results, { weights: times })).toEqual(countResults(takeSamples(results, chosen)))
    const fractional = countResults(results, { weights: times.map((x) => x / 4) })
    near(
      fractional.wins,
      countResults(results, { weights: times }).wins.map((x) => x / 4),
      1e-12,
    )
  })
  it("take votes as one comparison each", () => {
    const counts = countVotes(votesFromRows(3, [0, 0, 1], [1, 1, 2], [1, 0, -1]))
    expect(Array.from(counts.wins)).toEqual([0, 1, 0, 0, 0, 0, 0, 1, 0])
    expect(Array.from(counts.ties)).toEqual([0, 1, 0, 1, 0, 0, 0, 0, 0])
  })
})

describe("the fit", () => {
  it("is ±ln(p/q)/2 for two competitors", () => {
    for (const [p, q] of [
      [3, 1],
      [1, 1],
      [1_000_000, 1],
      [2, 7],
    ] as const) {
      near(fitStrengths(Float64Array.of(0, p, q, 0), 2).theta, [Math.log(p / q) / 2, -Math.log(p / q) / 2], 1e-9)
    }
  })
  it("agrees with Zermelo's, Newman's and the spectral iteration", () => {
    for (const seed of seeds) {
      const results = randomResults(seed)
      for (const tie of rules) {
        const wins = applyTieRule(countResults(results), tie)
        const newton = fitStrengths(wins, 7)
        expect(newton.method).toBe("newton")
        near(newton.theta, plainFit(plainWins(plainCounts(results), tie)), 1e-9)
        near(fitNewman(wins, 7).theta, newton.theta, 1e-9)
        near(luceSpectral(pairRates(wins, 7), 7).theta, newton.theta, 1e-6)
      }
    }
  })
  it("has zero gradient and beats every perturbation", () => {
    for (const seed of seeds) {
      const wins = applyTieRule(countResults(randomResults(seed)), "one-each")
      const { theta } = fitStrengths(wins, 7)
      const gradient = new Float64Array(7)
      gradientOf(wins, theta, gradient)
      for (let a = 0; a < 7; a++) {
        let games = 0
        for (let b = 0; b < 7; b++) games += wins[a * 7 + b]!
        expect(Math.abs(gradient[a]!)).toBeLessThan(1e-8 * games)
      }
      const best = logLikelihood(wins, theta)
      for (let n = 0; n < 20; n++) {
        expect(best).toBeGreaterThanOrEqual(
          logLikelihood(
            wins,
            theta.map((t, a) => t + 1e-3 * normal(key(seed, n), a)),
          ),
        )
      }
    }
  })
  it("finds strengths that differ by hundreds of nats", () => {
    // A ladder: each beats the next a million times and loses once; θ steps are exactly ln 1e6.
    const m = 60
    const wins = new Float64Array(m * m)
    for (let a = 0; a + 1 < m; a++) {
      wins[a * m + a + 1] = 1e6
      wins[(a + 1) * m + a] = 1
    }
    const { theta } = fitStrengths(wins, m)
    for (let a = 0; a + 1 < m; a++) expect(theta[a]! - theta[a + 1]!).toBeCloseTo(Math.log(1e6), 8)
    expect(theta[0]! - theta[m - 1]!).toBeGreaterThan(800)
  })
  it("follows small changes from old strengths", () => {
    for (const seed of seeds) {
      const results = randomResults(seed, 9, 300)
      const wins = applyTieRule(countResults(results), "half")
      const { theta } = fitStrengths(wins, 9)
      const changed = wins.map((w, k) => w * (1 + 0.3 * uniform(key(seed), k)))
      const near1 = fitNear(changed, theta, informationInverse(wins, theta)!)
      near(near1.theta, fitStrengths(changed, 9).theta, 1e-8)
    }
  })
  it("refuses what is not identifiable and never returns unconverged numbers", () => {
    expect(() => fitStrengths(Float64Array.of(0, 3, 0, 0), 2)).toThrow(NotIdentifiable)
    expect(() => fitNewman(Float64Array.of(0, 3, 0, 0), 2, undefined, 50)).toThrow(NotConverged)
    const wins = applyTieRule(countResults(randomResults(1)), "drop")
    expect(() => fitNewman(wins, 7, undefined, 3)).toThrow(NotConverged)
  })
})

describe("symmetries", () => {
  it("permuting competitors or samples permutes the result", () => {
    for (const seed of seeds) {
      const results = randomResults(seed)
      const theta = strengths(results)
      const order = permutation(key(seed, "samples"), results.samples)
      near(strengths(takeSamples(results, order)), theta, 1e-9)
      const p = permutation(key(seed, "competitors"), 7)
      const rows = {
        competitor: results.competitor.map((c) => p[c]!),
        sample: new Int32Array(results.value.length),
        value: results.value,
      }
      for (let s = 0; s < results.samples; s++) rows.sample.fill(s, results.start[s]!, results.start[s + 1]!)
      const moved = strengths(resultsFromRows(rows, results))
      near(
        theta.map((_, a) => moved[p[a]!]!),
        theta,
        1e-9,
      )
    }
  })
  it("a strictly increasing transform of any sample changes nothing", () => {
    const results = randomResults(3)
    const value = results.value.slice()
    for (let s = 0; s < results.samples; s++) {
      for (let e = results.start[s]!; e < results.start[s + 1]!; e++) {
        value[e] = s % 3 === 0 ? Math.exp(3 * value[e]!) : s % 3 === 1 ? value[e]! - 100 : value[e]! ** 3
      }
    }
    expect(countResults({ ...results, value })).toEqual(countResults(results))
  })
  it("duplicated samples leave strengths and divide errors by √2", () => {
    const results = randomResults(4, 6, 200)
    const twice = takeSamples(
      results,
      Array.from({ length: 400 }, (_, k) => k % 200),
    )
    const one = rank({ names: names(6), results })
    const two = rank({ names: names(6), results: twice })
    one.competitors.forEach((c, k) => {
      expect(two.competitors[k]!.score).toBeCloseTo(c.score!, 9)
      expect(two.competitors[k]!.se).toBeCloseTo(c.se! / Math.SQRT2, 9)
    })
  })
  it("all-tied and single samples change nothing when ties are dropped", () => {
    const matrix = [0, 1, 2].map((i) => Array.from({ length: 40 }, (_, j) => integer(key(5, i), 3, j)))
    const more = matrix.map((row, i) => [...row, 1, 1, i === 1 ? 4 : null])
    near(strengths(resultsFromMatrix(more), "drop"), strengths(resultsFromMatrix(matrix), "drop"), 1e-12)
  })
  it("half and one-each agree without ties", () => {
    const results = resultsFromMatrix(
      [0, 1, 2, 3].map((i) => Array.from({ length: 50 }, (_, j) => uniform(key(6, i), j))),
    )
    expect(strengths(results, "half")).toEqual(strengths(results, "one-each"))
  })
  it("a metric to minimise is its negative to maximise", () => {
    const rows = { competitor: [0, 1, 0, 1], sample: [0, 0, 1, 1], value: [1, 2, 5, 3] }
    const shape = { competitors: 2, samples: 2 }
    const mixed = countResults(resultsFromRows(rows, shape, (s) => (s === 0 ? "min" : "max")))
    expect(Array.from(mixed.wins)).toEqual([0, 2, 0, 0])
  })
})

describe("identifiability", () => {
  const block = resultsFromMatrix([
    [1, 2, 3, 1, null, null, null, null],
    [2, 1, 1, 3, null, null, null, null],
    [null, null, null, null, 1, 2, 2, 4],
    [null, null, null, null, 2, 1, 3, 1],
  ])
  it("reports groups that never met and ranks inside each", () => {
    const found = rank({ names: ["a", "b", "c", "d"], results: block })
    expect(found.identifiable).toBe(false)
    expect(found.components.map((c) => [...c].sort())).toEqual([
      ["a", "b"],
      ["c", "d"],
    ])
    expect(found.groups.length).toBe(2)
    expect(found.reason).toContain("never compared")
    expect(found.competitors.every((c) => c.rank === null)).toBe(true)
    expect(found.competitors.map((c) => c.componentRank).sort()).toEqual([1, 1, 1, 1])
    for (const c of found.competitors) expect(Number.isFinite(c.score)).toBe(true)
  })
  it("reports a competitor that only loses", () => {
    const found = rank({
      names: ["a", "b", "loser"],
      results: resultsFromMatrix([
        [1, 2, 3],
        [2, 1, 4],
        [0, 0, 0],
      ]),
    })
    expect(found.identifiable).toBe(false)
    expect(found.reason).toContain("loser never wins")
    expect(found.order).toEqual([[0, 1]])
    expect(found.components[1]).toEqual(["loser"])
    expect(found.competitors.find((c) => c.name === "loser")).toMatchObject({
      rank: null,
      score: null,
      se: null,
      component: 1,
    })
    expect(found.competitors.find((c) => c.name === "b")).toMatchObject({ rank: null, componentRank: 1 })
  })
  it("gives the fit inside a component the comparisons inside it", () => {
    const matrix = [
      [1, 2, 3, 9],
      [2, 1, 1, 8],
      [0, 0, 0, 0],
    ]
    const inner = strengths(resultsFromMatrix(matrix.slice(0, 2)))
    const found = rank({ names: ["a", "b", "c"], results: resultsFromMatrix(matrix) })
    for (const name of ["a", "b"])
      expect(found.competitors.find((c) => c.name === name)!.score).toBeCloseTo(inner[name === "a" ? 0 : 1]!, 10)
  })
  it("lists competitors without comparisons and still ranks the rest", () => {
    const found = rank({
      names: ["a", "b", "alone"],
      results: resultsFromMatrix([
        [1, 2, 3, null],
        [2, 1, 1, null],
        [null, null, null, 5],
      ]),
    })
    expect(found.identifiable).toBe(true)
    expect(found.unranked).toEqual(["alone"])
    expect(found.competitors.at(-1)).toMatchObject({ name: "alone", rank: null, score: null, component: null })
    expect(found.competitors[0]).toMatchObject({ name: "a", rank: 1 })
  })
  it("ties everyone at one place when all is tied, and says that dropping ties leaves nothing", () => {
    const results = resultsFromMatrix([
      [1, 1],
      [1, 1],
      [1, 1],
    ])
    const tied = rank({ names: ["c", "b", "a"], results })
    expect(tied.identifiable).toBe(true)
    expect(tied.competitors.map((c) => [c.name, c.rank, Math.abs(c.score!) < 1e-12])).toEqual([
      ["a", 1, true],
      ["b", 1, true],
      ["c", 1, true],
    ])
    expect(tied.competitors[0]!.tiedWith).toEqual(["b", "c"])
    const dropped = rank({ names: ["c", "b", "a"], results }, { tie: "drop" })
    expect(dropped).toMatchObject({ identifiable: false, components: [], comparisons: 0 })
    expect(dropped.reason).toContain("ties are dropped")
  })
  it("handles nothing, one competitor and no overlap", () => {
    expect(rank({ names: [] })).toMatchObject({ identifiable: false, reason: "there are no competitors" })
    expect(rank({ names: ["a"], results: resultsFromMatrix([[1, 2]]) }).reason).toContain("one competitor")
    expect(
      rank({
        names: ["a", "b"],
        results: resultsFromMatrix([
          [1, null],
          [null, 1],
        ]),
      }).reason,
    ).toContain("no two competitors")
  })
  it("orders components by their losses without implied pairs", () => {
    // a > b > c and a > c
    const wins = Float64Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0)
    const found = connectivityOfWins(wins, 3)
    expect(found.components).toEqual([[0], [1], [2]])
    expect(componentOrder(wins, 3, found)).toEqual([
      [0, 1],
      [1, 2],
    ])
  })
  it("finds the same components from data and from counts", () => {
    for (let seed = 0; seed < 60; seed++) {
      const results = randomResults(seed, 12, 9, 0.75)
      for (const tie of rules) {
        const one = connectivityOfWins(applyTieRule(countResults(results), tie), 12)
        const two = connectivityOfData(12, results, undefined, tie)
        const sets = (x: typeof one) => x.components.map((c) => c.join(",")).sort()
        expect(sets(two)).toEqual(sets(one))
        expect(two.unranked).toEqual(one.unranked)
        expect(two.weakCount).toBe(one.weakCount)
      }
    }
  })
  it("answers for a million competitors with one sample each", () => {
    const n = 1_000_000
    const every = Int32Array.from({ length: n }, (_, i) => i)
    const results = resultsFromRows(
      { competitor: every, sample: every, value: new Float64Array(n) },
      { competitors: n, samples: n },
    )
    const found = rank({ names: Array.from(every, String), results })
    expect(found).toMatchObject({ identifiable: false, comparisons: 0 })
    expect(found.unranked.length).toBe(n)
  })
  it("gives the structure, not strengths, where the pair matrix would not fit", () => {
    const n = 20_000
    const every = Int32Array.from({ length: n }, (_, i) => i)
    const results = resultsFromRows(
      { competitor: every, sample: new Int32Array(n), value: every.map((i) => i % 2) },
      { competitors: n, samples: 1 },
    )
    const found = rank({ names: Array.from(every, String), results })
    expect(found.identifiable).toBe(false)
    expect(found.components.map((c) => c.length)).toEqual([n / 2, n / 2])
    expect(found.competitors[0]!.score).toBeNull()
  })
})

describe("uncertainty", () => {
  it("is the plain sandwich", () => {
    for (const seed of seeds) {
      const results = randomResults(seed)
      for (const tie of rules) {
        const wins = applyTieRule(countResults(results), tie)
        const { theta } = fitStrengths(wins, 7)
        const found = sandwich(theta, informationInverse(wins, theta)!, results, undefined, { tie })
        near(found, plainSandwich(results, theta, plainWins(plainCounts(results), tie), tie).flat(), 1e-9)
      }
    }
  })
  it("treats votes as two-competitor samples", () => {
    const left = Array.from({ length: 300 }, (_, i) => integer(key(1), 4, i))
    const right = left.map((a, i) => (a + 1 + integer(key(2), 3, i)) % 4)
    const outcome = left.map((_, i) => integer(key(3), 3, i) - 1)
    const votes = votesFromRows(4, left, right, outcome)
    const rows = {
      competitor: [...left, ...right],
      sample: [...left.keys(), ...left.keys()],
      value: [...outcome, ...outcome.map((o) => -o)],
    }
    const results = resultsFromRows(rows, { competitors: 4, samples: 300 })
    const one = rank({ names: names(4), votes })
    const two = rank({ names: names(4), results })
    one.competitors.forEach((c, k) => {
      const other = two.competitors[k]!
      expect(other.name).toBe(c.name)
      expect(other.score).toBeCloseTo(c.score!, 9)
      expect(other.se).toBeCloseTo(c.se!, 9)
    })
    const boot = rank({ names: names(4), votes }, { bootstrap: 400, seed: 5 })
    for (const c of boot.competitors) {
      expect(Math.abs(c.se! / one.competitors.find((o) => o.name === c.name)!.se! - 1)).toBeLessThan(0.2)
    }
  })
  it("repeats with the seed and counts unusable replicates", () => {
    const results = resultsFromMatrix([
      [1, 0, 1],
      [0, 1, 0],
      [1, 1, 0],
    ])
    const options = { tie: "drop", bootstrap: 100, seed: 7 } as const
    const found = rank({ names: names(3), results }, options)
    expect(found.bootstrap!.unidentifiable).toBeGreaterThan(10)
    expect(rank({ names: names(3), results }, options)).toEqual(found)
  })
  it("has rank intervals that hold the rank", () => {
    for (const bootstrap of [0, 100]) {
      const found = rank({ names: names(7), results: randomResults(2, 7, 200) }, { bootstrap })
      for (const c of found.competitors) {
        expect(c.rankLow!).toBeLessThanOrEqual(c.rank!)
        expect(c.rankHigh!).toBeGreaterThanOrEqual(c.rank!)
        for (const other of c.tiedWith)
          expect(found.competitors.find((d) => d.name === other)!.tiedWith).toContain(c.name)
      }
    }
  })
  it("draws binomials of the right mean and spread", () => {
    for (const [n, p] of [
      [10, 0.3],
      [5000, 0.002],
      [1_000_000, 0.4],
    ] as const) {
      let sum = 0
      let squares = 0
      const draws = 4000
      for (let i = 0; i < draws; i++) {
        const x = binomial(n, p, (integer(key(n), 2 ** 40, i) + 0.5) / 2 ** 40)
        sum += x
        squares += (x - n * p) ** 2
      }
      const sd = Math.sqrt(n * p * (1 - p))
      expect(Math.abs(sum / draws - n * p)).toBeLessThan((4 * sd) / Math.sqrt(draws))
      expect(Math.abs(squares / draws / (sd * sd) - 1)).toBeLessThan(0.12)
    }
  })
})

describe("live counts", () => {
  it("follow additions, corrections and removals like a batch", () => {
    for (const seed of seeds) {
      const results = randomResults(seed)
      const live = new LiveCounts(7)
      const entries: [number, number, number][] = []
      for (let s = 0; s < results.samples; s++) {
        for (let e = results.start[s]!; e < results.start[s + 1]!; e++)
          entries.push([results.competitor[e]!, s, results.value[e]!])
      }
      for (const i of permutation(key(seed), entries.length)) {
        const [c, s, v] = entries[i]!
        if (i % 4 === 0) live.set(c, s, v + 1)
        live.set(c, s, v)
      }
      const batch = countResults(results)
      near(live.counts.wins, batch.wins, 1e-10)
      near(live.counts.ties, batch.ties, 1e-10)
      const theta = live.fit().theta
      near(theta, strengths(results), 1e-7)
      const [c, s, v] = entries[3]!
      expect(live.remove(c, s)).toBe(true)
      expect(live.remove(c, s)).toBe(false)
      live.fit()
      live.set(c, s, v)
      near(live.counts.wins, batch.wins, 0)
      near(live.fit().theta, theta, 1e-9)
    }
  })
})

describe("baselines", () => {
  it("Elo keeps its sum and depends on the order; the average less", () => {
    const results = randomResults(1, 6, 100)
    const sum = (x: Float64Array) => x.reduce((s, v) => s + v, 0)
    expect(sum(elo(results))).toBeCloseTo(6000, 8)
    expect(sum(eloAveraged(results, key(1)))).toBeCloseTo(6000, 8)
    const reversed = Array.from({ length: 100 }, (_, k) => 99 - k)
    expect(elo(results, { order: reversed })).not.toEqual(elo(results))
    const votes = votesFromRows(2, [0], [1], [1])
    near(eloVotes(votes), [1002, 998], 1e-9)
  })
  it("a stationary distribution balances flow in and out", () => {
    const m = 6
    const rates = Float64Array.from({ length: m * m }, (_, k) => (k % (m + 1) === 0 ? 0 : uniform(key(4), k)))
    const pi = stationary(rates, m)
    expect(pi.reduce((s, x) => s + x, 0)).toBeCloseTo(1, 12)
    for (let a = 0; a < m; a++) {
      let flow = 0
      for (let b = 0; b < m; b++) if (a !== b) flow += pi[b]! * rates[b * m + a]! - pi[a]! * rates[a * m + b]!
      expect(Math.abs(flow)).toBeLessThan(1e-14)
    }
    expect(() => stationary(Float64Array.of(0, 1, 0, 0), 2)).toThrow(/reducible/)
    expect(() => stationary(Float64Array.of(0, 0, 1, 0), 2)).toThrow(/reducible/)
    expect(() => stationary(Float64Array.of(0, 0, 1, 0, 0, 0, 0, 0, 0), 3)).toThrow(/reducible/)
  })
  it("pairs are top-1 lists of two", () => {
    const results = randomResults(2)
    const wins = applyTieRule(countResults(results), "drop")
    const lists = []
    for (let a = 0; a < 7; a++)
      for (let b = 0; b < 7; b++) for (let k = 0; k < wins[a * 7 + b]!; k++) lists.push({ winner: a, losers: [b] })
    near(
      luceSpectral(topOneRates(lists, 7), 7, { rounds: 1 }).theta,
      luceSpectral(pairRates(wins, 7), 7, { rounds: 1 }).theta,
      1e-10,
    )
  })
  it("peels value sets into lists and rankings into stages", () => {
    expect(topOneLists(resultsFromMatrix([[3], [1], [3], [0]]))).toEqual([
      { winner: 0, losers: [1, 3] },
      { winner: 2, losers: [1, 3] },
      { winner: 1, losers: [3] },
    ])
    expect(rankingLists([[2, 0, 1]])).toEqual([
      { winner: 2, losers: [0, 1] },
      { winner: 0, losers: [1] },
    ])
  })
  it("recovers Plackett–Luce strengths from full rankings", () => {
    const theta = [0.8, 0.2, -0.3, -0.7]
    const rankings = Array.from({ length: 4000 }, (_, i) => {
      const noisy = theta.map((t, a) => t - Math.log(-Math.log((integer(key(9, i), 2 ** 40, a) + 0.5) / 2 ** 40)))
      return [0, 1, 2, 3].sort((x, y) => noisy[y]! - noisy[x]!)
    })
    near(luceSpectral(topOneRates(rankingLists(rankings), 4), 4).theta, theta, 0.08)
  })
  it("Borda counts wins, Dowdall wins, losses and ties", () => {
    const counts = countResults(
      resultsFromMatrix([
        [2, 1],
        [1, 1],
      ]),
    )
    expect(Array.from(borda(counts))).toEqual([1, 0])
    expect(Array.from(dowdall(counts))).toEqual([1.75, 1.25])
  })
  it("means leave the unobserved out", () => {
    expect(
      Array.from(
        meanObserved(
          resultsFromMatrix([
            [1, null],
            [3, 4],
            [null, null],
          ]),
        ),
      ),
    ).toEqual([1, 3.5, Number.NaN])
    near(meanOfZScores([Float64Array.of(1, 3), Float64Array.of(10, 30)]), [-1, 1], 1e-12)
    near(toEloScale([Math.LN10]), [1400], 1e-9)
  })
})

describe("agreement", () => {
  it("tau of a ranking with itself is 1 and with its reverse −1", () => {
    const x = [5, 3, 9, 1, 4]
    expect(kendallTau(x, x)).toBe(1)
    expect(
      kendallTau(
        x,
        x.map((v) => -v),
      ),
    ).toBe(-1)
    expect(kendallTauB(x, x)).toBe(1)
  })
  it("tau-b sees ties (scipy: 0.9128709291752769)", () => {
    expect(kendallTauB([1, 2, 2, 3], [1, 2, 3, 4])).toBeCloseTo(0.9128709291752769, 12)
    expect(kendallTauB([1, 1], [1, 2])).toBeNaN()
  })
  it("top precision counts shared members", () => {
    expect(topPrecision([4, 3, 2, 1], [4, 1, 3, 2], 2)).toBe(0.5)
  })
  it("separability is one for clear data and small for noise", () => {
    const score = (results: Results) => (chosen: Uint32Array) => meanObserved(takeSamples(results, chosen))
    const clear = resultsFromMatrix(
      [0, 1, 2, 3, 4].map((i) => Array.from({ length: 80 }, (_, j) => i + uniform(key(i), j))),
    )
    expect(separability(80, meanObserved(clear), score(clear), key(1))).toBe(1)
    const noise = resultsFromMatrix(
      Array.from({ length: 30 }, (_, i) => Array.from({ length: 40 }, (_, j) => uniform(key(i), j))),
    )
    expect(separability(40, meanObserved(noise), score(noise), key(1))).toBeLessThan(0.75)
  })
})

describe("missing measurements", () => {
  it("drops exactly the wanted share of every competitor", () => {
    const results = randomResults(1, 5, 100, 0)
    const left = dropMeasurements(results, 0.37, key(1))
    for (let c = 0; c < 5; c++) expect(left.competitor.filter((x) => x === c).length).toBe(63)
    expect(dropSamples(results, 0.37, key(1)).samples).toBe(63)
  })
  it("prefers the measurement that connects, then the uncertain pair", () => {
    const results = resultsFromMatrix([
      [1, 2, null],
      [2, 1, null],
      [null, null, 1],
    ])
    const bridge = mostInformative(results, [0, 0, 0], new Float64Array(9), [0, 0, -1], 3)
    expect(bridge.every((s) => s.gain === Infinity)).toBe(true)
    const inverse = Float64Array.of(1, 0, 0, 0, 1, 0, 0, 0, 9)
    const uncertain = mostInformative(
      resultsFromMatrix([
        [1, 1],
        [null, 2],
        [2, null],
      ]),
      [0, 0, 0],
      inverse,
      [0, 0, 0],
      5,
    )
    expect(uncertain[0]).toMatchObject({ competitor: 2, sample: 1 })
    expect(uncertain[0]!.gain).toBeCloseTo(0.25 * (10 + 10), 12)
  })
})

describe("bad input", () => {
  const shape = { competitors: 2, samples: 2 }
  it("names the row", () => {
    expect(() => resultsFromRows({ competitor: [0, 1], sample: [0, 0], value: [1, Number.NaN] }, shape)).toThrow(
      /row 1: NaN/,
    )
    expect(() => resultsFromRows({ competitor: [0, 5], sample: [0, 0], value: [1, 2] }, shape)).toThrow(
      /row 1: competitor 5/,
    )
    expect(() => resultsFromRows({ competitor: [0], sample: [-1], value: [1] }, shape)).toThrow(RankingInputError)
    expect(() => votesFromRows(2, [0], [0], [1])).toThrow(/itself/)
    expect(() => votesFromRows(2, [0], [1], [2])).toThrow(/outcome/)
  })
  it("refuses contradictory duplicates and merges equal ones", () => {
    expect(() => resultsFromRows({ competitor: [0, 0], sample: [1, 1], value: [1, 2] }, shape)).toThrow(
      ContradictoryResult,
    )
    expect(resultsFromRows({ competitor: [0, 0], sample: [1, 1], value: [2, 2] }, shape).value.length).toBe(1)
  })
})
