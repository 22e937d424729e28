/** The trained factors of each method on a set of linear maps: their rule, their start, their names. */
import { derive, fillUniform, type Key } from "@exp/random"
import type { HostTensor, HostTensors, Tensors } from "@exp/tensor"
import type { Tuner } from "./tuners.ts"
import type { Factors, UpdateRule } from "./update.ts"

/** A frozen linear map y = x·W + b. */
export interface LinearMap {
  readonly name: string
  readonly inputs: number
  readonly outputs: number
}

/** The kinds of tuner that build ΔW from two factors. */
export type FactorTuner = Extract<
  Tuner,
  { readonly _tag: "Lora" | "KernelLora" | "KernelLoraMix" | "Snell" | "SparsifiedLora" | "Snella" }
>

/** Whether a tuner builds ΔW from factors. */
export function hasFactors(tuner: Tuner): tuner is FactorTuner {
  return "rank" in tuner
}

/** How a tuner's factors become ΔW. `Snell` with a sparsity of exactly 0 is the plain kernel, without squaring. */
export function updateRule(tuner: FactorTuner): UpdateRule {
  switch (tuner._tag) {
    case "Lora":
      return { kernel: "linear" }
    case "KernelLora":
      return { kernel: "piecewise" }
    case "KernelLoraMix":
      return { kernel: "mixture" }
    case "Snell":
      return tuner.sparsity === 0 ? { kernel: "piecewise" } : { kernel: "piecewise", mode: tuner.mode }
    case "SparsifiedLora":
      return { kernel: "linear", mode: tuner.mode }
    case "Snella":
      return { kernel: tuner.kernel, mode: "gated" }
  }
}

/** `update.blocks.0.attention.query.a`: the name of a factor of a map. */
export const factorName = (map: string, role: string) => `update.${map}.${role}`

const scalar = (value: number): HostTensor => ({ data: new Float32Array([value]), shape: [1], dtype: "float32" })

/** Uniform numbers in ±bound. */
export function uniformTensor(key: Key, shape: readonly number[], bound: number): HostTensor {
  const data = fillUniform(key, new Float32Array(shape.reduce((a, b) => a * b, 1)))
  for (let i = 0; i < data.length; i++) data[i] = (2 * data[i]! - 1) * bound
  return { data, shape, dtype: "float32" }
}

/** All zeros. */
export function zeroTensor(shape: readonly number[]): HostTensor {
  return { data: new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, dtype: "float32" }
}

/**
 * The factors of all maps at the start of training.
 *
 * Kernels: A [2, inputs, r/2] uniform in ±1/√(inputs·r/2), B [2, outputs, r/2] uniform in ±1/√(outputs·r/2); mixture:
 * α = 1, γ = 1, β = 0. LoRA: A [inputs, r] uniform in ±1/√inputs, B [outputs, r] zero. Sparsified LoRA: B uniform in
 * ±1/√outputs too, since the gate would keep a zero product at zero.
 */
export function initFactors(tuner: FactorTuner, maps: ReadonlyArray<LinearMap>, key: Key): HostTensors {
  const out: Record<string, HostTensor> = {}
  const rule = updateRule(tuner)
  for (const { name, inputs, outputs } of maps) {
    const keyA = derive(key, name, "a")
    const keyB = derive(key, name, "b")
    if (rule.kernel === "linear") {
      out[factorName(name, "a")] = uniformTensor(keyA, [inputs, tuner.rank], 1 / Math.sqrt(inputs))
      out[factorName(name, "b")] =
        tuner._tag === "Lora"
          ? zeroTensor([outputs, tuner.rank])
          : uniformTensor(keyB, [outputs, tuner.rank], 1 / Math.sqrt(outputs))
      continue
    }
    const width = tuner.rank / 2
    out[factorName(name, "a")] = uniformTensor(keyA, [2, inputs, width], 1 / Math.sqrt(inputs * width))
    out[factorName(name, "b")] = uniformTensor(keyB, [2, outputs, width], 1 / Math.sqrt(outputs * width))
    if (rule.kernel === "mixture") {
      out[factorName(name, "alpha")] = scalar(1)
      out[factorName(name, "gamma")] = scalar(1)
      out[factorName(name, "beta")] = scalar(0)
    }
  }
  return out
}

/** The factors of one map by role. */
export function factorsOf(params: Tensors, map: string): Factors {
  const out: Record<string, Tensors[string]> = {}
  for (const role of ["a", "b", "alpha", "gamma", "beta"]) {
    const factor = params[factorName(map, role)]
    if (factor) out[role] = factor
  }
  return out
}
