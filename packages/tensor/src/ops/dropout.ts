/** Dropout of entries and of whole branches. */
import * as tf from "@tensorflow/tfjs-core"
import type { Randomness } from "../step.ts"

/**
 * A mask to multiply with: 0 with probability `rate`, else 1/(1 − rate).
 *
 * @param stream names the random numbers; one mask for each name and step
 * @throws RangeError unless 0 ≤ rate < 1
 */
export function dropoutMask(randomness: Randomness, stream: string, shape: readonly number[], rate: number): tf.Tensor {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`dropout: the rate must be in [0, 1), got ${rate}`)
  const keep = tf.cast(tf.greaterEqual(randomness.uniform(stream, shape), rate), "float32")
  return tf.mul(keep, 1 / (1 - rate))
}

/** Dropout (Srivastava et al. 2014): every entry is zeroed with probability `rate`, survivors are divided by 1 − rate. */
export function dropout<T extends tf.Tensor>(x: T, rate: number, randomness: Randomness, stream: string): T {
  return rate === 0 ? x : (tf.mul(x, dropoutMask(randomness, stream, x.shape, rate)) as T)
}

/**
 * Stochastic depth, or DropPath (Huang et al. 2016, arXiv 1603.09382): whole samples (first axis) of a residual branch
 * are zeroed with probability `rate`, survivors are divided by 1 − rate.
 */
export function dropPath<T extends tf.Tensor>(x: T, rate: number, randomness: Randomness, stream: string): T {
  if (rate === 0) return x
  const shape = [x.shape[0]!, ...new Array<number>(x.rank - 1).fill(1)]
  return tf.mul(x, dropoutMask(randomness, stream, shape, rate)) as T
}
