/** Simpler rankings beside Bradley–Terry, and the published chain pipelines. Every score: larger is better. */
import { derive, type Key, permutation } from "@exp/random"
import type { Counts } from "./counts.ts"
import { NotConverged, RankingInputError } from "./errors.ts"
import type { Results, Votes } from "./results.ts"

/** Mean of the observed values of each competitor (larger better, as stored); NaN for one without any. */
export function meanObserved(results: Results): Float64Array {
  const sum = new Float64Array(results.competitors)
  const count = new Float64Array(results.competitors)
  for (let e = 0; e < results.value.length; e++) {
    sum[results.competitor[e]!]! += results.value[e]!
    count[results.competitor[e]!]!++
  }
  return sum.map((s, a) => s / count[a]!)
}

/** Mean of each competitor on each data set: result[d][a], NaN where nothing was observed. */
export function meanByDataset(results: Results, dataset: ArrayLike<number>, datasets: number): Float64Array[] {
  const sums = Array.from({ length: datasets }, () => new Float64Array(results.competitors))
  const counts = Array.from({ length: datasets }, () => new Float64Array(results.competitors))
  for (let s = 0; s < results.samples; s++) {
    for (let e = results.start[s]!; e < results.start[s + 1]!; e++) {
      sums[dataset[s]!]![results.competitor[e]!]! += results.value[e]!
      counts[dataset[s]!]![results.competitor[e]!]!++
    }
  }
  return sums.map((sum, d) => sum.map((x, a) => x / counts[d]![a]!))
}

/** The published reference of mixed pools: means by data set, one min-max over all of them, mean over data sets. */
export function globalMinMax(means: readonly Float64Array[]): Float64Array {
  const seen = means.flatMap((row) => Array.from(row).filter((x) => !Number.isNaN(x)))
  const low = Math.min(...seen)
  const high = Math.max(...seen)
  return averageOver(means.map((row) => row.map((x) => (x - low) / (high - low))))
}

/** The better reference of mixed pools: z-scores inside each data set, mean over data sets. */
export function meanOfZScores(means: readonly Float64Array[]): Float64Array {
  return averageOver(
    means.map((row) => {
      const seen = Array.from(row).filter((x) => !Number.isNaN(x))
      const mean = seen.reduce((s, x) => s + x, 0) / seen.length
      const sd = Math.sqrt(seen.reduce((s, x) => s + (x - mean) ** 2, 0) / seen.length)
      return row.map((x) => (sd > 0 ? (x - mean) / sd : Number.isNaN(x) ? Number.NaN : 0))
    }),
  )
}

function averageOver(rows: readonly Float64Array[]): Float64Array {
  return rows[0]!.map((_, a) => {
    const seen = rows.map((row) => row[a]!).filter((x) => !Number.isNaN(x))
    return seen.reduce((s, x) => s + x, 0) / seen.length
  })
}

export interface EloOptions {
  readonly k?: number
  readonly scale?: number
  readonly base?: number
  readonly initial?: number
  /** Order of the samples; as stored by default. Inside a sample pairs go i < j, lexicographically. */
  readonly order?: ArrayLike<number>
}

/** Sequential Elo: r_a += K (s − e), e = 1/(1 + base^((r_b − r_a)/scale)), tie = 0.5. The result depends on the order. */
export function elo(results: Results, options: EloOptions = {}): Float64Array {
  const rate = eloRate(options)
  const ratings = new Float64Array(results.competitors).fill(options.initial ?? 1000)
  const { start, competitor, value } = results
  const count = options.order?.length ?? results.samples
  for (let k = 0; k < count; k++) {
    const s = options.order === undefined ? k : options.order[k]!
    for (let e = start[s]!; e < start[s + 1]!; e++) {
      for (let f = e + 1; f < start[s + 1]!; f++) {
        rate(ratings, competitor[e]!, competitor[f]!, value[e]! > value[f]! ? 1 : value[e]! < value[f]! ? 0 : 0.5)
      }
    }
  }
  return ratings
}

/** Sequential Elo over votes in their order. */
export function eloVotes(votes: Votes, options: EloOptions = {}): Float64Array {
  const rate = eloRate(options)
  const ratings = new Float64Array(votes.competitors).fill(options.initial ?? 1000)
  const count = options.order?.length ?? votes.outcome.length
  for (let k = 0; k < count; k++) {
    const i = options.order === undefined ? k : options.order[k]!
    rate(ratings, votes.left[i]!, votes.right[i]!, (votes.outcome[i]! + 1) / 2)
  }
  return ratings
}

function eloRate(options: EloOptions): (ratings: Float64Array, a: number, b: number, score: number) => void {
  const { k = 4, scale = 400, base = 10 } = options
  const slope = Math.log(base) / scale
  return (ratings, a, b, score) => {
    const expected = 1 / (1 + Math.exp((ratings[b]! - ratings[a]!) * slope))
    const change = k * (score - expected)
    ratings[a]! += change
    ratings[b]! -= change
  }
}

/** Elo averaged over random orders of the samples. */
export function eloAveraged(results: Results, stream: Key, orders = 10, options: EloOptions = {}): Float64Array {
  const mean = new Float64Array(results.competitors)
  for (let o = 0; o < orders; o++) {
    const ratings = elo(results, { ...options, order: permutation(derive(stream, o), results.samples) })
    for (let a = 0; a < mean.length; a++) mean[a]! += ratings[a]! / orders
  }
  return mean
}

/** Strengths on the Elo scale of the chat arenas: θ · 400 / ln 10 + 1000. */
export function toEloScale(theta: ArrayLike<number>): Float64Array {
  return Float64Array.from(theta, (t) => (t * 400) / Math.LN10 + 1000)
}

/** Borda: the total number of wins. */
export function borda(counts: Counts): Float64Array {
  return totals(counts, 1, 0, 0)
}

/** Dowdall as published: one a win, half a loss, three quarters a tie. */
export function dowdall(counts: Counts): Float64Array {
  return totals(counts, 1, 0.5, 0.75)
}

function totals(counts: Counts, win: number, loss: number, tie: number): Float64Array {
  const m = counts.competitors
  const sum = new Float64Array(m)
  for (let a = 0; a < m; a++) {
    for (let b = 0; b < m; b++) {
      sum[a]! += win * counts.wins[a * m + b]! + loss * counts.wins[b * m + a]! + tie * counts.ties[a * m + b]!
    }
  }
  return sum
}

const reducible = "the chain is reducible: it has no unique, positive stationary distribution; test connectivity first"

/**
 * Stationary distribution of a continuous-time chain from its off-diagonal rates (rate[i·M + j] from i to j), by the
 * elimination of Grassmann, Taksar and Heyman: no subtraction, so full relative precision.
 * @throws RankingInputError when the chain is reducible
 */
export function stationary(rates: Float64Array, m: number): Float64Array {
  const q = Float64Array.from(rates)
  const leaving = new Float64Array(m)
  for (let n = m - 1; n > 0; n--) {
    let out = 0
    for (let j = 0; j < n; j++) out += q[n * m + j]!
    if (!(out > 0)) throw new RankingInputError(reducible)
    leaving[n] = out
    for (let i = 0; i < n; i++) {
      const share = q[i * m + n]! / out
      if (share === 0) continue
      for (let j = 0; j < n; j++) if (j !== i) q[i * m + j]! += share * q[n * m + j]!
    }
  }
  const pi = new Float64Array(m)
  pi[0] = 1
  let sum = 1
  for (let n = 1; n < m; n++) {
    let inflow = 0
    for (let i = 0; i < n; i++) inflow += pi[i]! * q[i * m + n]!
    pi[n] = inflow / leaving[n]!
    sum += pi[n]!
  }
  if (pi.some((x) => !(x > 0))) throw new RankingInputError(reducible)
  return pi.map((x) => x / sum)
}

export interface ChainOptions {
  /** Added to every rate: a uniform pseudo-flow. 0 by default; it must not be used to hide a disconnected graph. */
  readonly alpha?: number
  /** Rounds: 1 is LSR; Infinity (default) iterates to the fixed point. */
  readonly rounds?: number
  readonly start?: ArrayLike<number>
}

/** Rates of the chain for strengths w, added into `rates` (loser to winner). */
export type Rates = (w: Float64Array, rates: Float64Array) => void

/** Rates of pairwise wins: A[a,b] / (w_a + w_b) from b to a (Maystre and Grossglauser 2015). */
export function pairRates(wins: Float64Array, m: number): Rates {
  return (w, rates) => {
    for (let a = 0; a < m; a++) {
      for (let b = 0; b < m; b++) if (a !== b) rates[b * m + a]! += wins[a * m + b]! / (w[a]! + w[b]!)
    }
  }
}

/** One observation: the winner out of a set. */
export interface TopOne {
  readonly winner: number
  readonly losers: readonly number[]
}

/** Rates of top-1 lists: 1 / (w_winner + Σ w_losers) from each loser to the winner. */
export function topOneRates(lists: readonly TopOne[], m: number): Rates {
  return (w, rates) => {
    for (const { winner, losers } of lists) {
      let sum = w[winner]!
      for (const loser of losers) sum += w[loser]!
      for (const loser of losers) rates[loser * m + winner]! += 1 / sum
    }
  }
}

/** Top-1 lists of full or partial rankings (best first): stage k is won by item k against all later items. */
export function rankingLists(rankings: readonly (readonly number[])[]): TopOne[] {
  return rankings.flatMap((ranking) =>
    ranking.slice(0, -1).map((winner, k) => ({ winner, losers: ranking.slice(k + 1) })),
  )
}

/**
 * The published top-1 lists of results: every member of the set of the highest value beats all strictly lower ones,
 * then the next set, and so on; ties inside a set are ignored. Binary samples give one list for each competitor with 1.
 */
export function topOneLists(results: Results): TopOne[] {
  const lists: TopOne[] = []
  for (let s = 0; s < results.samples; s++) {
    const entries: [number, number][] = []
    for (let e = results.start[s]!; e < results.start[s + 1]!; e++)
      entries.push([results.competitor[e]!, results.value[e]!])
    for (const level of [...new Set(entries.map((x) => x[1]))].sort((x, y) => y - x)) {
      const losers = entries.filter((x) => x[1] < level).map((x) => x[0])
      if (losers.length === 0) continue
      for (const [winner, value] of entries) if (value === level) lists.push({ winner, losers })
    }
  }
  return lists
}

/**
 * (Iterative) Luce spectral ranking: θ = ln of the stationary distribution of the chain, mean 0, repeated from the new
 * strengths (w rescaled to sum M) until the L1 change is at most 1e-8 · M.
 *
 * @throws NotConverged after 100 rounds when iterating to the fixed point; RankingInputError for a reducible chain
 */
export function luceSpectral(
  rates: Rates,
  m: number,
  options: ChainOptions = {},
): { theta: Float64Array; rounds: number } {
  const { alpha = 0, rounds = Infinity } = options
  let theta = options.start === undefined ? new Float64Array(m) : Float64Array.from(options.start)
  let change = Infinity
  for (let round = 1; round <= Math.min(rounds, 100); round++) {
    const w = theta.map(Math.exp)
    const scale = m / w.reduce((s, x) => s + x, 0)
    for (let a = 0; a < m; a++) w[a]! *= scale
    const chain = new Float64Array(m * m)
    rates(w, chain)
    // Alpha on the diagonal has no effect: row sums take it off again.
    for (let k = 0; k < chain.length; k++) chain[k]! += alpha
    const next = stationary(chain, m).map(Math.log)
    const mean = next.reduce((s, x) => s + x, 0) / m
    change = 0
    for (let a = 0; a < m; a++) {
      next[a]! -= mean
      change += Math.abs(next[a]! - theta[a]!)
    }
    theta = next
    if (round === rounds || change <= 1e-8 * m) return { theta, rounds: round }
  }
  throw new NotConverged(100, change)
}
