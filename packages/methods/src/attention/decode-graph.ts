/**
 * Decode attention of a batch as graphs over whole caches: what a server runs, where `decode-attention.ts` walks the
 * kept positions of one sequence. Both give the same outputs; the graphs compile, and their products use vector
 * instructions.
 *
 * Source: Kinetics, arXiv 2506.05333, and its throughput benchmark (pages of mean keys).
 */
import { matMul } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

/** softmax(q·kᵀ/√size)·v for q [..., rows, size] and k, v [..., positions, size]. */
const attend = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor =>
  matMul(tf.softmax(tf.mul(matMul(q, k, false, true), 1 / Math.sqrt(q.shape.at(-1)!))), v)

/**
 * Dense attention of one new token per sequence.
 *
 * @param query [batch, kvHeads, group, headSize], query heads grouped by the KV head that they share
 * @param keys [batch, kvHeads, positions, headSize]
 * @param values likewise
 * @returns [batch, kvHeads, group, headSize]
 */
export const denseDecode = (query: tf.Tensor4D, keys: tf.Tensor4D, values: tf.Tensor4D): tf.Tensor4D =>
  attend(query, keys, values) as tf.Tensor4D

/**
 * Block top-k attention of one new token per sequence: the `blocks` blocks of largest mean score in each KV head are
 * gathered whole and attended to; nothing else is read but one mean key for each block. All positions are in full
 * blocks, without sink and local window.
 *
 * The score of a block is the mean over the group of q·k̄, with k̄ its mean key: the positive factor 1/√headSize changes
 * no choice and is left out.
 *
 * @param query [batch, kvHeads, group, headSize]
 * @param keys [batch, kvHeads, n, blockSize, headSize]
 * @param values likewise
 * @param meanKeys [batch, kvHeads, n, headSize]
 * @param blocks how many blocks are kept, at most n
 * @returns [batch, kvHeads, group, headSize]
 */
export function blockTopKDecode(
  query: tf.Tensor4D,
  keys: tf.Tensor5D,
  values: tf.Tensor5D,
  meanKeys: tf.Tensor4D,
  blocks: number,
): tf.Tensor4D {
  const [batch, kvHeads, count, blockSize, headSize] = keys.shape
  const heads = batch * kvHeads
  const scores = matMul(tf.mean(query, 2, true), meanKeys, false, true)
  const chosen = tf.topk(tf.reshape(scores, [heads, count]), blocks, false).indices
  // Blocks of all heads lie in one list: head h's are those from h·count on.
  const starts = tf.tensor2d(
    Int32Array.from({ length: heads }, (_, h) => h * count),
    [heads, 1],
    "int32",
  )
  const indices = tf.reshape(tf.add(chosen, starts), [heads * blocks]) as tf.Tensor1D
  const gather = (all: tf.Tensor5D) =>
    tf.reshape(tf.gather(tf.reshape(all, [heads * count, blockSize * headSize]), indices), [
      batch,
      kvHeads,
      blocks * blockSize,
      headSize,
    ])
  return attend(query, gather(keys), gather(values)) as tf.Tensor4D
}
