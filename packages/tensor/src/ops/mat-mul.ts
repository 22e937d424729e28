/** Matrix products. */
import * as tf from "@tensorflow/tfjs-core"
import { defineKernel, type KernelFunction } from "./registry.ts"

const swap = (t: tf.Tensor): tf.Tensor => {
  const axes = t.shape.map((_, i) => i)
  const last = axes.length - 1
  return tf.transpose(t, [...axes.slice(0, -2), last, last - 1])
}

/** The WebAssembly kernel takes a naive path for transposed operands, more than twice as slow: transpose first. */
const transposeFirst: KernelFunction = ({ a, b }, { transposeA, transposeB }) =>
  tf.matMul(transposeA ? swap(a!) : a!, transposeB ? swap(b!) : b!)

const kernel = defineKernel({
  name: "ExpMatMul",
  composite: ({ a, b }, { transposeA, transposeB }) => tf.matMul(a!, b!, transposeA as boolean, transposeB as boolean),
  host: transposeFirst,
  gradient: {
    saveInputs: ["a", "b"],
    of: ([dy], [a, b], { transposeA, transposeB }) => {
      const product = (x: tf.Tensor, y: tf.Tensor, tx: boolean, ty: boolean) =>
        kernel({ a: x, b: y }, { transposeA: tx, transposeB: ty })[0]!
      return {
        a: () => (transposeA ? product(b!, dy!, transposeB as boolean, true) : product(dy!, b!, false, !transposeB)),
        b: () => (transposeB ? product(dy!, a!, true, transposeA as boolean) : product(a!, dy!, !transposeA, false)),
      }
    },
  },
})

/**
 * Matrix product of the last two axes, each operand optionally transposed.
 *
 * @param a [..., n, k], or [..., k, n] with `transposeA`
 * @param b [..., k, m], or [..., m, k] with `transposeB`; leading axes equal to those of `a`, or none
 * @returns [..., n, m]
 * @throws RangeError when the shapes do not fit
 */
export function matMul(a: tf.Tensor, b: tf.Tensor, transposeA = false, transposeB = false): tf.Tensor {
  const fail = () =>
    new RangeError(
      `matMul: shapes [${a.shape}]${transposeA ? " transposed" : ""} and [${b.shape}]${transposeB ? " transposed" : ""} do not fit`,
    )
  if (a.rank < 2 || b.rank < 2) throw fail()
  if (a.shape[a.rank - (transposeA ? 2 : 1)] !== b.shape[b.rank - (transposeB ? 1 : 2)]) throw fail()
  if (b.rank === 2 && a.rank > 2) {
    // One matrix for all: flattening the leading axes makes one large product of many small ones. (The gradient of
    // TensorFlow.js is wrong where batch axes broadcast.)
    const flat = transposeA ? swap(a) : a
    const rows = tf.reshape(flat, [-1, flat.shape[flat.rank - 1]!])
    const out = matMul(rows, b, false, transposeB)
    return tf.reshape(out, [...flat.shape.slice(0, -1), out.shape[1]!])
  }
  if (a.rank !== b.rank || a.shape.slice(0, -2).some((size, i) => size !== b.shape[i])) throw fail()
  return kernel({ a, b }, { transposeA, transposeB })[0]!
}

/**
 * A linear map of the last axis, `y = x·W + b`.
 *
 * @param x [..., in]
 * @param weight [in, out]
 * @param bias [out], optional
 * @returns [..., out]
 */
export function linear(x: tf.Tensor, weight: tf.Tensor, bias?: tf.Tensor): tf.Tensor {
  const rows = x.rank === 2 ? x : tf.reshape(x, [-1, x.shape[x.rank - 1]!])
  const product = matMul(rows, weight)
  const y = bias ? tf.add(product, bias) : product
  return x.rank === 2 ? y : tf.reshape(y, [...x.shape.slice(0, -1), weight.shape[1]!])
}
