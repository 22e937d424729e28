/** A training step with AdamW, learning rate fed as batch["rate"]. */
import { adamw, underPrefix, withPrefix } from "@exp/nn"
import { type HostTensors, type Step, type Tensors, valueAndGradients } from "@exp/tensor"
import type * as tf from "@tensorflow/tfjs-core"

/** One step on `loss(params, batch)`; state under "params." and "adam.", metric "loss". */
export function adamStep(loss: (params: Tensors, batch: Tensors) => tf.Scalar): Step {
  return (state, batch) => {
    const params = underPrefix("params", state)
    const { value, gradients } = valueAndGradients((p) => loss(p, batch), params)
    const next = adamw.update({ params, gradients, state: underPrefix("adam", state), learningRate: batch["rate"]! })
    return {
      state: { ...withPrefix("params", next.params), ...withPrefix("adam", next.state) },
      metrics: { loss: value },
    }
  }
}

/** The optimiser's state before the first step. */
export const adamState = (params: HostTensors): HostTensors => withPrefix("adam", adamw.init(params))
