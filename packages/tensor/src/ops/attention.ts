/** Scaled dot-product attention. */
import * as tf from "@tensorflow/tfjs-core"
import { matMul } from "./mat-mul.ts"

/** [batch, tokens, heads·width] → [batch, heads, tokens, width]. */
export function splitHeads(x: tf.Tensor, heads: number): tf.Tensor4D {
  const [batch, tokens, width] = x.shape as [number, number, number]
  if (width % heads !== 0) throw new RangeError(`attention: width ${width} cannot be split into ${heads} heads`)
  return tf.transpose(tf.reshape(x, [batch, tokens, heads, width / heads]), [0, 2, 1, 3]) as tf.Tensor4D
}

/** [batch, heads, tokens, width] → [batch, tokens, heads·width]. */
export function mergeHeads(x: tf.Tensor): tf.Tensor3D {
  const [batch, heads, tokens, width] = x.shape as [number, number, number, number]
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch, tokens, heads * width])
}

/**
 * `softmax(Q·Kᵀ·scale + mask)·V` for each head (Vaswani et al. 2017, arXiv 1706.03762, eq. 1).
 *
 * @param query [batch, heads, n, width]
 * @param key [batch, heads, m, width]
 * @param value [batch, heads, m, width]
 * @param mask added to the scores, broadcast against [batch, heads, n, m]; a large negative number forbids a pair
 * @param scale default 1/√width
 * @returns [batch, heads, n, width]
 */
export function attention(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  mask?: tf.Tensor,
  scale = 1 / Math.sqrt(query.shape[query.rank - 1]!),
): tf.Tensor4D {
  // Scaling the queries touches n·width numbers, scaling the scores n·m.
  const scores = matMul(tf.mul(query, scale), key, false, true)
  const weights = tf.softmax(mask ? tf.add(scores, mask) : scores)
  return matMul(weights, value) as tf.Tensor4D
}

/** The mask that lets token i see tokens 0..i: 0 where allowed, −1e9 elsewhere, [1, 1, n, n]. */
export function causalMask(n: number): tf.Tensor4D {
  const data = new Float32Array(n * n)
  for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) data[i * n + j] = -1e9
  return tf.tensor4d(data, [1, 1, n, n])
}
