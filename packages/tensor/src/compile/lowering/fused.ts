/** Lowerings of the project's own kernels to single nodes, or to fewer passes than their composites. */
import type { Builder, Handle } from "../builder.ts"
import { float, int, size, text, type Value } from "../graph.ts"
import type { Call, Lowering } from "./call.ts"
import { split, structure } from "./structure.ts"

const c = (b: Builder, x: number): Handle => b.uniform(Math.fround(x), [], "float32")

/** From this many classes on, scattering beats comparing every class with the label. */
const manyClasses = 128

/** Rows and labels as positions [n, 2] of a matrix, with labels outside the classes moved to 0 and masked. */
function positions(b: Builder, labels: Handle, classes: number) {
  const n = labels.shape[0]!
  const zero = b.uniform(0, [], "int32")
  const inside = b.elementwise(
    "And",
    [
      b.elementwise("GreaterOrEqual", [labels, zero], "bool"),
      b.elementwise("Less", [labels, b.uniform(classes, [], "int32")], "bool"),
    ],
    "bool",
  )
  const column = b.reshape(b.where(inside, labels, zero), [n, 1])
  const rows = b.constant(
    Int32Array.from({ length: n }, (_, i) => i),
    [n, 1],
    "int32",
  )
  return { inside, at: b.cast(b.concat([rows, column], 1), "int64") }
}

/**
 * The two order statistics around a quantile, then the interpolation. Selecting k values is linear, sorting them is not:
 * so one side is selected unsorted, then its inner ends. Equal values need no rule, as only values are used.
 */
const quantile: FusedLowering = ({ b, x }) => {
  const h = b.reshape(x("x"), [size(x("x").shape)])
  const n = h.shape[0]!
  const lower = b.known(x("lower"))
  const fraction = b.known(x("fraction"))
  if (lower === undefined || fraction === undefined) return quantileAtRunTime(b, h, x("lower"), x("fraction"))
  const both = fraction !== 0 && lower + 1 < n
  const fromBelow = lower + (both ? 2 : 1)
  const fromAbove = n - lower
  const largest = fromAbove <= fromBelow
  const k = largest ? fromAbove : fromBelow
  const side = topK(b, h, b.graph.indices([k]), k, largest, false)
  if (!both) return b.reduce(largest ? "ReduceMin" : "ReduceMax", side, [0], false)
  const inner = topK(b, side, b.graph.indices([2]), 2, !largest, true)
  const pick = (i: number) => b.reshape(b.slice(inner, [i], [i + 1]), [])
  const [a, next] = largest ? [pick(0), pick(1)] : [pick(1), pick(0)]
  return b.add(a, b.mul(b.sub(next, a), x("fraction")))
}

/**
 * The same where the position is known at run time only: the number of values to select is an operand. The values from
 * the position upwards are `side`; its length here is a bound.
 */
function quantileAtRunTime(b: Builder, h: Handle, lower: Handle, fraction: Handle): Handle {
  const n = h.shape[0]!
  const one = b.uniform(1, [1], "int32")
  const count = b.sub(b.uniform(n, [1], "int32"), b.reshape(b.cast(lower, "int32"), [1]))
  const inside = b.elementwise(
    "Min",
    [b.elementwise("Max", [count, one], "int32"), b.uniform(n, [1], "int32")],
    "int32",
  )
  const side = topK(b, h, b.full(b.cast(inside, "int64")), n, true, false)
  if (b.known(fraction) === 0) return b.reduce("ReduceMin", side, [0], false)
  // The largest value has no next one: then one value is taken, and stands for both.
  const few = b.elementwise("Min", [inside, b.uniform(2, [1], "int32")], "int32")
  const inner = topK(b, side, b.full(b.cast(few, "int64")), 2, false, true)
  const a = b.reshape(b.slice(inner, [0], [1]), [])
  const next = b.reshape(b.gather(inner, b.sub(few, one), 0), [])
  return b.add(a, b.mul(b.sub(next, a), fraction))
}

function topK(b: Builder, h: Handle, k: Value, length: number, largest: boolean, sorted: boolean): Handle {
  const [values] = b.graph.apply(
    "TopK",
    [b.full(h), k],
    [
      { shape: [length], dtype: "float32" },
      { shape: [length], dtype: "int64" },
    ],
    { axis: int(0), largest: int(largest ? 1 : 0), sorted: int(sorted ? 1 : 0) },
  )
  return { value: values!, shape: [length] }
}

/** Below this many elements another pass over a tensor is cheaper than three operators on single numbers. */
const smallParameter = 8192

/**
 * The AdamW update, arranged so that few operators touch single numbers: there are many tensors, and each operator costs
 * a microsecond whatever its size. With M = m/(1−β₁), V = v/(1−β₂) and the counters o = 1−β₁ᵗ, t = 1−β₂ᵗ:
 *
 *     p ← p·(1 − lr·wd) − lr·(1−β₁)/√(1−β₂)/o · M / (√(V/t) + ε/√(1−β₂))
 *
 * and for large tensors √t is taken out of the denominator, which saves the division by t.
 */
const adamw: FusedLowering = ({ b, x, attributes: { beta1, beta2, epsilon, decay } }) => {
  const [p, g, rate] = [x("parameter"), x("gradient"), x("rate")]
  const vector = (one: number, two: number) => b.constant(Float32Array.of(one, two), [2], "float32")
  const count = b.add(b.mul(x("count"), vector(beta1, beta2)), vector(1 - beta1, 1 - beta2))
  const single = (i: number) => {
    const element = b.slice(count, [i], [i + 1])
    return p.shape.length === 0 ? b.reshape(element, []) : element
  }
  const [one, two] = [single(0), single(1)]
  const kept = decay ? b.mul(p, b.sub(c(b, 1), b.mul(rate, c(b, decay)))) : p
  const after = adamwUpdate(b, { kept, g, m: x("first"), v: x("second"), one, two, rate }, { beta1, beta2, epsilon })
  const at = (h: Handle): Handle => ({ value: h.value, shape: p.shape })
  return [...after.map(at), count]
}

interface AdamWOperands {
  /** The parameter after weight decay. */
  readonly kept: Handle
  readonly g: Handle
  readonly m: Handle
  readonly v: Handle
  /** 1−β₁ᵗ and 1−β₂ᵗ, broadcast against the parameter. */
  readonly one: Handle
  readonly two: Handle
  readonly rate: Handle
}

function adamwUpdate(b: Builder, at: AdamWOperands, options: { beta1: number; beta2: number; epsilon: number }) {
  const { beta1, beta2, epsilon } = options
  const m = b.add(b.mul(at.m, c(b, beta1)), at.g)
  const v = b.add(b.mul(at.v, c(b, beta2)), b.mul(at.g, at.g))
  const root = Math.sqrt(1 - beta2)
  const base = b.div(b.mul(at.rate, c(b, (1 - beta1) / root)), at.one)
  const scale = size(at.kept.shape) < smallParameter || size(at.two.shape) > 1 ? undefined : b.unary("Sqrt", at.two)
  const step = scale ? b.mul(base, scale) : base
  const floor = scale ? b.mul(scale, c(b, epsilon / root)) : c(b, epsilon / root)
  const spread = scale ? b.unary("Sqrt", v) : b.unary("Sqrt", b.div(v, at.two))
  const change = b.div(b.mul(m, step), b.add(spread, floor))
  return [b.sub(at.kept, change), m, v] as const
}

/**
 * Many small parameters of one shape as rows of one matrix, each with its own counters: a dozen operators for all of
 * them, instead of for each. The numbers are those of the single update.
 */
const adamwGroup: FusedLowering = ({ b, x, attributes }) => {
  const { beta1, beta2, epsilon, members } = attributes as Record<string, number>
  const n = members!
  const { shape } = x("parameter.0")
  const all = (what: string) => Array.from({ length: n }, (_, i) => x(`${what}.${i}`))
  const stacked = (what: string) => b.reshape(b.concat(all(what), 0), [n, size(shape)])
  const parts = (h: Handle) =>
    split(b, b.reshape(h, [n * shape[0]!, ...shape.slice(1)]), 0, new Array<number>(n).fill(shape[0]!))
  const pair = (one: number, two: number) => b.constant(Float32Array.of(one, two), [1, 2], "float32")
  const before = b.reshape(b.concat(all("count"), 0), [n, 2])
  const count = b.add(b.mul(before, pair(beta1!, beta2!)), pair(1 - beta1!, 1 - beta2!))
  const [one, two] = split(b, count, 1, [1, 1]) as [Handle, Handle]
  const rate = x("rate")
  const decays = Float32Array.from({ length: n }, (_, i) => attributes[`decay.${i}`] as number)
  const decay = b.constant(decays, [n, 1], "float32")
  const p = stacked("parameter")
  const kept = decays.some((d) => d !== 0) ? b.mul(p, b.sub(c(b, 1), b.mul(decay, rate))) : p
  const operands = { kept, g: stacked("gradient"), m: stacked("first"), v: stacked("second"), one, two, rate }
  const after = adamwUpdate(b, operands, { beta1: beta1!, beta2: beta2!, epsilon: epsilon! })
  const columns = [...after.map(parts), split(b, b.reshape(count, [2 * n]), 0, new Array<number>(n).fill(2))]
  return Array.from({ length: n }, (_, i) => columns.map((column) => column[i]!)).flat()
}

/**
 * Up to this width of the last axis, the backward pass of GELU reads the error function of the forward pass: beside
 * products over so few columns it is costly. In wider layers it is computed again, and the memory is saved.
 */
const keptWidth = 1024

/** u = x/√2 and 2Φ(x) = 1 + erf(u). */
function gaussian(b: Builder, h: Handle): { readonly u: Handle; readonly twoPhi: Handle } {
  const u = b.mul(h, c(b, Math.SQRT1_2))
  return { u, twoPhi: b.add(b.unary("Erf", u), c(b, 1)) }
}

/** The normalised rows, their means and the inverses of their deviations. */
function layerNormalization(b: Builder, h: Handle, scale: Handle, bias: Handle, epsilon: number): Handle[] {
  const rows = { shape: [...h.shape.slice(0, -1), 1], dtype: "float32" } as const
  return b.graph
    .apply(
      "LayerNormalization",
      [b.full(h), b.full(scale), b.full(bias)],
      [{ shape: h.shape, dtype: "float32" }, rows, rows],
      { axis: int(-1), epsilon: float(epsilon) },
    )
    .map((value) => ({ value, shape: value.shape }))
}

/** A lowering that may decline, in which case the kernel's composite is traced. */
export type FusedLowering = (call: Call) => ReturnType<Lowering> | undefined

/** Lowerings by kernel name. */
export const fused: Record<string, FusedLowering> = {
  ExpGelu: ({ b, x }) => {
    const h = x("x")
    if (h.shape[h.shape.length - 1]! > keptWidth) return b.unary("Gelu", h, { approximate: text("none") })
    const { u, twoPhi } = gaussian(b, h)
    return b.mul(b.mul(u, twoPhi), c(b, Math.SQRT1_2))
  },
  ExpGeluGrad: ({ b, x }) => {
    const [h, dy] = [x("x"), x("dy")]
    // Φ(x) + x·φ(x), twice, with u = x/√2: 1 + erf(u) + u·exp(−u²)·2/√π; the factor 2/√π goes into the exponent.
    const { u, twoPhi } = gaussian(b, h)
    const density = b.mul(u, b.unary("Exp", b.sub(c(b, Math.log(2 / Math.sqrt(Math.PI))), b.mul(u, u))))
    return b.mul(b.mul(dy, c(b, 0.5)), b.add(twoPhi, density))
  },
  ExpLayerNorm: ({ b, x, attributes: { epsilon } }) => layerNormalization(b, x("x"), x("scale"), x("bias"), epsilon),
  ExpUnscaledLayerNorm: ({ b, x, attributes: { epsilon } }) => {
    const n = x("x").shape.at(-1)!
    const [one, zero] = [b.uniform(1, [n], "float32"), b.uniform(0, [n], "float32")]
    const [normal, , inverse] = layerNormalization(b, x("x"), one, zero, epsilon)
    return [normal!, inverse!]
  },
  ExpSoftmaxCrossEntropy: ({ b, x }) => {
    const [logits, labels] = [x("logits"), x("labels")]
    const [n, classes] = logits.shape as [number, number]
    if (classes < manyClasses) return undefined
    const full = b.full(logits)
    const logs = b.graph.op("LogSoftmax", [full], full, { axis: int(-1) })
    const { inside, at } = positions(b, labels, classes)
    const picked: Handle = {
      value: b.graph.op("GatherND", [logs, b.full(at)], { shape: [n], dtype: "float32" }),
      shape: [n],
    }
    return b.where(inside, b.unary("Neg", picked), c(b, 0))
  },
  ExpSoftmaxCrossEntropyGrad: ({ b, x }) => {
    const [logits, labels, dy] = [x("logits"), x("labels"), x("dy")]
    const [n, classes] = logits.shape as [number, number]
    if (classes < manyClasses) return undefined
    const full = b.full(logits)
    const logs = b.graph.op("LogSoftmax", [full], full, { axis: int(-1) })
    const softmax = b.unary("Exp", { value: logs, shape: logits.shape })
    const { inside, at } = positions(b, labels, classes)
    const updates = b.broadcastTo(b.where(inside, c(b, -1), c(b, 0)), [n])
    const slope = b.graph.op("ScatterND", [b.full(softmax), b.full(at), b.full(updates)], full, {
      reduction: text("add"),
    })
    // Last, so that the constant of a mean can go into the products that follow.
    return b.mul({ value: slope, shape: logits.shape }, b.reshape(dy, [n, 1]))
  },
  ExpMatMul: structure["BatchMatMul"]!,
  ExpPairwiseDistance: ({ b, x }) => {
    const [p, q] = [x("a"), x("b")]
    const width = p.shape[p.shape.length - 1]!
    const rows = p.shape[p.shape.length - 2]!
    const columns = q.shape[q.shape.length - 2]!
    // Differences are exact where the expanded square loses digits; for large matrices they cost too much memory.
    if (size(p.shape.slice(0, -2)) * rows * columns * width > 2 ** 22) return undefined
    const lead = p.shape.slice(0, -2)
    const d = b.sub(b.reshape(p, [...lead, rows, 1, width]), b.reshape(q, [...lead, 1, columns, width]))
    return b.unary("Sqrt", b.reduce("ReduceSum", b.mul(d, d), [lead.length + 2], false))
  },
  ExpQuantile: quantile,
  ExpScatterRows: ({ b, x, attributes: { rows } }) => {
    const indices = x("indices")
    return b.scatterRows(x("x"), b.reshape(indices, [size(indices.shape)]), rows)
  },
  ExpAdamW: adamw,
  ExpAdamWGroup: adamwGroup,
  ExpBarrier: ({ b, x }) => {
    // A reshape to a shape known only at run time: shape + [e > e], where e is an element of `after`. Costs nothing, waits
    // for `after`, and no optimiser can see that it is the identity.
    const [h, after] = [x("x"), x("after")]
    const v = b.full(h)
    if (size(v.shape) === 0) return b.reshape({ value: barrier(b, b.reshape(h, [1]), after), shape: [1] }, h.shape)
    if (size(v.shape) === 1) {
      // ONNX Runtime fuses chains of reshapes and fails on one whose shape is computed: choose between x and x instead.
      const never = b.graph.op("Greater", [first(b, after), first(b, after)], { shape: [1], dtype: "bool" })
      const one = b.full(b.reshape(h, [1]))
      const value = b.graph.apply("Where", [never, one, one], [{ shape: [1], dtype: one.dtype }], {}, "", true)[0]!
      return b.reshape({ value, shape: [1] }, h.shape)
    }
    return { value: barrier(b, { value: v, shape: h.shape }, after), shape: h.shape }
  },
}

/** The first element of a tensor, shape [1]. */
function first(b: Builder, h: Handle): Handle["value"] {
  const flat = b.reshape({ value: b.full(h), shape: h.shape }, [size(h.shape)])
  return b.slice(flat, [0], [1]).value
}

function barrier(b: Builder, h: Handle, after: Handle): Handle["value"] {
  const v = b.full(h)
  const element = first(b, after)
  const never = b.graph.op(
    "Cast",
    [b.graph.op("Greater", [element, element], { shape: [1], dtype: "bool" })],
    {
      shape: [1],
      dtype: "int64",
    },
    { to: int(7) },
  )
  const shape = b.graph.op("Add", [b.graph.indices(v.shape), never], { shape: [v.shape.length], dtype: "int64" })
  return b.graph.apply("Reshape", [v, shape], [v], {}, "", true)[0]!
}
