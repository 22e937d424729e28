/**
 * Choosing k items from many rankings, with or without a guaranteed number from a group ("Subset selection based on
 * multiple rankings in the presence of bias", arXiv 2306.09835). A profile holds complete strict rankings.
 */
import { derive, fillNormal, fillUniform, integer, type Key, permutation, uniform } from "@exp/random"
import { RankingInputError } from "./errors.ts"

/** Rankings of `voters` over `items`, best first: order[v·items + position] = item. */
export interface Profile {
  readonly items: number
  readonly voters: number
  readonly order: Int32Array
}

/** The committee score functions. Borda points of an item are items − 1 − position. */
export type CommitteeScore =
  /** Voters whose first item is chosen. */
  | "sntv"
  /** Chosen items among each voter's first k, k the size of the committee. */
  | "bloc"
  /** Borda points of all chosen items. */
  | "borda"
  /** Borda points of each voter's best chosen item (Chamberlin–Courant). */
  | "cc"
  /** Voters with a chosen item among their first k. */
  | "acc"
  /** Borda points of chosen items, the t-th best of a voter weighted 1/t (harmonic). */
  | "hb"

export const committeeScores: readonly CommitteeScore[] = ["sntv", "bloc", "borda", "cc", "acc", "hb"]
const additive: ReadonlySet<CommitteeScore> = new Set(["sntv", "bloc", "borda"])

/** Whether the score of a set is the sum of the scores of its items; then the best set is found exactly by sorting. */
export function isAdditive(score: CommitteeScore): boolean {
  return additive.has(score)
}

/** An ordered weighted average: points by position, and weights of a voter's chosen items from best to worst. */
export interface OrderedWeights {
  /** Points of positions 0 … items−1, not increasing. */
  readonly points: ArrayLike<number>
  /** Weights w_1 ≥ … ≥ w_k ≥ 0 on the sorted points. */
  readonly weights: ArrayLike<number>
}

/** A score function as an ordered weighted average for committees of size k. */
export function orderedWeights(score: CommitteeScore, items: number, k: number): OrderedWeights {
  const borda = Float64Array.from({ length: items }, (_, p) => items - 1 - p)
  const first = (n: number) => Float64Array.from({ length: items }, (_, p) => (p < n ? 1 : 0))
  const all = new Float64Array(k).fill(1)
  const best = Float64Array.from({ length: k }, (_, t) => (t === 0 ? 1 : 0))
  switch (score) {
    case "sntv":
      return { points: first(1), weights: all }
    case "bloc":
      return { points: first(k), weights: all }
    case "borda":
      return { points: borda, weights: all }
    case "cc":
      return { points: borda, weights: best }
    case "acc":
      return { points: first(k), weights: best }
    case "hb":
      return { points: borda, weights: Float64Array.from({ length: k }, (_, t) => 1 / (t + 1)) }
  }
}

/**
 * Profile from rankings given as arrays of items, best first.
 * @throws RankingInputError when a ranking is not a permutation of all items
 */
export function profileFromRankings(rankings: readonly ArrayLike<number>[], items: number): Profile {
  const order = new Int32Array(rankings.length * items)
  rankings.forEach((ranking, v) => {
    const seen = new Uint8Array(items)
    if (ranking.length !== items)
      throw new RankingInputError(`ranking ${v} holds ${ranking.length} of ${items} items`, v)
    for (let p = 0; p < items; p++) {
      const item = ranking[p]!
      if (!(Number.isInteger(item) && item >= 0 && item < items) || seen[item] === 1) {
        throw new RankingInputError(`ranking ${v} is not a permutation: item ${item} at position ${p}`, v)
      }
      seen[item] = 1
      order[v * items + p] = item
    }
  })
  return { items, voters: rankings.length, order }
}

/** Number of voters that put each item at each position: histogram[item·items + position]. */
export function positionHistogram(profile: Profile): Float64Array {
  const { items, voters, order } = profile
  const histogram = new Float64Array(items * items)
  for (let v = 0; v < voters; v++) for (let p = 0; p < items; p++) histogram[order[v * items + p]! * items + p]!++
  return histogram
}

/** Scores of single items under an additive function, from a histogram. */
export function itemScores(histogram: ArrayLike<number>, items: number, points: ArrayLike<number>): Float64Array {
  const scores = new Float64Array(items)
  for (let i = 0; i < items; i++) for (let p = 0; p < items; p++) scores[i]! += histogram[i * items + p]! * points[p]!
  return scores
}

/** F(S): the ordered weighted average of the chosen items' points, summed over voters. F(∅) = 0. */
export function committeeValue(profile: Profile, chosen: ArrayLike<number>, rule: OrderedWeights): number {
  const { items, voters, order } = profile
  const inside = new Uint8Array(items)
  for (let k = 0; k < chosen.length; k++) inside[chosen[k]!] = 1
  let sum = 0
  for (let v = 0; v < voters; v++) {
    for (let p = 0, t = 0; p < items && t < chosen.length; p++) {
      if (inside[order[v * items + p]!] === 1) sum += (rule.weights[t++] ?? 0) * rule.points[p]!
    }
  }
  return sum
}

/** At least `atLeast` of the chosen items come from `group` (1 = member). */
export interface Fairness {
  readonly group: ArrayLike<number>
  readonly atLeast: number
}

/** The proportional guarantee: round(k · |group| / items). */
export function proportional(group: ArrayLike<number>, k: number): Fairness {
  let size = 0
  for (let i = 0; i < group.length; i++) size += group[i]!
  return { group, atLeast: Math.round((k * size) / group.length) }
}

export interface Committee {
  /** Chosen items in the order of choice. */
  readonly chosen: readonly number[]
  readonly method: "exact" | "greedy" | "brute"
}

function checkSize(items: number, k: number, fairness: Fairness | undefined): void {
  if (!(Number.isInteger(k) && k >= 0 && k <= items))
    throw new RankingInputError(`cannot choose ${k} of ${items} items`)
  if (fairness === undefined) return
  let size = 0
  for (let i = 0; i < items; i++) size += fairness.group[i]!
  if (fairness.atLeast > Math.min(k, size)) {
    throw new RankingInputError(
      `cannot choose at least ${fairness.atLeast} of a group of ${size} in a selection of ${k}`,
    )
  }
}

/** The best k items of additive scores: under a guarantee the best of the group first, then the best of the rest. Exact. */
export function selectAdditive(
  scores: ArrayLike<number>,
  k: number,
  fairness?: Fairness,
  tieBreak?: ArrayLike<number>,
): Committee {
  const items = scores.length
  checkSize(items, k, fairness)
  const order = Array.from({ length: items }, (_, i) => i)
  order.sort((x, y) => scores[y]! - scores[x]! || (tieBreak === undefined ? 0 : tieBreak[y]! - tieBreak[x]!) || x - y)
  const chosen: number[] = []
  const taken = new Uint8Array(items)
  if (fairness !== undefined) {
    for (const i of order) {
      if (chosen.length >= fairness.atLeast) break
      if (fairness.group[i] === 1) {
        chosen.push(i)
        taken[i] = 1
      }
    }
  }
  for (const i of order) {
    if (chosen.length >= k) break
    if (taken[i] === 0) chosen.push(i)
  }
  return { chosen, method: "exact" }
}

/**
 * Greedy choice for submodular functions, with lazy gains: the feasible item of the largest gain each time, ties by
 * `tieBreak` then the lowest index. At least 1 − 1/e of the optimum without, 1/2 with a guarantee. The guarantee limits
 * the number from outside the group to k − atLeast; it does not force the group's members first.
 */
export function selectGreedy(
  profile: Profile,
  k: number,
  rule: OrderedWeights,
  fairness?: Fairness,
  tieBreak?: ArrayLike<number>,
): Committee {
  const { items, voters, order } = profile
  checkSize(items, k, fairness)
  const position = new Int32Array(voters * items)
  for (let v = 0; v < voters; v++) for (let p = 0; p < items; p++) position[v * items + order[v * items + p]!] = p
  // Sorted positions of the chosen items of each voter.
  const held = new Int32Array(voters * k)
  let size = 0
  const gain = (item: number): number => {
    let sum = 0
    for (let v = 0; v < voters; v++) {
      const p = position[v * items + item]!
      const row = v * k
      let t = 0
      while (t < size && held[row + t]! < p) t++
      sum += (rule.weights[t] ?? 0) * rule.points[p]!
      for (; t < size; t++) sum -= (rule.weights[t]! - (rule.weights[t + 1] ?? 0)) * rule.points[held[row + t]!]!
    }
    return sum
  }
  const bound = Float64Array.from({ length: items }, (_, i) => gain(i))
  const fresh = new Int32Array(items)
  const taken = new Uint8Array(items)
  const chosen: number[] = []
  let outside = 0
  const better = (x: number, y: number): boolean =>
    bound[x]! !== bound[y]!
      ? bound[x]! > bound[y]!
      : tieBreak !== undefined && tieBreak[x] !== tieBreak[y]
        ? tieBreak[x]! > tieBreak[y]!
        : x < y
  while (chosen.length < k) {
    const open = fairness === undefined || outside < k - fairness.atLeast
    let best = -1
    for (;;) {
      best = -1
      for (let i = 0; i < items; i++) {
        if (taken[i] === 1 || (!open && fairness!.group[i] !== 1)) continue
        if (best === -1 || better(i, best)) best = i
      }
      if (fresh[best] === size) break
      bound[best] = gain(best)
      fresh[best] = size
    }
    chosen.push(best)
    taken[best] = 1
    if (fairness !== undefined && fairness.group[best] !== 1) outside++
    for (let v = 0; v < voters; v++) {
      const row = v * k
      const p = position[v * items + best]!
      let t = size
      while (t > 0 && held[row + t - 1]! > p) {
        held[row + t] = held[row + t - 1]!
        t--
      }
      held[row + t] = p
    }
    size++
  }
  return { chosen, method: "greedy" }
}

/** The best set by trying all; for up to a million sets. */
export function selectBrute(profile: Profile, k: number, rule: OrderedWeights, fairness?: Fairness): Committee {
  const { items } = profile
  checkSize(items, k, fairness)
  let sets = 1
  for (let t = 0; t < k; t++) sets = (sets * (items - t)) / (t + 1)
  if (sets > 1e6) throw new RankingInputError(`${Math.round(sets)} sets of ${k} out of ${items} are too many to try`)
  let best: number[] = []
  let most = -Infinity
  const walk = (from: number, chosen: number[], members: number): void => {
    if (chosen.length === k) {
      if (fairness !== undefined && members < fairness.atLeast) return
      const value = committeeValue(profile, chosen, rule)
      if (value > most) {
        most = value
        best = [...chosen]
      }
      return
    }
    for (let i = from; i <= items - (k - chosen.length); i++) {
      chosen.push(i)
      walk(i + 1, chosen, members + (fairness === undefined ? 0 : fairness.group[i]!))
      chosen.pop()
    }
  }
  walk(0, [], 0)
  return { chosen: best, method: "brute" }
}

/** The best k items under a named score: exact for additive scores, else greedy. */
export function selectCommittee(
  profile: Profile,
  k: number,
  score: CommitteeScore,
  fairness?: Fairness,
  tieBreak?: ArrayLike<number>,
): Committee {
  const rule = orderedWeights(score, profile.items, k)
  return isAdditive(score)
    ? selectAdditive(itemScores(positionHistogram(profile), profile.items, rule.points), k, fairness, tieBreak)
    : selectGreedy(profile, k, rule, fairness, tieBreak)
}

export interface UtilityModel {
  readonly items: number
  /** 1 for members of the group that is looked down upon. */
  readonly group: ArrayLike<number>
  /** Factor on the utilities of the group, 0 < theta ≤ 1; 1 = no bias. */
  readonly theta: number
  /** Standard deviation of a voter's normal noise. */
  readonly sigma: number
  /** "normal" (default), or "gumbel": Plackett–Luce noise of scale sigma. */
  readonly noise?: "normal" | "gumbel"
}

/** Latent quality of the items, uniform on [0, 1). */
export function latentQuality(items: number, stream: Key): Float64Array {
  return fillUniform(stream, new Float64Array(items))
}

/**
 * Rankings of voters v = 0 … voters−1: utility u = quality + noise, times theta for the group when biased. The same
 * stream gives the same draws, so biased and unbiased rankings belong together. A negative utility times theta is
 * raised, as in the published model.
 */
export function drawProfile(quality: ArrayLike<number>, model: UtilityModel, voters: number, stream: Key): Profile {
  const { items, group, theta, sigma, noise = "normal" } = model
  const order = new Int32Array(voters * items)
  const draws = new Float64Array(items)
  const utility = new Float64Array(items)
  const indices = Array.from({ length: items }, (_, i) => i)
  for (let v = 0; v < voters; v++) {
    if (noise === "normal") fillNormal(derive(stream, v), draws)
    else {
      fillUniform(derive(stream, v), draws)
      for (let i = 0; i < items; i++) draws[i] = -Math.log(-Math.log(draws[i]! + 2 ** -25))
    }
    for (let i = 0; i < items; i++) {
      const u = quality[i]! + sigma * draws[i]!
      utility[i] = group[i] === 1 ? theta * u : u
    }
    const sorted = indices.slice().sort((x, y) => utility[y]! - utility[x]! || x - y)
    order.set(sorted, v * items)
  }
  return { items, voters, order }
}

/**
 * The swap model of bias: `swaps` times, a uniformly random pair (a outside the group, b in it) with b above a is
 * drawn, and exchanged with probability `phi`. Only such pairs move, and each exchange lowers a member of the group.
 */
export function swapBias(
  ranking: ArrayLike<number>,
  group: ArrayLike<number>,
  swaps: number,
  phi: number,
  stream: Key,
): Int32Array {
  const order = Int32Array.from(ranking)
  const n = order.length
  for (let t = 0; t < swaps; t++) {
    const pairs: [number, number][] = []
    for (let p = 0; p < n; p++) {
      if (group[order[p]!] !== 1) continue
      for (let q = p + 1; q < n; q++) if (group[order[q]!] !== 1) pairs.push([p, q])
    }
    if (pairs.length === 0) break
    const [p, q] = pairs[integer(stream, pairs.length, t)]!
    if (uniform(stream, t) < phi) {
      const held = order[p]!
      order[p] = order[q]!
      order[q] = held
    }
  }
  return order
}

/**
 * Share of the pairs inside a group that single-item scores order as the latent quality does: the operational measure
 * of how smooth a score function is under bias.
 */
export function orderAccuracy(scores: ArrayLike<number>, quality: ArrayLike<number>, group: ArrayLike<number>): number {
  let right = 0
  let pairs = 0
  for (let i = 0; i < scores.length; i++) {
    if (group[i] !== 1) continue
    for (let j = i + 1; j < scores.length; j++) {
      if (group[j] !== 1 || quality[i] === quality[j]) continue
      pairs++
      const agreement = Math.sign(scores[i]! - scores[j]!) * Math.sign(quality[i]! - quality[j]!)
      right += agreement > 0 ? 1 : agreement === 0 ? 0.5 : 0
    }
  }
  return pairs === 0 ? Number.NaN : right / pairs
}

/** A uniformly random set of k items that meets the guarantee. */
export function randomCommittee(items: number, k: number, stream: Key, fairness?: Fairness): number[] {
  checkSize(items, k, fairness)
  const random = new Float64Array(items)
  permutation(stream, items).forEach((item, place) => {
    random[item] = place
  })
  return [...selectAdditive(random, k, fairness).chosen]
}
