/** Normalisation of the last axis. */
import * as tf from "@tensorflow/tfjs-core"
import { matMul } from "./mat-mul.ts"
import { defineKernel, values } from "./registry.ts"

/** Gradient for the input: `inv·(dŷ − mean(dŷ) − x̂·mean(dŷ·x̂))` with `dŷ = dy·scale`. */
const gradientKernel = defineKernel({
  name: "ExpLayerNormGrad",
  composite: ({ x, scale, mean, inverse, dy }) => {
    const normal = tf.mul(tf.sub(x!, mean!), inverse!)
    const d = tf.mul(dy!, scale!)
    const centre = tf.mean(d, -1, true)
    const slope = tf.mean(tf.mul(d, normal), -1, true)
    return tf.mul(inverse!, tf.sub(tf.sub(d, centre), tf.mul(normal, slope)))
  },
  host: ({ x, scale, mean, inverse, dy }) => {
    const [xs, gs, ms, is, ds] = [values(x!), values(scale!), values(mean!), values(inverse!), values(dy!)]
    const n = gs.length
    const out = new Float32Array(xs.length)
    for (let row = 0, at = 0; row < ms.length; row++, at += n) {
      const m = ms[row]!
      const inv = is[row]!
      let centre = 0
      let slope = 0
      for (let j = 0; j < n; j++) {
        const d = ds[at + j]! * gs[j]!
        centre += d
        slope += d * (xs[at + j]! - m) * inv
      }
      centre /= n
      slope /= n
      for (let j = 0; j < n; j++) out[at + j] = inv * (ds[at + j]! * gs[j]! - centre - (xs[at + j]! - m) * inv * slope)
    }
    return tf.tensor(out, x!.shape)
  },
})

const kernel = defineKernel({
  name: "ExpLayerNorm",
  composite: ({ x, scale, bias }, { epsilon }) => {
    const mean = tf.mean(x!, -1, true)
    const centred = tf.sub(x!, mean)
    const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon as number))
    return [tf.add(tf.mul(tf.mul(centred, inverse), scale!), bias!), mean, inverse]
  },
  host: ({ x, scale, bias }, { epsilon }) => {
    const [xs, gs, bs] = [values(x!), values(scale!), values(bias!)]
    const n = gs.length
    const rows = xs.length / n
    const out = new Float32Array(xs.length)
    const means = new Float32Array(rows)
    const inverses = new Float32Array(rows)
    for (let row = 0, at = 0; row < rows; row++, at += n) {
      let sum = 0
      for (let j = 0; j < n; j++) sum += xs[at + j]!
      const m = sum / n
      let squares = 0
      for (let j = 0; j < n; j++) squares += (xs[at + j]! - m) ** 2
      const inv = 1 / Math.sqrt(squares / n + (epsilon as number))
      means[row] = m
      inverses[row] = inv
      for (let j = 0; j < n; j++) out[at + j] = (xs[at + j]! - m) * inv * gs[j]! + bs[j]!
    }
    const rowShape = [...x!.shape.slice(0, -1), 1]
    return [tf.tensor(out, x!.shape), tf.tensor(means, rowShape), tf.tensor(inverses, rowShape)]
  },
  gradient: {
    saveInputs: ["x", "scale"],
    saveOutputs: [false, true, true],
    of: ([dy], [x, scale, mean, inverse]) => {
      const rows = (t: tf.Tensor) => tf.reshape(t, [-1, scale!.size])
      return {
        x: () => gradientKernel({ x: x!, scale: scale!, mean: mean!, inverse: inverse!, dy: dy! })[0]!,
        scale: () => tf.sum(rows(tf.mul(dy!, tf.mul(tf.sub(x!, mean!), inverse!))), 0),
        bias: () => tf.sum(rows(dy!), 0),
      }
    },
  },
})

/** Gradient of {@link unscaledLayerNorm}: `inv·(dy − mean(dy) − x̂·mean(dy·x̂))`. */
const unscaledGradient = defineKernel({
  name: "ExpUnscaledLayerNormGrad",
  composite: ({ normal, inverse, dy }) => {
    const centre = tf.mean(dy!, -1, true)
    const slope = tf.mean(tf.mul(dy!, normal!), -1, true)
    return tf.mul(inverse!, tf.sub(tf.sub(dy!, centre), tf.mul(normal!, slope)))
  },
})

const unscaledKernel = defineKernel({
  name: "ExpUnscaledLayerNorm",
  composite: ({ x }, { epsilon }) => {
    const centred = tf.sub(x!, tf.mean(x!, -1, true))
    const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon as number))
    return [tf.mul(centred, inverse), inverse]
  },
  gradient: {
    saveInputs: [],
    saveOutputs: [true, true],
    of: ([dy], [normal, inverse]) => ({
      x: () => unscaledGradient({ normal: normal!, inverse: inverse!, dy: dy! })[0]!,
    }),
  },
})

/**
 * Layer normalisation without scale and bias, `(x − mean)/√(var + ε)` over the last axis.
 *
 * @param x [..., n]
 * @param epsilon added to the variance
 */
export function unscaledLayerNorm<T extends tf.Tensor>(x: T, epsilon = 1e-6): T {
  return unscaledKernel({ x }, { epsilon })[0] as T
}

/** Rows over columns from which on {@link absorbNorm} is cheaper: it works on the weights what it saves on the rows. */
const manyRows = 2

/** Whether a layer norm of `rows` rows is cheaper inside the linear maps that follow it, of `columns` outputs together. */
export const worthAbsorbing = (rows: number, columns: number): boolean => rows >= manyRows * columns

/**
 * The linear map `norm(x)·W + b` as one of {@link unscaledLayerNorm}`(x)`: the scale of a layer norm is a factor of W's rows,
 * its shift adds to the bias. Then the gradients of scale and shift are sums over the weights instead of all rows, and
 * the normalised rows are the only ones that the backward pass needs.
 *
 * @param weight [in, out]
 * @param bias [out], optional
 * @param scale [in], of the layer norm
 * @param shift [in], of the layer norm
 * @returns weight [in, out] and bias [out]
 */
export function absorbNorm(
  weight: tf.Tensor,
  bias: tf.Tensor | undefined,
  scale: tf.Tensor,
  shift: tf.Tensor,
): { readonly weight: tf.Tensor; readonly bias: tf.Tensor } {
  const moved = tf.reshape(matMul(tf.reshape(shift, [1, -1]), weight), [-1])
  return { weight: tf.mul(weight, tf.reshape(scale, [-1, 1])), bias: bias ? tf.add(moved, bias) : moved }
}

/**
 * Layer normalisation over the last axis, `(x − mean)/√(var + ε)·scale + bias` with the biased variance (Ba, Kiros and
 * Hinton 2016, arXiv 1607.06450).
 *
 * @param x [..., n]
 * @param scale [n]
 * @param bias [n]
 * @param epsilon added to the variance; 1e-6 in vision transformers
 * @throws RangeError when scale or bias does not have the length of the last axis
 */
export function layerNorm<T extends tf.Tensor>(x: T, scale: tf.Tensor, bias: tf.Tensor, epsilon = 1e-6): T {
  const n = x.shape[x.rank - 1]
  if (scale.rank !== 1 || bias.rank !== 1 || scale.size !== n || bias.size !== n)
    throw new RangeError(
      `layerNorm: the last axis of x [${x.shape}] needs scale and bias of shape [${n}], got [${scale.shape}] and [${bias.shape}]`,
    )
  return kernel({ x, scale, bias }, { epsilon })[0] as T
}

/**
 * Root-mean-square normalisation over the last axis, `x/√(mean(x²) + ε)·scale` (Zhang and Sennrich 2019,
 * arXiv 1910.07467).
 *
 * @param x [..., n]
 * @param scale [n]
 */
export function rmsNorm<T extends tf.Tensor>(x: T, scale: tf.Tensor, epsilon = 1e-6): T {
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), epsilon))
  return tf.mul(tf.mul(x, inverse), scale) as T
}
