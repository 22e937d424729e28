/** Training steps of the vision transformer on the cpu device beside the same model in PyTorch; see _torch_pair.ts. */
import { initVit, tinyVit, vit } from "@exp/nn"
import { key } from "@exp/random"
import { type HostTensors, openDevice, softmaxCrossEntropy } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { comparePair } from "./_torch_pair.ts"
import { adamState, adamStep } from "./_train-step.ts"

const device = await openDevice("cpu")
for (const [width, batch] of [
  [64, 64],
  [64, 256],
  [192, 64],
  [192, 256],
] as const) {
  const config = { ...tinyVit(10), width, mlpWidth: 4 * width }
  const params = initVit(config, key(1))
  const inputs: HostTensors = {
    images: {
      data: Float32Array.from({ length: batch * 784 }, (_, i) => Math.sin(i * 0.37)),
      shape: [batch, 28, 28, 1],
      dtype: "float32",
    },
    labels: { data: Int32Array.from({ length: batch }, (_, i) => i % 10), shape: [batch], dtype: "int32" },
    rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
  }
  await comparePair(device, {
    name: `tensor-vit d=${width} batch=${batch}`,
    peer: "_torch_vit.py",
    variants: [[String(width)]],
    step: adamStep((p, { images, labels }) =>
      tf.mean(softmaxCrossEntropy(vit(p, images as tf.Tensor4D, config), labels!)),
    ),
    params,
    state: adamState(params),
    batch: inputs,
  })
}
