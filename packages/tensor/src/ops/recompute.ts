/** Trading time for memory: computing a part of the forward pass again in the backward pass. */
import * as tf from "@tensorflow/tfjs-core"
import type { Tensors } from "../step.ts"
import { defineKernel } from "./registry.ts"

/**
 * The identity on `x`, but not before `after` exists. It keeps a compiler from recognising that a second evaluation of
 * an expression equals the first one, which would keep the first result alive.
 */
const barrier = defineKernel({
  name: "ExpBarrier",
  composite: ({ x }) => tf.clone(x!),
})

/**
 * `f(inputs)`, keeping nothing of it but `inputs` for the backward pass, where `f` is evaluated again (gradient
 * checkpointing; Chen et al. 2016, arXiv 1604.06174).
 *
 * `f` must be a pure function of `inputs`: other tensors made during the forward pass are gone when it runs again.
 * Random masks come in as inputs, so that both evaluations use the same. Gradients flow to every float input that the
 * result depends on.
 *
 * @returns the tensor that `f` returns
 */
export function recompute<T extends tf.Tensor>(f: (inputs: Tensors) => T, inputs: Tensors): T {
  const names = Object.keys(inputs)
  const named = (tensors: readonly tf.Tensor[]): Tensors =>
    Object.fromEntries(names.map((name, i) => [name, tensors[i]!]))
  const run = tf.customGrad((...args) => {
    const save = args[names.length] as unknown as (tensors: tf.Tensor[]) => void
    const leaves = args.slice(0, names.length) as tf.Tensor[]
    save(leaves)
    return {
      value: f(named(leaves)),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const again = saved.map((x) => barrier({ x, after: dy })[0]!)
        const grads = nestedGradients(() => f(named(again)), again, dy)
        return again.map((x, i) => grads[i] ?? tf.zeros(x.shape))
      },
    }
  })
  return run(...names.map((name) => inputs[name]!)) as T
}

/**
 * Gradients inside a gradient function. The engine holds one tape, which a nested call would replace and clear: it is
 * put back afterwards.
 */
function nestedGradients(f: () => tf.Tensor, xs: tf.Tensor[], dy: tf.Tensor): readonly (tf.Tensor | undefined)[] {
  const engine = tf.engine()
  const tape = engine.state.activeTape
  try {
    return engine.gradients(f, xs, dy, true).grads as readonly (tf.Tensor | undefined)[]
  } finally {
    engine.state.activeTape = tape
  }
}
