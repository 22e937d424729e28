/** Matrix products that are quick on every backend. */
import * as tf from "@tensorflow/tfjs-core"

const turned = (x: tf.Tensor) => {
  const order = x.shape.map((_, i) => i)
  const last = order.length - 1
  order[last] = last - 1
  order[last - 1] = last
  return tf.transpose(x, order)
}

/** a·b over the last two axes, optionally with operands transposed (transposing first avoids slow kernel paths). */
export function matMul(a: tf.Tensor, b: tf.Tensor, transposeA = false, transposeB = false): tf.Tensor {
  return tf.matMul(transposeA ? turned(a) : a, transposeB ? turned(b) : b)
}
