/** How a gradient is declared here: a thin layer over TensorFlow.js's registry that names inputs and outputs. */
import * as tf from "@tensorflow/tfjs-core"

/** Attributes of a kernel, as TensorFlow.js hands them over. */
// biome-ignore lint/suspicious/noExplicitAny: attribute types differ per kernel and are checked where they are read
export type Attributes = any

/** What a gradient function gets. */
export interface Backward {
  /** Gradient of the loss for the (first) output. */
  readonly dy: tf.Tensor
  /** For each output, in order. */
  readonly dys: readonly tf.Tensor[]
  /** The inputs named in `save`, in that order. */
  readonly x: readonly tf.Tensor[]
  /** The outputs kept with `saveOutput`. */
  readonly y: tf.Tensor
  readonly attributes: Attributes
}

/**
 * Registers the gradient of a kernel, in place of any before it.
 *
 * @param save names of inputs whose values (or shapes) the gradient needs; "all" for kernels that take a list
 * @param saveOutput whether it needs the output
 * @param f returns one lazily computed gradient for each input
 */
export function gradient(
  kernelName: string,
  save: readonly string[] | "all",
  saveOutput: boolean,
  f: (backward: Backward) => Record<string, () => tf.Tensor>,
): void {
  tf.registerGradient({
    kernelName,
    ...(save === "all" ? { saveAllInputs: true } : { inputsToSave: [...save] }),
    ...(saveOutput ? { outputsToSave: [true] } : {}),
    gradFunc: (dy, saved, attributes) => {
      const dys = Array.isArray(dy) ? dy : [dy]
      const inputs = saveOutput ? saved.slice(0, -1) : saved
      return f({ dy: dys[0]!, dys, x: inputs, y: saved[saved.length - 1]!, attributes })
    },
  })
}

/** Sums `dy` over the axes along which a tensor of shape `shape` was broadcast. */
export function unbroadcast(dy: tf.Tensor, shape: readonly number[]): tf.Tensor {
  const axes = tf.broadcast_util.getReductionAxes([...shape], dy.shape)
  const summed = axes.length > 0 ? tf.sum(dy, axes) : dy
  return tf.reshape(summed, [...shape])
}

/** Where `condition` holds the value, else 0: exact also where `value` is infinite or NaN. */
export function masked(condition: tf.Tensor, value: tf.Tensor): tf.Tensor {
  return tf.where(condition, value, tf.zerosLike(value))
}

/** A zero gradient for an input that the output does not depend on smoothly. */
export function zeros(x: tf.Tensor): tf.Tensor {
  return tf.zeros(x.shape, "float32")
}

/** Runs a kernel by name on named tensors. */
export function kernel(name: string, inputs: Record<string, tf.Tensor>, attributes: Attributes = {}): tf.Tensor {
  return tf.engine().runKernel(name, inputs, attributes) as tf.Tensor
}
