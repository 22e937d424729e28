/** Uncertainty of strengths: the sandwich covariance and the bootstrap, both over samples, not over games. */
import { derive, integer, type Key, uniform } from "@exp/random"
import { connectivityOfWins } from "./connectivity.ts"
import { addPackedCounts, applyTieRule, emptyCounts, type PackedResults, type TieRule } from "./counts.ts"
import { fitNear } from "./fit.ts"
import type { Results, Votes } from "./results.ts"

export interface SandwichOptions {
  readonly tie?: TieRule
  readonly tolerance?: number
  readonly weights?: ArrayLike<number>
}

/**
 * The sandwich covariance H⁺ (Σ_j g_j g_jᵀ) H⁺ of the strengths, with g_j the score of sample j: the sum over its games
 * of (y − p)(e_a − e_b). Games of one sample depend on each other; samples (and votes) are independent.
 *
 * @param inverse H⁺ at `theta`, M × M
 * @returns the covariance matrix, M × M
 */
export function sandwich(
  theta: Float64Array,
  inverse: Float64Array,
  results: Results | undefined,
  votes: Votes | undefined,
  options: SandwichOptions = {},
): Float64Array {
  const { tie = "one-each", tolerance = 0, weights } = options
  const m = theta.length
  const share = tie === "one-each" ? 1 : tie === "half" ? 0.5 : 0
  const meat = new Float64Array(m * m)
  // p[a·M + b] = probability that a beats b
  const p = new Float64Array(m * m)
  for (let a = 0; a < m; a++) for (let b = 0; b < m; b++) p[a * m + b] = 1 / (1 + Math.exp(theta[b]! - theta[a]!))
  if (results !== undefined) {
    const { start, competitor, value, samples } = results
    const score = new Float64Array(m)
    for (let s = 0; s < samples; s++) {
      const from = start[s]!
      const to = start[s + 1]!
      const weight = weights === undefined ? 1 : weights[s]!
      if (to - from < 2 || weight === 0) continue
      score.fill(0, 0, to - from)
      for (let e = from; e < to; e++) {
        const row = competitor[e]! * m
        const x = value[e]!
        let own = 0
        for (let f = e + 1; f < to; f++) {
          const y = value[f]!
          const q = p[row + competitor[f]!]!
          const g = x === y || Math.abs(x - y) <= tolerance ? share * (1 - 2 * q) : x > y ? 1 - q : -q
          own += g
          score[f - from]! -= g
        }
        score[e - from]! += own
      }
      const square = weight * weight
      for (let e = from; e < to; e++) {
        const row = competitor[e]! * m
        const scaled = square * score[e - from]!
        // Entries are in ascending order of competitor: this fills the upper triangle only.
        for (let f = e; f < to; f++) meat[row + competitor[f]!]! += scaled * score[f - from]!
      }
    }
  }
  if (votes !== undefined) {
    for (let i = 0; i < votes.outcome.length; i++) {
      const a = Math.min(votes.left[i]!, votes.right[i]!)
      const b = Math.max(votes.left[i]!, votes.right[i]!)
      const o = a === votes.left[i]! ? votes.outcome[i]! : -votes.outcome[i]!
      const q = p[a * m + b]!
      const g = o === 0 ? share * (1 - 2 * q) : o > 0 ? 1 - q : -q
      const square = g * g
      meat[a * m + a]! += square
      meat[b * m + b]! += square
      meat[a * m + b]! -= square
    }
  }
  for (let a = 0; a < m; a++) for (let b = 0; b < a; b++) meat[a * m + b] = meat[b * m + a]!
  return multiply(multiply(inverse, meat, m), inverse, m)
}

/** Product of two M × M matrices, the right one symmetric (so that both are read along rows). */
function multiply(x: Float64Array, y: Float64Array, m: number): Float64Array {
  const out = new Float64Array(m * m)
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < m; k++) {
      const scale = x[i * m + k]!
      if (scale === 0) continue
      const row = k * m
      const to = i * m
      for (let j = 0; j < m; j++) out[to + j]! += scale * y[row + j]!
    }
  }
  return out
}

/** Standard errors if all games were independent, √diag H⁺: too small for results, shown for comparison only. */
export function naiveErrors(inverse: Float64Array, m: number): Float64Array {
  return Float64Array.from({ length: m }, (_, a) => Math.sqrt(inverse[a * m + a]!))
}

export interface Bootstrap {
  readonly replicates: number
  /** Replicates whose comparisons were not strongly connected; they give no strengths and are left out. */
  readonly unidentifiable: number
  /** Strengths of the usable replicates, row by row. */
  readonly theta: Float64Array
  readonly usable: number
}

/**
 * Resamples samples with replacement (and votes as multinomial counts of pair and outcome) and refits from the full
 * fit. Time: replicates × (counting + a few O(M²) rounds).
 *
 * @param inverse H⁺ at `theta`
 */
export function bootstrap(
  theta: Float64Array,
  inverse: Float64Array,
  packed: PackedResults | undefined,
  votes: Votes | undefined,
  options: { replicates: number; stream: Key; tie?: TieRule; tolerance?: number; weights?: ArrayLike<number> },
): Bootstrap {
  const { replicates, stream, tie = "one-each", tolerance = 0, weights } = options
  const m = theta.length
  const all = new Float64Array(replicates * m)
  let usable = 0
  const tally = votes === undefined ? undefined : voteTally(votes)
  for (let r = 0; r < replicates; r++) {
    const counts = emptyCounts(m)
    if (packed !== undefined && packed.results.samples > 0) {
      const n = packed.results.samples
      const times = new Float64Array(n)
      const draw = derive(stream, "samples", r)
      for (let k = 0; k < n; k++) times[integer(draw, n, k)]!++
      if (weights !== undefined) for (let s = 0; s < n; s++) times[s]! *= weights[s]!
      addPackedCounts(counts, packed, { weights: times, tolerance })
    }
    if (tally !== undefined) addResampledVotes(counts, tally, derive(stream, "votes", r))
    const wins = applyTieRule(counts, tie)
    const connectivity = connectivityOfWins(wins, m)
    if (connectivity.components.length !== 1 || connectivity.unranked.length > 0) continue
    all.set(fitNear(wins, theta, inverse).theta, usable * m)
    usable++
  }
  return { replicates, unidentifiable: replicates - usable, theta: all.slice(0, usable * m), usable }
}

/** Votes as counts of (pair, outcome); only cells that occur. */
interface VoteTally {
  readonly a: Int32Array
  readonly b: Int32Array
  readonly outcome: Int8Array
  readonly count: Float64Array
  readonly total: number
}

function voteTally(votes: Votes): VoteTally {
  const m = votes.competitors
  const cells = new Float64Array(3 * m * m)
  for (let i = 0; i < votes.outcome.length; i++) {
    const l = votes.left[i]!
    const r = votes.right[i]!
    const a = Math.min(l, r)
    const b = Math.max(l, r)
    const o = l < r ? votes.outcome[i]! : -votes.outcome[i]!
    cells[3 * (a * m + b) + o + 1]!++
  }
  let used = 0
  for (let c = 0; c < cells.length; c++) if (cells[c]! > 0) used++
  const tally = {
    a: new Int32Array(used),
    b: new Int32Array(used),
    outcome: new Int8Array(used),
    count: new Float64Array(used),
  }
  let to = 0
  for (let c = 0; c < cells.length; c++) {
    if (cells[c] === 0) continue
    const pair = Math.floor(c / 3)
    tally.a[to] = Math.floor(pair / m)
    tally.b[to] = pair % m
    tally.outcome[to] = (c % 3) - 1
    tally.count[to++] = cells[c]!
  }
  return { ...tally, total: votes.outcome.length }
}

/** A multinomial resample of all votes, cell by cell as conditional binomials. */
function addResampledVotes(
  into: { competitors: number; wins: Float64Array; ties: Float64Array },
  tally: VoteTally,
  stream: Key,
): void {
  const m = into.competitors
  let left = tally.total
  let mass = tally.total
  for (let c = 0; c < tally.count.length && left > 0; c++) {
    const share = tally.count[c]! / mass
    const n = share >= 1 ? left : binomial(left, share, uniform53(stream, c))
    mass -= tally.count[c]!
    left -= n
    const a = tally.a[c]!
    const b = tally.b[c]!
    const o = tally.outcome[c]!
    if (o > 0) into.wins[a * m + b]! += n
    else if (o < 0) into.wins[b * m + a]! += n
    else {
      into.ties[a * m + b]! += n
      into.ties[b * m + a]! += n
    }
  }
}

function uniform53(stream: Key, index: number): number {
  return (uniform(stream, 2 * index) * 2 ** 24 + uniform(stream, 2 * index + 1) + 2 ** -25) / 2 ** 24
}

const smallLogFactorials = new Float64Array(1024)
for (let n = 2; n < smallLogFactorials.length; n++) smallLogFactorials[n] = smallLogFactorials[n - 1]! + Math.log(n)

/** ln n!, by Stirling's series beyond a table. */
function logFactorial(n: number): number {
  if (n < smallLogFactorials.length) return smallLogFactorials[n]!
  const x = n + 1
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * x) - 1 / (360 * x ** 3)
}

/**
 * The binomial quantile-like draw for one uniform number: probabilities are taken off outward from the mode, where
 * most of the mass is, so the expected time is O(√(n p q)).
 */
export function binomial(n: number, p: number, u: number): number {
  if (p <= 0 || n === 0) return 0
  if (p >= 1) return n
  const mode = Math.min(n, Math.floor((n + 1) * p))
  const odds = p / (1 - p)
  const peak = Math.exp(
    logFactorial(n) - logFactorial(mode) - logFactorial(n - mode) + mode * Math.log(p) + (n - mode) * Math.log1p(-p),
  )
  let rest = u - peak
  if (rest < 0) return mode
  let below = peak
  let above = peak
  for (let d = 1; d <= n; d++) {
    const low = mode - d
    if (low >= 0) {
      below *= (low + 1) / ((n - low) * odds)
      rest -= below
      if (rest < 0) return low
    }
    const high = mode + d
    if (high <= n) {
      above *= ((n - high + 1) * odds) / high
      rest -= above
      if (rest < 0) return high
    }
    // Nothing but rounding is left in both tails.
    if (below < 1e-300 && above < 1e-300) break
  }
  return mode
}
