/** Kernels that the WebAssembly backend lacks, borrowed from the plain one: slower, but every step runs. */
import * as tf from "@tensorflow/tfjs-core"

interface HostBackend {
  write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object
  readSync(dataId: object): tf.BackendValues
  disposeData(dataId: object, force?: boolean): boolean
}

/** Not tensors of numbers: strings, complex numbers, drawing. */
const excluded = /String|Regex|Complex|^Real$|^Imag$|FFT|Draw|Ragged/

/**
 * Present, but wrong in 4.22: the gradients of 3-D convolution and of max pooling, and the type of floorDiv. Held by the
 * operation suite.
 */
const wrong = new Set(["Conv3DBackpropInputV2", "FloorDiv", "MaxPoolGrad"])

let done = false

/** Registers them, once. Both backends must have been loaded. */
export function borrowKernels(): void {
  if (done) return
  done = true
  const present = new Set(tf.getKernelsForBackend("wasm").map((k) => k.kernelName))
  for (const { kernelName, kernelFunc } of tf.getKernelsForBackend("cpu")) {
    if ((present.has(kernelName) && !wrong.has(kernelName)) || excluded.test(kernelName)) continue
    if (present.has(kernelName)) tf.unregisterKernel(kernelName, "wasm")
    tf.registerKernel({
      kernelName,
      backendName: "wasm",
      kernelFunc: ({ inputs, attrs, backend }) => {
        const [wasm, plain] = [backend as HostBackend, tf.findBackend("cpu") as unknown as HostBackend]
        const copies: object[] = []
        const copy = (t: tf.TensorInfo): tf.TensorInfo => {
          const dataId = plain.write(wasm.readSync(t.dataId), t.shape, t.dtype)
          copies.push(dataId)
          return { dataId, shape: t.shape, dtype: t.dtype }
        }
        const moved = Array.isArray(inputs)
          ? inputs.map(copy)
          : Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, t && copy(t as tf.TensorInfo)]))
        const out = kernelFunc({ inputs: moved as tf.NamedTensorInfoMap, attrs: attrs!, backend: plain })
        const back = (t: tf.TensorInfo): tf.TensorInfo => {
          const values = plain.readSync(t.dataId)
          copies.push(t.dataId)
          return { dataId: wasm.write(values, t.shape, t.dtype), shape: t.shape, dtype: t.dtype }
        }
        try {
          return Array.isArray(out) ? out.map(back) : back(out)
        } finally {
          for (const dataId of new Set(copies)) plain.disposeData(dataId, true)
        }
      },
    })
  }
}

let mended = false

/** Replaces a kernel of the plain backend that writes into its input (tensorScatterUpdate), once. */
export function mendKernels(): void {
  if (mended) return
  mended = true
  const name = "TensorScatterUpdate"
  const { kernelFunc } = tf.getKernel(name, "cpu")
  tf.unregisterKernel(name, "cpu")
  tf.registerKernel({
    kernelName: name,
    backendName: "cpu",
    kernelFunc: ({ inputs, attrs, backend }) => {
      const plain = backend as HostBackend
      const { tensor, ...others } = inputs as Record<string, tf.TensorInfo>
      const { shape, dtype, dataId } = tensor!
      const values = (plain.readSync(dataId) as Float32Array).slice()
      const copy = { dataId: plain.write(values, shape, dtype), shape, dtype }
      const out = kernelFunc({ inputs: { ...others, tensor: copy }, attrs: attrs!, backend: plain })
      plain.disposeData(copy.dataId, true)
      return out
    },
  })
}
