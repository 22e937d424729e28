/**
 * Examples of what goes into a training step of a vision transformer under a tuner: the shapes of a trial with values
 * that stand for pre-trained weights and images. For accounting, for profiles and for showing the graph.
 */
import { initVit, pick, type VitConfig } from "@exp/nn"
import { fillUniform, key } from "@exp/random"
import type { HostTensor, HostTensors } from "@exp/tensor"
import { locateMask } from "./gradient-mask.ts"
import { maskTensors } from "./mask-location.ts"
import { initialState } from "./tuned-step.ts"
import type { Tuner } from "./tuners.ts"
import { newHead, tunedMaps, tunedTensors } from "./vision-model.ts"

/** The state of a training step whose backbone is not pre-trained; a gradient mask keeps evenly spread entries. */
export function visionStateExample(tuner: Tuner, config: VitConfig, seed: number): HostTensors {
  const backbone = pick(initVit(config, key(seed)), (name) => !name.startsWith("head."))
  const tensors = tunedTensors(tuner, config, backbone, newHead(config, seed), seed)
  const params: Record<string, HostTensor> = { ...tensors.params }
  const frozen: Record<string, HostTensor> = { ...tensors.frozen }
  if (tuner._tag === "GradientMask") {
    const maps = tunedMaps(config)
    const scores = Object.fromEntries(
      maps.map(({ name, inputs, outputs }, l) => [
        name,
        Float32Array.from({ length: inputs * outputs }, (_, i) => (i * 7919 + l) % 10007),
      ]),
    )
    const mask = maskTensors(tuner.storage, maps, locateMask(scores, tuner.sparsity))
    Object.assign(params, mask.params)
    Object.assign(frozen, mask.frozen)
  }
  return initialState(tuner, params, frozen)
}

/** A batch of `size` images of noise in [−1, 1), all of class 0, at a learning rate of 1e-3. */
export function visionBatchExample(tuner: Tuner, config: VitConfig, size: number): HostTensors {
  const { imageSize, channels } = config
  const maps = tunedMaps(config).length
  const noise = fillUniform(key(0, "example images"), new Float32Array(size * imageSize ** 2 * channels))
  return {
    images: { data: noise.map((x) => 2 * x - 1), shape: [size, imageSize, imageSize, channels], dtype: "float32" },
    labels: { data: new Int32Array(size), shape: [size], dtype: "int32" },
    weights: { data: new Float32Array(size).fill(1), shape: [size], dtype: "float32" },
    learning_rate: { data: new Float32Array([1e-3]), shape: [], dtype: "float32" },
    ...(tuner._tag === "Snella" && { positions: { data: new Int32Array(maps), shape: [maps], dtype: "int32" } }),
  }
}
