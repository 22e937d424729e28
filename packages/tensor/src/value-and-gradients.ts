/** Values and gradients of functions of named tensors. */
import * as tf from "@tensorflow/tfjs-core"
import { registerGradients } from "./gradients/register.ts"
import type { Tensors } from "./step.ts"

registerGradients()

/**
 * The value of a scalar function of named parameters, and its gradient for each of them.
 *
 * @param f a function of the parameters that returns a scalar
 * @param params the tensors to differentiate for
 * @returns the value, and gradients under the names of the parameters. A parameter that the value does not depend on
 *   is absent from `gradients` (its gradient is not zero but undefined: optimisers skip it entirely).
 */
export function valueAndGradients(
  f: (params: Tensors) => tf.Tensor,
  params: Tensors,
): { readonly value: tf.Scalar; readonly gradients: Tensors } {
  const names = Object.keys(params)
  // A parameter may be listed under two names or be used outside `f` too; aliases make each entry a leaf of its own.
  const leaves = names.map((name) => tf.tidy(() => tf.clone(params[name]!)))
  try {
    const { value, grads } = tf.engine().gradients(
      () => {
        const y = f(Object.fromEntries(names.map((name, i) => [name, leaves[i]!])))
        if (y.size !== 1) throw new RangeError(`a loss must be a scalar, got shape [${y.shape.join(", ")}]`)
        return tf.reshape(y, [])
      },
      leaves,
      undefined,
      true,
    )
    const gradients: Record<string, tf.Tensor> = {}
    names.forEach((name, i) => {
      const gradient = grads[i] as tf.Tensor | null | undefined
      if (gradient) gradients[name] = gradient
    })
    return { value: value as tf.Scalar, gradients }
  } finally {
    for (const leaf of leaves) if (!tf.engine().state.activeScope) leaf.dispose()
  }
}
