/** The bottleneck adapter: after the second linear map of an MLP, before the residual sum. */
import { gelu } from "@exp/tensor/ops"
import * as tf from "@tensorflow/tfjs-core"
import { matMul } from "./matrix-product.ts"

/** Weights of one adapter: down [features, width], up [width, features], and their biases. */
export interface AdapterWeights {
  readonly down: tf.Tensor
  readonly downBias: tf.Tensor
  readonly up: tf.Tensor
  readonly upBias: tf.Tensor
}

/** z + Up(GELU(Down z)); z is [..., features]. The identity at the start, where up and the biases are 0. */
export function adapter(z: tf.Tensor, weights: AdapterWeights): tf.Tensor {
  const rows = tf.reshape(z, [-1, z.shape.at(-1)!])
  const hidden = gelu(tf.add(matMul(rows, weights.down), weights.downBias))
  return tf.add(z, tf.reshape(tf.add(matMul(hidden, weights.up), weights.upBias), z.shape))
}
