/**
 * Operations of our own, as TensorFlow.js kernels with gradients.
 *
 * Each is defined once by a composite of ordinary TensorFlow.js operations, which runs on every backend and is the
 * meaning of the kernel. Where tensors live in host memory (`cpu`, `wasm`) a kernel may have a plain loop over typed
 * arrays instead, which replaces ten or more passes by one. A tracing backend finds the composites in
 * {@link fusedKernels} and may lower a kernel to a single node of its graph.
 */
import * as tf from "@tensorflow/tfjs-core"

/** Tensors by the name of the kernel's argument. */
export type KernelInputs = Readonly<Record<string, tf.Tensor>>

/** Attributes of a kernel: plain numbers and flags, fixed when a step is traced. */
export type KernelAttributes = Readonly<Record<string, number | boolean>>

/** What a kernel computes. Must not keep anything but what it returns. */
export type KernelFunction = (inputs: KernelInputs, attributes: KernelAttributes) => tf.Tensor | tf.Tensor[]

/** A kernel of our own. */
export interface FusedKernel {
  /** Unique, starts with "Exp". */
  readonly name: string
  /** The definition in TensorFlow.js operations. */
  readonly composite: KernelFunction
  /** The same on host arrays, for backends whose tensors live there. */
  readonly host?: KernelFunction
  /** Gradient for each differentiable input, evaluated only for the inputs that need it. */
  readonly gradient?: {
    /** Names of the inputs that the gradient reads; they stay alive until the backward pass. */
    readonly saveInputs: readonly string[]
    /** Which outputs it reads, by position. */
    readonly saveOutputs?: readonly boolean[]
    /**
     * @param dy gradient of every output
     * @param saved the saved inputs in the order named, then the saved outputs
     */
    readonly of: (
      dy: readonly tf.Tensor[],
      saved: readonly tf.Tensor[],
      attributes: KernelAttributes,
    ) => Readonly<Record<string, () => tf.Tensor>>
  }
}

/** Backends on which the composite runs as it is. */
const compositeBackends = ["webgpu", "webgl", "tensorflow"]
const hostBackends = ["cpu", "wasm"]

const kernels = new Map<string, FusedKernel>()

/** All kernels defined so far, by name: a tracing backend registers their composites or its own lowerings. */
export const fusedKernels: ReadonlyMap<string, FusedKernel> = kernels

/** Calls a kernel; the result has one tensor for each output. */
export type KernelCall = (inputs: KernelInputs, attributes?: KernelAttributes) => tf.Tensor[]

/** Registers a kernel on every backend and returns the function that runs it. */
export function defineKernel(kernel: FusedKernel): KernelCall {
  if (kernels.has(kernel.name)) throw new Error(`the kernel ${kernel.name} is defined twice`)
  kernels.set(kernel.name, kernel)
  for (const backendName of hostBackends) register(kernel.name, backendName, kernel.host ?? kernel.composite)
  for (const backendName of compositeBackends) register(kernel.name, backendName, kernel.composite)
  const { gradient } = kernel
  if (gradient)
    tf.registerGradient({
      kernelName: kernel.name,
      inputsToSave: [...gradient.saveInputs],
      outputsToSave: [...(gradient.saveOutputs ?? [])],
      gradFunc: (dy, saved, attributes) =>
        gradient.of(Array.isArray(dy) ? dy : [dy], saved, attributes as unknown as KernelAttributes) as Record<
          string,
          () => tf.Tensor
        >,
    })
  return (inputs, attributes = {}) => {
    const out = tf
      .engine()
      .runKernel(kernel.name, inputs as unknown as tf.NamedTensorMap, attributes as unknown as tf.NamedAttrMap) as
      | tf.Tensor
      | tf.Tensor[]
    return Array.isArray(out) ? out : [out]
  }
}

function register(kernelName: string, backendName: string, run: KernelFunction): void {
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs }) =>
      tf.tidy(() => run(inputs as unknown as KernelInputs, (attrs ?? {}) as unknown as KernelAttributes)),
  })
}

/** The values of a float tensor in host memory. Only inside the host form of a kernel. */
export function values(tensor: tf.Tensor): Float32Array {
  return tensor.dataSync() as Float32Array
}
