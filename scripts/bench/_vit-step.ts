/** The training step of a small vision transformer with everything that it takes. */
import { initVit, tinyVit, type VitConfig, vit, withPrefix } from "@exp/nn"
import { key } from "@exp/random"
import { type HostTensors, type Step, softmaxCrossEntropy } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { adamState, adamStep } from "./_train-step.ts"

/** A step, its parameters, the state before it, and a batch. */
export interface StepCase {
  readonly step: Step
  readonly params: HostTensors
  readonly start: HostTensors
  readonly batch: HostTensors
}

/** AdamW on the cross-entropy of a vision transformer whose hidden width is four times its width. */
export function vitCase(width: number, batch: number, depth = 4): StepCase {
  const config: VitConfig = { ...tinyVit(10, depth), width, mlpWidth: 4 * width }
  const params = initVit(config, key(1))
  return {
    step: adamStep((p, { images, labels }) =>
      tf.mean(softmaxCrossEntropy(vit(p, images as tf.Tensor4D, config), labels!)),
    ),
    params,
    start: { ...withPrefix("params", params), ...adamState(params) },
    batch: {
      images: {
        data: Float32Array.from({ length: batch * 784 }, (_, i) => Math.sin(i * 0.37)),
        shape: [batch, 28, 28, 1],
        dtype: "float32",
      },
      labels: { data: Int32Array.from({ length: batch }, (_, i) => i % 10), shape: [batch], dtype: "int32" },
      rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
    },
  }
}
