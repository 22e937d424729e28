/** Helpers for tests of formulas on the reference device. */
import { fillNormal, fillUniform, key } from "@exp/random"
import { type HostTensors, openDevice, type Tensors } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { type FactorTuner, initFactors, type LinearMap } from "../src/peft/factors.ts"

/** Makes plain JavaScript TensorFlow.js the current backend. */
export async function useReferenceBackend(): Promise<void> {
  await openDevice("js")
  await tf.setBackend("cpu")
}

/** Standard normal numbers of a named stream. */
export function normalTensor(stream: string, shape: number[], scale = 1): tf.Tensor {
  const data = fillNormal(key(7, stream), new Float32Array(shape.reduce((a, b) => a * b, 1)))
  return tf.tensor(
    data.map((x) => x * scale),
    shape,
  )
}

/** Uniform numbers in [0, 1) of a named stream, on the host. */
export function uniformValues(stream: string, count: number): Float32Array {
  return fillUniform(key(7, stream), new Float32Array(count))
}

/** Host tensors on the backend. */
export function uploaded(tree: HostTensors): Tensors {
  return Object.fromEntries(
    Object.entries(tree).map(([name, { data, shape, dtype }]) => [name, tf.tensor(data, [...shape], dtype)]),
  )
}

/** The initial factors of one map of a tuner, by role. */
export function factorsFor(tuner: FactorTuner, map: LinearMap, seed = 0): Tensors {
  const host = initFactors(tuner, [map], key(seed, "factors"))
  const prefix = `update.${map.name}.`
  return Object.fromEntries(Object.entries(uploaded(host)).map(([name, t]) => [name.slice(prefix.length), t]))
}

/** Largest |a − b|. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}`)
  let most = 0
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!))
  return most
}

/** √Σ x². */
export const norm = (values: ArrayLike<number>) => Math.sqrt(Array.from(values).reduce((s, x) => s + x * x, 0))
