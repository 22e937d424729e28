/** Lowerings of kernels that make, move, select and reduce. */
import * as tf from "@tensorflow/tfjs-core"
import type { Builder, Handle } from "../builder.ts"
import { type ElementType, int, size, text } from "../graph.ts"
import { axesOf, type Call, type Lowering } from "./call.ts"

const reduction =
  (op: string, attribute = "axis"): Lowering =>
  ({ b, x, attributes }) => {
    const h = x("x")
    return b.reduce(
      op,
      h,
      axesOf(attributes[attribute] ?? attributes.axis, h.shape.length),
      attributes.keepDims ?? false,
    )
  }

/** all/any over booleans through the sum of counts. */
const quantifier =
  (all: boolean): Lowering =>
  ({ b, x, attributes }) => {
    const h = b.cast(x("x"), "int32")
    const axes = axesOf(attributes.axis, h.shape.length)
    if (axes.length === 0) return b.cast(h, "bool")
    return b.cast(b.reduce(all ? "ReduceMin" : "ReduceMax", h, axes, attributes.keepDims ?? false), "bool")
  }

const extreme =
  (op: string): Lowering =>
  ({ b, x, attributes }) => {
    const h = x("x")
    const axis = axesOf(attributes.axis, h.shape.length)[0] ?? 0
    const shape = h.shape.filter((_, i) => i !== axis)
    const input = h.value.dtype === "bool" ? b.cast(h, "int32") : h
    const value = b.graph.op(op, [b.full(input)], { shape, dtype: "int64" }, { axis: int(axis), keepdims: int(0) })
    return b.cast({ value, shape }, "int32")
  }

function sequence(n: number, f: (i: number) => number, dtype: ElementType): { data: Float32Array | Int32Array } {
  return {
    data:
      dtype === "int32"
        ? Int32Array.from({ length: n }, (_, i) => f(i))
        : Float32Array.from({ length: n }, (_, i) => f(i)),
  }
}

/** Moves `axis` to the end, applies `f`, and moves it back. */
function onLastAxis(b: Builder, h: Handle, axis: number, f: (h: Handle) => Handle): Handle {
  const last = h.shape.length - 1
  if (axis === last) return f(h)
  const perm = h.shape.map((_, i) => i)
  perm[axis] = last
  perm[last] = axis
  return b.transpose(f(b.transpose(h, perm)), perm)
}

function softmax(op: string, b: Builder, h: Handle, axis: number): Handle {
  return onLastAxis(b, h, axis, (x) => {
    const v = b.full(x)
    return { value: b.graph.op(op, [v], v, { axis: int(-1) }), shape: x.shape }
  })
}

function topK({ b, x, attributes: { k, sorted } }: Call): readonly Handle[] {
  const h = x("x")
  const shape = [...h.shape.slice(0, -1), k as number]
  const [values, indices] = b.graph.apply(
    "TopK",
    [b.full(h), b.graph.indices([k])],
    [
      { shape, dtype: h.value.dtype },
      { shape, dtype: "int64" },
    ],
    { axis: int(-1), largest: int(1), sorted: int(sorted === false ? 0 : 1) },
  )
  return [{ value: values!, shape }, b.cast({ value: indices!, shape }, "int32")]
}

/** Parts of the given sizes along an axis. */
export function split(b: Builder, h: Handle, axis: number, sizes: readonly number[]): Handle[] {
  let at = 0
  if (!b.isFull(h) || sizes.length === 1)
    return sizes.map((n) => {
      const begin = h.shape.map((_, i) => (i === axis ? at : 0))
      const end = h.shape.map((d, i) => (i === axis ? at + n : d))
      at += n
      return b.slice(h, begin, end)
    })
  const shapes = sizes.map((n) => h.shape.map((d, i) => (i === axis ? n : d)))
  return b.graph
    .apply(
      "Split",
      [h.value, b.graph.indices(sizes)],
      shapes.map((shape) => ({ shape, dtype: h.value.dtype })),
      { axis: int(axis) },
    )
    .map((value, i) => ({ value, shape: shapes[i]! }))
}

function gather({ b, x, attributes }: Call): Handle {
  const [h, indices] = [x("x"), x("indices")]
  const axis = axesOf(attributes.axis, h.shape.length)[0]!
  const batch = (attributes.batchDims ?? 0) as number
  if (batch === 0) return b.gather(h, indices, axis)
  // Rows of every batch in one list: batch·n + index.
  const lead = h.shape.slice(0, batch)
  const groups = size(lead)
  const inner = [...Array(h.shape.length - batch).keys()].map((i) => i + batch)
  const order = [...lead.keys(), axis, ...inner.filter((i) => i !== axis)]
  const front = b.transpose(h, order)
  const n = h.shape[axis]!
  const rest = front.shape.slice(batch + 1)
  const per = indices.shape.slice(batch)
  const offsets = b.constant(sequence(groups, (i) => i * n, "int32").data, [groups, 1], "int32")
  const at = b.add(b.reshape(b.cast(indices, "int32"), [groups, size(per)]), offsets)
  const rows = b.gather(b.reshape(front, [groups * n, ...rest]), at, 0)
  const shaped = b.reshape(rows, [...lead, ...per, ...rest])
  // Axes now: batch, indices, rest; the result wants the rest that lay before `axis` in front of the indices.
  const before = axis - batch
  const back = [
    ...lead.keys(),
    ...[...Array(before).keys()].map((i) => batch + per.length + i),
    ...per.map((_, i) => batch + i),
    ...[...Array(rest.length - before).keys()].map((i) => batch + per.length + before + i),
  ]
  return b.transpose(shaped, back)
}

function scatterNd(b: Builder, base: Handle, indices: Handle, updates: Handle, add: boolean): Handle {
  const dtype = base.value.dtype
  const value = b.graph.op(
    "ScatterND",
    [b.full(base), b.full(b.cast(indices, "int64")), b.full(updates)],
    { shape: base.shape, dtype },
    { reduction: text(add ? "add" : "none") },
  )
  return { value, shape: base.shape }
}

/** Lowerings by kernel name. */
export const structure: Record<string, Lowering> = {
  // making
  Fill: ({ b, attributes: { shape, value, dtype } }) => b.uniform(value, shape, dtype ?? "float32"),
  LinSpace: ({ b, attributes: { start, stop, num } }) => {
    const { data } = sequence(num, (i) => start + (i * (stop - start)) / (num - 1 || 1), "float32")
    return b.constant(data, [num], "float32")
  },
  Range: ({ b, attributes: { start, stop, step, dtype } }) => {
    const n = Math.max(0, Math.ceil((stop - start) / step))
    return b.constant(sequence(n, (i) => start + i * step, dtype ?? "float32").data, [n], dtype ?? "float32")
  },
  OneHot: ({ b, x, attributes: { depth, onValue, offValue, dtype } }) => {
    const indices = b.cast(x("indices"), "int32")
    const column = b.reshape(indices, [...indices.shape, 1])
    const classes = b.constant(sequence(depth, (i) => i, "int32").data, [depth], "int32")
    const hit = b.elementwise("Equal", [column, classes], "bool")
    const type = (dtype ?? "int32") as ElementType
    if (onValue === 1 && offValue === 0) return b.cast(hit, type)
    return b.where(hit, b.uniform(onValue, [], type), b.uniform(offValue, [], type))
  },
  // shapes
  Reshape: ({ b, x, attributes: { shape } }) => {
    const h = x("x")
    return b.reshape(h, tf.util.inferFromImplicitShape(shape, size(h.shape)))
  },
  ExpandDims: ({ b, x, attributes: { dim } }) => {
    const h = x("input")
    const at = dim < 0 ? h.shape.length + dim + 1 : dim
    return b.reshape(h, [...h.shape.slice(0, at), 1, ...h.shape.slice(at)])
  },
  Transpose: ({ b, x, attributes: { perm } }) => b.transpose(x("x"), perm ?? [...x("x").shape.keys()].reverse()),
  BroadcastTo: ({ b, x, attributes: { shape } }) => b.broadcastTo(x("x"), shape),
  Tile: ({ b, x, attributes: { reps } }) => {
    const h = x("x")
    const shape = h.shape.map((d, i) => d * reps[i])
    const aligned = b.aligned(h)
    const real = reps.map((r: number, i: number) => (aligned.shape[i] === 1 ? 1 : r))
    if (real.every((r: number) => r === 1)) return { value: aligned, shape }
    const out = aligned.shape.map((d, i) => d * real[i])
    return { value: b.graph.op("Tile", [aligned, b.graph.indices(real)], { shape: out, dtype: aligned.dtype }), shape }
  },
  // selecting
  Slice: ({ b, x, attributes: { begin, size: extent } }) => {
    const h = x("x")
    const [from, sizes] = tf.slice_util.parseSliceParams({ shape: [...h.shape] } as tf.Tensor, begin, extent)
    return b.slice(
      h,
      from!,
      from!.map((f, i) => f + sizes![i]!),
    )
  },
  StridedSlice: ({ b, x, attributes: a }) => {
    const h = x("x")
    const info = tf.slice_util.sliceInfo(
      [...h.shape],
      a.begin,
      a.end,
      a.strides,
      a.beginMask,
      a.endMask,
      a.ellipsisMask,
      a.newAxisMask,
      a.shrinkAxisMask,
    )
    const { finalShapeSparse: sparse, finalShape } = info
    if (info.isIdentity || size(finalShape) === 0)
      return size(finalShape) === 0 ? b.uniform(0, finalShape, h.value.dtype) : b.reshape(h, finalShape)
    const end = info.begin.map((f, i) => f + sparse[i]! * info.strides[i]!)
    return b.reshape(b.slice(h, info.begin, end, info.strides), finalShape)
  },
  PadV2: ({ b, x, attributes: { paddings, constantValue } }) => b.pad(x("x"), paddings, constantValue ?? 0),
  MirrorPad: ({ b, x, attributes: { paddings, mode } }) => {
    if (mode === "reflect") return b.pad(x("x"), paddings, 0, "reflect")
    // The edge is repeated: gather the mirrored positions along each axis.
    return (paddings as [number, number][]).reduce((h: Handle, [before, after], axis) => {
      if (before === 0 && after === 0) return h
      const n = h.shape[axis]!
      const at = sequence(
        before + n + after,
        (i) => {
          const p = i - before
          return p < 0 ? -p - 1 : p >= n ? 2 * n - 1 - p : p
        },
        "int32",
      ).data
      return b.gather(h, b.constant(at, [at.length], "int32"), axis)
    }, x("x"))
  },
  Concat: ({ b, list, attributes: { axis } }) => b.concat(list, axesOf(axis, list[0]!.shape.length)[0]!),
  Pack: ({ b, list, attributes: { axis } }) => {
    const rank = list[0]!.shape.length + 1
    const at = axis < 0 ? axis + rank : axis
    return b.concat(
      list.map((h) => b.reshape(h, [...h.shape.slice(0, at), 1, ...h.shape.slice(at)])),
      at,
    )
  },
  Unpack: ({ b, x, attributes: { axis } }) => {
    const h = x("value")
    const at = axesOf(axis, h.shape.length)[0]!
    const shape = h.shape.filter((_, i) => i !== at)
    return split(b, h, at, new Array(h.shape[at]!).fill(1)).map((part) => b.reshape(part, shape))
  },
  SplitV: ({ b, x, attributes: { numOrSizeSplits, axis } }) => {
    const h = x("x")
    const at = axesOf(axis, h.shape.length)[0]!
    return split(b, h, at, tf.backend_util.prepareSplitSize({ shape: [...h.shape] } as tf.Tensor, numOrSizeSplits, at))
  },
  Reverse: ({ b, x, attributes: { dims } }) => {
    const h = x("x")
    const axes = axesOf(dims, h.shape.length)
    if (h.shape.length === 0) return h
    return b.slice(
      h,
      h.shape.map((d, i) => (axes.includes(i) ? d - 1 : 0)),
      h.shape.map((d, i) => (axes.includes(i) ? -1 : d)),
      h.shape.map((_, i) => (axes.includes(i) ? -1 : 1)),
    )
  },
  GatherV2: gather,
  GatherNd: ({ b, x }) => {
    const [params, indices] = [x("params"), x("indices")]
    const depth = indices.shape[indices.shape.length - 1]!
    const shape = [...indices.shape.slice(0, -1), ...params.shape.slice(depth)]
    return {
      value: b.graph.op("GatherND", [b.full(params), b.full(b.cast(indices, "int64"))], {
        shape,
        dtype: params.value.dtype,
      }),
      shape,
    }
  },
  ScatterNd: ({ b, x, attributes: { shape } }) =>
    scatterNd(b, b.uniform(0, shape, x("updates").value.dtype), x("indices"), x("updates"), true),
  TensorScatterUpdate: ({ b, x }) => scatterNd(b, x("tensor"), x("indices"), x("updates"), false),
  UnsortedSegmentSum: ({ b, x, attributes: { numSegments } }) => {
    const [h, ids] = [x("x"), b.cast(x("segmentIds"), "int32")]
    // Segments out of range are dropped: they go to one row more, which is cut off.
    const zero = b.uniform(0, [], "int32")
    const outside = b.elementwise(
      "Or",
      [
        b.elementwise("Less", [ids, zero], "bool"),
        b.elementwise("GreaterOrEqual", [ids, b.uniform(numSegments, [], "int32")], "bool"),
      ],
      "bool",
    )
    const rows = b.where(outside, b.uniform(numSegments, [], "int32"), ids)
    const sums = b.scatterRows(h, rows, numSegments + 1)
    return b.slice(
      sums,
      sums.shape.map(() => 0),
      [numSegments, ...sums.shape.slice(1)],
    )
  },
  // reducing
  Sum: reduction("ReduceSum"),
  Mean: ({ b, x, attributes }) => {
    const h = b.cast(x("x"), "float32")
    return b.reduce("ReduceMean", h, axesOf(attributes.axis, h.shape.length), attributes.keepDims ?? false)
  },
  Max: reduction("ReduceMax", "reductionIndices"),
  Min: reduction("ReduceMin", "reductionIndices"),
  Prod: reduction("ReduceProd"),
  All: quantifier(true),
  Any: quantifier(false),
  ArgMax: extreme("ArgMax"),
  ArgMin: extreme("ArgMin"),
  Cumsum: ({ b, x, attributes: { axis, exclusive, reverse } }) => {
    const h = x("x")
    const at = b.graph.constant(Int32Array.of(axesOf(axis, h.shape.length)[0]!), [], "int32")
    const v = b.full(h)
    const attributes = { exclusive: int(exclusive ? 1 : 0), reverse: int(reverse ? 1 : 0) }
    return { value: b.graph.op("CumSum", [v, at], v, attributes), shape: h.shape }
  },
  Cumprod: ({ b, x, attributes: { axis, exclusive, reverse } }) => {
    // There is no native operator: log₂ n doubling products of shifted copies.
    const h = x("x")
    const at = axesOf(axis, h.shape.length)[0]!
    const n = h.shape[at]!
    const shifted = (v: Handle, by: number) => {
      const paddings = h.shape.map((_, i): [number, number] => (i !== at ? [0, 0] : reverse ? [0, by] : [by, 0]))
      const begin = h.shape.map((_, i) => (i === at && reverse ? by : 0))
      const end = h.shape.map((d, i) => (i === at && !reverse ? d - by : d))
      return b.pad(b.slice(v, begin, end), paddings, 1)
    }
    let product: Handle = { value: b.full(h), shape: h.shape }
    if (exclusive && n > 0) product = shifted(product, 1)
    for (let by = 1; by < n; by *= 2) product = b.mul(product, shifted(product, by))
    return product
  },
  Softmax: ({ b, x, attributes: { dim } }) =>
    softmax("Softmax", b, b.cast(x("logits"), "float32"), axesOf(dim ?? -1, x("logits").shape.length)[0]!),
  LogSoftmax: ({ b, x, attributes: { axis } }) =>
    softmax("LogSoftmax", b, b.cast(x("logits"), "float32"), axesOf(axis ?? -1, x("logits").shape.length)[0]!),
  TopK: topK,
  // products
  BatchMatMul: ({ b, x, attributes: { transposeA, transposeB } }) =>
    b.matMul(x("a"), x("b"), !!transposeA, !!transposeB),
  Einsum: ({ b, list, attributes: { equation } }) => {
    const compact = (equation as string).replaceAll(" ", "")
    const [left, out] = compact.split("->") as [string, string]
    const sizes = new Map<string, number>()
    left.split(",").forEach((term, i) => {
      ;[...term].forEach((c, d) => {
        sizes.set(c, list[i]!.shape[d]!)
      })
    })
    const shape = [...out].map((c) => sizes.get(c)!)
    const value = b.graph.op(
      "Einsum",
      list.map((h) => b.full(h)),
      { shape, dtype: list[0]!.value.dtype },
      { equation: text(compact) },
    )
    return { value, shape }
  },
  Diag: ({ b, x }) => {
    const h = x("x")
    const n = size(h.shape)
    const i = b.constant(sequence(n, (j) => j, "int32").data, [n], "int32")
    const on = b.elementwise("Equal", [b.reshape(i, [n, 1]), i], "bool")
    const flat = b.reshape(h, [n])
    return b.reshape(b.where(on, flat, b.uniform(0, [], h.value.dtype)), [...h.shape, ...h.shape])
  },
  // index arithmetic of images
  SpaceToBatchND: ({ b, x, attributes: { blockShape, paddings } }) => {
    const h = x("x")
    const block = blockShape as number[]
    const whole = [[0, 0], ...(paddings as [number, number][])] as [number, number][]
    while (whole.length < h.shape.length) whole.push([0, 0])
    const padded = b.pad(h, whole, 0)
    const spatial = block.flatMap((s, i) => [padded.shape[i + 1]! / s, s])
    const rest = padded.shape.slice(1 + block.length)
    const split = b.reshape(padded, [padded.shape[0]!, ...spatial, ...rest])
    const perm = [
      ...block.map((_, i) => 2 + 2 * i),
      0,
      ...block.map((_, i) => 1 + 2 * i),
      ...rest.map((_, i) => 1 + 2 * block.length + i),
    ]
    const out = [padded.shape[0]! * size(block), ...block.map((s, i) => padded.shape[i + 1]! / s), ...rest]
    return b.reshape(b.transpose(split, perm), out)
  },
  BatchToSpaceND: ({ b, x, attributes: { blockShape, crops } }) => {
    const h = x("x")
    const block = blockShape as number[]
    const n = h.shape[0]! / size(block)
    const split = b.reshape(h, [...block, n, ...h.shape.slice(1)])
    const k = block.length
    const rest = h.shape.slice(1 + k)
    const perm = [k, ...block.flatMap((_, i) => [k + 1 + i, i]), ...rest.map((_, i) => 2 * k + 1 + i)]
    const merged = b.reshape(b.transpose(split, perm), [n, ...block.map((s, i) => s * h.shape[i + 1]!), ...rest])
    const begin = merged.shape.map((_, i) => (i > 0 && i <= k ? crops[i - 1][0] : 0))
    const end = merged.shape.map((d, i) => (i > 0 && i <= k ? d - crops[i - 1][1] : d))
    return b.slice(merged, begin, end)
  },
  DepthToSpace: ({ b, x, attributes: { blockSize: s, dataFormat } }) => {
    const h = x("x")
    if (dataFormat === "NCHW") {
      const [n, c, hh, w] = h.shape as [number, number, number, number]
      const split = b.reshape(h, [n, s, s, c / (s * s), hh, w])
      return b.reshape(b.transpose(split, [0, 3, 4, 1, 5, 2]), [n, c / (s * s), hh * s, w * s])
    }
    const [n, hh, w, c] = h.shape as [number, number, number, number]
    const split = b.reshape(h, [n, hh, w, s, s, c / (s * s)])
    return b.reshape(b.transpose(split, [0, 1, 3, 2, 4, 5]), [n, hh * s, w * s, c / (s * s)])
  },
}
