/**
 * Statistics of arms over seeds: interval of a mean, paired comparison of two arms, correction for many comparisons.
 *
 * Pairs are seeds: the same seed gives two arms the same data order and the same initial values, so differences within
 * a seed vary less than the arms themselves.
 */
import { integer, key } from "@exp/random"
import { logGamma, noncentralTCdf, normalCdf, tCdf, tQuantile } from "./distributions.ts"

/** Values that a statistic cannot be computed from. `position` is the index of the offending value when there is one. */
export class ComparisonInputError extends Error {
  readonly _tag = "ComparisonInputError"
  readonly position: number | undefined
  constructor(message: string, position?: number) {
    super(message)
    this.name = "ComparisonInputError"
    this.position = position
  }
}

export interface MeanInterval {
  readonly n: number
  readonly mean: number
  /** Sample standard deviation (n − 1); NaN for n = 1. */
  readonly sd: number
  /** Ends of the interval; −Infinity and Infinity for n = 1, where one value says nothing about the spread. */
  readonly low: number
  readonly high: number
  readonly level: number
}

function checkFinite(values: ArrayLike<number>, what: string): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i]!)) {
      throw new ComparisonInputError(
        `${what} needs finite numbers, got ${values[i]} at position ${i}; leave failed runs out`,
        i,
      )
    }
  }
}

function checkLevel(level: number): void {
  if (!(level > 0 && level < 1)) throw new ComparisonInputError(`a level lies between 0 and 1, got ${level}`)
}

function moments(values: ArrayLike<number>): { mean: number; sd: number } {
  const n = values.length
  let sum = 0
  for (let i = 0; i < n; i++) sum += values[i]!
  const mean = sum / n
  let squares = 0
  let rest = 0
  for (let i = 0; i < n; i++) {
    const d = values[i]! - mean
    squares += d * d
    rest += d
  }
  // The corrected two-pass formula: `rest` would be zero without rounding. Equal values have no spread at all: what is
  // left then is rounding of the mean, which must not become a tiny spread and a huge t.
  const variance = n > 1 ? Math.max(0, (squares - (rest * rest) / n) / (n - 1)) : Number.NaN
  let equal = true
  for (let i = 1; i < n && equal; i++) equal = values[i] === values[0]
  return equal && n > 1 ? { mean: values[0]!, sd: 0 } : { mean, sd: Math.sqrt(variance) }
}

/**
 * Mean of `values` with its Student t interval: mean ± t(n−1) · sd / √n.
 *
 * @param level coverage, 0.95 by default
 * @throws ComparisonInputError for no values, a value that is not finite, or a level outside (0, 1)
 */
export function meanInterval(values: ArrayLike<number>, level = 0.95): MeanInterval {
  checkLevel(level)
  checkFinite(values, "an interval")
  const n = values.length
  if (n === 0) throw new ComparisonInputError("an interval needs at least one value")
  const { mean, sd } = moments(values)
  if (n === 1) return { n, mean, sd: Number.NaN, low: -Infinity, high: Infinity, level }
  const half = (tQuantile((1 + level) / 2, n - 1) * sd) / Math.sqrt(n)
  return { n, mean, sd, low: mean - half, high: mean + half, level }
}

export interface PairedOptions {
  /** Coverage of both intervals, 0.95 by default. */
  readonly level?: number
  /** Resamples of the bootstrap interval, 10,000 by default; 0 leaves it out. */
  readonly resamples?: number
  /** Seed of the bootstrap, 0 by default. */
  readonly seed?: number
  /** Wanted power of the seeds-needed estimate, 0.8 by default. */
  readonly power?: number
}

export interface PairedComparison {
  /** Number of pairs. */
  readonly n: number
  /** Mean of a − b. */
  readonly difference: number
  readonly sd: number
  /** Student t interval of the mean difference. */
  readonly low: number
  readonly high: number
  readonly level: number
  /**
   * Two pairs or more whose differences are all the same, up to rounding. They have no spread that a t test could
   * compare their mean with; all they show is how often the sign came out alike.
   */
  readonly identical: boolean
  /**
   * The paired t statistic and its two-sided p; NaN for one pair. For identical differences t is 0 or infinite, and p is
   * that of the signed-rank test, which is the sign test then: 2 / 2ⁿ.
   */
  readonly t: number
  readonly pValue: number
  /** Wilcoxon signed-rank test, two-sided; zero differences are left out, ties take mid-ranks. */
  readonly wilcoxon: {
    readonly statistic: number
    readonly pValue: number
    readonly exact: boolean
    readonly n: number
  }
  /** Percentile interval of the mean over seeded resamples of the pairs; too narrow below about ten pairs. */
  readonly bootstrap: { readonly low: number; readonly high: number; readonly resamples: number } | undefined
  /** Standardised mean difference: `cohen` = difference / sd (d_z); `hedges` is it without its small-sample bias. */
  readonly effect: { readonly cohen: number; readonly hedges: number }
  /** Smallest number of pairs with which a two-sided t test at 1 − level sees this d_z with the wanted power. */
  readonly seedsNeeded: number
}

/**
 * Paired comparison of two arms: element i of `a` and of `b` come from the same seed. Positive differences mean that
 * `a` is larger.
 *
 * @throws ComparisonInputError for different lengths, no pairs, or values that are not finite
 */
export function pairedComparison(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  options: PairedOptions = {},
): PairedComparison {
  const { level = 0.95, resamples = 10_000, seed = 0, power = 0.8 } = options
  if (a.length !== b.length) {
    throw new ComparisonInputError(
      `a paired comparison needs as many values on both sides, got ${a.length} and ${b.length}`,
    )
  }
  checkFinite(a, "a paired comparison")
  checkFinite(b, "a paired comparison")
  const differences = new Float64Array(a.length)
  for (let i = 0; i < a.length; i++) differences[i] = a[i]! - b[i]!
  const identical = sameUpToRounding(differences, a, b)
  if (identical) differences.fill(differences[0]!)
  const interval = meanInterval(differences, level)
  const n = differences.length
  const { mean, sd } = interval
  const t = n < 2 ? Number.NaN : sd === 0 ? (mean === 0 ? 0 : Math.sign(mean) * Infinity) : mean / (sd / Math.sqrt(n))
  const wilcoxon = wilcoxonSignedRank(differences)
  const pValue = n < 2 ? Number.NaN : identical ? wilcoxon.pValue : Math.min(1, 2 * tCdf(-Math.abs(t), n - 1))
  const cohen = n < 2 ? Number.NaN : sd === 0 ? (mean === 0 ? 0 : Math.sign(mean) * Infinity) : mean / sd
  return {
    n,
    difference: mean,
    sd,
    low: interval.low,
    high: interval.high,
    level,
    identical,
    t,
    pValue,
    wilcoxon,
    bootstrap: resamples > 0 && n > 1 ? bootstrapMean(differences, level, resamples, seed) : undefined,
    effect: { cohen, hedges: cohen * hedgesCorrection(n - 1) },
    seedsNeeded: n < 2 ? Number.NaN : pairsNeeded(cohen, { alpha: 1 - level, power }),
  }
}

/** Two differences or more that are equal but for the rounding of the subtraction. */
function sameUpToRounding(differences: Float64Array, a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (differences.length < 2) return false
  let least = Number.POSITIVE_INFINITY
  let most = Number.NEGATIVE_INFINITY
  let scale = 0
  for (let i = 0; i < differences.length; i++) {
    least = Math.min(least, differences[i]!)
    most = Math.max(most, differences[i]!)
    scale = Math.max(scale, Math.abs(a[i]!), Math.abs(b[i]!))
  }
  return most - least <= 4 * Number.EPSILON * scale
}

/** The exact factor J(m) = Γ(m/2) / (√(m/2) Γ((m−1)/2)) that removes the bias of Cohen's d (Hedges 1981). */
export function hedgesCorrection(degrees: number): number {
  if (!(degrees > 1)) return Number.NaN
  return Math.exp(logGamma(degrees / 2) - logGamma((degrees - 1) / 2)) / Math.sqrt(degrees / 2)
}

/**
 * Wilcoxon's signed-rank test of differences around zero, two-sided. Zero differences are left out (Wilcoxon's rule),
 * equal sizes share the mean of their ranks. Up to 50 differences the p-value is exact, counted over all sign patterns
 * with the ranks as they are (ties included); beyond, the normal approximation with the tie correction.
 *
 * @returns `statistic` = the smaller of the rank sums of positive and negative differences; `n` = differences not zero
 */
export function wilcoxonSignedRank(differences: ArrayLike<number>): PairedComparison["wilcoxon"] {
  checkFinite(differences, "the signed-rank test")
  const kept = Array.from(differences).filter((d) => d !== 0)
  const n = kept.length
  if (n === 0) return { statistic: 0, pValue: 1, exact: true, n: 0 }
  kept.sort((x, y) => Math.abs(x) - Math.abs(y))
  // Ranks are doubled so that mid-ranks are whole numbers.
  const doubled = new Int32Array(n)
  let tieTerm = 0
  for (let start = 0; start < n; ) {
    let end = start
    while (end < n && Math.abs(kept[end]!) === Math.abs(kept[start]!)) end++
    for (let i = start; i < end; i++) doubled[i] = start + 1 + end
    const size = end - start
    tieTerm += size * size * size - size
    start = end
  }
  let positive = 0
  for (let i = 0; i < n; i++) if (kept[i]! > 0) positive += doubled[i]!
  const total = n * (n + 1)
  const smaller = Math.min(positive, total - positive)
  if (n <= 50) {
    // probability[s] of the doubled rank sum of positive signs when every sign is a fair coin
    const probability = new Float64Array(total + 1)
    probability[0] = 1
    let reach = 0
    for (let i = 0; i < n; i++) {
      const r = doubled[i]!
      reach += r
      for (let s = reach; s >= 0; s--) probability[s] = 0.5 * probability[s]! + (s >= r ? 0.5 * probability[s - r]! : 0)
    }
    let tail = 0
    for (let s = 0; s <= smaller; s++) tail += probability[s]!
    return { statistic: smaller / 2, pValue: Math.min(1, 2 * tail), exact: true, n }
  }
  const variance = (n * (n + 1) * (2 * n + 1)) / 24 - tieTerm / 48
  const z = (smaller / 2 - total / 4) / Math.sqrt(variance)
  return { statistic: smaller / 2, pValue: Math.min(1, 2 * normalCdf(z)), exact: false, n }
}

/** Percentile bootstrap interval of the mean: `resamples` draws of n values with replacement, from a seeded stream. */
export function bootstrapMean(
  values: ArrayLike<number>,
  level: number,
  resamples: number,
  seed: number,
): { low: number; high: number; resamples: number } {
  checkLevel(level)
  checkFinite(values, "a bootstrap")
  const n = values.length
  if (n === 0) throw new ComparisonInputError("a bootstrap needs at least one value")
  const stream = key(seed, "paired-bootstrap")
  const means = new Float64Array(resamples)
  let draw = 0
  for (let r = 0; r < resamples; r++) {
    let sum = 0
    for (let i = 0; i < n; i++) sum += values[integer(stream, n, draw++)]!
    means[r] = sum / n
  }
  means.sort()
  return { low: quantileSorted(means, (1 - level) / 2), high: quantileSorted(means, (1 + level) / 2), resamples }
}

/** The q-quantile of ascending values by linear interpolation between order statistics (Hyndman and Fan's type 7). */
export function quantileSorted(sorted: ArrayLike<number>, q: number): number {
  const at = q * (sorted.length - 1)
  const low = Math.floor(at)
  const high = Math.min(low + 1, sorted.length - 1)
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!)
}

/** Power of the two-sided paired t test with `n` pairs when the true standardised difference is `effect`. */
export function pairedPower(effect: number, n: number, alpha = 0.05): number {
  const critical = tQuantile(1 - alpha / 2, n - 1)
  const shift = Math.abs(effect) * Math.sqrt(n)
  if (shift === 0) return alpha
  // Far out the distribution is a step; the series of the library does not converge there.
  if (shift > 30) return 1
  return 1 - noncentralTCdf(critical, n - 1, shift) + noncentralTCdf(-critical, n - 1, shift)
}

/**
 * The smallest number of pairs, at least 2, with which a two-sided paired t test has the wanted power for a true
 * standardised difference `effect` (d_z). Infinity for no difference or for more than 100,000 pairs. An estimate from
 * few seeds is itself uncertain: take it as an order of magnitude.
 */
export function pairsNeeded(effect: number, options: { alpha?: number; power?: number } = {}): number {
  const { alpha = 0.05, power = 0.8 } = options
  if (Number.isNaN(effect))
    throw new ComparisonInputError("the number of seeds needed is not defined for an effect of NaN")
  if (effect === 0) return Infinity
  if (!Number.isFinite(effect)) return 2
  let high = 2
  while (pairedPower(effect, high, alpha) < power) {
    high *= 2
    if (high > 100_000) return Infinity
  }
  let low = high / 2
  if (high === 2) return 2
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (pairedPower(effect, middle, alpha) < power) low = middle
    else high = middle
  }
  return high
}

/**
 * Holm's step-down correction: adjusted p-values in the order given, each at most 1; rejecting those ≤ α keeps the
 * probability of any false rejection at most α whatever the dependence. NaN entries (no test) stay NaN and do not count.
 */
export function holm(pValues: ArrayLike<number>): Float64Array {
  const adjusted = new Float64Array(pValues.length).fill(Number.NaN)
  const order: number[] = []
  for (let i = 0; i < pValues.length; i++) {
    const p = pValues[i]!
    if (Number.isNaN(p)) continue
    if (p < 0 || p > 1) throw new ComparisonInputError(`a p-value lies between 0 and 1, got ${p} at position ${i}`, i)
    order.push(i)
  }
  order.sort((x, y) => pValues[x]! - pValues[y]!)
  let running = 0
  for (let k = 0; k < order.length; k++) {
    const i = order[k]!
    running = Math.max(running, Math.min(1, (order.length - k) * pValues[i]!))
    adjusted[i] = running
  }
  return adjusted
}
