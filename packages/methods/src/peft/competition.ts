/**
 * Competition within a layer: the entries of smallest magnitude are zeroed, by a quantile of |K| that is taken anew in
 * every forward pass (SNELL, arXiv 2411.01800, section 3.3; the official code where the two differ).
 */
import { quantile as quantileOp, quantilePosition, stopGradient } from "@exp/tensor"
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

/**
 * The place ⌊s·(N−1)⌋ among N ascending values: the last one that a sparsity of s zeroes.
 *
 * @throws RangeError unless 0 ≤ s ≤ 1
 */
export function thresholdPosition(sparsity: number, size: number): number {
  return quantilePosition(sparsity, size).lower
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
  const { lower: low, fraction } = quantilePosition(sparsity, sorted.length)
  const high = sorted[Math.min(low + 1, sorted.length - 1)]!
  return fraction > 0 ? sorted[low]! + fraction * (high - sorted[low]!) : sorted[low]!
}

/** The sparsity of a map: s ∈ [0, 1], or an int32 tensor (shape [] or [1]) with the position ⌊s·(N−1)⌋. */
export type Sparsity = number | tf.Tensor

/**
 * The threshold T of a competition, a scalar without a gradient.
 *
 * For `soft`, which subtracts it, T is the quantile itself (linear interpolation at s·(N−1)). For `gated` and `hard`, T
 * is the order statistic below that position: |K| > T then holds for exactly the same entries, since no value lies
 * between the two, and no rounding of the interpolation can move the count.
 *
 * @param magnitudes |K|
 */
export function competitionThreshold(magnitudes: tf.Tensor, sparsity: Sparsity, mode: CompetitionMode): tf.Scalar {
  if (mode === "soft") {
    if (typeof sparsity !== "number") throw new RangeError("mode soft takes the sparsity as a number")
    return quantileOp(magnitudes, sparsity)
  }
  const lower =
    typeof sparsity === "number"
      ? thresholdPosition(sparsity, magnitudes.size)
      : (tf.reshape(sparsity, []) as tf.Scalar)
  return quantileOp(magnitudes, { lower, fraction: 0 })
}

/** The factor of each entry, G: |K|, |K| − T or 1 where |K| > T (strictly), else 0. No gradient is meant to pass. */
export function competitionGate(magnitudes: tf.Tensor, threshold: tf.Tensor, mode: CompetitionMode): tf.Tensor {
  const alive = tf.cast(tf.greater(magnitudes, threshold), "float32")
  if (mode === "hard") return alive
  if (mode === "soft") return tf.mul(alive, tf.sub(magnitudes, threshold))
  return tf.mul(alive, magnitudes)
}

/**
 * The sparsified matrix K̃ = K ⊙ G, differentiable in K with G held constant.
 *
 * With distinct magnitudes exactly {@link survivors} entries are non-zero; s = 1 zeroes everything, and s = 0 still
 * zeroes the single smallest entry.
 *
 * @param threshold T where it is known already
 */
export function sparsify(
  kernel: tf.Tensor,
  sparsity: Sparsity,
  mode: CompetitionMode = "gated",
  threshold?: tf.Tensor,
): tf.Tensor {
  const magnitudes = tf.abs(stopGradient(kernel))
  return tf.mul(
    kernel,
    competitionGate(magnitudes, threshold ?? competitionThreshold(magnitudes, sparsity, mode), mode),
  )
}
