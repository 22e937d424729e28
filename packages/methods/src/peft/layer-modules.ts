/**
 * PEFT modules that sit in every layer of a model, each layer's with a multiplier of their own: LoRA, DoRA, and series
 * and parallel adapters. What IST is a plug-in for.
 *
 * The tensors of layer l are named `modules.{l}.…`, so that a step can tell which layer a parameter belongs to.
 */
import { derive, type Key } from "@exp/random"
import {
  dropoutMask,
  gelu,
  type HostTensor,
  type HostTensors,
  linear,
  matMul,
  type Randomness,
  stopGradient,
  type Tensors,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, positive } from "../config-fields.ts"
import { type LinearMap, uniformTensor, zeroTensor } from "./factors.ts"

const scaling = positive.pipe(described("factor on the module's response; LoRA's α/r"), defaultsTo(1))
const rank = atLeast(1).pipe(described("r: each linear map gets r·(inputs + outputs) numbers"))

/** The modules of every layer: a union tagged by kind. */
export const LayerModules = Schema.TaggedUnion({
  LoraModules: { rank, scaling },
  DoraModules: { rank, scaling },
  AdapterModules: {
    width: atLeast(1).pipe(described("units of the bottleneck at each MLP")),
    placement: Schema.Literals(["series", "parallel"]).pipe(
      described("series: reads what the MLP gives; parallel: reads what the MLP reads"),
      defaultsTo("series"),
    ),
    scaling,
  },
})
export type LayerModules = typeof LayerModules.Type
/** Modules as they are written in an experiment. */
export type LayerModulesInput = typeof LayerModules.Encoded

type Fields<Tag extends LayerModulesInput["_tag"]> = Omit<Extract<LayerModulesInput, { readonly _tag: Tag }>, "_tag">

/** ΔW = scaling·A·Bᵀ on the linear maps; B starts at 0 (Hu et al. 2021, arXiv 2106.09685). */
export const LoraModules = (fields: Fields<"LoraModules">) => ({ _tag: "LoraModules" as const, ...fields })
/** Magnitude and direction apart: W' = m·V/‖V‖ with V = W + scaling·A·Bᵀ (Liu et al. 2024, arXiv 2402.09353). */
export const DoraModules = (fields: Fields<"DoraModules">) => ({ _tag: "DoraModules" as const, ...fields })
/** A bottleneck at each MLP, in series (Houlsby et al. 2019) or in parallel (He et al. 2021, arXiv 2110.04366). */
export const AdapterModules = (fields: Fields<"AdapterModules">) => ({ _tag: "AdapterModules" as const, ...fields })

/** A linear map of a layer. */
export interface LayerMap extends LinearMap {
  readonly layer: number
}

/** Where modules can go in a model. */
export interface ModulePlaces {
  readonly layers: number
  /** The maps that low-rank modules change; weights are `${name}.weight` [inputs, outputs], `${name}.bias` where there is one. */
  readonly maps: readonly LayerMap[]
  /** The first and the last map of each layer's MLP by name, and the width of the residual stream. */
  readonly mlp: (layer: number) => { readonly first: string; readonly last: string }
  readonly width: number
}

/** The name of a module's tensor. */
export const moduleName = (layer: number, place: string, role: string): string => `modules.${layer}.${place}.${role}`

/** The layer that a parameter belongs to; undefined for those that are no module's. */
export function layerOf(name: string): number | undefined {
  const found = /^modules\.(\d+)\./.exec(name)
  return found ? Number(found[1]) : undefined
}

/** ‖W‖ of every output (column) of a weight [inputs, outputs]. */
export function columnNorms(weight: HostTensor): HostTensor {
  const [inputs, outputs] = weight.shape as [number, number]
  const squares = new Float64Array(outputs)
  for (let i = 0; i < inputs; i++) for (let j = 0; j < outputs; j++) squares[j]! += weight.data[i * outputs + j]! ** 2
  return { data: Float32Array.from(squares, Math.sqrt), shape: [outputs], dtype: "float32" }
}

/**
 * The modules of all layers at the start, when they change nothing: first factors uniform in ±1/√inputs, second 0,
 * magnitudes the norms of the weight's columns.
 *
 * @param weights frozen weights, read for DoRA's magnitudes
 */
export function initModules(modules: LayerModules, places: ModulePlaces, weights: HostTensors, key: Key): HostTensors {
  const out: Record<string, HostTensor> = {}
  if (modules._tag === "AdapterModules") {
    const { width } = places
    for (let layer = 0; layer < places.layers; layer++) {
      const at = (role: string) => moduleName(layer, "adapter", role)
      out[at("down")] = uniformTensor(derive(key, "adapter", layer), [width, modules.width], 1 / Math.sqrt(width))
      out[at("down_bias")] = zeroTensor([modules.width])
      out[at("up")] = zeroTensor([modules.width, width])
      out[at("up_bias")] = zeroTensor([width])
    }
    return out
  }
  for (const { name, layer, inputs, outputs } of places.maps) {
    out[moduleName(layer, name, "a")] = uniformTensor(derive(key, name), [inputs, modules.rank], 1 / Math.sqrt(inputs))
    out[moduleName(layer, name, "b")] = zeroTensor([outputs, modules.rank])
    if (modules._tag === "DoraModules")
      out[moduleName(layer, name, "magnitude")] = columnNorms(weights[`${name}.weight`]!)
  }
  return out
}

/** The shapes of {@link initModules}, without making anything. */
export function moduleShapes(
  modules: LayerModules,
  places: ModulePlaces,
): Readonly<Record<string, { readonly shape: readonly number[]; readonly dtype: "float32" }>> {
  const shapes: Record<string, readonly number[]> = {}
  if (modules._tag === "AdapterModules")
    for (let layer = 0; layer < places.layers; layer++) {
      shapes[moduleName(layer, "adapter", "down")] = [places.width, modules.width]
      shapes[moduleName(layer, "adapter", "down_bias")] = [modules.width]
      shapes[moduleName(layer, "adapter", "up")] = [modules.width, places.width]
      shapes[moduleName(layer, "adapter", "up_bias")] = [places.width]
    }
  else
    for (const { name, layer, inputs, outputs } of places.maps) {
      shapes[moduleName(layer, name, "a")] = [inputs, modules.rank]
      shapes[moduleName(layer, name, "b")] = [outputs, modules.rank]
      if (modules._tag === "DoraModules") shapes[moduleName(layer, name, "magnitude")] = [outputs]
    }
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape, dtype: "float32" as const }]))
}

/** `factor`·x, where the factor is a number or a scalar tensor; 1 costs nothing. */
function scaled(x: tf.Tensor, factor: number, multiplier: tf.Tensor | undefined): tf.Tensor {
  const by = factor === 1 ? x : tf.mul(x, factor)
  return multiplier ? tf.mul(by, multiplier) : by
}

/** scaling·(x·A)·Bᵀ. x [rows, inputs] → [rows, outputs]. Neither x nor x·A is kept for the gradient of x alone. */
export function lowRankBranch(
  x: tf.Tensor,
  a: tf.Tensor,
  b: tf.Tensor,
  scaling: number,
  multiplier?: tf.Tensor,
): tf.Tensor {
  return matMul(scaled(matMul(x, a), scaling, multiplier), b, false, true)
}

/** Factors of one map of DoRA, and the frozen map they change. */
export interface DoraWeights {
  readonly a: tf.Tensor
  readonly b: tf.Tensor
  /** m [outputs] */
  readonly magnitude: tf.Tensor
  /** W [inputs, outputs] */
  readonly weight: tf.Tensor
  /** [outputs], where the map has one */
  readonly bias?: tf.Tensor
}

/**
 * DoRA's output m/‖V‖·(x·W + scaling·x·A·Bᵀ) + bias. ‖V‖ is a constant in the backward pass (section 4.3 of the paper).
 *
 * @param x [rows, inputs], after dropout where there is one
 * @param y x·W + bias of the frozen map [rows, outputs]
 */
export function doraOutput(
  x: tf.Tensor,
  y: tf.Tensor,
  { a, b, magnitude, weight, bias }: DoraWeights,
  scaling: number,
  multiplier?: tf.Tensor,
): tf.Tensor {
  const change = matMul(scaled(stopGradient(a), scaling, multiplier), stopGradient(b), false, true)
  const norms = tf.sqrt(tf.sum(tf.square(tf.add(stopGradient(weight), change)), 0))
  const gain = tf.div(magnitude, norms)
  const plain = bias ? tf.sub(y, bias) : y
  const turned = tf.mul(tf.add(plain, lowRankBranch(x, a, b, scaling, multiplier)), gain)
  return bias ? tf.add(turned, bias) : turned
}

/** What modules do to the output y of the linear map `name` with input x. */
export type ModuleHook = (name: string, x: tf.Tensor, y: tf.Tensor) => tf.Tensor

/**
 * The hook of one forward pass: make a new one for each pass.
 *
 * @param weights trained and frozen tensors under their own names
 * @param multipliers [layers], what the response of each layer's modules is multiplied by; absent: 1
 * @param training dropout of the modules' inputs; absent in evaluation. Each module draws for itself
 */
export function moduleHook(
  modules: LayerModules,
  places: ModulePlaces,
  weights: Tensors,
  multipliers?: tf.Tensor,
  training?: { readonly randomness: Randomness; readonly dropout: number },
): ModuleHook {
  const multiplier = (layer: number) => multipliers && tf.slice(multipliers, [layer], [1])
  const dropped = (x: tf.Tensor, stream: string) =>
    training && training.dropout > 0
      ? tf.mul(x, dropoutMask(training.randomness, `dropout.${stream}`, x.shape, training.dropout))
      : x
  if (modules._tag === "AdapterModules") {
    const firsts = new Map<string, number>()
    const lasts = new Map<string, number>()
    for (let layer = 0; layer < places.layers; layer++) {
      const { first, last } = places.mlp(layer)
      firsts.set(first, layer)
      lasts.set(last, layer)
    }
    const inputs = new Map<number, tf.Tensor>()
    return (name, x, y) => {
      const opening = firsts.get(name)
      if (opening !== undefined) inputs.set(opening, x)
      const layer = lasts.get(name)
      if (layer === undefined) return y
      const at = (role: string) => weights[moduleName(layer, "adapter", role)]!
      const read = dropped(modules.placement === "series" ? y : inputs.get(layer)!, `adapter.${layer}`)
      const units = gelu(linear(read, at("down"), at("down_bias")))
      return tf.add(y, scaled(linear(units, at("up"), at("up_bias")), modules.scaling, multiplier(layer)))
    }
  }
  const maps = new Map(places.maps.map((map) => [map.name, map]))
  return (name, x, y) => {
    const map = maps.get(name)
    if (!map) return y
    const at = (role: string) => weights[moduleName(map.layer, name, role)]!
    const rows = tf.reshape(dropped(x, name), [-1, map.inputs])
    if (modules._tag === "LoraModules") {
      const branch = lowRankBranch(rows, at("a"), at("b"), modules.scaling, multiplier(map.layer))
      return tf.add(y, tf.reshape(branch, y.shape))
    }
    const bias = weights[`${name}.bias`]
    const turned = doraOutput(
      rows,
      tf.reshape(y, [-1, map.outputs]),
      {
        a: at("a"),
        b: at("b"),
        magnitude: at("magnitude"),
        weight: weights[`${name}.weight`]!,
        ...(bias && { bias }),
      },
      modules.scaling,
      multiplier(map.layer),
    )
    return tf.reshape(turned, y.shape)
  }
}
