/**
 * The update ΔW that a reparameterised method adds to a frozen linear map, and its branch x·ΔW inside a training step.
 *
 * All matrices are in the layout [inputs, outputs] of y = x·W + b.
 */
import * as tf from "@tensorflow/tfjs-core"
import { type CompetitionMode, competitionGate, competitionThreshold, sparsify } from "./competition.ts"
import {
  heldTemperature,
  leastTemperature,
  linearKernel,
  mixtureKernel,
  pieceWeights,
  piecewiseKernel,
  rowDistances,
  rowDistancesGradient,
  rowSoftmax,
  weightedDistances,
} from "./kernels.ts"
import { matMul } from "./matrix-product.ts"

/** The factors of one map by role: a, b, and for the mixture kernel alpha, gamma, beta. */
export type Factors = Readonly<Record<string, tf.Tensor>>

/** How ΔW comes from its factors. */
export interface UpdateRule {
  /** `linear`: A·Bᵀ; `piecewise`: SNELL; `mixture`: SNELLA. */
  readonly kernel: "linear" | "piecewise" | "mixture"
  /** Absent: no competition, ΔW = K. */
  readonly mode?: CompetitionMode
}

/** The sparsity of one map: a number, or an int32 tensor with the position ⌊s·(N−1)⌋. */
export type Sparsity = number | tf.Tensor

const mixtureScalars = (factors: Factors) => ({
  alpha: factors["alpha"]!,
  gamma: factors["gamma"]!,
  beta: factors["beta"]!,
})

/** The kernel matrix K of a map, [inputs, outputs], before any competition. */
export function kernelMatrix(rule: UpdateRule, factors: Factors): tf.Tensor2D {
  const a = factors["a"]!
  const b = factors["b"]!
  if (rule.kernel === "linear") return linearKernel(a, b)
  if (rule.kernel === "piecewise") return piecewiseKernel(a, b)
  return mixtureKernel(a, b, mixtureScalars(factors))
}

/** ΔW of a map, [inputs, outputs], differentiable in the factors (the gate is a constant). */
export function updateMatrix(rule: UpdateRule, factors: Factors, sparsity?: Sparsity): tf.Tensor2D {
  const kernel = kernelMatrix(rule, factors)
  return rule.mode === undefined ? kernel : (sparsify(kernel, sparsity ?? 0, rule.mode) as tf.Tensor2D)
}

/** The merged weight W0 + ΔW, after which the factors are not needed any more. */
export function mergeUpdate(frozen: tf.Tensor, update: tf.Tensor): tf.Tensor {
  return tf.add(frozen, update)
}

interface Rebuilt {
  readonly distances?: tf.Tensor
  readonly d: tf.Tensor
  readonly softmax?: tf.Tensor
  readonly kernel: tf.Tensor
}

/** K and what its gradient needs. */
function build(rule: UpdateRule, factors: Factors): Rebuilt {
  const a = factors["a"]!
  const b = factors["b"]!
  if (rule.kernel === "linear") {
    const kernel = linearKernel(a, b)
    return { d: kernel, kernel }
  }
  const distances = rowDistances(a, b)
  const d = weightedDistances(distances)
  if (rule.kernel === "piecewise") return { distances, d, kernel: d }
  const { alpha, gamma, beta } = mixtureScalars(factors)
  const softmax = rowSoftmax(tf.div(d, heldTemperature(gamma)))
  return { distances, d, softmax, kernel: tf.add(tf.add(d, tf.mul(alpha, softmax)), beta) }
}

/** Gradients of ⟨upstream, K⟩ for every factor, given what {@link build} made. */
function kernelGradients(rule: UpdateRule, factors: Factors, built: Rebuilt, upstream: tf.Tensor): Factors {
  const a = factors["a"]!
  const b = factors["b"]!
  if (rule.kernel === "linear") return { a: matMul(upstream, b), b: matMul(upstream, a, true, false) }
  let onD = upstream
  const scalars: Record<string, tf.Tensor> = {}
  if (rule.kernel === "mixture") {
    const { alpha, gamma } = mixtureScalars(factors)
    const p = built.softmax!
    const onP = tf.mul(alpha, upstream)
    const onZ = tf.mul(p, tf.sub(onP, tf.sum(tf.mul(p, onP), -1, true)))
    const held = heldTemperature(gamma)
    onD = tf.add(upstream, tf.div(onZ, held))
    scalars["alpha"] = tf.reshape(tf.sum(tf.mul(upstream, p)), [1])
    scalars["beta"] = tf.reshape(tf.sum(upstream), [1])
    scalars["gamma"] = tf.neg(tf.div(tf.reshape(tf.sum(tf.mul(onZ, built.d)), [1]), tf.mul(held, held)))
  }
  const weights = tf.tensor(pieceWeights as number[], [pieceWeights.length, 1, 1], "float32")
  const gradient = rowDistancesGradient(a, b, built.distances!, tf.mul(tf.expandDims(onD, 0), weights))
  return { a: gradient.a, b: gradient.b, ...scalars }
}

const roles = (rule: UpdateRule) => (rule.kernel === "mixture" ? ["a", "b", "alpha", "gamma", "beta"] : ["a", "b"])

/**
 * The branch x·ΔW of a map.
 *
 * With `recompute` (the method's own way) the branch keeps x, the factors and the scalar threshold only, and builds ΔW
 * again in the backward pass; no [inputs, outputs] matrix stays alive between the passes. Without it, TensorFlow.js
 * keeps every intermediate matrix. Both give the same numbers.
 *
 * Dropout of x belongs outside, so that both passes see one mask.
 *
 * @param x [rows, inputs]
 * @returns [rows, outputs]
 */
export function updateBranch(
  rule: UpdateRule,
  x: tf.Tensor,
  factors: Factors,
  sparsity: Sparsity | undefined,
  recompute: boolean,
): tf.Tensor {
  if (!recompute) return matMul(x, updateMatrix(rule, factors, sparsity))
  const names = roles(rule)
  const branch = tf.customGrad((...inputs) => {
    const save = inputs.at(-1) as unknown as (tensors: tf.Tensor[]) => void
    const tensors = inputs.slice(0, -1) as tf.Tensor[]
    const named = (list: readonly tf.Tensor[]) => Object.fromEntries(names.map((name, i) => [name, list[i + 1]!]))
    const { kernel } = build(rule, named(tensors))
    let update = kernel
    if (rule.mode === undefined) save(tensors)
    else {
      const magnitudes = tf.abs(kernel)
      const threshold = competitionThreshold(magnitudes, sparsity ?? 0, rule.mode === "soft")
      save([...tensors, threshold])
      update = tf.mul(kernel, competitionGate(magnitudes, threshold, rule.mode))
    }
    return {
      value: matMul(tensors[0]!, update),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const again = named(saved)
        const built = build(rule, again)
        const gate =
          rule.mode === undefined ? undefined : competitionGate(tf.abs(built.kernel), saved.at(-1)!, rule.mode)
        const onUpdate = matMul(saved[0]!, dy, true, false)
        const gradients = kernelGradients(rule, again, built, gate ? tf.mul(onUpdate, gate) : onUpdate)
        const rebuilt = gate ? tf.mul(built.kernel, gate) : built.kernel
        return [matMul(dy, rebuilt, false, true), ...names.map((name) => gradients[name]!)]
      },
    }
  })
  return branch(x, ...names.map((name) => factors[name]!))
}

/** How many of the temperatures are held at the bound by {@link heldTemperature}. */
export function heldTemperatures(gammas: ReadonlyArray<number>): number {
  return gammas.filter((gamma) => Math.abs(gamma) < leastTemperature).length
}
