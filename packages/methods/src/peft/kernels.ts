/**
 * Kernels that merge two small factors into one matrix of high rank.
 *
 * Shapes: A is [pieces, inputs, width] and B is [pieces, outputs, width]; a kernel matrix is [inputs, outputs], the
 * layout of `y = x·W`. With a budget "rank r" and two pieces, width = r/2, so A and B hold r·(inputs + outputs) numbers,
 * as the factors of a LoRA of rank r do.
 *
 * Sources: SNELL (arXiv 2411.01800, Table A6, and its official code for the constants), SNELLA (arXiv 2510.24037).
 */
import { matMul } from "./matrix-product.ts"
import * as tf from "@tensorflow/tfjs-core"

/** Weights of the pieces in SNELL's code: constants of opposite sign that are never trained. */
export const pieceWeights: readonly number[] = [0.1, -0.1]

/** Smallest magnitude of the temperature γ in {@link mixtureKernel}: below it the softmax would overflow. */
export const leastTemperature = 1e-3

/**
 * Squared distances below this fraction of ‖a‖² + ‖b‖² are rounding noise of the expanded form in float32 (four units
 * in the last place of the larger term) and count as 0.
 */
const roundingNoise = 4 * 2 ** -23

/**
 * Euclidean distances of all pairs of rows, ‖A[p,i] − B[p,j]‖₂, without a gradient.
 *
 * @param a [pieces, inputs, width]
 * @param b [pieces, outputs, width]
 * @returns [pieces, inputs, outputs]
 */
export function rowDistances(a: tf.Tensor, b: tf.Tensor): tf.Tensor3D {
  return tf.tidy(() => {
    const squaredA = tf.sum(tf.mul(a, a), 2, true)
    const squaredB = tf.transpose(tf.sum(tf.mul(b, b), 2, true), [0, 2, 1])
    const both = tf.add(squaredA, squaredB)
    const squared = tf.sub(both, tf.mul(matMul(a, b, false, true), 2))
    const real = tf.cast(tf.greater(squared, tf.mul(both, roundingNoise)), "float32")
    return tf.sqrt(tf.relu(tf.mul(squared, real))) as tf.Tensor3D
  })
}

/**
 * The gradient of Σ G⊙‖A[p,i] − B[p,j]‖₂ for A and B: ∂d/∂A[p,i] = (A[p,i] − B[p,j])/d, and 0 where d = 0.
 *
 * @param upstream G, [pieces, inputs, outputs]
 * @param distances what {@link rowDistances} returned
 */
export function rowDistancesGradient(
  a: tf.Tensor,
  b: tf.Tensor,
  distances: tf.Tensor,
  upstream: tf.Tensor,
): { readonly a: tf.Tensor; readonly b: tf.Tensor } {
  // Where d = 0 both factors below vanish: no division by zero, and the gradient that the cards ask for.
  const zero = tf.cast(tf.equal(distances, 0), "float32")
  const pull = tf.mul(tf.div(upstream, tf.add(distances, zero)), tf.sub(1, zero))
  return {
    a: tf.sub(tf.mul(tf.sum(pull, 2, true), a), matMul(pull, b)),
    b: tf.sub(tf.mul(tf.transpose(tf.sum(pull, 1, true), [0, 2, 1]), b), matMul(pull, a, true, false)),
  }
}

/** The weights of the pieces as a [pieces, 1, 1] tensor. */
const weightsOf = (weights: readonly number[]) => tf.tensor(weights as number[], [weights.length, 1, 1], "float32")

/** The sum over pieces of weighted distances; [inputs, outputs]. */
export function weightedDistances(distances: tf.Tensor, weights: readonly number[] = pieceWeights): tf.Tensor2D {
  return tf.tidy(() => tf.sum(tf.mul(distances, weightsOf(weights)), 0) as tf.Tensor2D)
}

/**
 * The piecewise-linear kernel K[i,j] = Σ_p α_p ‖A[p,i] − B[p,j]‖₂ with its own gradient (0 where a distance is 0).
 * Opposite signs of α give K both signs. K(cA, cB) = c·K for c > 0.
 *
 * @param a [pieces, inputs, width]
 * @param b [pieces, outputs, width]
 * @param weights α, one constant for each piece (SNELL's ±0.1 by default)
 * @returns [inputs, outputs]
 */
export function piecewiseKernel(a: tf.Tensor, b: tf.Tensor, weights: readonly number[] = pieceWeights): tf.Tensor2D {
  const kernel = tf.customGrad((...inputs) => {
    const [x, y, save] = inputs as unknown as [tf.Tensor, tf.Tensor, (tensors: tf.Tensor[]) => void]
    const distances = rowDistances(x, y)
    save([x, y, distances])
    return {
      value: weightedDistances(distances, weights),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [p, q, d] = saved as [tf.Tensor, tf.Tensor, tf.Tensor]
        const gradient = rowDistancesGradient(p, q, d, tf.mul(tf.expandDims(dy, 0), weightsOf(weights)))
        return [gradient.a, gradient.b]
      },
    }
  })
  return kernel(a, b) as tf.Tensor2D
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
 * K − D − β sums to α.
 *
 * @param d the piecewise kernel, [inputs, outputs]
 */
export function mixture(d: tf.Tensor, scalars: MixtureScalars): tf.Tensor2D {
  return tf.add(tf.add(d, tf.mul(scalars.alpha, rowSoftmax(tf.div(d, heldTemperature(scalars.gamma))))), scalars.beta)
}

/** Softmax over the last axis with the row's maximum subtracted first. */
export function rowSoftmax(z: tf.Tensor): tf.Tensor {
  const softmax = tf.customGrad((...inputs) => {
    const [x, save] = inputs as unknown as [tf.Tensor, (tensors: tf.Tensor[]) => void]
    const e = tf.exp(tf.sub(x, tf.max(x, -1, true)))
    const value = tf.div(e, tf.sum(e, -1, true))
    save([value])
    return {
      value,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const p = saved[0]!
        return tf.mul(p, tf.sub(dy, tf.sum(tf.mul(p, dy), -1, true)))
      },
    }
  })
  return softmax(z)
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
