/** The bottleneck adapter: after the second linear map of an MLP, before the residual sum. */
import { gelu, linear } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

/** Weights of one adapter: down [features, width], up [width, features], and their biases. */
export interface AdapterWeights {
  readonly down: tf.Tensor
  readonly downBias: tf.Tensor
  readonly up: tf.Tensor
  readonly upBias: tf.Tensor
}

/** z + Up(GELU(Down z)); z is [..., features]. The identity at the start, where up and the biases are 0. */
export function adapter(z: tf.Tensor, weights: AdapterWeights): tf.Tensor {
  return tf.add(z, linear(gelu(linear(z, weights.down, weights.downBias)), weights.up, weights.upBias))
}
