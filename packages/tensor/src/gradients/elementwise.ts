/** Gradients of elementwise kernels. */
import * as tf from "@tensorflow/tfjs-core"
import { gradient, masked, unbroadcast, zeros } from "./define.ts"

type Unary = (dy: tf.Tensor, v: tf.Tensor, attributes: Record<string, number>) => tf.Tensor

/** Gradient as a function of the input. */
const ofInput: Record<string, Unary> = {
  Abs: (dy, x) => tf.mul(dy, tf.sign(x)),
  Acos: (dy, x) => tf.neg(tf.mul(dy, tf.rsqrt(tf.sub(1, tf.square(x))))),
  Acosh: (dy, x) => tf.mul(dy, tf.rsqrt(tf.sub(tf.square(x), 1))),
  Asin: (dy, x) => tf.mul(dy, tf.rsqrt(tf.sub(1, tf.square(x)))),
  Asinh: (dy, x) => tf.mul(dy, tf.rsqrt(tf.add(tf.square(x), 1))),
  Atan: (dy, x) => tf.div(dy, tf.add(tf.square(x), 1)),
  Atanh: (dy, x) => tf.div(dy, tf.sub(1, tf.square(x))),
  ClipByValue: (dy, x, { clipValueMin, clipValueMax }) =>
    masked(tf.logicalAnd(tf.greaterEqual(x, clipValueMin!), tf.lessEqual(x, clipValueMax!)), dy),
  Cos: (dy, x) => tf.neg(tf.mul(dy, tf.sin(x))),
  Cosh: (dy, x) => tf.mul(dy, tf.sinh(x)),
  Erf: (dy, x) => tf.mul(dy, tf.mul(tf.exp(tf.neg(tf.square(x))), 2 / Math.sqrt(Math.PI))),
  LeakyRelu: (dy, x, { alpha }) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, alpha!)),
  Log: (dy, x) => tf.div(dy, x),
  Log1p: (dy, x) => tf.div(dy, tf.add(x, 1)),
  Relu6: (dy, x) => masked(tf.logicalAnd(tf.greater(x, 0), tf.less(x, 6)), dy),
  Selu: (dy, x) => {
    const scale = 1.0507009873554805
    const alpha = 1.6732632423543772
    return tf.mul(dy, tf.where(tf.greater(x, 0), tf.fill(x.shape, scale), tf.mul(tf.exp(x), scale * alpha)))
  },
  Sin: (dy, x) => tf.mul(dy, tf.cos(x)),
  Sinh: (dy, x) => tf.mul(dy, tf.cosh(x)),
  Softplus: (dy, x) => tf.mul(dy, tf.sigmoid(x)),
  Square: (dy, x) => tf.mul(dy, tf.mul(x, 2)),
  Tan: (dy, x) => tf.div(dy, tf.square(tf.cos(x))),
}

/** Gradient as a function of the output, which then is all that must be kept. */
const ofOutput: Record<string, Unary> = {
  Elu: (dy, y) => tf.where(tf.greater(y, 0), dy, tf.mul(dy, tf.add(y, 1))),
  Exp: (dy, y) => tf.mul(dy, y),
  Expm1: (dy, y) => tf.mul(dy, tf.add(y, 1)),
  Reciprocal: (dy, y) => tf.neg(tf.mul(dy, tf.square(y))),
  Relu: (dy, y) => masked(tf.greater(y, 0), dy),
  Rsqrt: (dy, y) => tf.mul(tf.mul(dy, -0.5), tf.mul(y, tf.square(y))),
  Sigmoid: (dy, y) => tf.mul(dy, tf.mul(y, tf.sub(1, y))),
  Sqrt: (dy, y) => tf.div(tf.mul(dy, 0.5), y),
  Tanh: (dy, y) => tf.mul(dy, tf.sub(1, tf.square(y))),
}

/** Piecewise constant, or not numbers at all: the gradient is zero. */
const flat: Record<string, readonly string[]> = {
  ArgMax: ["x"],
  ArgMin: ["x"],
  Ceil: ["x"],
  Equal: ["a", "b"],
  Floor: ["x"],
  FloorDiv: ["a", "b"],
  Greater: ["a", "b"],
  GreaterEqual: ["a", "b"],
  IsFinite: ["x"],
  IsInf: ["x"],
  IsNan: ["x"],
  Less: ["a", "b"],
  LessEqual: ["a", "b"],
  LogicalAnd: ["a", "b"],
  LogicalNot: ["x"],
  LogicalOr: ["a", "b"],
  NotEqual: ["a", "b"],
  OneHot: ["indices"],
  OnesLike: ["x"],
  Round: ["x"],
  Sign: ["x"],
  Step: ["x"],
  ZerosLike: ["x"],
  Any: ["x"],
  All: ["x"],
}

/** Registers them. */
export function registerElementwise(): void {
  for (const [name, f] of Object.entries(ofInput))
    gradient(name, ["x"], false, ({ dy, x, attributes }) => ({ x: () => f(dy, x[0]!, attributes) }))
  for (const [name, f] of Object.entries(ofOutput))
    gradient(name, [], true, ({ dy, y, attributes }) => ({ x: () => f(dy, y, attributes) }))
  for (const [name, inputs] of Object.entries(flat))
    gradient(name, inputs, false, ({ x }) =>
      Object.fromEntries(inputs.map((input, i) => [input, () => zeros(x[i]!)] as const)),
    )

  gradient("Identity", [], false, ({ dy }) => ({ x: () => dy }))
  gradient("Neg", [], false, ({ dy }) => ({ x: () => tf.neg(dy) }))
  gradient("Cast", [], false, ({ dy }) => ({ x: () => tf.cast(dy, "float32") }))
  gradient("Add", ["a", "b"], false, ({ dy, x }) => ({
    a: () => unbroadcast(dy, x[0]!.shape),
    b: () => unbroadcast(dy, x[1]!.shape),
  }))
  gradient("AddN", "all", false, ({ dy, x }) => Object.fromEntries(x.map((_, i) => [i, () => tf.clone(dy)])))
  gradient("Sub", ["a", "b"], false, ({ dy, x }) => ({
    a: () => unbroadcast(dy, x[0]!.shape),
    b: () => tf.neg(unbroadcast(dy, x[1]!.shape)),
  }))
  gradient("Multiply", ["a", "b"], false, ({ dy, x: [a, b] }) => ({
    a: () => unbroadcast(tf.mul(dy, tf.cast(b!, "float32")), a!.shape),
    b: () => unbroadcast(tf.mul(dy, tf.cast(a!, "float32")), b!.shape),
  }))
  gradient("RealDiv", ["a", "b"], false, ({ dy, x: [a, b] }) => ({
    a: () => unbroadcast(tf.div(dy, tf.cast(b!, "float32")), a!.shape),
    b: () =>
      unbroadcast(tf.neg(tf.div(tf.mul(dy, tf.cast(a!, "float32")), tf.square(tf.cast(b!, "float32")))), b!.shape),
  }))
  gradient("SquaredDifference", ["a", "b"], false, ({ dy, x: [a, b] }) => {
    const slope = () => tf.mul(dy, tf.mul(tf.sub(a!, b!), 2))
    return { a: () => unbroadcast(slope(), a!.shape), b: () => tf.neg(unbroadcast(slope(), b!.shape)) }
  })
  gradient("Maximum", ["a", "b"], false, ({ dy, x: [a, b] }) => ({
    a: () => unbroadcast(masked(tf.greaterEqual(a!, b!), dy), a!.shape),
    b: () => unbroadcast(masked(tf.less(a!, b!), dy), b!.shape),
  }))
  gradient("Minimum", ["a", "b"], false, ({ dy, x: [a, b] }) => ({
    a: () => unbroadcast(masked(tf.lessEqual(a!, b!), dy), a!.shape),
    b: () => unbroadcast(masked(tf.greater(a!, b!), dy), b!.shape),
  }))
  gradient("Mod", ["a", "b"], false, ({ dy, x: [a, b] }) => ({
    a: () => unbroadcast(dy, a!.shape),
    b: () => unbroadcast(tf.neg(tf.mul(dy, tf.floor(tf.div(a!, b!)))), b!.shape),
  }))
  gradient("Atan2", ["a", "b"], false, ({ dy, x: [a, b] }) => {
    const d = () => tf.add(tf.square(a!), tf.square(b!))
    return {
      a: () => unbroadcast(tf.div(tf.mul(dy, b!), d()), a!.shape),
      b: () => unbroadcast(tf.neg(tf.div(tf.mul(dy, a!), d())), b!.shape),
    }
  })
  gradient("Pow", ["a", "b"], true, ({ dy, x: [a, b], y }) => ({
    a: () => unbroadcast(tf.mul(dy, tf.mul(b!, tf.pow(a!, tf.sub(b!, 1)))), a!.shape),
    b: () => {
      // d(a^b)/db = a^b·log a; zero by convention where a ≤ 0.
      const log = tf.where(tf.greater(a!, 0), tf.log(a!), tf.zerosLike(a!))
      return unbroadcast(tf.mul(dy, tf.mul(y, log)), b!.shape)
    },
  }))
  gradient("Prelu", ["x", "alpha"], false, ({ dy, x: [x, alpha] }) => ({
    x: () => tf.where(tf.greater(x!, 0), dy, tf.mul(dy, alpha!)),
    alpha: () => unbroadcast(tf.where(tf.greater(x!, 0), tf.zerosLike(dy), tf.mul(dy, x!)), alpha!.shape),
  }))
  gradient("Select", ["condition", "t", "e"], false, ({ dy, x: [condition, t, e] }) => ({
    condition: () => zeros(condition!),
    t: () => unbroadcast(masked(condition!, dy), t!.shape),
    e: () => unbroadcast(tf.where(condition!, tf.zerosLike(dy), dy), e!.shape),
  }))
}
