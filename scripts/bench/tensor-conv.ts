/**
 * Training steps of a small convolutional network (three 3×3 convolutions of 32, 64 and 64 channels with max pooling, a
 * linear head, images 32×32×3) on the cpu device beside the same model in PyTorch; see _torch_pair.ts.
 */
import { initialise, withPrefix } from "@exp/nn"
import { derive, key } from "@exp/random"
import { type HostTensors, linear, openDevice, softmaxCrossEntropy } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { comparePair } from "./_torch_pair.ts"
import { adamState, adamStep } from "./_train-step.ts"

const device = await openDevice("cpu")
const batch = 64
const widths = [3, 32, 64, 64]
const params: Record<string, HostTensors[string]> = {
  "head.weight": initialise.kaimingUniform(key(2), [4 * 4 * widths[3]!, 10]),
  "head.bias": initialise.zeros([10]),
}
for (let i = 0; i < 3; i++) {
  const shape = [3, 3, widths[i]!, widths[i + 1]!]
  params[`conv${i}.weight`] = initialise.kaimingUniform(derive(key(1), i), shape, 9 * widths[i]!)
  params[`conv${i}.bias`] = initialise.zeros([widths[i + 1]!])
}
await comparePair(device, {
  name: `tensor-conv batch=${batch}`,
  peer: "_torch_conv.py",
  step: adamStep((p, { images, labels }) => {
    let x = images as tf.Tensor4D
    for (let i = 0; i < 3; i++) {
      const y = tf.add(tf.conv2d(x, p[`conv${i}.weight`] as tf.Tensor4D, 1, "same"), p[`conv${i}.bias`]!)
      x = tf.maxPool(tf.relu(y) as tf.Tensor4D, 2, 2, "valid")
    }
    const scores = linear(tf.reshape(x, [batch, -1]), p["head.weight"]!, p["head.bias"])
    return tf.mean(softmaxCrossEntropy(scores, labels!)) as tf.Scalar
  }),
  start: { ...withPrefix("params", params), ...adamState(params) },
  batch: {
    images: {
      data: Float32Array.from({ length: batch * 32 * 32 * 3 }, (_, i) => Math.sin(i * 0.37)),
      shape: [batch, 32, 32, 3],
      dtype: "float32",
    },
    labels: { data: Int32Array.from({ length: batch }, (_, i) => i % 10), shape: [batch], dtype: "int32" },
    rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
  },
  stepsPerCall: 5,
})
