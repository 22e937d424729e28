/** Every operation that steps may use, with inputs that exercise it. One table for all devices. */
import * as tf from "@tensorflow/tfjs-core"
import * as ops from "../src/ops/ops.ts"
import type { HostTensor, Tensors } from "../src/step.ts"

const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1)

/** Values in ±2, no two equal, none within 0.01 of an integer (so that finite differences never cross a kink). */
export function real(shape: readonly number[], seed = 1): HostTensor {
  const data = Float32Array.from({ length: size(shape) }, (_, i) => {
    const x = ((Math.sin(12.9898 * (i + 1) + 78.233 * seed) * 43758.5453) % 1) * 1.95
    return Math.abs(x - Math.round(x)) < 0.03 ? x + 0.06 : x
  })
  return { data, shape, dtype: "float32" }
}
/** Values in (0.2, 2.2). */
export const positive = (shape: readonly number[], seed = 1): HostTensor => ({
  ...real(shape, seed),
  data: (real(shape, seed).data as Float32Array).map((x) => Math.abs(x) + 0.2),
})
/** Values in (−0.9, 0.9). */
const unit = (shape: readonly number[], seed = 1): HostTensor => ({
  ...real(shape, seed),
  data: (real(shape, seed).data as Float32Array).map((x) => x * 0.45),
})
/** Whole numbers in 0..below−1. */
export const whole = (shape: readonly number[], below: number, seed = 1): HostTensor => ({
  data: Int32Array.from({ length: size(shape) }, (_, i) => (i * 7 + seed * 3 + (i >> 2)) % below),
  shape,
  dtype: "int32",
})
const given = (values: readonly number[], shape: readonly number[] = [values.length]): HostTensor => ({
  data: Int32Array.from(values),
  shape,
  dtype: "int32",
})
const flags = (shape: readonly number[]): HostTensor => ({
  data: Uint8Array.from({ length: size(shape) }, (_, i) => ((i * 5) >> 1) & 1),
  shape,
  dtype: "bool",
})

/** One behaviour. */
export interface OpCase {
  readonly op: string
  readonly note?: string
  readonly inputs: Readonly<Record<string, HostTensor>>
  readonly f: (x: Tensors) => tf.Tensor | readonly tf.Tensor[]
  /** Names of inputs whose gradient is checked against finite differences; default: all float inputs. */
  readonly gradients?: readonly string[]
  /** Largest difference to `js`, relative to max(1, |value|). Default 2e-6. */
  readonly tolerance?: number
  /** Largest difference of the gradient to central differences. Default 2e-2. */
  readonly slope?: number
}

const unary = (
  op: string,
  f: (x: tf.Tensor) => tf.Tensor,
  input: (shape: readonly number[], seed?: number) => HostTensor = real,
  extra: Partial<OpCase> = {},
): OpCase => ({ op, inputs: { x: input([2, 3, 5]) }, f: ({ x }) => f(x!), ...extra })

const none: Partial<OpCase> = { gradients: [] }

const binary = (
  op: string,
  f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  input = real,
  extra: Partial<OpCase> = {},
): OpCase[] => [
  { op, inputs: { a: input([3, 4], 1), b: input([3, 4], 2) }, f: ({ a, b }) => f(a!, b!), ...extra },
  {
    op,
    note: "broadcast",
    inputs: { a: input([2, 1, 4], 1), b: input([3, 1], 2) },
    f: ({ a, b }) => f(a!, b!),
    ...extra,
  },
  { op, note: "scalar", inputs: { a: input([], 1), b: input([5], 2) }, f: ({ a, b }) => f(a!, b!), ...extra },
]

const reduction = (
  op: string,
  f: (x: tf.Tensor, axis?: number | number[], keep?: boolean) => tf.Tensor,
  extra: Partial<OpCase> = {},
): OpCase[] => [
  { op, note: "all axes", inputs: { x: real([3, 5]) }, f: ({ x }) => f(x!), ...extra },
  { op, note: "first axis", inputs: { x: real([3, 1, 4]) }, f: ({ x }) => f(x!, 0), ...extra },
  { op, note: "last axis kept", inputs: { x: real([2, 3, 4]) }, f: ({ x }) => f(x!, -1, true), ...extra },
  { op, note: "two axes", inputs: { x: real([2, 3, 4]) }, f: ({ x }) => f(x!, [0, 2]), ...extra },
]

const t4 = (x: tf.Tensor | undefined) => x as tf.Tensor4D

/** The table. */
export const opCases: readonly OpCase[] = [
  // elementwise
  unary("abs", tf.abs),
  unary("acos", tf.acos, unit),
  unary("acosh", (x) => tf.acosh(tf.add(x, 1.1)), positive, { tolerance: 1e-5 }),
  unary("asin", tf.asin, unit),
  unary("asinh", tf.asinh, real, { tolerance: 1e-5 }),
  unary("atan", tf.atan),
  unary("atanh", tf.atanh, unit, { tolerance: 1e-5 }),
  unary("ceil", tf.ceil, real, none),
  unary("clipByValue", (x) => tf.clipByValue(x, -0.75, 1.25)),
  unary("cos", tf.cos),
  unary("cosh", tf.cosh),
  unary("elu", tf.elu),
  unary("erf", tf.erf, real, { tolerance: 5e-7 * 4 }),
  unary("exp", tf.exp),
  unary("expm1", tf.expm1),
  unary("floor", tf.floor, real, none),
  unary("isFinite", tf.isFinite, real, none),
  unary("isInf", tf.isInf, real, none),
  unary("isNaN", tf.isNaN, real, none),
  unary("leakyRelu", (x) => tf.leakyRelu(x, 0.1)),
  unary("log", tf.log, positive),
  unary("log1p", tf.log1p, positive),
  unary("logSigmoid", tf.logSigmoid),
  unary("neg", tf.neg),
  unary("reciprocal", tf.reciprocal, positive, { tolerance: 1e-5 }),
  unary("relu", tf.relu),
  unary("relu6", (x) => tf.relu6(tf.mul(x, 4))),
  unary("round", tf.round, real, none),
  unary("rsqrt", tf.rsqrt, positive, { tolerance: 1e-5, slope: 5e-2 }),
  unary("selu", tf.selu),
  unary("sigmoid", tf.sigmoid),
  unary("sign", tf.sign, real, none),
  unary("sin", tf.sin),
  unary("sinh", tf.sinh),
  unary("softplus", tf.softplus),
  unary("sqrt", tf.sqrt, positive),
  unary("square", tf.square),
  unary("step", (x) => tf.step(x, 0.1), real, none),
  unary("tan", tf.tan, unit, { tolerance: 1e-5 }),
  unary("tanh", tf.tanh),
  unary("onesLike", tf.onesLike, real, none),
  unary("zerosLike", tf.zerosLike, real, none),
  unary("cast", (x) => tf.cast(x, "int32"), real, none),
  { op: "cast", note: "int32 to float32", inputs: { x: whole([4], 9) }, f: ({ x }) => tf.cast(x!, "float32"), ...none },
  {
    op: "cast",
    note: "bool",
    inputs: { x: real([4]) },
    f: ({ x }) => tf.cast(tf.cast(tf.relu(x!), "bool"), "float32"),
    ...none,
  },
  ...binary("add", tf.add),
  ...binary("sub", tf.sub),
  ...binary("mul", tf.mul),
  ...binary("div", tf.div, positive, { tolerance: 1e-5, slope: 5e-2 }),
  ...binary("maximum", tf.maximum),
  ...binary("minimum", tf.minimum),
  ...binary("squaredDifference", tf.squaredDifference),
  ...binary("pow", tf.pow, positive, { tolerance: 1e-5, slope: 5e-2 }),
  ...binary("atan2", tf.atan2, positive),
  ...binary("atan2", tf.atan2, real, { tolerance: 1e-5, slope: 5e-2, note: "all quadrants" }).slice(0, 1),
  ...binary("mod", tf.mod, real, { ...none, tolerance: 1e-5 }),
  ...binary("floorDiv", tf.floorDiv, positive, none),
  ...binary("equal", tf.equal, real, none),
  ...binary("notEqual", tf.notEqual, real, none),
  ...binary("greater", tf.greater, real, none),
  ...binary("greaterEqual", tf.greaterEqual, real, none),
  ...binary("less", tf.less, real, none),
  ...binary("lessEqual", tf.lessEqual, real, none),
  ...[2, 3, 4, 0.5, -0.5, -1, -2, 1, 0, 2.5].map(
    (e): OpCase => ({
      op: "pow",
      note: `exponent ${e}`,
      inputs: { x: positive([6]) },
      f: ({ x }) => tf.pow(x!, e),
      tolerance: 1e-4,
      slope: 1e-1,
    }),
  ),
  {
    op: "add",
    note: "int32",
    inputs: { a: whole([4], 9), b: whole([4], 5, 2) },
    f: ({ a, b }) => tf.add(a!, b!),
    ...none,
  },
  {
    op: "mul",
    note: "int32",
    inputs: { a: whole([4], 9), b: whole([4], 5, 2) },
    f: ({ a, b }) => tf.mul(a!, b!),
    ...none,
  },
  {
    op: "sub",
    note: "int32",
    inputs: { a: whole([4], 9), b: whole([4], 5, 2) },
    f: ({ a, b }) => tf.sub(a!, b!),
    ...none,
  },
  {
    op: "div",
    note: "int32 by float32",
    inputs: { a: whole([4], 9), b: positive([4]) },
    f: ({ a, b }) => tf.div(a!, b!),
    gradients: ["b"],
  },
  {
    op: "addN",
    inputs: { a: real([2, 3]), b: real([2, 3], 2), c: real([2, 3], 3) },
    f: ({ a, b, c }) => tf.addN([a!, b!, c!]),
  },
  {
    op: "logicalAnd",
    inputs: { a: flags([5]), b: flags([5]) },
    f: ({ a, b }) => tf.logicalAnd(a!, tf.logicalNot(b!)),
    ...none,
  },
  { op: "logicalOr", inputs: { a: flags([5]), b: flags([2, 1]) }, f: ({ a, b }) => tf.logicalOr(a!, b!), ...none },
  { op: "logicalXor", inputs: { a: flags([5]), b: flags([2, 1]) }, f: ({ a, b }) => tf.logicalXor(a!, b!), ...none },
  { op: "logicalNot", inputs: { a: flags([5]) }, f: ({ a }) => tf.logicalNot(a!), ...none },
  {
    op: "where",
    inputs: { c: flags([2, 3]), t: real([2, 3]), e: real([2, 3], 2) },
    f: ({ c, t, e }) => tf.where(c!, t!, e!),
  },
  {
    op: "where",
    note: "broadcast",
    inputs: { c: flags([3]), t: real([2, 1]), e: real([], 2) },
    f: ({ c, t, e }) => tf.where(c!, t!, e!),
  },
  {
    op: "where",
    note: "on a path through comparisons",
    inputs: { x: real([6]) },
    f: ({ x }) => tf.where(tf.greater(x!, 0.5), tf.square(x!), tf.neg(x!)),
  },
  { op: "prelu", inputs: { x: real([2, 3]), alpha: positive([3]) }, f: ({ x, alpha }) => tf.prelu(x!, alpha!) },
  // reductions
  ...reduction("sum", tf.sum),
  ...reduction("mean", tf.mean),
  ...reduction("max", tf.max),
  ...reduction("min", tf.min),
  ...reduction("prod", (x, axis, keep) => tf.prod(x, axis, keep), { tolerance: 1e-5 }),
  ...reduction("logSumExp", tf.logSumExp),
  { op: "sum", note: "int32", inputs: { x: whole([2, 3], 9) }, f: ({ x }) => tf.sum(x!, 1), ...none },
  {
    op: "sum",
    note: "of a broadcast",
    inputs: { x: real([3, 1]) },
    f: ({ x }) => tf.sum(tf.square(tf.tile(x!, [1, 4])), 1),
  },
  {
    op: "mean",
    note: "of a constant",
    inputs: { x: real([3]) },
    f: ({ x }) => tf.mul(x!, tf.mean(tf.fill([3, 2], 1.5), 1)),
  },
  { op: "all", inputs: { x: flags([2, 3]) }, f: ({ x }) => tf.all(x!, 1), ...none },
  { op: "any", inputs: { x: flags([2, 3]) }, f: ({ x }) => tf.any(x!, 0), ...none },
  { op: "argMax", inputs: { x: real([2, 5]) }, f: ({ x }) => tf.argMax(x!, 1), ...none },
  { op: "argMax", note: "first axis", inputs: { x: real([4, 3]) }, f: ({ x }) => tf.argMax(x!, 0), ...none },
  { op: "argMin", inputs: { x: real([2, 5]) }, f: ({ x }) => tf.argMin(x!, -1), ...none },
  { op: "cumsum", inputs: { x: real([2, 4]) }, f: ({ x }) => tf.cumsum(x!, 1) },
  { op: "cumsum", note: "exclusive, reverse", inputs: { x: real([3, 4]) }, f: ({ x }) => tf.cumsum(x!, 0, true, true) },
  { op: "cumprod", inputs: { x: positive([2, 5]) }, f: ({ x }) => tf.cumprod(x!, 1), tolerance: 1e-5 },
  {
    op: "cumprod",
    note: "exclusive, reverse",
    inputs: { x: positive([2, 5]) },
    f: ({ x }) => tf.cumprod(x!, 1, true, true),
    tolerance: 1e-5,
  },
  { op: "softmax", inputs: { x: real([3, 5]) }, f: ({ x }) => tf.softmax(x!) },
  { op: "logSoftmax", inputs: { x: real([3, 5]) }, f: ({ x }) => tf.logSoftmax(x!) },
  { op: "norm", inputs: { x: real([3, 5]) }, f: ({ x }) => tf.norm(x!, 2, 1) },
  { op: "moments", inputs: { x: real([3, 5]) }, f: ({ x }) => tf.moments(x!, 1).variance },
  { op: "topk", inputs: { x: real([3, 7]) }, f: ({ x }) => tf.topk(x!, 3).values },
  { op: "topk", note: "indices", inputs: { x: real([3, 7]) }, f: ({ x }) => tf.topk(x!, 3).indices, ...none },
  {
    op: "topk",
    note: "sort: all values, with ties",
    inputs: { x: whole([3, 7], 4) },
    f: ({ x }) => Object.values(tf.topk(tf.cast(x!, "float32"), 7)),
    ...none,
  },
  // shapes
  { op: "reshape", inputs: { x: real([2, 6]) }, f: ({ x }) => tf.reshape(x!, [3, 4]) },
  { op: "expandDims", inputs: { x: real([2, 3]) }, f: ({ x }) => tf.expandDims(x!, 1) },
  { op: "squeeze", inputs: { x: real([2, 1, 3]) }, f: ({ x }) => tf.squeeze(x!, [1]) },
  { op: "transpose", inputs: { x: real([2, 3, 4]) }, f: ({ x }) => tf.transpose(x!, [2, 0, 1]) },
  {
    op: "transpose",
    note: "twice, and of size 1",
    inputs: { x: real([2, 1, 4]) },
    f: ({ x }) => tf.transpose(tf.transpose(tf.square(x!), [1, 2, 0]), [0, 2, 1]),
  },
  { op: "broadcastTo", inputs: { x: real([3, 1]) }, f: ({ x }) => tf.broadcastTo(x!, [2, 3, 4]) },
  { op: "tile", inputs: { x: real([2, 3]) }, f: ({ x }) => tf.tile(x!, [2, 3]) },
  { op: "reverse", inputs: { x: real([2, 3, 4]) }, f: ({ x }) => tf.reverse(x!, [0, 2]) },
  { op: "slice", inputs: { x: real([3, 5]) }, f: ({ x }) => tf.slice(x!, [1, 2], [2, -1]) },
  {
    op: "slice",
    note: "of a broadcast",
    inputs: { x: real([1, 5]) },
    f: ({ x }) => tf.slice(tf.tile(x!, [3, 1]), [1, 2], [2, 2]),
  },
  { op: "stridedSlice", inputs: { x: real([5, 6]) }, f: ({ x }) => tf.stridedSlice(x!, [0, 5], [5, 0], [2, -2]) },
  { op: "concat", inputs: { a: real([2, 3]), b: real([2, 1], 2) }, f: ({ a, b }) => tf.concat([a!, b!], 1) },
  {
    op: "concat",
    note: "with itself",
    inputs: { a: real([2, 3]) },
    f: ({ a }) => tf.concat([a!, tf.square(a!), a!], 0),
  },
  { op: "stack", inputs: { a: real([2, 3]), b: real([2, 3], 2) }, f: ({ a, b }) => tf.stack([a!, b!], 1) },
  { op: "unstack", inputs: { a: real([2, 3]) }, f: ({ a }) => tf.unstack(a!, 1).slice(0, 2) },
  {
    op: "unstack",
    note: "twenty parts",
    inputs: { a: real([20, 3]) },
    f: ({ a }) => tf.concat(tf.unstack(a!).toReversed(), 0),
  },
  { op: "split", inputs: { a: real([2, 5]) }, f: ({ a }) => tf.split(a!, [2, 3], 1) },
  {
    op: "pad",
    inputs: { x: real([2, 3]) },
    f: ({ x }) =>
      tf.pad(
        x!,
        [
          [1, 0],
          [0, 2],
        ],
        0.5,
      ),
  },
  {
    op: "mirrorPad",
    note: "reflect",
    inputs: { x: real([3, 4]) },
    f: ({ x }) =>
      tf.mirrorPad(
        x!,
        [
          [1, 1],
          [2, 0],
        ],
        "reflect",
      ),
  },
  {
    op: "mirrorPad",
    note: "symmetric",
    inputs: { x: real([3, 4]) },
    f: ({ x }) =>
      tf.mirrorPad(
        x!,
        [
          [1, 1],
          [2, 0],
        ],
        "symmetric",
      ),
  },
  { op: "oneHot", inputs: { i: given([0, 2, 1, -1]) }, f: ({ i }) => tf.oneHot(i as tf.Tensor1D, 3), ...none },
  { op: "range", inputs: { x: real([4]) }, f: ({ x }) => tf.mul(x!, tf.range(0, 4)) },
  { op: "linspace", inputs: { x: real([4]) }, f: ({ x }) => tf.mul(x!, tf.linspace(0, 1, 4)) },
  { op: "eye", inputs: { x: real([3, 3]) }, f: ({ x }) => tf.mul(x!, tf.eye(3)) },
  { op: "diag", inputs: { x: real([3]) }, f: ({ x }) => tf.diag(x!), ...none },
  {
    op: "spaceToBatchND",
    inputs: { x: real([1, 4, 4, 2]) },
    f: ({ x }) =>
      tf.spaceToBatchND(
        x!,
        [2, 2],
        [
          [0, 0],
          [2, 0],
        ],
      ),
  },
  {
    op: "batchToSpaceND",
    inputs: { x: real([4, 2, 2, 1]) },
    f: ({ x }) =>
      tf.batchToSpaceND(
        x!,
        [2, 2],
        [
          [0, 0],
          [1, 0],
        ],
      ),
  },
  { op: "depthToSpace", inputs: { x: real([1, 2, 2, 8]) }, f: ({ x }) => tf.depthToSpace(t4(x), 2) },
  // selecting
  {
    op: "gather",
    inputs: { x: real([5, 3]), i: given([4, 0, 0, 2]) },
    f: ({ x, i }) => tf.gather(x!, i as tf.Tensor1D),
  },
  {
    op: "gather",
    note: "last axis, 2-D indices",
    inputs: { x: real([2, 5]), i: given([4, 0, 0, 2], [2, 2]) },
    f: ({ x, i }) => tf.gather(x!, i!, 1),
  },
  {
    op: "gather",
    note: "batchDims",
    inputs: { x: real([2, 4, 3]), i: given([3, 0, 1, 1], [2, 2]) },
    f: ({ x, i }) => tf.gather(x!, i!, 1, 1),
  },
  {
    op: "gatherND",
    inputs: { x: real([3, 4, 2]), i: given([0, 1, 2, 3, 0, 1], [3, 2]) },
    f: ({ x, i }) => tf.gatherND(x!, i!),
  },
  {
    op: "scatterND",
    inputs: { u: real([3, 2]), i: given([0, 3, 0], [3, 1]) },
    f: ({ u, i }) => tf.scatterND(i!, u!, [4, 2]),
  },
  {
    op: "tensorScatterUpdate",
    inputs: { x: real([4, 2]), u: real([2, 2], 2), i: given([3, 1], [2, 1]) },
    f: ({ x, u, i }) => tf.tensorScatterUpdate(x!, i!, u!),
  },
  {
    op: "unsortedSegmentSum",
    inputs: { x: real([4, 2]), i: given([0, 2, -1, 2]) },
    f: ({ x, i }) => tf.unsortedSegmentSum(x!, i as tf.Tensor1D, 3),
  },
  {
    op: "searchSorted",
    inputs: { x: real([4]) },
    f: ({ x }) => tf.searchSorted(tf.tensor1d([-1.5, -0.5, 0.5, 1.5]), x as tf.Tensor1D, "right"),
    ...none,
  },
  {
    op: "bincount",
    inputs: { i: given([0, 2, 2, 1]), w: real([4]) },
    f: ({ i, w }) => tf.bincount(i as tf.Tensor1D, w as tf.Tensor1D, 4),
    ...none,
  },
  // products
  { op: "matMul", inputs: { a: real([3, 4]), b: real([4, 5], 2) }, f: ({ a, b }) => tf.matMul(a!, b!) },
  ...[
    [true, false],
    [false, true],
    [true, true],
  ].map(
    ([ta, tb]): OpCase => ({
      op: "matMul",
      note: `${ta ? "aᵀ" : "a"}·${tb ? "bᵀ" : "b"}, batched`,
      inputs: { a: real(ta ? [2, 4, 3] : [2, 3, 4]), b: real(tb ? [2, 5, 4] : [2, 4, 5], 2) },
      f: ({ a, b }) => tf.matMul(a!, b!, ta, tb),
      tolerance: 5e-6,
    }),
  ),
  {
    op: "matMul",
    note: "one matrix for the batch",
    inputs: { a: real([2, 3, 4]), b: real([1, 4, 5], 2) },
    f: ({ a, b }) => tf.matMul(a!, b!),
    tolerance: 5e-6,
  },
  {
    op: "matMul",
    note: "one matrix on the left",
    inputs: { a: real([1, 3, 4]), b: real([2, 4, 5], 2) },
    f: ({ a, b }) => tf.matMul(a!, b!),
    tolerance: 5e-6,
  },
  {
    op: "matMul",
    note: "of transposes",
    inputs: { a: real([4, 3]), b: real([5, 4], 2) },
    f: ({ a, b }) => tf.matMul(tf.transpose(a!), tf.transpose(b!)),
  },
  {
    op: "matMul",
    note: "with a bias",
    inputs: { a: real([2, 3, 4]), b: real([4, 5], 2), c: real([5], 3) },
    f: ({ a, b, c }) => ops.linear(a!, b!, c!),
    tolerance: 5e-6,
  },
  { op: "dot", inputs: { a: real([4]), b: real([4], 2) }, f: ({ a, b }) => tf.dot(a!, b!) },
  {
    op: "einsum",
    inputs: { a: real([2, 3, 4]), b: real([4, 3], 2) },
    f: ({ a, b }) => tf.einsum("bij,ji->bi", a!, b!),
    tolerance: 5e-6,
  },
  {
    op: "einsum",
    note: "with a summed index",
    inputs: { a: real([2, 3]), b: real([3, 4], 2) },
    f: ({ a, b }) => tf.einsum("ij,jk->i", a!, b!),
    tolerance: 5e-6,
  },
  // windows
  {
    op: "conv1d",
    inputs: { x: real([2, 7, 3]), w: real([3, 3, 2], 2) },
    f: ({ x, w }) => tf.conv1d(x as tf.Tensor3D, w as tf.Tensor3D, 1, "same"),
    tolerance: 5e-6,
  },
  ...(["same", "valid"] as const).flatMap((pad) =>
    [1, 2].map(
      (s): OpCase => ({
        op: "conv2d",
        note: `${pad}, stride ${s}`,
        inputs: { x: real([2, 5, 6, 3]), w: real([3, 2, 3, 2], 2) },
        f: ({ x, w }) => tf.conv2d(t4(x), t4(w), s, pad),
        tolerance: 1e-5,
        slope: 5e-2,
      }),
    ),
  ),
  {
    op: "conv2d",
    note: "dilation 2",
    inputs: { x: real([1, 6, 6, 2]), w: real([3, 3, 2, 2], 2) },
    f: ({ x, w }) => tf.conv2d(t4(x), t4(w), 1, "valid", "NHWC", 2),
    tolerance: 1e-5,
    ...none,
  },
  {
    op: "conv2dTranspose",
    inputs: { x: real([1, 3, 3, 2]), w: real([3, 3, 2, 2], 2) },
    f: ({ x, w }) => tf.conv2dTranspose(t4(x), t4(w), [1, 6, 6, 2], 2, "same"),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  {
    op: "depthwiseConv2d",
    inputs: { x: real([1, 5, 5, 2]), w: real([3, 3, 2, 2], 2) },
    f: ({ x, w }) => tf.depthwiseConv2d(t4(x), t4(w), 1, "same"),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  {
    op: "depthwiseConv2d",
    note: "stride 2",
    inputs: { x: real([1, 5, 5, 2]), w: real([3, 3, 2, 1], 2) },
    f: ({ x, w }) => tf.depthwiseConv2d(t4(x), t4(w), 2, "valid"),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  {
    op: "conv3d",
    inputs: { x: real([1, 3, 4, 3, 2]), w: real([2, 2, 2, 2, 2], 2) },
    f: ({ x, w }) => tf.conv3d(x as tf.Tensor5D, w as tf.Tensor5D, 1, "same"),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  { op: "maxPool", inputs: { x: real([1, 4, 6, 2]) }, f: ({ x }) => tf.maxPool(t4(x), 2, 2, "valid") },
  {
    op: "maxPool",
    note: "overlapping, same",
    inputs: { x: real([1, 5, 5, 2], 4) },
    f: ({ x }) => tf.maxPool(t4(x), 3, 2, "same"),
  },
  { op: "avgPool", inputs: { x: real([1, 4, 6, 2]) }, f: ({ x }) => tf.avgPool(t4(x), 2, 2, "valid") },
  {
    op: "avgPool",
    note: "overlapping, same",
    inputs: { x: real([1, 5, 5, 2]) },
    f: ({ x }) => tf.avgPool(t4(x), 3, 2, "same"),
    gradients: [],
  },
  {
    op: "maxPool3d",
    inputs: { x: real([1, 4, 2, 2, 2]) },
    f: ({ x }) => tf.maxPool3d(x as tf.Tensor5D, 2, 2, "valid"),
  },
  {
    op: "avgPool3d",
    inputs: { x: real([1, 4, 2, 2, 2]) },
    f: ({ x }) => tf.avgPool3d(x as tf.Tensor5D, 2, 2, "valid"),
  },
  {
    op: "resizeBilinear",
    inputs: { x: real([1, 3, 4, 2]) },
    f: ({ x }) => tf.image.resizeBilinear(t4(x), [5, 6]),
    tolerance: 1e-5,
  },
  {
    op: "resizeBilinear",
    note: "align corners",
    inputs: { x: real([1, 3, 4, 2]) },
    f: ({ x }) => tf.image.resizeBilinear(t4(x), [5, 7], true),
    tolerance: 1e-5,
  },
  {
    op: "resizeNearestNeighbor",
    inputs: { x: real([1, 3, 4, 2]) },
    f: ({ x }) => tf.image.resizeNearestNeighbor(t4(x), [6, 8]),
  },
  {
    op: "localResponseNormalization",
    inputs: { x: real([1, 2, 2, 5]) },
    f: ({ x }) => tf.localResponseNormalization(t4(x), 2, 1, 0.5, 0.75),
    tolerance: 1e-5,
  },
  {
    op: "batchNorm",
    inputs: { x: real([2, 3]), m: real([3], 2), v: positive([3]), o: real([3], 3), s: real([3], 4) },
    f: ({ x, m, v, o, s }) =>
      tf.batchNorm(x!, m as tf.Tensor1D, v as tf.Tensor1D, o as tf.Tensor1D, s as tf.Tensor1D, 1e-3),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  // our own
  { op: "gelu", inputs: { x: real([2, 5]) }, f: ({ x }) => ops.gelu(x!) },
  { op: "gelu", note: "wide", inputs: { x: real([1, 1030]) }, f: ({ x }) => ops.gelu(x!) },
  {
    op: "layerNorm",
    inputs: { x: real([3, 6]), s: real([6], 2), b: real([6], 3) },
    f: ({ x, s, b }) => ops.layerNorm(x!, s!, b!),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  {
    op: "unscaledLayerNorm",
    inputs: { x: real([3, 6]) },
    f: ({ x }) => ops.unscaledLayerNorm(x!),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  {
    op: "absorbNorm",
    inputs: { x: real([3, 6]), w: real([6, 2], 4), c: real([2], 5), s: real([6], 2), b: real([6], 3) },
    f: ({ x, w, c, s, b }) => {
      const { weight, bias } = ops.absorbNorm(w!, c!, s!, b!)
      return ops.linear(ops.unscaledLayerNorm(x!), weight, bias)
    },
    tolerance: 1e-5,
    slope: 5e-2,
  },
  {
    op: "rmsNorm",
    inputs: { x: real([3, 6]), s: real([6], 2) },
    f: ({ x, s }) => ops.rmsNorm(x!, s!),
    tolerance: 1e-5,
    slope: 5e-2,
  },
  {
    op: "softmaxCrossEntropy",
    inputs: { x: real([3, 6]), l: given([5, 0, 2]) },
    f: ({ x, l }) => ops.softmaxCrossEntropy(x!, l!),
  },
  {
    op: "softmaxCrossEntropy",
    note: "200 classes",
    inputs: { x: real([2, 200]), l: given([199, 3]) },
    f: ({ x, l }) => ops.softmaxCrossEntropy(x!, l!),
    tolerance: 5e-6,
  },
  {
    op: "softmaxCrossEntropy",
    note: "200 classes, label out of range",
    inputs: { x: real([2, 200]), l: given([-1, 3]) },
    f: ({ x, l }) => tf.slice(ops.softmaxCrossEntropy(x!, l!), [1], [1]),
    tolerance: 5e-6,
    ...none,
  },
  {
    op: "pairwiseDistance",
    inputs: { a: real([2, 3, 4]), b: real([2, 5, 4], 2) },
    f: ({ a, b }) => ops.pairwiseDistance(a!, b!),
    tolerance: 1e-5,
  },
  ...[0, 0.1, 0.5, 0.9, 1].map(
    (s): OpCase => ({
      op: "quantile",
      note: `of 23 values at ${s}`,
      inputs: { x: real([23]) },
      f: ({ x }) => ops.quantile(x!, s),
      ...none,
    }),
  ),
  {
    op: "quantile",
    note: "ties",
    inputs: { x: whole([4, 5], 3) },
    f: ({ x }) => ops.quantile(tf.cast(x!, "float32"), 0.6),
    ...none,
  },
  ...(
    [
      [0, 0.25],
      [7, 0.25],
      [18, 0.75],
      [19, 0],
    ] as const
  ).map(
    ([lower, fraction]): OpCase => ({
      op: "quantile",
      ...(lower === 7 ? { note: "position from the batch" } : {}),
      inputs: {
        x: real([4, 5]),
        l: given([lower], []),
        f: { data: Float32Array.of(fraction), shape: [], dtype: "float32" },
      },
      f: ({ x, l, f }) => ops.quantile(x!, { lower: l!, fraction: f! }),
      ...none,
    }),
  ),
  {
    op: "scatterRows",
    inputs: { x: real([4, 2]), i: given([0, 2, 0, 1]) },
    f: ({ x, i }) => ops.scatterRows(x!, i!, 3),
  },
  { op: "stopGradient", inputs: { x: real([4]) }, f: ({ x }) => tf.mul(x!, ops.stopGradient(tf.square(x!))), ...none },
  {
    op: "recompute",
    inputs: { x: real([3, 4]), w: real([4, 4], 2) },
    f: ({ x, w }) => ops.recompute(({ x, w }) => tf.tanh(tf.matMul(tf.tanh(tf.matMul(x!, w!)), w!)), { x: x!, w: w! }),
    tolerance: 5e-6,
  },
  {
    op: "attention",
    inputs: { q: real([1, 2, 3, 4]), k: real([1, 2, 3, 4], 2), v: real([1, 2, 3, 4], 3) },
    f: ({ q, k, v }) => ops.attention(q!, k!, v!),
    tolerance: 5e-6,
  },
]
