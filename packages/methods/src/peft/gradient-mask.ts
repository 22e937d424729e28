/**
 * Gradient-located sparse tuning (in the manner of SPT and GPS): the entries of the tunable matrices with the largest
 * accumulated squared gradient at the pre-trained weights are trained, all others stay frozen.
 */
import * as tf from "@tensorflow/tfjs-core"

/** Where the mask is, for each matrix. */
export interface MaskLocation {
  /** 1 for a trained entry, else 0; row-major like the matrix. */
  readonly mask: Uint8Array
  /** Row-major indices of the trained entries, ascending. */
  readonly indices: Int32Array
}

/** ⌊(1−s)·N⌋, how many entries are trained. */
export function maskedEntries(sparsity: number, size: number): number {
  return Math.floor((1 - sparsity) * size + 1e-9)
}

/**
 * Keeps the globally largest ⌊(1−s)·N⌋ scores over all matrices. Ties at the border go to the earlier matrix and index,
 * so the count is exact.
 *
 * @param scores accumulated squared gradients by matrix name
 */
export function locateMask(
  scores: Readonly<Record<string, ArrayLike<number>>>,
  sparsity: number,
): Readonly<Record<string, MaskLocation>> {
  const names = Object.keys(scores)
  const all = new Float64Array(names.reduce((n, name) => n + scores[name]!.length, 0))
  let at = 0
  for (const name of names) {
    all.set(Float64Array.from(scores[name]!), at)
    at += scores[name]!.length
  }
  const keep = maskedEntries(sparsity, all.length)
  const border = keep === 0 ? Number.POSITIVE_INFINITY : all.slice().sort()[all.length - keep]!
  let above = 0
  for (const score of all) if (score > border) above++
  let ties = keep - above
  const located: Record<string, MaskLocation> = {}
  for (const name of names) {
    const values = scores[name]!
    const mask = new Uint8Array(values.length)
    const indices: number[] = []
    for (let i = 0; i < values.length; i++) {
      const score = values[i]!
      if (score > border || (score === border && ties-- > 0)) {
        mask[i] = 1
        indices.push(i)
      }
    }
    located[name] = { mask, indices: Int32Array.from(indices) }
  }
  return located
}

/** D ⊙ M: the dense form, which holds (and has gradients and moments for) every entry of D. */
export function maskedUpdate(dense: tf.Tensor, mask: tf.Tensor): tf.Tensor {
  return tf.mul(dense, tf.cast(mask, "float32"))
}

/**
 * The compressed form: values [kept] at row-major `indices` [kept, 1] (int32, distinct) of a matrix of shape
 * [inputs, outputs], zero elsewhere. The gradient for the values is gathered from the dense gradient of the matrix,
 * which exists inside the backward pass of this map only.
 */
export function scatteredUpdate(values: tf.Tensor, indices: tf.Tensor, shape: readonly [number, number]): tf.Tensor {
  const scatter = tf.customGrad((inner) => {
    const flat = tf.scatterND(indices as tf.Tensor2D, inner as tf.Tensor, [shape[0] * shape[1]])
    return {
      value: tf.reshape(flat, [...shape]),
      gradFunc: (dy: tf.Tensor) => tf.gather(tf.reshape(dy, [-1]), tf.reshape(indices, [-1])),
    }
  })
  return scatter(values)
}
