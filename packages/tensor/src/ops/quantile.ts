/** Quantiles and thresholds by order statistics. */
import * as tf from "@tensorflow/tfjs-core"
import { defineKernel, values } from "./registry.ts"
import { stopGradient } from "./stop-gradient.ts"

/** Where a quantile lies among sorted values: `sorted[lower] + fraction·(sorted[lower + 1] − sorted[lower])`. */
export interface QuantilePosition {
  /** 0-based rank, integer. */
  readonly lower: number
  /** In [0, 1). */
  readonly fraction: number
}

/**
 * The position `s·(n − 1)` of quantile `s` among `n` sorted values, in double precision: in float32 the product misses
 * integers for large n, and counts of survivors would be off by one.
 *
 * @throws RangeError unless 0 ≤ s ≤ 1 and n ≥ 1
 */
export function quantilePosition(s: number, n: number): QuantilePosition {
  if (!(s >= 0 && s <= 1) || !(n >= 1))
    throw new RangeError(`quantile: needs 0 ≤ s ≤ 1 of n ≥ 1 values, got ${s} of ${n}`)
  const position = s * (n - 1)
  // s is often 1 − v/n, whose product with n − 1 may fall short of an integer by rounding alone.
  const nearest = Math.round(position)
  if (Math.abs(position - nearest) <= 1e-9 * Math.max(1, position)) return { lower: nearest, fraction: 0 }
  const lower = Math.floor(position)
  return { lower, fraction: position - lower }
}

const kernel = defineKernel({
  name: "ExpQuantile",
  composite: ({ x, lower, fraction }) => {
    const n = x!.size
    // Descending order: rank r from below is index n − 1 − r.
    const sorted = tf.topk(tf.reshape(x!, [n]), n, true).values
    const at = tf.sub(tf.scalar(n - 1, "int32"), lower!)
    const above = tf.maximum(tf.sub(at, tf.scalar(1, "int32")), tf.scalar(0, "int32"))
    const a = tf.reshape(tf.gather(sorted, tf.cast(tf.reshape(at, [1]), "int32")), [])
    const b = tf.reshape(tf.gather(sorted, tf.cast(tf.reshape(above, [1]), "int32")), [])
    return tf.add(a, tf.mul(tf.sub(b, a), fraction!))
  },
  host: ({ x, lower, fraction }) => {
    const copy = Float32Array.from(values(x!))
    const rank = Math.min(Math.max(lower!.dataSync()[0]!, 0), copy.length - 1)
    const f = fraction!.dataSync()[0]!
    const a = select(copy, rank)
    if (f === 0 || rank + 1 >= copy.length) return tf.scalar(a)
    // Everything beyond `rank` is now ≥ a: the next order statistic is the least of it.
    let b = Number.POSITIVE_INFINITY
    for (let i = rank + 1; i < copy.length; i++) if (copy[i]! < b) b = copy[i]!
    return tf.scalar(a + (b - a) * f)
  },
})

/** Quickselect with a median-of-three pivot: moves the k-th smallest to index k, smaller ones before it. */
function select(xs: Float32Array, k: number): number {
  let lo = 0
  let hi = xs.length - 1
  while (lo < hi) {
    const x = xs[lo]!
    const y = xs[(lo + hi) >> 1]!
    const z = xs[hi]!
    const pivot = Math.max(Math.min(x, y), Math.min(Math.max(x, y), z))
    let i = lo
    let j = hi
    while (i <= j) {
      while (xs[i]! < pivot) i++
      while (xs[j]! > pivot) j--
      if (i <= j) {
        const held = xs[i]!
        xs[i++] = xs[j]!
        xs[j--] = held
      }
    }
    if (k <= j) hi = j
    else if (k >= i) lo = i
    else break
  }
  return xs[k]!
}

/**
 * A quantile over all elements of `x`, linearly interpolated between order statistics; a constant for differentiation.
 * Where all values differ, `n − 1 − lower` of them are strictly greater than it.
 *
 * @param x any shape, float32, without NaN
 * @param at a number s in [0, 1]; or a position, whose fields may be scalar tensors (`lower` int32, `fraction` float32)
 *   so that it can change from step to step
 * @returns a scalar
 */
export function quantile(
  x: tf.Tensor,
  at: number | { readonly lower: number | tf.Tensor; readonly fraction: number | tf.Tensor },
): tf.Scalar {
  const { lower, fraction } = typeof at === "number" ? quantilePosition(at, x.size) : at
  return kernel({
    x: stopGradient(x),
    lower: typeof lower === "number" ? tf.scalar(lower, "int32") : lower,
    fraction: typeof fraction === "number" ? tf.scalar(fraction) : fraction,
  })[0] as tf.Scalar
}
