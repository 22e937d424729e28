/**
 * Competition within a layer: the entries of smallest magnitude are zeroed, by a quantile of |K| that is taken anew in
 * every forward pass (SNELL, arXiv 2411.01800, section 3.3; the official code where the two differ).
 */
import * as tf from "@tensorflow/tfjs-core"

/**
 * What becomes of the survivors (|K| > T):
 * - `gated`: K·|K|, as in SNELL's code;
 * - `soft`: K·(|K| − T), as in the paper's equation 5;
 * - `hard`: K.
 *
 * In all three the factor that multiplies K is a constant for differentiation.
 */
export type CompetitionMode = "gated" | "soft" | "hard"

/** The place ⌊s·(N−1)⌋ among N ascending values: the last one that a sparsity of s ∈ [0, 1] zeroes. */
export function thresholdPosition(sparsity: number, size: number): number {
  if (!(sparsity >= 0 && sparsity <= 1)) throw new RangeError(`a sparsity lies in [0, 1], got ${sparsity}`)
  return Math.min(size - 1, Math.floor(sparsity * (size - 1)))
}

/** How many entries survive a sparsity s when all magnitudes differ: N − 1 − ⌊s·(N−1)⌋. */
export function survivors(sparsity: number, size: number): number {
  return size - 1 - thresholdPosition(sparsity, size)
}

/**
 * The quantile of host values by linear interpolation at position s·(N−1) of the sorted values, in float64.
 *
 * @param values any order; not changed
 */
export function quantile(values: ArrayLike<number>, sparsity: number): number {
  const sorted = Float64Array.from(values).sort()
  const low = thresholdPosition(sparsity, sorted.length)
  const fraction = sparsity * (sorted.length - 1) - low
  const high = sorted[Math.min(low + 1, sorted.length - 1)]!
  return fraction > 0 ? sorted[low]! + fraction * (high - sorted[low]!) : sorted[low]!
}

/**
 * The value at place `position` (from 0, ascending) of all elements of a tensor, a scalar without a gradient. A number
 * costs a partial selection on the smaller side; a tensor (int32, shape [] or [1]) a sort, since the place is then only
 * known while the program runs.
 */
export function orderStatistic(values: tf.Tensor, position: number | tf.Tensor): tf.Scalar {
  return tf.tidy(() => {
    const flat = tf.reshape(values, [-1])
    const size = flat.size
    if (typeof position !== "number") {
      const descending = tf.topk(flat, size, true).values
      const place = tf.reshape(tf.sub(tf.scalar(size - 1, "int32"), position), [1])
      return tf.reshape(tf.gather(descending, place), []) as tf.Scalar
    }
    if (size - position <= position + 1) return tf.min(tf.topk(flat, size - position, false).values) as tf.Scalar
    return tf.neg(tf.min(tf.topk(tf.neg(flat), position + 1, false).values)) as tf.Scalar
  })
}

/**
 * The threshold T of a competition, a scalar without a gradient.
 *
 * `interpolated` gives the quantile itself (linear interpolation at s·(N−1)), which `soft` subtracts. Without it, T is
 * the order statistic below that position: |K| > T then holds for exactly the same entries, since no value lies between
 * the two, and no rounding of the interpolation can move the count.
 *
 * @param magnitudes |K|
 * @param sparsity s, or an int32 tensor with the position itself (not with `interpolated`)
 */
export function competitionThreshold(
  magnitudes: tf.Tensor,
  sparsity: number | tf.Tensor,
  interpolated = false,
): tf.Scalar {
  if (typeof sparsity !== "number") {
    if (interpolated) throw new RangeError("an interpolated threshold takes the sparsity as a number")
    return orderStatistic(magnitudes, sparsity)
  }
  const low = thresholdPosition(sparsity, magnitudes.size)
  const fraction = sparsity * (magnitudes.size - 1) - low
  if (!interpolated || !(fraction > 0)) return orderStatistic(magnitudes, low)
  return tf.tidy(() => {
    const a = orderStatistic(magnitudes, low)
    const b = orderStatistic(magnitudes, low + 1)
    return tf.add(a, tf.mul(fraction, tf.sub(b, a))) as tf.Scalar
  })
}

/** The factor of each entry, G: |K|, |K| − T or 1 where |K| > T (strictly), else 0. No gradient is meant to pass. */
export function competitionGate(magnitudes: tf.Tensor, threshold: tf.Tensor, mode: CompetitionMode): tf.Tensor {
  const alive = tf.cast(tf.greater(magnitudes, threshold), "float32")
  if (mode === "hard") return alive
  if (mode === "soft") return tf.mul(alive, tf.sub(magnitudes, threshold))
  return tf.mul(alive, magnitudes)
}

/** The value of a function as a constant for differentiation. */
export function detached(f: (x: tf.Tensor) => tf.Tensor, x: tf.Tensor): tf.Tensor {
  return tf.customGrad((inner) => {
    const y = inner as tf.Tensor
    return { value: f(y), gradFunc: () => tf.zeros(y.shape) }
  })(x)
}

/**
 * The sparsified matrix K̃ = K ⊙ G, differentiable in K with G held constant.
 *
 * With distinct magnitudes exactly {@link survivors} entries are non-zero; s = 1 zeroes everything, and s = 0 still
 * zeroes the single smallest entry.
 *
 * @param sparsity s ∈ [0, 1], or an int32 tensor with the position ⌊s·(N−1)⌋ where it changes from step to step
 */
export function sparsify(kernel: tf.Tensor, sparsity: number | tf.Tensor, mode: CompetitionMode = "gated"): tf.Tensor {
  const gate = detached((k) => {
    const magnitudes = tf.abs(k)
    return competitionGate(magnitudes, competitionThreshold(magnitudes, sparsity, mode === "soft"), mode)
  }, kernel)
  return tf.mul(kernel, gate)
}
