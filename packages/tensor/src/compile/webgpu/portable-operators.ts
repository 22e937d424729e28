/**
 * Operators that ONNX Runtime's WebGPU provider (1.30) runs on the CPU, gets wrong or refuses, expressed through those it
 * has. What stays on the CPU, at the price of a copy each way: IsNaN, IsInf (shaders may assume that neither occurs),
 * Mod, and casts from int64, which is what TopK's indices need.
 */
import type { Builder, Handle } from "../builder.ts"
import { type Attribute, int, ints, type Node, sameShape, size, type Value } from "../graph.ts"
import type { Replacements } from "../retarget.ts"

const handle = (value: Value): Handle => ({ value, shape: value.shape })
const one = (h: Handle, b: Builder): readonly Value[] => [b.full(h)]
const number = (b: Builder, x: number, like: Value): Handle => b.uniform(x, [], like.dtype)
const compare = (b: Builder, op: string, x: Handle, y: Handle): Handle => b.elementwise(op, [x, y], "bool")

const numbers = (a: Attribute | undefined, otherwise: readonly number[]): readonly number[] =>
  a?.kind === "ints" ? a.value : otherwise
const single = (a: Attribute | undefined, otherwise: number): number =>
  a?.kind === "int" || a?.kind === "float" ? a.value : otherwise

/** The int32 value that an int64 one was cast from. */
function narrow(v: Value): Value | undefined {
  const from = v.node.op === "Cast" ? v.node.inputs[0] : undefined
  return v.dtype === "int64" && from?.dtype === "int32" ? from : undefined
}

/** First position of the extreme along an axis, as int32: there is no arithmetic on int64. */
function extreme(b: Builder, x: Value, node: Node, reduction: string): readonly Value[] {
  const rank = x.shape.length
  const axis = (single(node.attributes["axis"], 0) + rank) % rank
  const keep = single(node.attributes["keepdims"], 1) === 1
  const n = x.shape[axis]!
  const best = b.reduce(reduction, handle(x), [axis], true)
  const positions = b.constant(
    Int32Array.from({ length: n }, (_, i) => i),
    x.shape.map((_, i) => (i === axis ? n : 1)),
    "int32",
  )
  const there = b.where(compare(b, "Equal", handle(x), best), positions, b.uniform(n, [], "int32"))
  const first = b.reduce("ReduceMin", { value: b.full(there), shape: x.shape }, [axis], keep)
  return one(b.cast(first, "int64"), b)
}

/** Inserts `strides − 1` zeros between the elements of every spatial axis of [n, c, …]. */
function spread(b: Builder, x: Handle, strides: readonly number[]): Handle {
  if (strides.every((s) => s === 1)) return x
  const [n, c, ...spatial] = x.shape as [number, number, ...number[]]
  const cells = b.reshape(x, [n, c, ...spatial.flatMap((d) => [d, 1])])
  const paddings: [number, number][] = [
    [0, 0],
    [0, 0],
    ...strides.flatMap((s): [number, number][] => [
      [0, 0],
      [0, s - 1],
    ]),
  ]
  const wide = b.reshape(b.pad(cells, paddings, 0), [n, c, ...spatial.map((d, i) => d * strides[i]!)])
  const end = spatial.map((d, i) => (d - 1) * strides[i]! + 1)
  return b.slice(wide, [0, 0, ...spatial.map(() => 0)], [n, c, ...end])
}

/** A transposed convolution is a convolution of the spread input with the mirrored filter. */
function convTranspose(b: Builder, x: Value, weight: Value, node: Node): readonly Value[] {
  const k = x.shape.length - 2
  const flat = new Array<number>(k).fill(0)
  const group = single(node.attributes["group"], 1)
  const kernel = weight.shape.slice(2)
  const strides = numbers(
    node.attributes["strides"],
    flat.map(() => 1),
  )
  const dilations = numbers(
    node.attributes["dilations"],
    flat.map(() => 1),
  )
  const pads = numbers(node.attributes["pads"], [...flat, ...flat])
  const extra = numbers(node.attributes["output_padding"], flat)
  // [in, out / group, k…] → [out, in / group, k…]
  const [input, perGroup] = weight.shape as [number, number]
  const grouped = b.reshape(handle(weight), [group, input / group, perGroup, ...kernel])
  const swapped = b.transpose(grouped, [0, 2, 1, ...kernel.map((_, i) => i + 3)])
  const turned = b.reshape(swapped, [group * perGroup, input / group, ...kernel])
  const mirrored = b.slice(
    turned,
    turned.shape.map((d, i) => (i < 2 ? 0 : d - 1)),
    turned.shape.map((d, i) => (i < 2 ? d : -1)),
    turned.shape.map((_, i) => (i < 2 ? 1 : -1)),
  )
  const reach = kernel.map((d, i) => (d - 1) * dilations[i]!)
  const margins = reach.map((r, i): [number, number] => [r - pads[i]!, r - pads[k + i]! + extra[i]!])
  let wide = spread(b, handle(x), strides)
  wide = b.pad(
    wide,
    [[0, 0], [0, 0], ...margins.map(([p, q]): [number, number] => [Math.max(0, p), Math.max(0, q)])],
    0,
  )
  wide = b.slice(
    wide,
    wide.shape.map((_, i) => (i < 2 ? 0 : Math.max(0, -margins[i - 2]![0]))),
    wide.shape.map((d, i) => (i < 2 ? d : d - Math.max(0, -margins[i - 2]![1]))),
  )
  const attributes = {
    kernel_shape: ints(kernel),
    strides: ints(flat.map(() => 1)),
    dilations: ints(dilations),
    pads: ints([...flat, ...flat]),
    group: int(group),
  }
  return [b.graph.op("Conv", [b.full(wide), b.full(mirrored)], node.outputs[0]!, attributes)]
}

/** Max pooling with the flat positions of the maxima: each window position is compared with the maximum. */
function maxPoolWithIndices(b: Builder, x: Value, node: Node): readonly Value[] {
  const out = node.outputs[0]!
  const k = x.shape.length - 2
  const kernel = numbers(node.attributes["kernel_shape"], [])
  const strides = numbers(
    node.attributes["strides"],
    kernel.map(() => 1),
  )
  const dilations = numbers(
    node.attributes["dilations"],
    kernel.map(() => 1),
  )
  const pads = numbers(
    node.attributes["pads"],
    [...kernel, ...kernel].map(() => 0),
  )
  const [n, c, ...spatial] = x.shape as [number, number, ...number[]]
  const windows = out.shape.slice(2)
  const maximum = b.graph.op("MaxPool", [x], out, node.attributes)
  const lowest = -3.4028234663852886e38
  const margins = kernel.map((_, i): [number, number] => [pads[i]!, pads[k + i]!])
  const padded = b.pad(handle(x), [[0, 0], [0, 0], ...margins], lowest)
  const within = kernel.reduce<number[][]>(
    (all, d) => all.flatMap((p) => Array.from({ length: d }, (_, i) => [...p, i])),
    [[]],
  )
  const places = windows.reduce<number[][]>(
    (all, d) => all.flatMap((p) => Array.from({ length: d }, (_, i) => [...p, i])),
    [[]],
  )
  let found = b.uniform(0, [1, 1, ...windows], "int32")
  // Backwards, so that the first maximum of a window wins.
  for (const p of within.reverse()) {
    const begin = p.map((i, d) => i * dilations[d]!)
    const end = begin.map((at, d) => at + (windows[d]! - 1) * strides[d]! + 1)
    const elements = b.slice(padded, [0, 0, ...begin], [n, c, ...end], [1, 1, ...strides])
    const flat = Int32Array.from(places, (place) =>
      place.reduce((sum, o, d) => sum * spatial[d]! + o * strides[d]! + begin[d]! - pads[d]!, 0),
    )
    const hit = compare(b, "Equal", elements, handle(maximum))
    found = b.where(hit, b.constant(flat, [1, 1, ...windows], "int32"), found)
  }
  const planes = b.constant(
    Int32Array.from({ length: n * c }, (_, i) => i * size(spatial)),
    [n, c, ...windows.map(() => 1)],
    "int32",
  )
  return [maximum, b.full(b.cast(b.add(found, planes), "int64"))]
}

/** Replacements by operator. */
export const portableOperators: Replacements = {
  ArgMax: (b, [x], node) => extreme(b, x!, node, "ReduceMax"),
  ArgMin: (b, [x], node) => extreme(b, x!, node, "ReduceMin"),
  Cast: (_, [x], node) => {
    const source = narrow(x!)
    return source && node.outputs[0]!.dtype === "int32" ? [source] : undefined
  },
  Reshape: (b, [x, shape], node) => {
    const source = narrow(x!)
    if (!source || shape!.node.op !== "Constant") return undefined
    return one(b.cast(b.reshape(handle(source), node.outputs[0]!.shape), "int64"), b)
  },
  // Right only for one group and two spatial axes.
  ConvTranspose: (b, [x, weight], node) =>
    x!.shape.length === 4 && single(node.attributes["group"], 1) === 1
      ? undefined
      : convTranspose(b, x!, weight!, node),
  FusedMatMul: (b, [x, y], node) => {
    const operand = (v: Value, flag: string): Value => {
      if (single(node.attributes[flag], 0) === 0) return v
      const axes = v.shape.map((_, i) => i)
      const last = axes.length - 1
      return b.full(b.transpose(handle(v), [...axes.slice(0, -2), last, last - 1]))
    }
    const product = b.graph.op("MatMul", [operand(x!, "transA"), operand(y!, "transB")], node.outputs[0]!)
    const alpha = single(node.attributes["alpha"], 1)
    return alpha === 1 ? [product] : one(b.mul(handle(product), b.uniform(alpha, [], "float32")), b)
  },
  LogSoftmax: (b, [x], node) => {
    const axis = (single(node.attributes["axis"], -1) + x!.shape.length) % x!.shape.length
    const shifted = b.sub(handle(x!), b.reduce("ReduceMax", handle(x!), [axis], true))
    const total = b.reduce("ReduceSum", b.unary("Exp", shifted), [axis], true)
    return one(b.sub(shifted, b.unary("Log", total)), b)
  },
  MaxPool: (b, [x], node) => (node.outputs.length > 1 ? maxPoolWithIndices(b, x!, node) : undefined),
  Or: (b, [x, y]) => {
    const neither = b.elementwise("And", [b.unary("Not", handle(x!)), b.unary("Not", handle(y!))], "bool")
    return one(b.unary("Not", neither), b)
  },
  // The kernel handles operands of one shape only.
  Pow: (b, [x, y], node) => {
    const { shape } = node.outputs[0]!
    if ((sameShape(x!.shape, shape) && sameShape(y!.shape, shape)) || size(y!.shape) === 1) return undefined
    const whole = (v: Value) => b.full(b.broadcastTo(handle(v), shape))
    return [b.graph.op("Pow", [whole(x!), whole(y!)], node.outputs[0]!)]
  },
  // Halves go to the even neighbour.
  Round: (b, [x]) => {
    const h = handle(x!)
    const [half, two] = [number(b, 0.5, x!), number(b, 2, x!)]
    const below = b.unary("Floor", h)
    const above = b.add(below, number(b, 1, x!))
    const even = b.mul(b.unary("Floor", b.div(above, two)), two)
    const rest = b.sub(h, below)
    return one(
      b.where(compare(b, "Less", rest, half), below, b.where(compare(b, "Greater", rest, half), above, even)),
      b,
    )
  },
  Selu: (b, [x], node) => {
    const alpha: Attribute = { kind: "float", value: single(node.attributes["alpha"], 1.6732631921768188) }
    const gamma = single(node.attributes["gamma"], 1.0507010221481323)
    return one(b.mul(b.unary("Elu", handle(x!), { alpha }), number(b, gamma, x!)), b)
  },
  Sign: (b, [x]) => {
    const [h, zero] = [handle(x!), number(b, 0, x!)]
    const negative = b.where(compare(b, "Less", h, zero), number(b, -1, x!), zero)
    return one(b.where(compare(b, "Greater", h, zero), number(b, 1, x!), negative), b)
  },
  // A shader has at most 8 buffers on some devices, and this one wants one for every part.
  Split: (b, [x], node) => {
    if (node.outputs.length < 8) return undefined
    const rank = x!.shape.length
    const axis = (single(node.attributes["axis"], 0) + rank) % rank
    let at = 0
    return node.outputs.map((out) => {
      const begin = x!.shape.map((_, i) => (i === axis ? at : 0))
      at += out.shape[axis]!
      const end = x!.shape.map((d, i) => (i === axis ? at : d))
      return b.full(b.slice(handle(x!), begin, end))
    })
  },
  Xor: (b, [x, y]) => {
    const same = compare(b, "Equal", b.cast(handle(x!), "int32"), b.cast(handle(y!), "int32"))
    return one(b.unary("Not", same), b)
  },
}
