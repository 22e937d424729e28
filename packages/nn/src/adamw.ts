/**
 * AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101, algorithm 2) with ε outside the root, as PyTorch's
 * `torch.optim.AdamW`:
 *
 *     p ← p·(1 − lr·wd);  m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
 *     p ← p − lr·(m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε)
 *
 * The state holds `M = m/(1−β₁)` ("first") and `V = v/(1−β₂)` ("second"), which saves three passes over memory and is
 * algebraically the same, and for each tensor its own counter as the pair (1−β₁ᵗ, 1−β₂ᵗ) ("count", 8 bytes), which
 * needs no power. A parameter without a gradient is skipped entirely: value, moments, counter and weight decay.
 */
import { defineKernel, type HostTensors, type KernelFunction, type Tensors } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { MissingOptimizerState } from "./errors.ts"
import { zeros } from "./initialisers.ts"

/** What AdamW needs beside the learning rate. */
export interface AdamWOptions {
  /** Decay of the first moment. Default 0.9. */
  readonly beta1?: number
  /** Decay of the second moment. Default 0.999. */
  readonly beta2?: number
  /** Added to the root of the second moment. Default 1e-8. */
  readonly epsilon?: number
  /** Decoupled weight decay: one number for all tensors, or a number for each. Default 0. */
  readonly weightDecay?: number | ((name: string, shape: readonly number[]) => number)
}

/** Weight decay on tensors with two or more axes, except the class token. */
export function decayMatrices(weightDecay: number): (name: string, shape: readonly number[]) => number {
  return (name, shape) => (shape.length >= 2 && name !== "cls" && !name.endsWith(".cls") ? weightDecay : 0)
}

/**
 * The state before the first step: "first.<name>", "second.<name>" and "count.<name>" for each parameter to train.
 *
 * @param params the trainable parameters, by name; only their shapes are read
 */
export function init(params: Readonly<Record<string, { readonly shape: readonly number[] }>>): HostTensors {
  const state: Record<string, HostTensors[string]> = {}
  for (const [name, { shape }] of Object.entries(params)) {
    state[`first.${name}`] = zeros(shape)
    state[`second.${name}`] = zeros(shape)
    state[`count.${name}`] = zeros([2])
  }
  return state
}

const composite: KernelFunction = ({ parameter, gradient, first, second, count, rate }, attributes) => {
  const { beta1, beta2, epsilon, decay } = attributes as Record<string, number>
  const counted = tf.add(tf.mul(count!, tf.tensor1d([beta1!, beta2!])), tf.tensor1d([1 - beta1!, 1 - beta2!]))
  const one = tf.reshape(tf.slice(counted, [0], [1]), [])
  const two = tf.reshape(tf.slice(counted, [1], [1]), [])
  const scale = tf.sqrt(tf.mul(two, 1 / (1 - beta2!)))
  const step = tf.div(tf.mul(tf.mul(rate!, 1 - beta1!), scale), one)
  const m = tf.add(tf.mul(first!, beta1!), gradient!)
  const v = tf.add(tf.mul(second!, beta2!), tf.mul(gradient!, gradient!))
  const change = tf.div(tf.mul(m, step), tf.add(tf.sqrt(v), tf.mul(scale, epsilon!)))
  const decayed = decay ? tf.mul(parameter!, tf.sub(1, tf.mul(rate!, decay))) : parameter!
  return [tf.sub(decayed, change), m, v, counted]
}

const host: KernelFunction = ({ parameter, gradient, first, second, count, rate }, attributes) => {
  const { beta1, beta2, epsilon, decay } = attributes as {
    beta1: number
    beta2: number
    epsilon: number
    decay: number
  }
  const read = (t: tf.Tensor | undefined) => t!.dataSync() as Float32Array
  const [p, g, m, v, c] = [read(parameter), read(gradient), read(first), read(second), read(count)]
  const lr = read(rate)[0]!
  const counted = Float32Array.of(c[0]! * beta1 + (1 - beta1), c[1]! * beta2 + (1 - beta2))
  const scale = Math.sqrt(counted[1]! / (1 - beta2))
  const step = (lr * (1 - beta1) * scale) / counted[0]!
  const floor = epsilon * scale
  const keep = 1 - lr * decay
  const [p1, m1, v1] = [new Float32Array(p.length), new Float32Array(p.length), new Float32Array(p.length)]
  for (let i = 0; i < p.length; i++) {
    const gi = g[i]!
    m1[i] = beta1 * m[i]! + gi
    v1[i] = beta2 * v[i]! + gi * gi
    p1[i] = p[i]! * keep - (step * m1[i]!) / (Math.sqrt(v1[i]!) + floor)
  }
  const shape = parameter!.shape
  return [tf.tensor(p1, shape), tf.tensor(m1, shape), tf.tensor(v1, shape), tf.tensor1d(counted)]
}

const kernel = defineKernel({ name: "ExpAdamW", composite, host })

const tensorsOf = ["parameter", "gradient", "first", "second", "count"] as const

/** One parameter after the other: "parameter.0", "gradient.0", …, "parameter.1", …; results in the same order. */
const each =
  (f: KernelFunction): KernelFunction =>
  (inputs, attributes) =>
    Array.from({ length: attributes["members"] as number }, (_, i) => {
      const own = Object.fromEntries(tensorsOf.map((name) => [name, inputs[`${name}.${i}`]!]))
      return f({ ...own, rate: inputs["rate"]! }, { ...attributes, decay: attributes[`decay.${i}`]! }) as tf.Tensor[]
    }).flat()

/** The same update of several parameters of one shape, which a compiler can stack. */
const groupKernel = defineKernel({ name: "ExpAdamWGroup", composite: each(composite), host: each(host) })

/** Above this many elements the work outweighs the overhead of operators, and stacking would only copy. */
const smallParameter = 2048

/**
 * One step for every parameter that has a gradient.
 *
 * @param params all parameters; those without a gradient are returned as they are
 * @param gradients by parameter name; absent means skipped
 * @param state as {@link init} made it; entries of skipped parameters are returned as they are
 * @param learningRate a scalar tensor (so that a compiled step does not freeze it) or a constant
 * @param active for steps that choose at run time what to train: a scalar (0 or 1) by parameter name; 0 skips the
 *   parameter as if it had no gradient, absent means 1
 * @throws MissingOptimizerState when a parameter has a gradient but no state
 */
export function update(step: {
  readonly params: Tensors
  readonly gradients: Tensors
  readonly state: Tensors
  readonly learningRate: tf.Tensor | number
  readonly options?: AdamWOptions
  readonly active?: Tensors
}): { readonly params: Tensors; readonly state: Tensors } {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = step.options ?? {}
  const rate = typeof step.learningRate === "number" ? tf.scalar(step.learningRate) : step.learningRate
  const params: Record<string, tf.Tensor> = { ...step.params }
  const state: Record<string, tf.Tensor> = { ...step.state }
  const groups = new Map<string, Member[]>()
  const write = (name: string, [p, m, v, c]: readonly tf.Tensor[]) => {
    params[name] = p!
    state[`first.${name}`] = m!
    state[`second.${name}`] = v!
    state[`count.${name}`] = c!
  }
  for (const [name, gradient] of Object.entries(step.gradients)) {
    const parameter = params[name]
    const [first, second, count] = [state[`first.${name}`], state[`second.${name}`], state[`count.${name}`]]
    if (!parameter || !first || !second || !count) throw new MissingOptimizerState("adamw", name)
    const decay = typeof weightDecay === "number" ? weightDecay : weightDecay(name, parameter.shape)
    const member = { name, decay, tensors: { parameter, gradient, first, second, count } }
    const active = step.active?.[name]
    const small = parameter.rank > 0 && parameter.size < smallParameter
    const key = active || !small ? name : parameter.shape.join("×")
    if (!active) groups.set(key, [...(groups.get(key) ?? []), member])
    else {
      const after = kernel({ ...member.tensors, rate }, { beta1, beta2, epsilon, decay })
      write(
        name,
        after.map((t, i) => choose(active, t, [parameter, first, second, count][i]!)),
      )
    }
  }
  for (const members of groups.values()) {
    if (members.length === 1) {
      const { name, decay, tensors } = members[0]!
      write(name, kernel({ ...tensors, rate }, { beta1, beta2, epsilon, decay }))
      continue
    }
    const inputs: Record<string, tf.Tensor> = { rate }
    const attributes: Record<string, number> = { beta1, beta2, epsilon, members: members.length }
    for (const [i, { decay, tensors }] of members.entries()) {
      for (const [kind, tensor] of Object.entries(tensors)) inputs[`${kind}.${i}`] = tensor
      attributes[`decay.${i}`] = decay
    }
    const after = groupKernel(inputs, attributes)
    for (const [i, { name }] of members.entries()) write(name, after.slice(4 * i, 4 * i + 4))
  }
  return { params, state }
}

/** A parameter to update, with what belongs to it. */
interface Member {
  readonly name: string
  readonly decay: number
  readonly tensors: Readonly<Record<(typeof tensorsOf)[number], tf.Tensor>>
}

/** `a` where the scalar is not 0, else `b`, exactly. */
function choose(active: tf.Tensor, a: tf.Tensor, b: tf.Tensor): tf.Tensor {
  return tf.where(tf.broadcastTo(tf.notEqual(tf.reshape(active, new Array<number>(a.rank).fill(1)), 0), a.shape), a, b)
}
