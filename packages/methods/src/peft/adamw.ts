/** AdamW on named tensors as a pure function (Loshchilov and Hutter, 2019), with a counter for each tensor. */
import type { HostTensor, HostTensors, Tensors } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

/** Settings that do not change during training. */
export interface AdamWOptions {
  /** β1 and β2. Default (0.9, 0.999). */
  readonly beta1?: number
  readonly beta2?: number
  /** ε, added to the root of the second moment. Default 1e-8. */
  readonly epsilon?: number
  /** Decoupled weight decay of a parameter, by name and shape. Default 0. */
  readonly decay?: (name: string, shape: readonly number[]) => number
}

/** Moments and counters at the start: `first.<name>`, `second.<name>`, `steps.<name>`. */
export function initAdamW(params: HostTensors): HostTensors {
  const out: Record<string, HostTensor> = {}
  for (const [name, { shape, data }] of Object.entries(params)) {
    out[`first.${name}`] = { data: new Float32Array(data.length), shape, dtype: "float32" }
    out[`second.${name}`] = { data: new Float32Array(data.length), shape, dtype: "float32" }
    out[`steps.${name}`] = { data: new Float32Array(1), shape: [], dtype: "float32" }
  }
  return out
}

/**
 * One step: m ← β1·m + (1−β1)·g; v ← β2·v + (1−β2)·g²; p ← p·(1 − lr·decay) − lr·m̂/(√v̂ + ε). A parameter without a
 * gradient keeps value, moments and counter.
 */
export function updateAdamW(
  { params, gradients, state, learningRate }: {
    readonly params: Tensors
    readonly gradients: Tensors
    readonly state: Tensors
    readonly learningRate: tf.Tensor
  },
  { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = () => 0 }: AdamWOptions = {},
): { readonly params: Tensors; readonly state: Tensors } {
  const nextParams: Record<string, tf.Tensor> = { ...params }
  const nextState: Record<string, tf.Tensor> = { ...state }
  for (const [name, g] of Object.entries(gradients)) {
    const p = params[name]!
    const t = tf.add(state[`steps.${name}`]!, 1)
    const m = tf.add(tf.mul(state[`first.${name}`]!, beta1), tf.mul(g, 1 - beta1))
    const v = tf.add(tf.mul(state[`second.${name}`]!, beta2), tf.mul(tf.mul(g, g), 1 - beta2))
    const one = tf.sub(1, tf.exp(tf.mul(t, Math.log(beta1))))
    const two = tf.sub(1, tf.exp(tf.mul(t, Math.log(beta2))))
    // lr·m̂/(√v̂ + ε) with both corrections folded into two scalars.
    const root = tf.sqrt(two)
    const size = tf.div(tf.mul(learningRate, root), one)
    const move = tf.div(tf.mul(size, m), tf.add(tf.sqrt(v), tf.mul(root, epsilon)))
    const weight = decay(name, p.shape)
    const kept = weight === 0 ? p : tf.mul(p, tf.sub(1, tf.mul(learningRate, weight)))
    nextParams[name] = tf.sub(kept, move)
    nextState[`first.${name}`] = m
    nextState[`second.${name}`] = v
    nextState[`steps.${name}`] = t
  }
  return { params: nextParams, state: nextState }
}
