/**
 * The group lasso of SparseJEPA on W [groups, width, latents]: the column j of group g says how latent j feeds group g.
 *
 * Source: Ainsworth et al., "oi-VAE", ICML 2018 (arXiv 1802.06765): R(W) = Σ_g Σ_j ‖W^(g)_{·,j}‖₂, with proximal steps
 * that make columns exactly zero.
 */
import * as tf from "@tensorflow/tfjs-core"

/** Norms of the columns: [groups, width, latents] → [groups, latents]. */
export const columnNorms = (weight: tf.Tensor3D): tf.Tensor2D => tf.tidy(() => tf.sqrt(tf.sum(tf.square(weight), 1)))

/** R(W), a scalar. Its gradient is undefined at a zero column; train with {@link proximalStep}. */
export const groupLasso = (weight: tf.Tensor3D): tf.Scalar => tf.tidy(() => tf.sum(columnNorms(weight)) as tf.Scalar)

/**
 * The proximal step of t·R: every column v becomes v/max(‖v‖, 1e-16)·max(‖v‖ − t, 0).
 *
 * @param weight [groups, width, latents]
 * @param threshold t = learning rate of W × λ, a scalar tensor so that a traced step does not freeze it
 */
export function proximalStep(weight: tf.Tensor3D, threshold: tf.Scalar): tf.Tensor3D {
  return tf.tidy(() => {
    const norms = tf.sqrt(tf.sum(tf.square(weight), 1, true))
    const shrunk = tf.relu(tf.sub(norms, threshold))
    return tf.mul(weight, tf.div(shrunk, tf.maximum(norms, tf.scalar(1e-16)))) as tf.Tensor3D
  })
}
