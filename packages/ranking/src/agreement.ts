/** How well two rankings of the same items agree. */
import { type Key, permutation } from "@exp/random"

/** Indices by falling value; equal values by name, so that the order is deterministic. Without names, by index. */
export function rankOrder(values: ArrayLike<number>, names?: readonly string[]): Int32Array {
  const order = Array.from({ length: values.length }, (_, i) => i)
  order.sort((x, y) => {
    const d = values[y]! - values[x]!
    if (d !== 0) return d
    return names === undefined ? x - y : names[x]! < names[y]! ? -1 : names[x]! > names[y]! ? 1 : x - y
  })
  return Int32Array.from(order)
}

/** Position of every item (0 = first) in an order. */
export function positionsOf(order: ArrayLike<number>): Int32Array {
  const position = new Int32Array(order.length)
  for (let k = 0; k < order.length; k++) position[order[k]!] = k
  return position
}

/**
 * Kendall's τ on rank positions: (concordant − discordant) pairs over all pairs, after breaking ties by name. This is
 * the published measure; it hides ties, which {@link kendallTauB} shows. O(n²). NaN for fewer than two items.
 */
export function kendallTau(x: ArrayLike<number>, y: ArrayLike<number>, names?: readonly string[]): number {
  const a = positionsOf(rankOrder(x, names))
  const b = positionsOf(rankOrder(y, names))
  const n = a.length
  let sum = 0
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) sum += a[i]! < a[j]! === b[i]! < b[j]! ? 1 : -1
  return (2 * sum) / (n * (n - 1))
}

/** Kendall's τ_b on values: (C − D) / √((P − ties in x)(P − ties in y)). NaN when one side is constant. O(n²). */
export function kendallTauB(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = x.length
  let sum = 0
  let pairsX = 0
  let pairsY = 0
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const dx = Math.sign(x[i]! - x[j]!)
      const dy = Math.sign(y[i]! - y[j]!)
      sum += dx * dy
      pairsX += Math.abs(dx)
      pairsY += Math.abs(dy)
    }
  }
  return sum / Math.sqrt(pairsX * pairsY)
}

/** |first k of x ∩ first k of y| / k, ties by name. */
export function topPrecision(x: ArrayLike<number>, y: ArrayLike<number>, k: number, names?: readonly string[]): number {
  const size = Math.min(k, x.length)
  const wanted = new Set(rankOrder(y, names).slice(0, size))
  let hits = 0
  for (const item of rankOrder(x, names).slice(0, size)) if (wanted.has(item)) hits++
  return hits / size
}

/**
 * Separability: the samples are split at random into halves, both are scored, and the share of pairs is returned that
 * both halves order the same way and as the full ranking does. Pairs tied in any of the three do not agree.
 *
 * @param score scores of all competitors from a list of sample numbers; NaN where there is none
 */
export function separability(
  samples: number,
  full: ArrayLike<number>,
  score: (chosen: Uint32Array) => ArrayLike<number>,
  stream: Key,
): number {
  const shuffled = permutation(stream, samples)
  const half = samples >> 1
  const first = score(shuffled.slice(0, half))
  const second = score(shuffled.slice(half))
  const n = full.length
  let same = 0
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const d = Math.sign(full[i]! - full[j]!)
      if (d !== 0 && Math.sign(first[i]! - first[j]!) === d && Math.sign(second[i]! - second[j]!) === d) same++
    }
  }
  return (2 * same) / (n * (n - 1))
}
