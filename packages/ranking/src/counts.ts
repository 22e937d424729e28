/**
 * Win and tie counts of every pair of competitors.
 *
 * Two kernels: samples with at most two distinct values on dense data are packed into bits, 32 samples a word, and
 * counted by population counts; everything else by a loop over the pairs inside each sample. Both give whole numbers
 * exactly (weights aside), so they agree to the last bit.
 */
import { RankingInputError } from "./errors.ts"
import type { Results, Votes } from "./results.ts"

/** What a tie counts: a full win for each side (the published rule), half a win for each, or nothing. */
export type TieRule = "one-each" | "half" | "drop"

/** wins[a·M + b] = weight with which a beat b; ties[a·M + b] = ties[b·M + a] = weight of their ties. */
export interface Counts {
  readonly competitors: number
  readonly wins: Float64Array
  readonly ties: Float64Array
}

export interface CountOptions {
  /** Values closer than or as close as this are ties; exact equality by default. */
  readonly tolerance?: number
  /** A weight for each sample, for instance its multiplicity in a resample. */
  readonly weights?: ArrayLike<number>
}

export function emptyCounts(competitors: number): Counts {
  return {
    competitors,
    wins: new Float64Array(competitors * competitors),
    ties: new Float64Array(competitors * competitors),
  }
}

/** Weight 1/(m−1) for a sample with m measurements: every measurement then weighs the same, not every pair. */
export function balancedWeights(results: Results): Float64Array {
  const weights = new Float64Array(results.samples)
  for (let s = 0; s < results.samples; s++) {
    const m = results.start[s + 1]! - results.start[s]!
    weights[s] = m > 1 ? 1 / (m - 1) : 0
  }
  return weights
}

/** A result set with its two-level samples packed in bits, prepared once and counted under many weightings. */
export interface PackedResults {
  readonly results: Results
  /** Samples in the bit planes, in order. */
  readonly packed: Int32Array
  /** Samples that need the pair loop. */
  readonly loose: Int32Array
  readonly words: number
  /** high[a·words + w]: bit k set when competitor a has the higher (or only) value on packed sample 32w + k. */
  readonly high: Int32Array
  readonly low: Int32Array
}

/** Decides which samples are worth packing, and packs them. */
export function packResults(results: Results, tolerance = 0): PackedResults {
  const { competitors, samples, start, competitor, value } = results
  if (!(tolerance >= 0)) throw new RankingInputError(`a tie tolerance is at least 0, got ${tolerance}`)
  const packed: number[] = []
  const loose: number[] = []
  let pairWork = 0
  for (let s = 0; s < samples; s++) {
    const from = start[s]!
    const to = start[s + 1]!
    if (to - from < 2) continue
    const first = value[from]!
    let other = first
    let levels = 1
    for (let e = from + 1; e < to; e++) {
      const v = value[e]!
      if (v === first || v === other) continue
      if (levels === 2) {
        levels = 3
        break
      }
      other = v
      levels = 2
    }
    if (levels <= 2) {
      packed.push(s)
      pairWork += ((to - from) * (to - from - 1)) / 2
    } else loose.push(s)
  }
  // A word of 32 samples costs about four population counts a pair of competitors; the loop one comparison a pair.
  const bitWork = ((competitors * competitors) / 2) * (packed.length / 8)
  if (packed.length === 0 || bitWork > pairWork || tolerance > 0) {
    const all = [...packed, ...loose].sort((a, b) => a - b)
    return {
      results,
      packed: new Int32Array(0),
      loose: Int32Array.from(all),
      words: 0,
      high: new Int32Array(0),
      low: new Int32Array(0),
    }
  }
  const words = Math.ceil(packed.length / 32)
  const high = new Int32Array(competitors * words)
  const low = new Int32Array(competitors * words)
  for (let k = 0; k < packed.length; k++) {
    const from = start[packed[k]!]!
    const to = start[packed[k]! + 1]!
    let best = -Infinity
    for (let e = from; e < to; e++) if (value[e]! > best) best = value[e]!
    const word = k >>> 5
    const bit = 1 << (k & 31)
    for (let e = from; e < to; e++) {
      const at = competitor[e]! * words + word
      if (value[e]! === best) high[at]! |= bit
      else low[at]! |= bit
    }
  }
  return { results, packed: Int32Array.from(packed), loose: Int32Array.from(loose), words, high, low }
}

/** The number of set bits of a 32-bit word. */
function ones(word: number): number {
  let x = word - ((word >>> 1) & 0x55555555)
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333)
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}

/**
 * Counts of a packed result set added into `into`.
 * @param weights non-negative whole numbers for the bit planes (multiplicities); any numbers make the loop do the work
 */
export function addPackedCounts(into: Counts, set: PackedResults, options: CountOptions = {}): void {
  const { weights, tolerance = 0 } = options
  if (set.words > 0) {
    const planes = weights === undefined ? [undefined] : weightPlanes(set, weights)
    if (planes === undefined) addLooseCounts(into, set.results, set.packed, weights, tolerance)
    else {
      let scale = 1
      for (const plane of planes) {
        addBitCounts(into, set, plane, scale)
        scale *= 2
      }
    }
  }
  addLooseCounts(into, set.results, set.loose, weights, tolerance)
}

/** Whole weights below 2¹⁶ as binary digits, one bit plane each; undefined for other weights. */
function weightPlanes(set: PackedResults, weights: ArrayLike<number>): Int32Array[] | undefined {
  let most = 0
  for (let k = 0; k < set.packed.length; k++) {
    const w = weights[set.packed[k]!]!
    if (!(Number.isInteger(w) && w >= 0 && w < 65_536)) return undefined
    if (w > most) most = w
  }
  const planes: Int32Array[] = []
  for (let digit = 1; digit <= most; digit *= 2) {
    const plane = new Int32Array(set.words)
    for (let k = 0; k < set.packed.length; k++) {
      if (weights[set.packed[k]!]! & digit) plane[k >>> 5]! |= 1 << (k & 31)
    }
    planes.push(plane)
  }
  return planes
}

function addBitCounts(into: Counts, set: PackedResults, plane: Int32Array | undefined, scale: number): void {
  const { words, high, low } = set
  const m = into.competitors
  let maskedHigh = high
  let maskedLow = low
  if (plane !== undefined) {
    maskedHigh = new Int32Array(high.length)
    maskedLow = new Int32Array(low.length)
    for (let a = 0; a < m; a++) {
      for (let w = 0; w < words; w++) {
        maskedHigh[a * words + w] = high[a * words + w]! & plane[w]!
        maskedLow[a * words + w] = low[a * words + w]! & plane[w]!
      }
    }
  }
  for (let a = 0; a < m; a++) {
    const rowA = a * words
    for (let b = a + 1; b < m; b++) {
      const rowB = b * words
      let won = 0
      let lost = 0
      let tied = 0
      for (let w = 0; w < words; w++) {
        const ha = maskedHigh[rowA + w]!
        const la = maskedLow[rowA + w]!
        const hb = high[rowB + w]!
        const lb = low[rowB + w]!
        won += ones(ha & lb)
        lost += ones(la & hb)
        // Both high and both low exclude each other, so one count covers both kinds of tie.
        tied += ones((ha & hb) | (la & lb))
      }
      into.wins[a * m + b]! += scale * won
      into.wins[b * m + a]! += scale * lost
      into.ties[a * m + b]! += scale * tied
      into.ties[b * m + a]! += scale * tied
    }
  }
}

function addLooseCounts(
  into: Counts,
  results: Results,
  which: Int32Array,
  weights: ArrayLike<number> | undefined,
  tolerance: number,
): void {
  if (which.length === 0) return
  const m = into.competitors
  const { start, competitor, value } = results
  const { wins, ties } = into
  const upper = new Float64Array(m * m)
  for (let k = 0; k < which.length; k++) {
    const s = which[k]!
    const weight = weights === undefined ? 1 : weights[s]!
    if (weight === 0) continue
    const to = start[s + 1]!
    for (let e = start[s]!; e < to; e++) {
      const a = competitor[e]!
      const row = a * m
      const x = value[e]!
      for (let f = e + 1; f < to; f++) {
        const b = competitor[f]!
        const y = value[f]!
        if (x === y || Math.abs(x - y) <= tolerance) upper[row + b]! += weight
        else if (x > y) wins[row + b]! += weight
        else wins[b * m + a]! += weight
      }
    }
  }
  for (let a = 0; a < m; a++) {
    for (let b = a + 1; b < m; b++) {
      const t = upper[a * m + b]!
      ties[a * m + b]! += t
      ties[b * m + a]! += t
    }
  }
}

/** The counts of all pairs inside every sample. Time O(Σ m²) or O(M² N/32); memory O(M²). */
export function countResults(results: Results, options: CountOptions = {}): Counts {
  const counts = emptyCounts(results.competitors)
  addPackedCounts(counts, packResults(results, options.tolerance), options)
  return counts
}

/** Votes added into counts. */
export function addVotes(into: Counts, votes: Votes): void {
  const m = into.competitors
  const { left, right, outcome } = votes
  for (let i = 0; i < outcome.length; i++) {
    const a = left[i]!
    const b = right[i]!
    const o = outcome[i]!
    if (o > 0) into.wins[a * m + b]!++
    else if (o < 0) into.wins[b * m + a]!++
    else {
      into.ties[a * m + b]!++
      into.ties[b * m + a]!++
    }
  }
}

export function countVotes(votes: Votes): Counts {
  const counts = emptyCounts(votes.competitors)
  addVotes(counts, votes)
  return counts
}

/** A[a·M + b]: the wins of a over b that the fit sees under the tie rule. */
export function applyTieRule(counts: Counts, rule: TieRule): Float64Array {
  const share = rule === "one-each" ? 1 : rule === "half" ? 0.5 : 0
  const wins = Float64Array.from(counts.wins)
  if (share > 0) for (let k = 0; k < wins.length; k++) wins[k]! += share * counts.ties[k]!
  return wins
}

/** The number (or weight) of comparisons in the counts: wins and losses once, ties once. */
export function totalComparisons(counts: Counts): { wins: number; ties: number } {
  let wins = 0
  let ties = 0
  for (let k = 0; k < counts.wins.length; k++) {
    wins += counts.wins[k]!
    ties += counts.ties[k]!
  }
  return { wins, ties: ties / 2 }
}
