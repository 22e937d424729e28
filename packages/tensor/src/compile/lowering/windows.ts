/**
 * Lowerings of convolutions, pooling, resizing and their backward kernels. TensorFlow.js keeps channels last, the
 * native operators want them second; transposes that meet cancel.
 */
import * as tf from "@tensorflow/tfjs-core"
import { resizeMatrix } from "../../resize-matrix.ts"
import type { Builder, Handle } from "../builder.ts"
import { type Attribute, float, int, ints, size } from "../graph.ts"
import type { Call, Lowering } from "./call.ts"

const { backend_util: util } = tf

/** Geometry of a window over `n` spatial axes. */
interface Window {
  readonly kernel: readonly number[]
  readonly strides: readonly number[]
  readonly dilations: readonly number[]
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly in: readonly number[]
  readonly out: readonly number[]
}

const shape4 = (s: readonly number[]) => [...s] as [number, number, number, number]
const shape5 = (s: readonly number[]) => [...s] as [number, number, number, number, number]

function window2d(info: tf.backend_util.Conv2DInfo): Window {
  return {
    kernel: [info.filterHeight, info.filterWidth],
    strides: [info.strideHeight, info.strideWidth],
    dilations: [info.dilationHeight, info.dilationWidth],
    before: [info.padInfo.top, info.padInfo.left],
    after: [info.padInfo.bottom, info.padInfo.right],
    in: [info.inHeight, info.inWidth],
    out: [info.outHeight, info.outWidth],
  }
}

function window3d(info: tf.backend_util.Conv3DInfo): Window {
  return {
    kernel: [info.filterDepth, info.filterHeight, info.filterWidth],
    strides: [info.strideDepth, info.strideHeight, info.strideWidth],
    dilations: [info.dilationDepth, info.dilationHeight, info.dilationWidth],
    before: [info.padInfo.front, info.padInfo.top, info.padInfo.left],
    after: [info.padInfo.back, info.padInfo.bottom, info.padInfo.right],
    in: [info.inDepth, info.inHeight, info.inWidth],
    out: [info.outDepth, info.outHeight, info.outWidth],
  }
}

/** Padding that the window really reads: with rounding, the last positions may stay unused. */
function attributes(w: Window): Record<string, Attribute> {
  const reach = w.out.map((o, i) => (o - 1) * w.strides[i]! + (w.kernel[i]! - 1) * w.dilations[i]! + 1)
  const after = w.in.map((n, i) => Math.max(0, reach[i]! - n - w.before[i]!))
  return {
    kernel_shape: ints(w.kernel),
    strides: ints(w.strides),
    dilations: ints(w.dilations),
    pads: ints([...w.before, ...after]),
  }
}

const toFirst = (b: Builder, h: Handle) =>
  b.transpose(h, [0, h.shape.length - 1, ...h.shape.slice(1, -1).map((_, i) => i + 1)])
const toLast = (b: Builder, h: Handle) => b.transpose(h, [0, ...h.shape.slice(2).map((_, i) => i + 2), 1])

/** [k…, in, out] → [out, in, k…]. */
function weights(b: Builder, filter: Handle, depthwise: boolean): Handle {
  const k = filter.shape.length - 2
  const spatial = [...Array(k).keys()]
  if (!depthwise) return b.transpose(filter, [k + 1, k, ...spatial])
  const [channels, multiplier] = filter.shape.slice(-2) as [number, number]
  return b.reshape(b.transpose(filter, [k, k + 1, ...spatial]), [channels * multiplier, 1, ...filter.shape.slice(0, k)])
}

function conv(b: Builder, x: Handle, filter: Handle, w: Window, depthwise = false): Handle {
  const first = toFirst(b, x)
  const kernel = weights(b, filter, depthwise)
  const shape = [x.shape[0]!, kernel.shape[0]!, ...w.out]
  const group = depthwise ? x.shape[x.shape.length - 1]! : 1
  const value = b.graph.op(
    "Conv",
    [b.full(first), b.full(kernel)],
    { shape, dtype: "float32" },
    {
      ...attributes(w),
      group: int(group),
    },
  )
  return toLast(b, { value, shape })
}

function convTranspose(b: Builder, dy: Handle, kernel: Handle, w: Window, group: number, channels: number): Handle {
  const first = toFirst(b, dy)
  const shape = [dy.shape[0]!, channels, ...w.in]
  const full = w.out.map((o, i) => (o - 1) * w.strides[i]! + (w.kernel[i]! - 1) * w.dilations[i]! + 1)
  const after = w.in.map((n, i) => Math.max(0, full[i]! - n - w.before[i]!))
  const extra = w.in.map((n, i) => n - (full[i]! - w.before[i]! - after[i]!))
  const value = b.graph.op(
    "ConvTranspose",
    [b.full(first), b.full(kernel)],
    { shape, dtype: "float32" },
    {
      kernel_shape: ints(w.kernel),
      strides: ints(w.strides),
      dilations: ints(w.dilations),
      pads: ints([...w.before, ...after]),
      output_padding: ints(extra),
      group: int(group),
    },
  )
  return toLast(b, { value, shape })
}

/** For every position inside the window, the elements of x that it meets: a list of [n, out…, c]. */
function patches(b: Builder, x: Handle, w: Window): Handle[] {
  const need = w.out.map((o, i) => (o - 1) * w.strides[i]! + (w.kernel[i]! - 1) * w.dilations[i]! + 1)
  const after = w.in.map((n, i) => Math.max(0, need[i]! - n - w.before[i]!))
  const padded = b.pad(x, [[0, 0], ...w.before.map((p, i): [number, number] => [p, after[i]!]), [0, 0]], 0)
  const positions = w.kernel.reduce<number[][]>(
    (all, k) => all.flatMap((p) => Array.from({ length: k }, (_, i) => [...p, i])),
    [[]],
  )
  return positions.map((p) => {
    const begin = p.map((i, d) => i * w.dilations[d]!)
    const end = begin.map((at, d) => at + (w.out[d]! - 1) * w.strides[d]! + 1)
    return b.slice(padded, [0, ...begin, 0], [x.shape[0]!, ...end, x.shape[x.shape.length - 1]!], [1, ...w.strides, 1])
  })
}

/** Gradient of a filter: the patches of all positions side by side, times the gradient. */
function filterGradient(b: Builder, x: Handle, dy: Handle, w: Window, filterShape: readonly number[]): Handle {
  const channels = x.shape[x.shape.length - 1]!
  const columns = b.concat(patches(b, x, w), x.shape.length - 1)
  const rows = x.shape[0]! * size(w.out)
  const left = b.reshape(columns, [rows, size(w.kernel) * channels])
  const right = b.reshape(dy, [rows, dy.shape[dy.shape.length - 1]!])
  return b.reshape(b.matMul(left, right, true, false), filterShape)
}

function depthwiseFilterGradient(b: Builder, x: Handle, dy: Handle, w: Window, filterShape: readonly number[]): Handle {
  const [channels, multiplier] = filterShape.slice(-2) as [number, number]
  const rows = x.shape[0]! * size(w.out)
  const d = b.reshape(dy, [rows, channels, multiplier])
  const parts = patches(b, x, w).map((p) =>
    b.reduce("ReduceSum", b.mul(b.reshape(p, [rows, channels, 1]), d), [0], true),
  )
  return b.reshape(b.concat(parts, 0), filterShape)
}

function pool(op: "MaxPool" | "AveragePool", b: Builder, x: Handle, w: Window): Handle {
  const first = toFirst(b, x)
  const shape = [x.shape[0]!, x.shape[x.shape.length - 1]!, ...w.out]
  const { dilations, ...rest } = attributes(w)
  const value = b.graph.op(
    op,
    [b.full(first)],
    { shape, dtype: "float32" },
    op === "MaxPool" ? { ...rest, dilations: dilations! } : rest,
  )
  return toLast(b, { value, shape })
}

/** Routes each gradient to the first largest element of its window. */
function maxPoolGradient(b: Builder, x: Handle, dy: Handle, w: Window): Handle {
  const first = toFirst(b, x)
  const shape = [x.shape[0]!, x.shape[x.shape.length - 1]!, ...w.out]
  const [, indices] = b.graph.apply(
    "MaxPool",
    [b.full(first)],
    [
      { shape, dtype: "float32" },
      { shape, dtype: "int64" },
    ],
    attributes(w),
  )
  const flat = b.reshape({ value: indices!, shape }, [size(shape)])
  const updates = b.reshape(toFirst(b, dy), [size(shape)])
  const total = size(first.shape)
  const sums = b.scatterRows(updates, flat, total)
  return toLast(b, b.reshape(sums, first.shape))
}

/** Spreads each gradient evenly over its window; padding does not count. */
function averagePoolGradient(b: Builder, x: Handle, dy: Handle, w: Window): Handle {
  const channels = x.shape[x.shape.length - 1]!
  const counts = w.out.map((o, d) =>
    Array.from({ length: o }, (_, i) => {
      const from = i * w.strides[d]! - w.before[d]!
      let n = 0
      for (let k = 0; k < w.kernel[d]!; k++) {
        const at = from + k * w.dilations[d]!
        if (at >= 0 && at < w.in[d]!) n++
      }
      return n
    }),
  )
  const weight = counts.reduce<number[]>((all, c) => all.flatMap((p) => c.map((n) => p * n)), [1])
  const inverse = b.constant(
    Float32Array.from(weight, (n) => 1 / n),
    [1, ...w.out, 1],
    "float32",
  )
  const ones = b.uniform(1, [channels, 1, ...w.kernel], "float32")
  return convTranspose(b, b.mul(dy, inverse), ones, w, channels, channels)
}

const conv2d = (x: readonly number[], filter: readonly number[], a: Call["attributes"], depthwise = false): Window => {
  if (a.dataFormat === "NCHW") throw new RangeError("convolutions compile with channels last (dataFormat NHWC) only")
  return window2d(
    util.computeConv2DInfo(shape4(x), shape4(filter), a.strides, a.dilations ?? 1, a.pad, a.dimRoundingMode, depthwise),
  )
}
const pool2d = (x: readonly number[], a: Call["attributes"]): Window =>
  window2d(util.computePool2DInfo(shape4(x), a.filterSize, a.strides, 1, a.pad, a.dimRoundingMode))
const pool3d = (x: readonly number[], a: Call["attributes"]): Window =>
  window3d(util.computePool3DInfo(shape5(x), a.filterSize, a.strides, 1, a.pad, a.dimRoundingMode, "NDHWC"))
const conv3d = (x: readonly number[], filter: readonly number[], a: Call["attributes"]): Window =>
  window3d(util.computeConv3DInfo(shape5(x), shape5(filter), a.strides, a.dilations ?? 1, a.pad))

/** Applies a matrix along the height and one along the width. */
function separable(b: Builder, x: Handle, rows: Handle, columns: Handle, transposed: boolean): Handle {
  const [n, h, w, c] = x.shape as [number, number, number, number]
  const high = transposed ? rows.shape[1]! : rows.shape[0]!
  const wide = transposed ? columns.shape[1]! : columns.shape[0]!
  const lead = (m: Handle, batch: number) => b.broadcastTo(b.reshape(m, [1, ...m.shape]), [batch, ...m.shape])
  const tall = b.matMul(lead(rows, n), b.reshape(x, [n, h, w * c]), transposed, false)
  const both = b.matMul(lead(columns, n * high), b.reshape(tall, [n * high, w, c]), transposed, false)
  return b.reshape(both, [n, high, wide, c])
}

const resize =
  (nearest: boolean, backward: boolean): Lowering =>
  ({ b, x, attributes: a }) => {
    const images = x("images")
    const [, h, w] = images.shape as [number, number, number, number]
    const [oh, ow] = backward ? [x("dy").shape[1]!, x("dy").shape[2]!] : (a.size as [number, number])
    const matrix = (n: number, out: number) =>
      b.constant(Float32Array.from(resizeMatrix(n, out, a, nearest)), [out, n], "float32")
    return separable(b, backward ? x("dy") : b.cast(images, "float32"), matrix(h, oh), matrix(w, ow), backward)
  }

/** Sums over the channels within `radius`, as a product with a band matrix. */
function neighbours(b: Builder, h: Handle, radius: number): Handle {
  const c = h.shape[h.shape.length - 1]!
  const band = Float32Array.from({ length: c * c }, (_, i) => (Math.abs(Math.floor(i / c) - (i % c)) <= radius ? 1 : 0))
  return b.matMul(h, b.constant(band, [c, c], "float32"), false, false)
}

function localNorm({ b, attributes: a }: Call, x: Handle): Handle {
  return b.add(
    b.mul(neighbours(b, b.mul(x, x), a.depthRadius), b.uniform(a.alpha, [], "float32")),
    b.uniform(a.bias, [], "float32"),
  )
}

function activate(b: Builder, h: Handle, call: Call): Handle {
  const { activation, leakyreluAlpha } = call.attributes
  const zero = b.uniform(0, [], "float32")
  switch (activation ?? "linear") {
    case "linear":
      return h
    case "relu":
      return b.unary("Relu", h)
    case "elu":
      return b.unary("Elu", h, { alpha: float(1) })
    case "relu6":
      return {
        value: b.graph.op("Clip", [h.value, zero.value, b.uniform(6, [], "float32").value], h.value),
        shape: h.shape,
      }
    case "sigmoid":
      return b.unary("Sigmoid", h)
    case "leakyrelu":
      return b.unary("LeakyRelu", h, { alpha: float(leakyreluAlpha) })
    default:
      return b.where(b.elementwise("Less", [h, zero], "bool"), b.mul(h, call.x("preluActivationWeights")), h)
  }
}

const finished = (call: Call, h: Handle): Handle =>
  activate(call.b, call.has("bias") ? call.b.add(h, call.x("bias")) : h, call)

/** Lowerings by kernel name. */
export const windows: Record<string, Lowering> = {
  Conv2D: ({ b, x, attributes: a }) => conv(b, x("x"), x("filter"), conv2d(x("x").shape, x("filter").shape, a)),
  FusedConv2D: (call) => {
    const { b, x, attributes: a } = call
    return finished(call, conv(b, x("x"), x("filter"), conv2d(x("x").shape, x("filter").shape, a)))
  },
  FusedDepthwiseConv2D: (call) => {
    const { b, x, attributes: a } = call
    return finished(call, conv(b, x("x"), x("filter"), conv2d(x("x").shape, x("filter").shape, a, true), true))
  },
  _FusedMatMul: (call) => {
    const { b, x, attributes: a } = call
    return finished(call, b.matMul(x("a"), x("b"), !!a.transposeA, !!a.transposeB))
  },
  Conv2DBackpropInput: ({ b, x, attributes: a }) => {
    const w = conv2d(a.inputShape, x("filter").shape, a)
    return convTranspose(b, x("dy"), weights(b, x("filter"), false), w, 1, a.inputShape[3])
  },
  Conv2DBackpropFilter: ({ b, x, attributes: a }) =>
    filterGradient(b, x("x"), x("dy"), conv2d(x("x").shape, a.filterShape, a), a.filterShape),
  DepthwiseConv2dNative: ({ b, x, attributes: a }) =>
    conv(b, x("x"), x("filter"), conv2d(x("x").shape, x("filter").shape, a, true), true),
  DepthwiseConv2dNativeBackpropInput: ({ b, x, attributes: a }) => {
    const w = conv2d(a.inputShape, x("filter").shape, a, true)
    return convTranspose(b, x("dy"), weights(b, x("filter"), true), w, a.inputShape[3], a.inputShape[3])
  },
  DepthwiseConv2dNativeBackpropFilter: ({ b, x, attributes: a }) =>
    depthwiseFilterGradient(b, x("x"), x("dy"), conv2d(x("x").shape, a.filterShape, a, true), a.filterShape),
  Conv3D: ({ b, x, attributes: a }) => conv(b, x("x"), x("filter"), conv3d(x("x").shape, x("filter").shape, a)),
  Conv3DBackpropInputV2: ({ b, x, attributes: a }) => {
    const w = conv3d(a.inputShape, x("filter").shape, a)
    return convTranspose(b, x("dy"), weights(b, x("filter"), false), w, 1, a.inputShape[4])
  },
  Conv3DBackpropFilterV2: ({ b, x, attributes: a }) =>
    filterGradient(b, x("x"), x("dy"), conv3d(x("x").shape, a.filterShape, a), a.filterShape),
  MaxPool: ({ b, x, attributes: a }) => pool("MaxPool", b, x("x"), pool2d(x("x").shape, a)),
  AvgPool: ({ b, x, attributes: a }) => pool("AveragePool", b, x("x"), pool2d(x("x").shape, a)),
  MaxPool3D: ({ b, x, attributes: a }) => pool("MaxPool", b, x("x"), pool3d(x("x").shape, a)),
  AvgPool3D: ({ b, x, attributes: a }) => pool("AveragePool", b, x("x"), pool3d(x("x").shape, a)),
  MaxPoolGrad: ({ b, x, attributes: a }) => maxPoolGradient(b, x("input"), x("dy"), pool2d(x("input").shape, a)),
  AvgPoolGrad: ({ b, x, attributes: a }) => averagePoolGradient(b, x("input"), x("dy"), pool2d(x("input").shape, a)),
  MaxPool3DGrad: ({ b, x, attributes: a }) => maxPoolGradient(b, x("input"), x("dy"), pool3d(x("input").shape, a)),
  AvgPool3DGrad: ({ b, x, attributes: a }) => averagePoolGradient(b, x("input"), x("dy"), pool3d(x("input").shape, a)),
  ResizeBilinear: resize(false, false),
  ResizeNearestNeighbor: resize(true, false),
  ResizeNearestNeighborGrad: resize(true, true),
  LRN: (call) => {
    const x = call.x("x")
    return call.b.mul(x, call.b.pow(localNorm(call, x), call.b.uniform(-call.attributes.beta, [], "float32")))
  },
  LRNGrad: (call) => {
    const { b, x, attributes: a } = call
    const [input, y, dy] = [x("x"), x("y"), x("dy")]
    const norm = localNorm(call, input)
    const direct = b.mul(dy, b.pow(norm, b.uniform(-a.beta, [], "float32")))
    const spread = neighbours(b, b.div(b.mul(dy, y), norm), a.depthRadius)
    return b.sub(direct, b.mul(b.mul(input, spread), b.uniform(2 * a.alpha * a.beta, [], "float32")))
  },
  FusedBatchNorm: ({ b, x, has, attributes: { varianceEpsilon } }) => {
    const root = b.unary("Sqrt", b.add(x("variance"), b.uniform(varianceEpsilon, [], "float32")))
    const inverse = b.unary("Reciprocal", root)
    const factor = has("scale") ? b.mul(inverse, x("scale")) : inverse
    const y = b.mul(b.sub(x("x"), x("mean")), factor)
    return has("offset") ? b.add(y, x("offset")) : y
  },
  SearchSorted: ({ b, x, attributes: { side } }) => {
    const [sorted, values] = [x("sortedSequence"), x("values")]
    const before = b.elementwise(
      side === "left" ? "Less" : "LessOrEqual",
      [b.reshape(sorted, [sorted.shape[0]!, 1, sorted.shape[1]!]), b.reshape(values, [...values.shape, 1])],
      "bool",
    )
    return b.reduce("ReduceSum", b.cast(before, "int32"), [2], false)
  },
  Bincount: ({ b, x, attributes: { size: count } }) => {
    const [h, weight] = [x("x"), x("weights")]
    const updates = size(weight.shape) > 0 ? weight : b.uniform(1, h.shape, "float32")
    return b.scatterRows(updates, b.cast(h, "int32"), count)
  },
}
