/** Cutting the path of gradients. */
import * as tf from "@tensorflow/tfjs-core"

/**
 * The same values, outside the path of gradients: the result is a constant for differentiation, and a parameter that
 * reaches the loss through it alone has no gradient at all (as PyTorch's `detach`). Copies nothing.
 */
export function stopGradient<T extends tf.Tensor>(x: T): T {
  // Runs the backend's identity kernel beside the tape: there is no node for a gradient to pass.
  const engine = tf.engine()
  const backend = engine.backend
  const info = tf.getKernel(tf.Identity, engine.backendName)
  const out = info.kernelFunc({ inputs: { x }, backend })
  return engine.makeTensorFromTensorInfo(Array.isArray(out) ? out[0]! : out) as T
}
