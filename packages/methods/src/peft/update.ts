/**
 * The update ΔW that a reparameterised method adds to a frozen linear map, and its branch x·ΔW inside a training step.
 *
 * All matrices are in the layout [inputs, outputs] of y = x·W + b.
 */
import { matMul, recompute, stopGradient } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { type CompetitionMode, competitionThreshold, type Sparsity, sparsify } from "./competition.ts"
import { leastTemperature, linearKernel, mixtureKernel, piecewiseKernel } from "./kernels.ts"

/** The factors of one map by role: a, b, and for the mixture kernel alpha, gamma, beta. */
export type Factors = Readonly<Record<string, tf.Tensor>>

/** How ΔW comes from its factors. */
export interface UpdateRule {
  /** `linear`: A·Bᵀ; `piecewise`: SNELL; `mixture`: SNELLA. */
  readonly kernel: "linear" | "piecewise" | "mixture"
  /** Absent: no competition, ΔW = K. */
  readonly mode?: CompetitionMode
}

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
export function updateMatrix(
  rule: UpdateRule,
  factors: Factors,
  sparsity: Sparsity = 0,
  threshold?: tf.Tensor,
): tf.Tensor2D {
  const kernel = kernelMatrix(rule, factors)
  return rule.mode === undefined ? kernel : (sparsify(kernel, sparsity, rule.mode, threshold) as tf.Tensor2D)
}

/** The merged weight W0 + ΔW, after which the factors are not needed any more. */
export function mergeUpdate(frozen: tf.Tensor, update: tf.Tensor): tf.Tensor {
  return tf.add(frozen, update)
}

/**
 * The branch x·ΔW of a map.
 *
 * With `recomputed` (the method's own way) the branch keeps x, the factors and the scalar threshold only, and builds ΔW
 * again in the backward pass; no [inputs, outputs] matrix stays alive between the passes. Without it every intermediate
 * matrix is kept. Both give the same numbers.
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
  sparsity: Sparsity = 0,
  recomputed = true,
): tf.Tensor {
  if (!recomputed) return matMul(x, updateMatrix(rule, factors, sparsity))
  const { mode } = rule
  if (mode === undefined)
    return recompute(({ x, ...again }) => matMul(x!, updateMatrix(rule, again)), { x, ...factors })
  // The threshold is the dear part: it is found once, outside, on factors that no gradient reaches.
  const threshold = untaped(() => {
    const constants = Object.fromEntries(Object.entries(factors).map(([role, factor]) => [role, stopGradient(factor)]))
    return competitionThreshold(tf.abs(kernelMatrix(rule, constants)), sparsity, mode)
  })
  return recompute(({ x, threshold, ...again }) => matMul(x!, updateMatrix(rule, again, sparsity, threshold)), {
    x,
    threshold,
    ...factors,
  })
}

/** Evaluates beside the gradient tape, so that nothing of it is kept for the backward pass but the result. */
function untaped(f: () => tf.Tensor): tf.Tensor {
  return tf.customGrad(() => ({ value: f(), gradFunc: () => [] as unknown as tf.Tensor }))()
}

/** How many of the temperatures are held at the bound by {@link heldTemperature}. */
export function heldTemperatures(gammas: ReadonlyArray<number>): number {
  return gammas.filter((gamma) => Math.abs(gamma) < leastTemperature).length
}
