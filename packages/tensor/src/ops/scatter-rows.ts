/** The transpose of taking rows. */
import * as tf from "@tensorflow/tfjs-core"
import { defineKernel, values } from "./registry.ts"

const kernel = defineKernel({
  name: "ExpScatterRows",
  composite: ({ x, indices }, { rows }) =>
    tf.unsortedSegmentSum(x!, tf.reshape(indices!, [indices!.size]) as tf.Tensor1D, rows as number),
  host: ({ x, indices }, { rows }) => {
    const [xs, at] = [values(x!), indices!.dataSync()]
    const width = at.length === 0 ? 0 : xs.length / at.length
    const shape = [rows as number, ...x!.shape.slice(1)]
    const out = new Float32Array(tf.util.sizeFromShape(shape))
    for (let i = 0; i < at.length; i++) {
      const to = at[i]! * width
      const from = i * width
      for (let j = 0; j < width; j++) out[to + j]! += xs[from + j]!
    }
    return tf.tensor(out, shape)
  },
  gradient: {
    saveInputs: ["indices"],
    of: ([dy], [indices]) => ({
      x: () => tf.gather(dy!, tf.reshape(indices!, [indices!.size]) as tf.Tensor1D),
      indices: () => tf.zeros(indices!.shape),
    }),
  },
})

/**
 * Adds each row `x[i]` to row `indices[i]` of zeros [rows, …]: the gradient of an embedding look-up.
 *
 * @param x [m, …]
 * @param indices m numbers in 0..rows−1, int32, repeated ones add up
 * @returns [rows, …]
 */
export function scatterRows(x: tf.Tensor, indices: tf.Tensor, rows: number): tf.Tensor {
  return kernel({ x, indices }, { rows })[0]!
}
