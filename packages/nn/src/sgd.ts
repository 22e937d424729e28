/**
 * Stochastic gradient descent with momentum, as PyTorch's `torch.optim.SGD` (dampening 0):
 *
 *     g ← g + wd·p;  b ← μb + g;  p ← p − lr·b        (Nesterov: p ← p − lr·(g + μb))
 *
 * A parameter without a gradient is skipped entirely.
 */
import type { HostTensors, Tensors } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { MissingOptimizerState } from "./errors.ts"
import { zeros } from "./initialisers.ts"

/** What SGD needs beside the learning rate. */
export interface SgdOptions {
  /** μ, default 0: no state at all. */
  readonly momentum?: number
  readonly nesterov?: boolean
  /** L2 term added to the gradient: one number, or a number for each tensor. Default 0. */
  readonly weightDecay?: number | ((name: string, shape: readonly number[]) => number)
  /** Decoupled decay instead: p ← p·(1 − lr·wd) before the step, nothing added to the gradient. */
  readonly decoupled?: boolean
}

/** The state before the first step: "momentum.<name>" for each parameter, nothing when momentum is 0. */
export function init(
  params: Readonly<Record<string, { readonly shape: readonly number[] }>>,
  options: SgdOptions = {},
): HostTensors {
  if (!options.momentum) return {}
  return Object.fromEntries(Object.entries(params).map(([name, { shape }]) => [`momentum.${name}`, zeros(shape)]))
}

/**
 * One step for every parameter that has a gradient; see `adamw.update` for the arguments.
 *
 * @throws MissingOptimizerState when momentum is used and a parameter with a gradient has none
 */
export function update(step: {
  readonly params: Tensors
  readonly gradients: Tensors
  readonly state: Tensors
  readonly learningRate: tf.Tensor | number
  readonly options?: SgdOptions
}): { readonly params: Tensors; readonly state: Tensors } {
  const { momentum = 0, nesterov = false, weightDecay = 0, decoupled = false } = step.options ?? {}
  const rate = step.learningRate
  const params: Record<string, tf.Tensor> = { ...step.params }
  const state: Record<string, tf.Tensor> = { ...step.state }
  for (const [name, raw] of Object.entries(step.gradients)) {
    const parameter = params[name]
    if (!parameter) throw new MissingOptimizerState("sgd", name)
    const decay = typeof weightDecay === "number" ? weightDecay : weightDecay(name, parameter.shape)
    const gradient = decay && !decoupled ? tf.add(raw, tf.mul(parameter, decay)) : raw
    let direction = gradient
    if (momentum) {
      const held = state[`momentum.${name}`]
      if (!held) throw new MissingOptimizerState("sgd", name)
      const next = tf.add(tf.mul(held, momentum), gradient)
      state[`momentum.${name}`] = next
      direction = nesterov ? tf.add(gradient, tf.mul(next, momentum)) : next
    }
    const start = decay && decoupled ? tf.mul(parameter, tf.sub(1, tf.mul(rate, decay))) : parameter
    params[name] = tf.sub(start, tf.mul(direction, rate))
  }
  return { params, state }
}
