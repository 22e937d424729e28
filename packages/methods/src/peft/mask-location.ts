/** The first stage of gradient-located tuning: where the gradients are large, and the tensors of the second stage. */
import { pick, withPrefix } from "@exp/nn"
import { type Device, type HostTensor, type HostTensors, type Step, valueAndGradients } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { factorName, type LinearMap, zeroTensor } from "./factors.ts"
import type { MaskLocation } from "./gradient-mask.ts"
import { type TunedModel, tunerHooks } from "./tuned-step.ts"

/**
 * Σ over batches of the squared gradient of each named weight, at the given weights.
 *
 * @param batches what the model's loss asks for, all of one shape
 */
export async function squaredGradients(
  device: Device,
  model: TunedModel,
  weights: HostTensors,
  names: ReadonlyArray<string>,
  batches: ReadonlyArray<HostTensors>,
): Promise<Readonly<Record<string, Float32Array>>> {
  const step: Step = (state, batch, randomness) => {
    const located = Object.fromEntries(names.map((name) => [name, state[`weights.${name}`]!]))
    const fixed = Object.fromEntries(Object.keys(weights).map((name) => [name, state[`weights.${name}`]!]))
    const { value, gradients } = valueAndGradients((params) => {
      const all = { ...fixed, ...params }
      return model.loss(all, batch, randomness, tunerHooks({ _tag: "LinearProbe" }, [], all))
    }, located)
    const next: Record<string, tf.Tensor> = { ...state }
    for (const name of names) {
      const g = gradients[name]
      if (g) next[`scores.${name}`] = tf.add(state[`scores.${name}`]!, tf.mul(g, g))
    }
    return { state: next, metrics: { loss: value } }
  }
  const program = device.compile(step, { name: "mask location" })
  try {
    const scored = pick(weights, (name) => names.includes(name))
    const zeros = Object.fromEntries(Object.entries(scored).map(([name, { shape }]) => [name, zeroTensor(shape)]))
    program.load({ ...withPrefix("weights", weights), ...withPrefix("scores", zeros) })
    for (const [i, batch] of batches.entries()) await program.run(batch, { seed: 0, step: i })
    const state = await program.state()
    return Object.fromEntries(names.map((name) => [name, state[`scores.${name}`]!.data as Float32Array]))
  } finally {
    program.dispose()
  }
}

/**
 * The trained and frozen tensors of the second stage. Dense: ΔW from 0 and a bool mask for each map. Compressed: values
 * from 0 and int32 indices; a map without a trained entry has no tensors.
 */
export function maskTensors(
  storage: "dense" | "compressed",
  maps: ReadonlyArray<LinearMap>,
  located: Readonly<Record<string, MaskLocation>>,
): { readonly params: HostTensors; readonly frozen: HostTensors } {
  const params: Record<string, HostTensor> = {}
  const frozen: Record<string, HostTensor> = {}
  for (const { name, inputs, outputs } of maps) {
    const { mask, indices } = located[name]!
    if (storage === "dense") {
      params[factorName(name, "dense")] = zeroTensor([inputs, outputs])
      frozen[`mask.${name}`] = { data: mask, shape: [inputs, outputs], dtype: "bool" }
    } else if (indices.length > 0) {
      params[factorName(name, "values")] = zeroTensor([indices.length])
      frozen[`indices.${name}`] = { data: indices, shape: [indices.length, 1], dtype: "int32" }
    }
  }
  return { params, frozen }
}
