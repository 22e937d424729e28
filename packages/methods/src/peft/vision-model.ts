/** The vision transformer as a tuned model: which tensors each tuner trains, the loss, the evaluation. */

import type { ImageSplit } from "@exp/data"
import { initHead, linearMaps, pick, tinyVit, underPrefix, type VitConfig, vit, withPrefix } from "@exp/nn"
import { derive, key } from "@exp/random"
import { type Device, type HostTensor, type HostTensors, type Step, softmaxCrossEntropy } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { hasFactors, initFactors, type LinearMap, uniformTensor, zeroTensor } from "./factors.ts"
import { type TunedModel, tunerHooks } from "./tuned-step.ts"
import type { Tuner } from "./tuners.ts"
import { imageBatch, type TargetTask } from "./vision-data.ts"

/** The six linear maps of every block. */
export function tunedMaps(config: VitConfig): ReadonlyArray<LinearMap> {
  return linearMaps(config).map((map) => ({ name: map.name, inputs: map.in, outputs: map.out }))
}

/** Cross-entropy, mean over the real rows of a batch. */
export function visionModel(config: VitConfig): TunedModel {
  return {
    maps: tunedMaps(config),
    loss(weights, batch, _, hooks) {
      const logits = vit(weights, batch["images"] as tf.Tensor4D, config, hooks)
      const rows = softmaxCrossEntropy(logits, batch["labels"]!)
      return tf.div(tf.sum(tf.mul(rows, batch["weights"]!)), tf.sum(batch["weights"]!))
    },
  }
}

/** Trained and frozen tensors of a tuner at the start. */
export interface TunedTensors {
  readonly params: HostTensors
  readonly frozen: HostTensors
}

/** Weights of the adapters at the start: down uniform in ±1/√features, up and the biases 0. */
export function initAdapters(config: VitConfig, width: number, seed: number): HostTensors {
  const out: Record<string, HostTensor> = {}
  for (let block = 0; block < config.depth; block++) {
    const stream = derive(key(seed, "adapter"), block)
    out[`adapter.${block}.down`] = uniformTensor(stream, [config.width, width], 1 / Math.sqrt(config.width))
    out[`adapter.${block}.down_bias`] = zeroTensor([width])
    out[`adapter.${block}.up`] = zeroTensor([width, config.width])
    out[`adapter.${block}.up_bias`] = zeroTensor([config.width])
  }
  return out
}

/** Whether a tuner trains a weight of the backbone. */
export function trainsWeight(tuner: Tuner, name: string): boolean {
  if (tuner._tag === "FullFineTune") return true
  if (tuner._tag === "LinearProbe") return false
  return name === "cls" || (tuner._tag === "BitFit" && name.endsWith(".bias"))
}

/**
 * Which tensors a tuner trains: the head always; CLS with all but the linear probe (full fine-tuning has it anyway).
 * The tensors of a gradient mask are not among them: they are known only after its first stage.
 *
 * @param backbone pre-trained weights without the head
 * @param head the new head; the same for all tuners of one seed
 */
export function tunedTensors(
  tuner: Tuner,
  config: VitConfig,
  backbone: HostTensors,
  head: HostTensors,
  seed: number,
): TunedTensors {
  const trains = (name: string) => trainsWeight(tuner, name)
  const added = hasFactors(tuner)
    ? initFactors(tuner, tunedMaps(config), key(seed, "factors"))
    : tuner._tag === "Adapter"
      ? initAdapters(config, tuner.width, seed)
      : {}
  return {
    params: { ...pick(backbone, trains), ...head, ...added },
    frozen: pick(backbone, (name) => !trains(name)),
  }
}

/** The new head of a seed. */
export function newHead(config: VitConfig, seed: number): HostTensors {
  return initHead(config, key(seed, "head"))
}

/** The model of the test bed. */
export function testBedModel(classes: number, depth: number): VitConfig {
  return tinyVit(classes, depth)
}

/** A step that changes nothing and gives the class scores of `images`; the state holds `weights.*`. */
export function logitsStep(config: VitConfig, tuner: Tuner): Step {
  // Everything but adapters is merged into the weights.
  const shown: Tuner = tuner._tag === "Adapter" ? tuner : { _tag: "LinearProbe" }
  return (state, batch) => {
    const weights = underPrefix("weights", state)
    const hooks = tunerHooks(shown, [], weights)
    return { state, metrics: { logits: vit(weights, batch["images"] as tf.Tensor4D, config, hooks) } }
  }
}

/** Images that are evaluated at once. */
const evaluationBatch = 100

/** The predicted class of every image of a split; −1 where no score is a number. */
export async function predictions(
  device: Device,
  config: VitConfig,
  tuner: Tuner,
  weights: HostTensors,
  split: ImageSplit,
  shape: TargetTask["shape"],
): Promise<Int32Array> {
  const program = device.compile(logitsStep(config, tuner), { name: "evaluation" })
  const out = new Int32Array(split.count)
  try {
    program.load(withPrefix("weights", weights))
    for (let first = 0; first < split.count; first += evaluationBatch) {
      const count = Math.min(evaluationBatch, split.count - first)
      const indices = Uint32Array.from({ length: count }, (_, i) => first + i)
      const { images } = imageBatch(split, shape, indices, evaluationBatch)
      const { logits } = await program.run({ images: images! }, { seed: 0, step: 0 })
      for (let i = 0; i < count; i++) out[first + i] = largest(logits!.data, i * config.classes, config.classes)
    }
    return out
  } finally {
    program.dispose()
  }
}

function largest(values: ArrayLike<number>, from: number, count: number): number {
  let best = -1
  for (let i = 0; i < count; i++) {
    const value = values[from + i]!
    if (!Number.isNaN(value) && (best < 0 || value > values[from + best]!)) best = i
  }
  return best
}

/** The share of predictions that equal the labels. */
export function accuracy(predicted: Int32Array, labels: Uint8Array): number {
  let right = 0
  for (let i = 0; i < predicted.length; i++) if (predicted[i] === labels[i]) right++
  return right / predicted.length
}
