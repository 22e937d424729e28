/** Cross-entropy of class scores. */
import * as tf from "@tensorflow/tfjs-core"
import { defineKernel, values } from "./registry.ts"

/** As integers first: the WebAssembly kernel writes integer bits whatever type is asked for. */
const oneHot = (labels: tf.Tensor, classes: number) => tf.cast(tf.oneHot(labels as tf.Tensor1D, classes), "float32")

const gradientKernel = defineKernel({
  name: "ExpSoftmaxCrossEntropyGrad",
  composite: ({ logits, labels, dy }) => {
    const classes = logits!.shape[1]!
    const difference = tf.sub(tf.softmax(logits as tf.Tensor2D), oneHot(labels!, classes))
    return tf.mul(difference, tf.expandDims(dy!, 1))
  },
  host: ({ logits, labels, dy }) => {
    const [n, classes] = logits!.shape as [number, number]
    const [xs, ks, ds] = [values(logits!), labels!.dataSync(), values(dy!)]
    const out = new Float32Array(xs.length)
    for (let row = 0, at = 0; row < n; row++, at += classes) {
      const lse = logSumExp(xs, at, classes)
      for (let j = 0; j < classes; j++) out[at + j] = ds[row]! * (Math.exp(xs[at + j]! - lse) - (j === ks[row] ? 1 : 0))
    }
    return tf.tensor(out, [n, classes])
  },
})

const kernel = defineKernel({
  name: "ExpSoftmaxCrossEntropy",
  composite: ({ logits, labels }) => {
    const classes = logits!.shape[1]!
    const shifted = tf.sub(logits!, tf.max(logits!, 1, true))
    const logTotal = tf.log(tf.sum(tf.exp(shifted), 1))
    const chosen = tf.sum(tf.mul(shifted, oneHot(labels!, classes)), 1)
    return tf.sub(logTotal, chosen)
  },
  host: ({ logits, labels }) => {
    const [n, classes] = logits!.shape as [number, number]
    const [xs, ks] = [values(logits!), labels!.dataSync()]
    const out = new Float32Array(n)
    for (let row = 0; row < n; row++) out[row] = logSumExp(xs, row * classes, classes) - xs[row * classes + ks[row]!]!
    return tf.tensor(out, [n])
  },
  gradient: {
    saveInputs: ["logits", "labels"],
    of: ([dy], [logits, labels]) => ({
      logits: () => gradientKernel({ logits: logits!, labels: labels!, dy: dy! })[0]!,
    }),
  },
})

function logSumExp(xs: Float32Array, at: number, n: number): number {
  let max = Number.NEGATIVE_INFINITY
  for (let j = 0; j < n; j++) if (xs[at + j]! > max) max = xs[at + j]!
  let sum = 0
  for (let j = 0; j < n; j++) sum += Math.exp(xs[at + j]! - max)
  return max + Math.log(sum)
}

/**
 * Cross-entropy of the softmax of each row, `log Σ_j exp(logits_j) − logits_label`, in nats, without a mean.
 * Gradient `softmax(logits) − onehot(label)`.
 *
 * @param logits [n, classes]
 * @param labels [n], int32, in 0..classes−1; others give an undefined result
 * @returns [n], float32
 * @throws RangeError when shapes or types do not fit
 */
export function softmaxCrossEntropy(logits: tf.Tensor, labels: tf.Tensor): tf.Tensor1D {
  if (logits.rank !== 2 || labels.rank !== 1 || labels.shape[0] !== logits.shape[0] || labels.dtype !== "int32")
    throw new RangeError(
      `softmaxCrossEntropy: takes logits [n, classes] and int32 labels [n], got [${logits.shape}] and ${labels.dtype} [${labels.shape}]`,
    )
  return kernel({ logits, labels })[0] as tf.Tensor1D
}
