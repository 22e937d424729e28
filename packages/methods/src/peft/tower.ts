/**
 * The frozen residual tower of IST's study: x ← x + relu(LN(x)·A_l)·B_l in every layer, class scores LN(x)·C, and a
 * teacher that differs from it by low-rank changes of a few layers. All of it is known, so that one can see which layers
 * a method finds.
 */
import { fillNormal, key } from "@exp/random"
import { type HostTensor, type HostTensors, layerNorm, matMul } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import type { LayeredModel } from "./layered-step.ts"

/** Sizes of a tower. */
export interface TowerConfig {
  readonly depth: number
  readonly width: number
  readonly hidden: number
  readonly classes: number
}

/** ε of its layer norms, which have no scale and bias. */
export const towerEpsilon = 1e-5

const normals = (seed: number, name: string, shape: readonly [number, number], sigma: number): HostTensor => {
  const data = fillNormal(key(seed, "tower", name), new Float32Array(shape[0] * shape[1]))
  return { data: data.map((x) => x * sigma), shape, dtype: "float32" }
}

/**
 * The frozen weights, [inputs, outputs]: `layers.{l}.a` with variance 1/width, `layers.{l}.b` with variance 0.25/hidden,
 * `head` with variance 1/width.
 */
export function towerWeights({ depth, width, hidden, classes }: TowerConfig, seed: number): HostTensors {
  const out: Record<string, HostTensor> = {}
  for (let layer = 0; layer < depth; layer++) {
    const at = `layers.${layer}`
    out[`${at}.a.weight`] = normals(seed, `${at}.a`, [width, hidden], 1 / Math.sqrt(width))
    out[`${at}.b.weight`] = normals(seed, `${at}.b`, [hidden, width], 0.5 / Math.sqrt(hidden))
  }
  out["head.weight"] = normals(seed, "head", [width, classes], 1 / Math.sqrt(width))
  return out
}

/** W + scale·U·V/√(rank·width), U [inputs, rank] and V [rank, outputs] standard normal. */
function changed(weight: HostTensor, seed: number, name: string, rank: number, factor: number): HostTensor {
  const [inputs, outputs] = weight.shape as [number, number]
  const u = normals(seed, `${name}.u`, [inputs, rank], 1).data
  const v = normals(seed, `${name}.v`, [rank, outputs], factor).data
  const data = Float32Array.from(weight.data)
  for (let i = 0; i < inputs; i++)
    for (let r = 0; r < rank; r++)
      for (let j = 0; j < outputs; j++) data[i * outputs + j]! += u[i * rank + r]! * v[r * outputs + j]!
  return { ...weight, data }
}

/** The teacher: A += 2.5·UV/√(rank·width) and B += 1.25·UV/√(rank·hidden) in the given layers. */
export function teacherWeights(
  config: TowerConfig,
  weights: HostTensors,
  layers: readonly number[],
  rank: number,
  seed: number,
): HostTensors {
  const out: Record<string, HostTensor> = { ...weights }
  for (const layer of layers) {
    const [a, b] = [`layers.${layer}.a`, `layers.${layer}.b`]
    out[`${a}.weight`] = changed(weights[`${a}.weight`]!, seed, a, rank, 2.5 / Math.sqrt(rank * config.width))
    out[`${b}.weight`] = changed(weights[`${b}.weight`]!, seed, b, rank, 1.25 / Math.sqrt(rank * config.hidden))
  }
  return out
}

/** Class scores on the host, in float64: [rows, classes]. */
export function towerScores(config: TowerConfig, weights: HostTensors, inputs: Float32Array): Float64Array {
  const { depth, width, hidden, classes } = config
  const rows = inputs.length / width
  const out = new Float64Array(rows * classes)
  const normal = new Float64Array(width)
  const units = new Float64Array(hidden)
  const head = weights["head.weight"]!.data
  const normalise = (x: Float64Array) => {
    const mean = x.reduce((s, v) => s + v, 0) / width
    const variance = x.reduce((s, v) => s + (v - mean) ** 2, 0) / width
    for (let i = 0; i < width; i++) normal[i] = (x[i]! - mean) / Math.sqrt(variance + towerEpsilon)
  }
  for (let row = 0; row < rows; row++) {
    const x = Float64Array.from(inputs.subarray(row * width, (row + 1) * width))
    for (let layer = 0; layer < depth; layer++) {
      const a = weights[`layers.${layer}.a.weight`]!.data
      const b = weights[`layers.${layer}.b.weight`]!.data
      normalise(x)
      units.fill(0)
      for (let i = 0; i < width; i++) for (let j = 0; j < hidden; j++) units[j]! += normal[i]! * a[i * hidden + j]!
      for (let j = 0; j < hidden; j++)
        if (units[j]! > 0) for (let i = 0; i < width; i++) x[i]! += units[j]! * b[j * width + i]!
    }
    normalise(x)
    for (let i = 0; i < width; i++)
      for (let c = 0; c < classes; c++) out[row * classes + c]! += normal[i]! * head[i * classes + c]!
  }
  return out
}

/** The class with the largest score in each row. */
export function largestScores(scores: Float64Array, classes: number): Int32Array {
  return Int32Array.from({ length: scores.length / classes }, (_, row) => {
    let best = 0
    for (let c = 1; c < classes; c++) if (scores[row * classes + c]! > scores[row * classes + best]!) best = c
    return best
  })
}

/** The tower as a model with modules. A batch holds `inputs` [rows, width], `labels` int32 [rows], `weights` [rows]. */
export function towerModel(config: TowerConfig): LayeredModel {
  const { depth, width, hidden } = config
  return {
    layers: depth,
    width,
    maps: Array.from({ length: depth }, (_, layer) => [
      { name: `layers.${layer}.a`, layer, inputs: width, outputs: hidden },
      { name: `layers.${layer}.b`, layer, inputs: hidden, outputs: width },
    ]).flat(),
    mlp: (layer) => ({ first: `layers.${layer}.a`, last: `layers.${layer}.b` }),
    scores(weights, batch, hook) {
      const [one, zero] = [tf.ones([width]), tf.zeros([width])]
      const norm = (x: tf.Tensor) => layerNorm(x, one, zero, towerEpsilon)
      const map = (name: string, x: tf.Tensor) => hook(name, x, matMul(x, weights[`${name}.weight`]!))
      let x = batch["inputs"]!
      for (let layer = 0; layer < depth; layer++)
        x = tf.add(x, map(`layers.${layer}.b`, tf.relu(map(`layers.${layer}.a`, norm(x)))))
      return {
        logits: matMul(norm(x), weights["head.weight"]!),
        labels: batch["labels"]!,
        weights: batch["weights"]!,
      }
    },
  }
}
