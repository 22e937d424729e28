/** Kernels of TensorFlow.js's WebGPU backend that are wrong in 4.22, put right. Held by the operation suite. */
import * as tf from "@tensorflow/tfjs-core"

const backendName = "webgpu"

let done = false

/** Replaces them, once. The backend must have been loaded. */
export function mendWebgpuKernels(): void {
  if (done) return
  done = true
  // Exclusive and reversed running sums and products: through the plain ones, on shifted and mirrored tensors.
  mend("Cumsum", "x", (x, a, plain) => running(x, a, 0, plain))
  mend("Cumprod", "x", (x, a, plain) => running(x, a, 1, plain))
  // Drops the reduced axes although they are to be kept.
  mend("Prod", "x", (x, a, plain) => {
    const y = plain(x, { ...a, keepDims: false })
    if (!a["keepDims"]) return y
    const axes = tf.util.parseAxisParam(a["axis"] as number | number[], x.shape)
    return tf.reshape(
      y,
      x.shape.map((d, i) => (axes.includes(i) ? 1 : d)),
    )
  })
}

type Attributes = Readonly<Record<string, unknown>>
type Plain = (x: tf.Tensor, attributes: Attributes) => tf.Tensor

function running(x: tf.Tensor, a: Attributes, neutral: number, plain: Plain): tf.Tensor {
  const axis = tf.util.parseAxisParam(a["axis"] as number, x.shape)[0]!
  const n = x.shape[axis]!
  const forwards = { ...a, axis, exclusive: false, reverse: false }
  if (a["reverse"])
    return tf.reverse(running(tf.reverse(x, axis), { ...a, axis, reverse: false }, neutral, plain), axis)
  if (!a["exclusive"] || n === 0) return plain(x, forwards)
  const all = tf.slice(
    x,
    x.shape.map(() => 0),
    x.shape.map((d, i) => (i === axis ? n - 1 : d)),
  )
  const shifted = tf.pad(
    all,
    x.shape.map((_, i): [number, number] => (i === axis ? [1, 0] : [0, 0])),
    neutral,
  )
  return plain(shifted, forwards)
}

function mend(
  kernelName: string,
  operand: string,
  f: (x: tf.Tensor, attributes: Attributes, plain: Plain) => tf.Tensor,
): void {
  const { kernelFunc } = tf.getKernel(kernelName, backendName)
  tf.unregisterKernel(kernelName, backendName)
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs, backend }) => {
      const plain: Plain = (x, attributes) => {
        const out = kernelFunc({ inputs: { [operand]: x }, attrs: attributes as tf.NamedAttrMap, backend })
        return tf.engine().makeTensorFromTensorInfo(out as tf.TensorInfo)
      }
      return tf.tidy(() => f((inputs as Record<string, tf.Tensor>)[operand]!, (attrs ?? {}) as Attributes, plain))
    },
  })
}
