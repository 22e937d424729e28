/**
 * Memory of tuning vision transformers of published sizes, from shapes alone: no weight is allocated and nothing runs, so
 * that ViT-H is accounted for on any machine. SNELL's claim (arXiv 2411.01800, Tables A8 and A12) beside it.
 */
import { type VitConfig, vitShapes } from "@exp/nn"
import { type Shapes, type StepCost, traceCost } from "@exp/tensor"
import { factorName, hasFactors, updateRule } from "./factors.ts"
import { tunedStep } from "./tuned-step.ts"
import type { Tuner } from "./tuners.ts"
import { trainsWeight, tunedMaps, visionModel } from "./vision-model.ts"

type Shape = readonly number[]

/** Shapes of what a tuner adds: factors, adapters, or a dense ΔW; and of the masks beside it. */
function addedShapes(tuner: Tuner, config: VitConfig): { params: Record<string, Shape>; masks: Record<string, Shape> } {
  const params: Record<string, Shape> = {}
  const masks: Record<string, Shape> = {}
  for (const { name, inputs, outputs } of tunedMaps(config)) {
    if (hasFactors(tuner)) {
      const { kernel } = updateRule(tuner)
      const { rank } = tuner
      params[factorName(name, "a")] = kernel === "linear" ? [inputs, rank] : [2, inputs, rank / 2]
      params[factorName(name, "b")] = kernel === "linear" ? [outputs, rank] : [2, outputs, rank / 2]
      if (kernel === "mixture") for (const role of ["alpha", "gamma", "beta"]) params[factorName(name, role)] = [1]
    } else if (tuner._tag === "GradientMask") {
      if (tuner.storage !== "dense")
        throw new RangeError("which entries a compressed mask keeps is known only after its first stage")
      params[factorName(name, "dense")] = [inputs, outputs]
      masks[`mask.${name}`] = [inputs, outputs]
    }
  }
  if (tuner._tag === "Adapter")
    for (let block = 0; block < config.depth; block++) {
      params[`adapter.${block}.down`] = [config.width, tuner.width]
      params[`adapter.${block}.down_bias`] = [tuner.width]
      params[`adapter.${block}.up`] = [tuner.width, config.width]
      params[`adapter.${block}.up_bias`] = [config.width]
    }
  return { params, masks }
}

/**
 * Shapes of the training state of a tuner on a vision transformer.
 *
 * @throws RangeError for a compressed gradient mask
 */
export function tunedStateShapes(tuner: Tuner, config: VitConfig): Shapes {
  const state: Record<string, { shape: Shape; dtype: "float32" | "bool" }> = {}
  const put = (name: string, shape: Shape, dtype: "float32" | "bool" = "float32") => {
    state[name] = { shape, dtype }
  }
  const { params, masks } = addedShapes(tuner, config)
  const trained: Record<string, Shape> = {}
  for (const [name, shape] of Object.entries(vitShapes(config)))
    if (name.startsWith("head.") || trainsWeight(tuner, name)) trained[name] = shape
    else put(`frozen.${name}`, shape)
  Object.assign(trained, params)
  for (const [name, shape] of Object.entries(masks)) put(`frozen.${name}`, shape, "bool")
  for (const [name, shape] of Object.entries(trained)) {
    put(`params.${name}`, shape)
    put(`optimiser.first.${name}`, shape)
    put(`optimiser.second.${name}`, shape)
    put(`optimiser.count.${name}`, [2])
    if (tuner._tag === "Snella" && tuner.allocation === "competition" && /^update\..*\.[ab]$/.test(name)) {
      put(`importance.${name}`, shape)
      put(`uncertainty.${name}`, shape)
    }
  }
  return state
}

/** Shapes of a batch of `size` images. */
export function visionBatchShapes(tuner: Tuner, config: VitConfig, size: number): Shapes {
  const { imageSize, channels } = config
  return {
    images: { shape: [size, imageSize, imageSize, channels], dtype: "float32" },
    labels: { shape: [size], dtype: "int32" },
    weights: { shape: [size], dtype: "float32" },
    learning_rate: { shape: [], dtype: "float32" },
    ...(tuner._tag === "Snella" && { positions: { shape: [tunedMaps(config).length], dtype: "int32" as const } }),
  }
}

/** What a training step of a tuner costs on a vision transformer of any size, without weights. */
export function tunedCost(tuner: Tuner, config: VitConfig, batchSize: number): StepCost {
  return traceCost(tunedStep(visionModel(config), tuner, { decay: () => 0 }), {
    state: tunedStateShapes(tuner, config),
    batch: visionBatchShapes(tuner, config, batchSize),
  })
}

/** Measured GPU memory at batch 8 in MB, as the paper prints it (Table A12). */
export const paperMemory = {
  "LoRA-8": { base: 1546, large: 4325, huge: 9325 },
  "SNELL-8": { base: 1673, large: 4519, huge: 9692 },
  "masked (GPS)": { base: 2428, large: 7522, huge: 16119 },
} as const
