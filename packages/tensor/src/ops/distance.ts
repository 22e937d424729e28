/** Euclidean distances between the rows of two matrices. */
import * as tf from "@tensorflow/tfjs-core"
import { matMul } from "./mat-mul.ts"
import { defineKernel, values } from "./registry.ts"

const kernel = defineKernel({
  name: "ExpPairwiseDistance",
  composite: ({ a, b }) => {
    const squares = (t: tf.Tensor) => tf.sum(tf.square(t), -1, true)
    const others = squares(b!)
    const axes = others.shape.map((_, i) => i)
    const last = axes.length - 1
    const row = tf.transpose(others, [...axes.slice(0, -2), last, last - 1])
    const squared = tf.sub(tf.add(squares(a!), row), tf.mul(matMul(a!, b!, false, true), 2))
    return tf.sqrt(tf.relu(squared))
  },
  host: ({ a, b }) => {
    const [n, q] = a!.shape.slice(-2) as [number, number]
    const m = b!.shape[b!.rank - 2]!
    const batch = a!.size / (n * q)
    const [as, bs] = [values(a!), values(b!)]
    const out = new Float32Array(batch * n * m)
    let at = 0
    for (let p = 0; p < batch; p++)
      for (let i = 0; i < n; i++)
        for (let j = 0; j < m; j++) {
          let sum = 0
          const x = (p * n + i) * q
          const y = (p * m + j) * q
          for (let k = 0; k < q; k++) sum += (as[x + k]! - bs[y + k]!) ** 2
          out[at++] = Math.sqrt(sum)
        }
    return tf.tensor(out, [...a!.shape.slice(0, -1), m])
  },
  gradient: {
    saveInputs: ["a", "b"],
    saveOutputs: [true],
    of: ([dy], [a, b, d]) => {
      // dy/d, and 0 where two rows coincide: the distance has no derivative there, 0 is the sub-gradient used.
      const g = () =>
        tf.where(tf.greater(d!, 0), tf.div(dy!, tf.add(d!, tf.cast(tf.equal(d!, 0), "float32"))), tf.zerosLike(d!))
      return {
        a: () => {
          const w = g()
          return tf.sub(tf.mul(a!, tf.sum(w, -1, true)), matMul(w, b!))
        },
        b: () => {
          const w = g()
          const totals = tf.expandDims(tf.sum(w, -2), -1)
          return tf.sub(tf.mul(b!, totals), matMul(w, a!, true, false))
        },
      }
    },
  },
})

/**
 * Euclidean distances `‖a_i − b_j‖₂` between rows. The gradient is 0 where two rows coincide; nothing is added under the
 * root. Devices that expand the square (`‖a‖² + ‖b‖² − 2a·b`, clamped at 0) lose digits where the distance is much
 * smaller than the rows.
 *
 * @param a [..., n, q]
 * @param b [..., m, q], same leading axes
 * @returns [..., n, m]
 * @throws RangeError when the shapes do not fit
 */
export function pairwiseDistance(a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  const fits =
    a.rank >= 2 &&
    a.rank === b.rank &&
    a.shape[a.rank - 1] === b.shape[b.rank - 1] &&
    a.shape.slice(0, -2).every((size, i) => size === b.shape[i])
  if (!fits) throw new RangeError(`pairwiseDistance: shapes [${a.shape}] and [${b.shape}] do not fit`)
  return kernel({ a, b })[0]!
}
