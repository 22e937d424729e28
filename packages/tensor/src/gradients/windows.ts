/** Gradients of convolutions, pooling and resizing, through their backward kernels. */
import * as tf from "@tensorflow/tfjs-core"
import { resizeMatrix } from "../resize-matrix.ts"
import { gradient, kernel, unbroadcast } from "./define.ts"

function noDilation(name: string, dilations: number | readonly number[] | undefined): void {
  const all = dilations === undefined ? [1] : typeof dilations === "number" ? [dilations] : dilations
  if (all.some((d) => d !== 1)) throw new RangeError(`the gradient of ${name} is not defined for dilations ${all}`)
}

/** Registers them. */
export function registerWindows(): void {
  gradient("Conv2D", ["x", "filter"], false, ({ dy, x: [x, filter], attributes: a }) => {
    noDilation("conv2d", a.dilations)
    const { strides, pad, dataFormat, dimRoundingMode } = a
    const shared = { strides, pad, dataFormat, dimRoundingMode }
    return {
      x: () => kernel("Conv2DBackpropInput", { dy, filter: filter! }, { ...shared, inputShape: x!.shape }),
      filter: () => kernel("Conv2DBackpropFilter", { x: x!, dy }, { ...shared, filterShape: filter!.shape }),
    }
  })
  gradient("Conv2DBackpropInput", ["dy", "filter"], false, ({ dy: ddx, x: [dy, filter], attributes: a }) => {
    const { strides, pad, dataFormat, dimRoundingMode } = a
    const shared = { strides, pad, dataFormat, dimRoundingMode }
    return {
      dy: () => kernel("Conv2D", { x: ddx, filter: filter! }, { ...shared, dilations: 1 }),
      filter: () => kernel("Conv2DBackpropFilter", { x: ddx, dy: dy! }, { ...shared, filterShape: filter!.shape }),
    }
  })
  gradient("DepthwiseConv2dNative", ["x", "filter"], false, ({ dy, x: [x, filter], attributes: a }) => {
    noDilation("depthwiseConv2d", a.dilations)
    const { strides, pad, dimRoundingMode } = a
    const shared = { strides, pad, dimRoundingMode, dilations: [1, 1] }
    return {
      x: () =>
        kernel("DepthwiseConv2dNativeBackpropInput", { dy, filter: filter! }, { ...shared, inputShape: x!.shape }),
      filter: () =>
        kernel("DepthwiseConv2dNativeBackpropFilter", { x: x!, dy }, { ...shared, filterShape: filter!.shape }),
    }
  })
  gradient("Conv3D", ["x", "filter"], false, ({ dy, x: [x, filter], attributes: a }) => {
    noDilation("conv3d", a.dilations)
    const { strides, pad } = a
    return {
      x: () => kernel("Conv3DBackpropInputV2", { dy, filter: filter! }, { strides, pad, inputShape: x!.shape }),
      filter: () => kernel("Conv3DBackpropFilterV2", { x: x!, dy }, { strides, pad, filterShape: filter!.shape }),
    }
  })
  gradient("AvgPool", ["x"], false, ({ dy, x: [x], attributes: { filterSize, strides, pad } }) => ({
    x: () => kernel("AvgPoolGrad", { dy, input: x! }, { filterSize, strides, pad }),
  }))
  gradient("AvgPool3D", ["x"], false, ({ dy, x: [x], attributes: { filterSize, strides, pad, dimRoundingMode } }) => ({
    x: () => kernel("AvgPool3DGrad", { dy, input: x! }, { filterSize, strides, pad, dimRoundingMode }),
  }))
  gradient("MaxPool", ["x"], true, ({ dy, x: [x], y, attributes: { filterSize, strides, pad, dimRoundingMode } }) => ({
    x: () => kernel("MaxPoolGrad", { dy, input: x!, output: y }, { filterSize, strides, pad, dimRoundingMode }),
  }))
  gradient(
    "MaxPool3D",
    ["x"],
    true,
    ({ dy, x: [x], y, attributes: { filterSize, strides, pad, dimRoundingMode } }) => ({
      x: () => kernel("MaxPool3DGrad", { dy, input: x!, output: y }, { filterSize, strides, pad, dimRoundingMode }),
    }),
  )
  gradient("Dilation2D", ["x", "filter"], false, ({ dy, x: [x, filter], attributes }) => ({
    x: () => kernel("Dilation2DBackpropInput", { x: x!, filter: filter!, dy }, attributes),
    filter: () => kernel("Dilation2DBackpropFilter", { x: x!, filter: filter!, dy }, attributes),
  }))
  gradient("ResizeBilinear", ["images"], false, ({ dy, x: [images], attributes }) => ({
    images: () => {
      // Resizing is a matrix along each axis; the gradient applies their transposes. (The kernel of the plain backend
      // exchanges height and width.)
      const [n, h, w, c] = images!.shape as [number, number, number, number]
      const [oh, ow] = [dy.shape[1]!, dy.shape[2]!]
      const rows = tf.tensor2d(resizeMatrix(h, oh, attributes, false), [oh, h])
      const columns = tf.tensor2d(resizeMatrix(w, ow, attributes, false), [ow, w])
      const apply = (x: tf.Tensor, m: tf.Tensor2D) => {
        const [batch, k, rest] = x.shape as [number, number, number]
        const flat = tf.reshape(tf.transpose(x, [0, 2, 1]), [batch * rest, k])
        return tf.transpose(tf.reshape(tf.matMul(flat, m), [batch, rest, m.shape[1]]), [0, 2, 1])
      }
      const tall = apply(tf.reshape(dy, [n, oh, ow * c]), rows)
      const both = apply(tf.reshape(tall, [n * h, ow, c]), columns)
      return tf.reshape(both, [n, h, w, c])
    },
  }))
  gradient("ResizeNearestNeighbor", ["images"], false, ({ dy, x: [images], attributes }) => ({
    images: () => kernel("ResizeNearestNeighborGrad", { dy, images: images! }, attributes),
  }))
  gradient("FusedBatchNorm", ["x", "mean", "variance", "scale"], false, ({ dy, x, attributes }) => {
    const [input, mean, variance, scale] = x
    const r = () => tf.rsqrt(tf.add(variance!, attributes.varianceEpsilon))
    const scaled = () => (scale ? tf.mul(dy, scale) : dy)
    const centred = () => tf.sub(input!, mean!)
    return {
      x: () => tf.mul(scaled(), r()),
      mean: () => unbroadcast(tf.neg(tf.mul(scaled(), r())), mean!.shape),
      variance: () => {
        const cube = tf.mul(tf.pow(r(), 3), -0.5)
        return unbroadcast(tf.mul(tf.mul(scaled(), centred()), cube), variance!.shape)
      },
      scale: () => unbroadcast(tf.mul(dy, tf.mul(centred(), r())), mean!.shape),
      offset: () => unbroadcast(dy, mean!.shape),
    }
  })
}
