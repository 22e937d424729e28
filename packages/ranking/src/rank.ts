/**
 * The ranking of competitors from whatever results there are. The answer carries what the data determine and no more:
 * one ranking when the comparisons connect everyone in both directions, else a ranking inside each component and the
 * known order between components.
 */
import { derive, key } from "@exp/random"
import { quantileSorted } from "./comparison.ts"
import { type Connectivity, componentOrder, connectivityOfData, connectivityOfWins } from "./connectivity.ts"
import {
  addPackedCounts,
  addVotes,
  applyTieRule,
  balancedWeights,
  emptyCounts,
  packResults,
  type TieRule,
} from "./counts.ts"
import { normalQuantile } from "./distributions.ts"
import { RankingInputError } from "./errors.ts"
import { fitConnected, informationInverse } from "./fit.ts"
import { type Results, restrictResults, restrictVotes, type Votes } from "./results.ts"
import { type Bootstrap, bootstrap, sandwich } from "./uncertainty.ts"

/** Beyond this many competitors in one component the pair matrix is not built and no strengths are given. */
export const largestComponent = 4096

export interface RankInput {
  readonly names: readonly string[]
  readonly results?: Results
  readonly votes?: Votes
}

export interface RankOptions {
  /** What a tie counts; "one-each" by default. */
  readonly tie?: TieRule
  /** Values no further apart than this tie; 0 by default. */
  readonly tolerance?: number
  /** "pairs": every comparison weighs the same (default). "samples": comparisons of a sample with m measurements weigh 1/(m−1). */
  readonly weighting?: "pairs" | "samples"
  /** Number of bootstrap replicates; 0 (default) gives intervals from the sandwich covariance. */
  readonly bootstrap?: number
  readonly seed?: number
  /** Coverage of intervals, 0.95 by default. */
  readonly level?: number
}

export interface RankedCompetitor {
  readonly name: string
  /** Its number in the input. */
  readonly index: number
  /** Place in the global ranking; equal strengths share a place. null when there is no global ranking or no comparison. */
  readonly rank: number | null
  /** Place inside the component; null without any comparison. */
  readonly componentRank: number | null
  /** Natural-log strength, mean 0 inside the component; null when it does not exist. */
  readonly score: number | null
  readonly se: number | null
  readonly low: number | null
  readonly high: number | null
  /** Interval of the place inside the component. */
  readonly rankLow: number | null
  readonly rankHigh: number | null
  /** Strong component (0 is the first), null without any comparison. */
  readonly component: number | null
  /** Names whose difference to this one has an interval that contains 0. */
  readonly tiedWith: readonly string[]
}

export interface Ranking {
  /** True when all competitors with a comparison form one strongly connected component. */
  readonly identifiable: boolean
  readonly reason: string
  /** Names of the members of each strong component, best first inside a component and, where an order is known, between. */
  readonly components: readonly (readonly string[])[]
  /** Known order between components, [better, worse]; what follows from others is left out. */
  readonly order: readonly (readonly [number, number])[]
  /** Groups of components that are connected by comparisons at all; different groups are incomparable. */
  readonly groups: readonly (readonly number[])[]
  readonly unranked: readonly string[]
  /** Number of comparisons: pairs with an outcome, ties counted once. */
  readonly comparisons: number
  readonly ties: number
  /** Samples with at least one comparison, votes included. */
  readonly samples: number
  /** Ranked first to last; inside components when there is no global ranking; those without comparisons last. */
  readonly competitors: readonly RankedCompetitor[]
  readonly interval: { readonly method: "sandwich" | "bootstrap" | "none"; readonly level: number }
  readonly bootstrap: { readonly replicates: number; readonly unidentifiable: number } | undefined
  readonly rounds: number
  readonly tie: TieRule
}

interface Solved {
  readonly theta: Float64Array
  readonly rounds: number
  readonly se: Float64Array | undefined
  readonly low: Float64Array | undefined
  readonly high: Float64Array | undefined
  readonly rankLow: Int32Array | undefined
  readonly rankHigh: Int32Array | undefined
  /** tied[a·M + b] = 1 when the interval of θ_a − θ_b contains 0. */
  readonly tied: Uint8Array | undefined
  readonly boot: Bootstrap | undefined
}

/**
 * Ranks competitors.
 * @throws RankingInputError for inconsistent input, NotConverged when a fit fails (never approximate numbers)
 */
export function rank(input: RankInput, options: RankOptions = {}): Ranking {
  const { names } = input
  const { tie = "one-each", level = 0.95, tolerance = 0 } = options
  const m = names.length
  if (!(level > 0 && level < 1)) throw new RankingInputError(`a level lies between 0 and 1, got ${level}`)
  if (!(tolerance >= 0)) throw new RankingInputError(`a tie tolerance is at least 0, got ${tolerance}`)
  for (const part of [input.results, input.votes]) {
    if (part !== undefined && part.competitors !== m) {
      throw new RankingInputError(`there are ${m} names, but the data are about ${part.competitors} competitors`)
    }
  }
  const tally = comparisonsOf(input, tie, tolerance)
  // Competitors without a comparison leave before any M × M matrix is made.
  const active: number[] = []
  for (let a = 0; a < m; a++) if (tally.compared[a] === 1) active.push(a)
  const results = input.results === undefined ? undefined : restrictResults(input.results, active)
  const votes = input.votes === undefined ? undefined : restrictVotes(input.votes, active)
  let connectivity: Connectivity
  let order: readonly (readonly [number, number])[] = []
  let wins: Float64Array | undefined
  if (active.length <= largestComponent) {
    wins = winsOf(active.length, results, votes, options)
    connectivity = connectivityOfWins(wins, active.length)
    order = componentOrder(wins, active.length, connectivity)
  } else {
    if (tolerance > 0)
      throw new RankingInputError(
        `a tie tolerance works for up to ${largestComponent} competitors, got ${active.length}`,
      )
    connectivity = connectivityOfData(active.length, results, votes, tie)
  }
  const whole = connectivity.components.length === 1
  let rounds = 0
  let replicates = 0
  let unidentifiable = 0
  let tooLarge = 0
  const entries: RankedCompetitor[] = []
  const componentNames: string[][] = []
  let method: Ranking["interval"]["method"] = "none"
  connectivity.components.forEach((members, c) => {
    const solved =
      members.length === 1 || members.length > largestComponent
        ? undefined
        : solve(members.length === active.length ? wins : undefined, members, active.length, results, votes, options)
    if (members.length > largestComponent) tooLarge++
    if (solved !== undefined) {
      rounds = Math.max(rounds, solved.rounds)
      if (solved.boot !== undefined) {
        replicates += solved.boot.replicates
        unidentifiable += solved.boot.unidentifiable
      }
      if (solved.low !== undefined) method = solved.boot === undefined ? "sandwich" : "bootstrap"
    }
    const places = solved === undefined ? undefined : placesOf(solved.theta, (k) => names[active[members[k]!]!]!)
    const sequence =
      places?.order ??
      members.map((_, k) => k).sort((x, y) => compareNames(names[active[members[x]!]!]!, names[active[members[y]!]!]!))
    componentNames.push(sequence.map((k) => names[active[members[k]!]!]!))
    for (const k of sequence) {
      const index = active[members[k]!]!
      const place = places === undefined ? (members.length === 1 ? 1 : null) : places.place[k]!
      const at = (values: ArrayLike<number> | undefined): number | null => (values === undefined ? null : values[k]!)
      entries.push({
        name: names[index]!,
        index,
        rank: whole ? place : null,
        componentRank: place,
        score: solved === undefined ? null : solved.theta[k]!,
        se: at(solved?.se),
        low: at(solved?.low),
        high: at(solved?.high),
        rankLow: at(solved?.rankLow),
        rankHigh: at(solved?.rankHigh),
        component: c,
        tiedWith:
          solved?.tied === undefined
            ? []
            : sequence
                .filter((l) => l !== k && solved.tied![k * members.length + l] === 1)
                .map((l) => names[active[members[l]!]!]!),
      })
    }
  })
  const unranked: string[] = []
  const none = {
    rank: null,
    componentRank: null,
    score: null,
    se: null,
    low: null,
    high: null,
    rankLow: null,
    rankHigh: null,
    component: null,
    tiedWith: [],
  }
  const without: number[] = []
  for (let a = 0; a < m; a++) if (tally.compared[a] !== 1) without.push(a)
  without.sort((x, y) => compareNames(names[x]!, names[y]!))
  for (const a of without) {
    unranked.push(names[a]!)
    entries.push({ name: names[a]!, index: a, ...none })
  }
  const groups: number[][] = Array.from({ length: connectivity.weakCount }, () => [])
  connectivity.components.forEach((_, c) => {
    groups[connectivity.weak[c]!]!.push(c)
  })
  const identifiable = whole && tooLarge === 0
  return {
    identifiable,
    reason: reasonOf(m, connectivity, componentNames, unranked, tooLarge, tally),
    components: componentNames,
    order,
    groups,
    unranked,
    comparisons: tally.wins + (tie === "drop" ? 0 : tally.ties),
    ties: tally.ties,
    samples: tally.samples,
    competitors: entries,
    interval: { method, level },
    bootstrap: replicates > 0 ? { replicates, unidentifiable } : undefined,
    rounds,
    tie,
  }
}

function compareNames(x: string, y: string): number {
  return x < y ? -1 : x > y ? 1 : 0
}

/** Who has a comparison that counts, and how many there are, in O(entries log entries) without a pair matrix. */
function comparisonsOf(
  input: RankInput,
  tie: TieRule,
  tolerance: number,
): { compared: Uint8Array; wins: number; ties: number; samples: number } {
  const compared = new Uint8Array(input.names.length)
  let wins = 0
  let ties = 0
  let samples = 0
  if (input.results !== undefined) {
    const { start, competitor, value } = input.results
    for (let s = 0; s < input.results.samples; s++) {
      const from = start[s]!
      const to = start[s + 1]!
      const size = to - from
      if (size < 2) continue
      const sorted = value.slice(from, to).sort()
      // Pairs (i < k) of sorted values within the tolerance, by a moving window.
      let close = 0
      for (let low = 0, k = 1; k < size; k++) {
        while (sorted[k]! !== sorted[low]! && !(sorted[k]! - sorted[low]! <= tolerance)) low++
        close += k - low
      }
      const strict = (size * (size - 1)) / 2 - close
      wins += strict
      ties += close
      if (strict === 0 && tie === "drop") continue
      samples++
      const least = sorted[0]!
      const most = sorted[size - 1]!
      for (let e = from; e < to; e++) {
        // With ties dropped, a value counts when it differs from the least or the greatest one.
        const v = value[e]!
        if (tie !== "drop" || !(v === least || v - least <= tolerance) || !(v === most || most - v <= tolerance))
          compared[competitor[e]!] = 1
      }
    }
  }
  if (input.votes !== undefined) {
    const { left, right, outcome } = input.votes
    for (let i = 0; i < outcome.length; i++) {
      if (outcome[i] === 0) {
        ties++
        if (tie === "drop") continue
      } else wins++
      samples++
      compared[left[i]!] = compared[right[i]!] = 1
    }
  }
  return { compared, wins, ties, samples }
}

function winsOf(m: number, results: Results | undefined, votes: Votes | undefined, options: RankOptions): Float64Array {
  const counts = emptyCounts(m)
  if (results !== undefined) {
    const weights = options.weighting === "samples" ? balancedWeights(results) : undefined
    addPackedCounts(counts, packResults(results, options.tolerance), {
      ...(weights === undefined ? {} : { weights }),
      ...(options.tolerance === undefined ? {} : { tolerance: options.tolerance }),
    })
  }
  if (votes !== undefined) addVotes(counts, votes)
  return applyTieRule(counts, options.tie ?? "one-each")
}

function solve(
  known: Float64Array | undefined,
  members: readonly number[],
  total: number,
  allResults: Results | undefined,
  allVotes: Votes | undefined,
  options: RankOptions,
): Solved {
  const { tie = "one-each", tolerance = 0, level = 0.95, seed = 0 } = options
  const m = members.length
  const results = m === total || allResults === undefined ? allResults : restrictResults(allResults, members)
  const votes = m === total || allVotes === undefined ? allVotes : restrictVotes(allVotes, members)
  const wins = known ?? winsOf(m, results, votes, options)
  const fit = fitConnected(wins, m)
  const { theta } = fit
  const nothing = {
    se: undefined,
    low: undefined,
    high: undefined,
    rankLow: undefined,
    rankHigh: undefined,
    tied: undefined,
    boot: undefined,
  }
  const inverse = informationInverse(wins, theta)
  if (inverse === undefined) return { theta, rounds: fit.rounds, ...nothing }
  const weights = options.weighting === "samples" && results !== undefined ? balancedWeights(results) : undefined
  const shared = { tie, tolerance, ...(weights === undefined ? {} : { weights }) }
  const tied = new Uint8Array(m * m)
  const low = new Float64Array(m)
  const high = new Float64Array(m)
  const rankLow = new Int32Array(m)
  const rankHigh = new Int32Array(m)
  const se = new Float64Array(m)
  if ((options.bootstrap ?? 0) > 0) {
    const boot = bootstrap(theta, inverse, results === undefined ? undefined : packResults(results, tolerance), votes, {
      ...shared,
      replicates: options.bootstrap!,
      stream: derive(key(seed, "ranking-bootstrap"), m, members[0]!),
    })
    if (boot.usable < 2) return { theta, rounds: fit.rounds, ...nothing, boot }
    summariseBootstrap(boot, m, level, { se, low, high, rankLow, rankHigh, tied })
    return { theta, rounds: fit.rounds, se, low, high, rankLow, rankHigh, tied, boot }
  }
  const covariance = sandwich(theta, inverse, results, votes, shared)
  const z = normalQuantile((1 + level) / 2)
  for (let a = 0; a < m; a++) {
    se[a] = Math.sqrt(Math.max(0, covariance[a * m + a]!))
    low[a] = theta[a]! - z * se[a]!
    high[a] = theta[a]! + z * se[a]!
    let better = 0
    let worse = 0
    for (let b = 0; b < m; b++) {
      if (a === b) continue
      const variance = covariance[a * m + a]! + covariance[b * m + b]! - 2 * covariance[a * m + b]!
      const half = z * Math.sqrt(Math.max(0, variance))
      const difference = theta[b]! - theta[a]!
      if (Math.abs(difference) <= half + 1e-12) tied[a * m + b] = 1
      else if (difference > 0) better++
      else worse++
    }
    rankLow[a] = 1 + better
    rankHigh[a] = m - worse
  }
  return { theta, rounds: fit.rounds, se, low, high, rankLow, rankHigh, tied, boot: undefined }
}

function summariseBootstrap(
  boot: Bootstrap,
  m: number,
  level: number,
  out: {
    se: Float64Array
    low: Float64Array
    high: Float64Array
    rankLow: Int32Array
    rankHigh: Int32Array
    tied: Uint8Array
  },
): void {
  const n = boot.usable
  const places = new Float64Array(n * m)
  const above = new Float64Array(m * m)
  for (let r = 0; r < n; r++) {
    const row = boot.theta.subarray(r * m, (r + 1) * m)
    const order = Array.from({ length: m }, (_, k) => k).sort((x, y) => row[y]! - row[x]!)
    order.forEach((a, k) => {
      places[r * m + a] = k + 1
    })
    for (let a = 0; a < m; a++)
      for (let b = 0; b < m; b++) above[a * m + b]! += row[a]! > row[b]! ? 1 : row[a] === row[b] ? 0.5 : 0
  }
  const column = new Float64Array(n)
  const tail = (1 - level) / 2
  for (let a = 0; a < m; a++) {
    let sum = 0
    for (let r = 0; r < n; r++) {
      column[r] = boot.theta[r * m + a]!
      sum += column[r]!
    }
    let squares = 0
    for (let r = 0; r < n; r++) squares += (column[r]! - sum / n) ** 2
    out.se[a] = Math.sqrt(squares / (n - 1))
    column.sort()
    out.low[a] = quantileSorted(column, tail)
    out.high[a] = quantileSorted(column, 1 - tail)
    for (let r = 0; r < n; r++) column[r] = places[r * m + a]!
    column.sort()
    out.rankLow[a] = Math.floor(quantileSorted(column, tail))
    out.rankHigh[a] = Math.ceil(quantileSorted(column, 1 - tail))
    // The percentile interval of a difference contains 0 exactly when neither sign has less than a tail's share.
    for (let b = 0; b < m; b++) {
      const share = above[a * m + b]! / n
      out.tied[a * m + b] = a !== b && share >= tail && share <= 1 - tail ? 1 : 0
    }
  }
}

/** Places by falling strength, equal strengths (to 1e-9) sharing one; names break ties in the order. */
function placesOf(theta: Float64Array, nameOf: (k: number) => string): { order: number[]; place: Int32Array } {
  const order = Array.from({ length: theta.length }, (_, k) => k)
  order.sort((x, y) => theta[y]! - theta[x]! || compareNames(nameOf(x), nameOf(y)))
  const place = new Int32Array(theta.length)
  // Strengths within 1e-9 are equal: sort such runs by name.
  for (let from = 0; from < order.length; ) {
    let to = from + 1
    while (to < order.length && theta[order[from]!]! - theta[order[to]!]! <= 1e-9) to++
    const run = order.slice(from, to).sort((x, y) => compareNames(nameOf(x), nameOf(y)))
    for (let k = from; k < to; k++) {
      order[k] = run[k - from]!
      place[order[k]!] = from + 1
    }
    from = to
  }
  return { order, place }
}

function reasonOf(
  m: number,
  connectivity: Connectivity,
  components: readonly (readonly string[])[],
  unranked: readonly string[],
  tooLarge: number,
  tally: { wins: number; ties: number },
): string {
  const list = (names: readonly string[]): string =>
    names.length <= 5 ? names.join(", ") : `${names.slice(0, 4).join(", ")} and ${names.length - 4} more`
  const rest = unranked.length === 0 ? "" : `; without any comparison, not ranked: ${list(unranked)}`
  if (m === 0) return "there are no competitors"
  if (m === 1) return "there is one competitor and nothing to compare it with"
  if (components.length === 0) {
    return tally.ties > 0
      ? "every comparison is a tie and ties are dropped: nothing distinguishes the competitors"
      : "no two competitors were measured on the same sample: there is no comparison"
  }
  if (tooLarge > 0) {
    return `a component has more than ${largestComponent} competitors: its strengths are not computed; select fewer competitors${rest}`
  }
  if (components.length === 1) {
    return `every competitor is connected with every other by wins in both directions${rest}`
  }
  if (connectivity.weakCount > 1) {
    return `the comparisons fall into ${connectivity.weakCount} groups that were never compared with each other; competitors of different groups cannot be ranked against each other${rest}`
  }
  // A component that nobody below beats, or that beats nobody above, is the usual cause: name a short one.
  const parts: string[] = []
  const last = components.length - 1
  if (components[last]!.length === 1) parts.push(`${components[last]![0]} never wins against the others`)
  if (components[0]!.length === 1) parts.push(`${components[0]![0]} never loses against the others`)
  return `some strengths are unbounded: the competitors fall into ${components.length} components with wins in one direction only between them${parts.length > 0 ? ` (${parts.join("; ")})` : ""}; ranks hold inside a component${rest}`
}
