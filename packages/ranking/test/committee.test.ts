import { derive, integer, key, permutation, uniform } from "@exp/random"
import { describe, expect, it } from "vitest"
import {
  committeeScores,
  committeeValue,
  drawProfile,
  isAdditive,
  itemScores,
  latentQuality,
  orderAccuracy,
  orderedWeights,
  type Profile,
  positionHistogram,
  profileFromRankings,
  proportional,
  randomCommittee,
  selectAdditive,
  selectBrute,
  selectCommittee,
  selectGreedy,
  swapBias,
} from "../src/committee.ts"

const profileOf = (seed: number, items = 8, voters = 15): Profile =>
  profileFromRankings(
    Array.from({ length: voters }, (_, v) => permutation(key(seed, v), items)),
    items,
  )
const seeds = [1, 2, 3, 4, 5]
const value = (profile: Profile, chosen: readonly number[], score: (typeof committeeScores)[number], k: number) =>
  committeeValue(profile, chosen, orderedWeights(score, profile.items, k))

describe("committee scores", () => {
  it.each(committeeScores)("%s is zero for nothing, monotone and submodular", (score) => {
    for (const seed of seeds) {
      const profile = profileOf(seed)
      const k = 4
      expect(value(profile, [], score, k)).toBe(0)
      for (let trial = 0; trial < 30; trial++) {
        const order = permutation(key(seed, "set", trial), 8)
        const small = [...order.slice(0, 1 + integer(key(trial), 2))]
        const large = [...order.slice(0, 3)]
        const item = order[7]!
        const gainSmall = value(profile, [...small, item], score, k) - value(profile, small, score, k)
        const gainLarge = value(profile, [...large, item], score, k) - value(profile, large, score, k)
        expect(gainLarge).toBeGreaterThanOrEqual(-1e-9)
        expect(gainSmall).toBeGreaterThanOrEqual(gainLarge - 1e-9)
      }
    }
  })
  it("adds single scores for additive rules and has the known totals", () => {
    const profile = profileOf(1)
    const all = [0, 1, 2, 3, 4, 5, 6, 7]
    for (const score of committeeScores.filter(isAdditive)) {
      const rule = orderedWeights(score, 8, 3)
      const single = itemScores(positionHistogram(profile), 8, rule.points)
      expect(committeeValue(profile, [1, 4, 6], rule)).toBeCloseTo(single[1]! + single[4]! + single[6]!, 9)
    }
    expect(value(profile, all, "borda", 8)).toBe((15 * 8 * 7) / 2)
    expect(value(profile, all, "sntv", 8)).toBe(15)
    expect(value(profile, all, "cc", 8)).toBe(15 * 7)
  })
  it("relates the rules as their definitions do", () => {
    const profile = profileOf(2)
    const set = [0, 3, 5]
    const points = orderedWeights("hb", 8, 3).points
    expect(committeeValue(profile, set, { points, weights: [1, 1, 1] })).toBe(value(profile, set, "borda", 3))
    expect(committeeValue(profile, set, { points, weights: [1, 0, 0] })).toBe(value(profile, set, "cc", 3))
    expect(value(profile, [4], "bloc", 1)).toBe(value(profile, [4], "sntv", 1))
    expect(value(profile, set, "acc", 3)).toBeLessThanOrEqual(value(profile, set, "bloc", 3))
  })
  it("does not know voters or names of items, and doubles with the voters", () => {
    const profile = profileOf(3)
    const rankings = Array.from({ length: 15 }, (_, v) => [...profile.order.slice(v * 8, v * 8 + 8)])
    const twice = profileFromRankings([...rankings, ...rankings], 8)
    const shuffled = profileFromRankings(
      [...permutation(key(1), 15)].map((v) => rankings[v]!),
      8,
    )
    const relabel = permutation(key(2), 8)
    const renamed = profileFromRankings(
      rankings.map((r) => r.map((i) => relabel[i]!)),
      8,
    )
    for (const score of committeeScores) {
      const base = value(profile, [1, 2, 6], score, 3)
      expect(value(twice, [1, 2, 6], score, 3)).toBeCloseTo(2 * base, 9)
      expect(value(shuffled, [1, 2, 6], score, 3)).toBeCloseTo(base, 9)
      expect(value(renamed, [relabel[1]!, relabel[2]!, relabel[6]!], score, 3)).toBeCloseTo(base, 9)
    }
  })
})

describe("selection", () => {
  const group = [0, 0, 0, 0, 1, 1, 1, 1]
  it("is exact for additive rules, constrained or not", () => {
    for (const seed of seeds) {
      const profile = profileOf(seed)
      for (const score of committeeScores.filter(isAdditive)) {
        for (const fairness of [undefined, { group, atLeast: 2 }, { group, atLeast: 3 }]) {
          const found = selectCommittee(profile, 3, score, fairness).chosen
          const best = selectBrute(profile, 3, orderedWeights(score, 8, 3), fairness).chosen
          expect(value(profile, found, score, 3)).toBeCloseTo(value(profile, best, score, 3), 9)
        }
      }
    }
  })
  it("is greedy within its bounds, and lazy gains are the gains", () => {
    for (const seed of seeds) {
      const profile = profileOf(seed)
      for (const score of ["cc", "acc", "hb"] as const) {
        const rule = orderedWeights(score, 8, 3)
        const found = selectGreedy(profile, 3, rule)
        expect(value(profile, found.chosen, score, 3)).toBeGreaterThanOrEqual(
          (1 - 1 / Math.E) * value(profile, selectBrute(profile, 3, rule).chosen, score, 3),
        )
        const fair = { group, atLeast: 2 }
        const constrained = selectGreedy(profile, 3, rule, fair).chosen
        expect(constrained.filter((i) => group[i] === 1).length).toBeGreaterThanOrEqual(2)
        expect(value(profile, constrained, score, 3)).toBeGreaterThanOrEqual(
          0.5 * value(profile, selectBrute(profile, 3, rule, fair).chosen, score, 3),
        )
        // the plain greedy choice, every gain computed anew
        const plain: number[] = []
        while (plain.length < 3) {
          let best = -1
          let most = -Infinity
          for (let i = 0; i < 8; i++) {
            const v = plain.includes(i) ? -1 : value(profile, [...plain, i], score, 3)
            if (v > most + 1e-12) [best, most] = [i, v]
          }
          plain.push(best)
        }
        expect(found.chosen).toEqual(plain)
      }
    }
  })
  it("is never better under the guarantee, and the same when the free choice meets it", () => {
    for (const seed of seeds) {
      const profile = profileOf(seed)
      const free = selectCommittee(profile, 4, "borda").chosen
      const inside = free.filter((i) => group[i] === 1).length
      for (let atLeast = 0; atLeast <= 4; atLeast++) {
        const fair = selectCommittee(profile, 4, "borda", { group, atLeast }).chosen
        expect(fair.length).toBe(4)
        expect(fair.filter((i) => group[i] === 1).length).toBeGreaterThanOrEqual(atLeast)
        expect(value(profile, fair, "borda", 4)).toBeLessThanOrEqual(value(profile, free, "borda", 4))
        if (inside >= atLeast) expect([...fair].sort()).toEqual([...free].sort())
      }
    }
  })
  it("refuses impossible wishes", () => {
    expect(() => selectAdditive([1, 2], 3)).toThrow(/3 of 2/)
    expect(() => selectAdditive([1, 2, 3], 2, { group: [1, 0, 0], atLeast: 2 })).toThrow(/group of 1/)
    expect(() => profileFromRankings([[0, 0]], 2)).toThrow(/permutation/)
    expect(() => selectBrute(profileOf(1, 40, 1), 20, orderedWeights("cc", 40, 20))).toThrow(/too many/)
    expect(proportional(group, 3).atLeast).toBe(2)
    expect(randomCommittee(8, 3, key(1), { group, atLeast: 3 }).every((i) => group[i] === 1)).toBe(true)
  })
})

describe("models of bias", () => {
  const items = 20
  const group = Array.from({ length: items }, (_, i) => (i >= 10 ? 1 : 0))
  const model = (theta: number, sigma = 0.3) => ({ items, group, theta, sigma })
  it("no bias is no change, and bias keeps the order inside a group", () => {
    const quality = latentQuality(items, key(1))
    const plain = drawProfile(quality, model(1), 30, key(2))
    const biased = drawProfile(quality, model(0.4), 30, key(2))
    const inside = (p: Profile, v: number, g: number) =>
      [...p.order.slice(v * items, (v + 1) * items)].filter((i) => group[i] === g)
    for (let v = 0; v < 30; v++) for (const g of [0, 1]) expect(inside(biased, v, g)).toEqual(inside(plain, v, g))
    expect(swapBias([3, 1, 2, 0], [0, 0, 1, 1], 0, 1, key(1))).toEqual(Int32Array.of(3, 1, 2, 0))
  })
  it("the group's share of the free choice falls with the bias", () => {
    const share = (theta: number) => {
      let sum = 0
      for (let seed = 0; seed < 12; seed++) {
        const quality = latentQuality(items, key(seed, "q"))
        const profile = drawProfile(quality, model(theta, 0.1), 40, key(seed, "v"))
        sum += selectCommittee(profile, 6, "borda").chosen.filter((i) => group[i] === 1).length
      }
      return sum
    }
    const shares = [1, 0.9, 0.7, 0.5, 0.3].map(share)
    for (let k = 1; k < shares.length; k++) expect(shares[k]!).toBeLessThanOrEqual(shares[k - 1]!)
    expect(shares[4]!).toBeLessThan(shares[0]!)
  })
  it("swaps only lower members of the group", () => {
    for (let seed = 0; seed < 20; seed++) {
      const ranking = permutation(key(seed), 10)
      const members = Array.from({ length: 10 }, (_, i) => (uniform(key(seed, "g"), i) < 0.5 ? 1 : 0))
      const before = Int32Array.from(ranking)
      const after = swapBias(ranking, members, 1, 1, derive(key(seed), "s"))
      const moved = [...before.keys()].filter((p) => before[p] !== after[p])
      if (moved.length === 0) continue
      expect(moved.length).toBe(2)
      expect([members[before[moved[0]!]!], members[before[moved[1]!]!]]).toEqual([1, 0])
    }
  })
  it("measures the order inside a group", () => {
    expect(orderAccuracy([9, 1, 2, 3], [0, 0.1, 0.2, 0.3], [0, 1, 1, 1])).toBe(1)
    expect(orderAccuracy([0, 1, 1, 1], [0, 0.1, 0.2, 0.3], [0, 1, 1, 1])).toBe(0.5)
  })
})
