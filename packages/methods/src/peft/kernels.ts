/**
 * Kernels that merge two small factors into one matrix of high rank.
 *
 * Shapes: A is [pieces, inputs, width] and B is [pieces, outputs, width]; a kernel matrix is [inputs, outputs], the
 * layout of `y = x·W`. With a budget "rank r" and two pieces, width = r/2, so A and B hold r·(inputs + outputs) numbers,
 * as the factors of a LoRA of rank r do.
 *
 * Sources: SNELL (arXiv 2411.01800, Table A6, and its official code for the constants), SNELLA (arXiv 2510.24037).
 */
import { matMul, pairwiseDistance } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

/** Weights of the pieces in SNELL's code: constants of opposite sign that are never trained. */
export const pieceWeights: readonly number[] = [0.1, -0.1]

/** Smallest magnitude of the temperature γ in {@link mixtureKernel}: below it the softmax would overflow. */
export const leastTemperature = 1e-3

/** The weights of the pieces as a [pieces, 1, 1] tensor. */
const weightsOf = (weights: readonly number[]) => tf.tensor(weights as number[], [weights.length, 1, 1], "float32")

/**
 * The piecewise-linear kernel K[i,j] = Σ_p α_p ‖A[p,i] − B[p,j]‖₂; the gradient of a distance that is 0 is 0. Opposite
 * signs of α give K both signs. K(cA, cB) = c·K for c > 0.
 *
 * @param a [pieces, inputs, width]
 * @param b [pieces, outputs, width]
 * @param weights α, one constant for each piece (SNELL's ±0.1 by default)
 * @returns [inputs, outputs]
 */
export function piecewiseKernel(a: tf.Tensor, b: tf.Tensor, weights: readonly number[] = pieceWeights): tf.Tensor2D {
  return tf.sum(tf.mul(pairwiseDistance(a, b), weightsOf(weights)), 0)
}

/** The trained scalars of SNELLA's kernel, each of shape [1]: α (of the softmax), γ (temperature), β (offset). */
export interface MixtureScalars {
  readonly alpha: tf.Tensor
  readonly gamma: tf.Tensor
  readonly beta: tf.Tensor
}

/**
 * γ held away from 0: sign(γ)·max(|γ|, {@link leastTemperature}). The gradient passes straight through, so that a γ that
 * was caught at the bound can come back.
 */
export function heldTemperature(gamma: tf.Tensor): tf.Tensor {
  const held = tf.customGrad((g) => {
    const x = g as tf.Tensor
    const sign = tf.sub(tf.mul(tf.cast(tf.greaterEqual(x, 0), "float32"), 2), 1)
    return { value: tf.mul(sign, tf.maximum(tf.abs(x), leastTemperature)), gradFunc: (dy: tf.Tensor) => dy }
  })
  return held(gamma)
}

/**
 * SNELLA's kernel K = D + α·softmax_j(D/γ) + β for a given D: the softmax runs over the outputs, so each row of
 * K − D − β sums to α. (`tf.softmax` subtracts the row's maximum first.)
 *
 * @param d the piecewise kernel, [inputs, outputs]
 */
export function mixture(d: tf.Tensor, scalars: MixtureScalars): tf.Tensor2D {
  return tf.add(tf.add(d, tf.mul(scalars.alpha, tf.softmax(tf.div(d, heldTemperature(scalars.gamma))))), scalars.beta)
}

/** SNELLA's mixture kernel of two factors; see {@link mixture} and {@link piecewiseKernel}. */
export function mixtureKernel(a: tf.Tensor, b: tf.Tensor, scalars: MixtureScalars): tf.Tensor2D {
  return mixture(piecewiseKernel(a, b), scalars)
}

/** The linear kernel A·Bᵀ (LoRA) of rank at most `width`. A is [inputs, width], B is [outputs, width]. */
export function linearKernel(a: tf.Tensor, b: tf.Tensor): tf.Tensor2D {
  return matMul(a, b, false, true) as tf.Tensor2D
}

/** α·σ(β·A·Bᵀ) + γ with trained scalars of shape [1] (SNELL, Fig. 4a). */
export function sigmoidKernel(a: tf.Tensor, b: tf.Tensor, scalars: MixtureScalars): tf.Tensor2D {
  return tf.add(tf.mul(scalars.alpha, tf.sigmoid(tf.mul(scalars.beta, linearKernel(a, b)))), scalars.gamma)
}

/** α·exp(−β·‖A[i] − B[j]‖²) + γ with trained scalars of shape [1] (SNELL, Fig. 4a). */
export function rbfKernel(a: tf.Tensor, b: tf.Tensor, scalars: MixtureScalars): tf.Tensor2D {
  const squaredA = tf.sum(tf.mul(a, a), 1, true)
  const squaredB = tf.transpose(tf.sum(tf.mul(b, b), 1, true))
  const squared = tf.sub(tf.add(squaredA, squaredB), tf.mul(linearKernel(a, b), 2))
  return tf.add(tf.mul(scalars.alpha, tf.exp(tf.neg(tf.mul(scalars.beta, squared)))), scalars.gamma)
}
