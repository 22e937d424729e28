/** Lowerings of elementwise kernels. */
import type { Builder, Handle } from "../builder.ts"
import { type ElementType, float, int } from "../graph.ts"
import type { Call, Lowering } from "./call.ts"

const unary =
  (op: string, attributes?: (a: Call["attributes"]) => object): Lowering =>
  ({ b, x, attributes: a }) =>
    b.unary(op, x("x"), attributes?.(a) ?? {})

/** Floating-point only operators applied to integers go through float32, as TensorFlow.js does. */
const asFloat =
  (f: (b: Builder, x: Handle, a: Call["attributes"]) => Handle): Lowering =>
  ({ b, x, attributes }) =>
    f(b, b.cast(x("x"), "float32"), attributes)

/** Integers stay as they are under rounding. */
const rounding =
  (op: string): Lowering =>
  ({ b, x }) =>
    x("x").value.dtype === "float32" ? b.unary(op, x("x")) : x("x")

const comparison =
  (op: string): Lowering =>
  ({ b, x }) => {
    const number = (h: Handle) => (h.value.dtype === "bool" && op !== "Equal" ? b.cast(h, "int32") : h)
    return b.elementwise(op, [number(x("a")), number(x("b"))], "bool")
  }

const logical =
  (op: string): Lowering =>
  ({ b, x }) =>
    b.elementwise(op, [b.cast(x("a"), "bool"), b.cast(x("b"), "bool")], "bool")

const one = (b: Builder): Handle => b.uniform(1, [], "float32")
const constant = (b: Builder, x: number, dtype: ElementType = "float32"): Handle => b.uniform(x, [], dtype)

/** log(1 + x) without loss for small x: `log(u)·x/(u − 1)` with u = 1 + x, and x itself where u = 1 (Kahan). */
function log1p(b: Builder, x: Handle): Handle {
  const u = b.add(x, one(b))
  const exact = b.mul(b.unary("Log", u), b.div(x, b.sub(u, one(b))))
  const plain = b.elementwise(
    "Or",
    [b.elementwise("Equal", [u, one(b)], "bool"), b.unary("IsInf", x, { detect_negative: int(0) }, "bool")],
    "bool",
  )
  return b.where(plain, x, exact)
}

/** Remainder with the sign of the divisor, by the formula of TensorFlow.js. */
function mod(b: Builder, x: Handle, y: Handle): Handle {
  if (x.value.dtype !== "float32") return b.elementwise("Mod", [x, y], x.value.dtype)
  const rest = b.elementwise("Mod", [x, y], "float32", { fmod: int(1) })
  const zero = constant(b, 0)
  const same = b.unary(
    "Not",
    b.elementwise("Xor", [b.elementwise("Less", [x, zero], "bool"), b.elementwise("Less", [y, zero], "bool")], "bool"),
  )
  return b.where(same, rest, b.elementwise("Mod", [b.add(rest, y), y], "float32", { fmod: int(1) }))
}

function atan2(b: Builder, y: Handle, x: Handle): Handle {
  const zero = constant(b, 0)
  const angle = b.unary("Atan", b.div(y, x))
  const below = b.elementwise("Less", [y, zero], "bool")
  const turn = b.where(below, constant(b, -Math.PI), constant(b, Math.PI))
  const shifted = b.where(b.elementwise("Less", [x, zero], "bool"), b.add(angle, turn), angle)
  const up = b.where(below, constant(b, -Math.PI / 2), constant(b, Math.PI / 2))
  const xZero = b.elementwise("Equal", [x, zero], "bool")
  const yZero = b.elementwise("Equal", [y, zero], "bool")
  return b.where(xZero, b.where(yZero, zero, up), shifted)
}

/** Lowerings by kernel name. */
export const elementwise: Record<string, Lowering> = {
  Abs: unary("Abs"),
  Acos: asFloat((b, x) => b.unary("Acos", x)),
  Acosh: asFloat((b, x) => b.unary("Acosh", x)),
  Add: ({ b, x }) => b.add(x("a"), x("b")),
  AddN: ({ b, list }) => list.reduce((s, h) => b.add(s, h)),
  Asin: asFloat((b, x) => b.unary("Asin", x)),
  Asinh: asFloat((b, x) => b.unary("Asinh", x)),
  Atan: asFloat((b, x) => b.unary("Atan", x)),
  Atan2: ({ b, x }) => atan2(b, x("a"), x("b")),
  Atanh: asFloat((b, x) => b.unary("Atanh", x)),
  BitwiseAnd: ({ b, x }) => b.elementwise("BitwiseAnd", [x("a"), x("b")], "int32"),
  Cast: ({ b, x, attributes: { dtype } }) => b.cast(x("x"), dtype as ElementType),
  Ceil: rounding("Ceil"),
  ClipByValue: ({ b, x, attributes: { clipValueMin, clipValueMax } }) => {
    const h = x("x")
    const { dtype } = h.value
    const value = b.graph.op(
      "Clip",
      [h.value, constant(b, clipValueMin, dtype).value, constant(b, clipValueMax, dtype).value],
      h.value,
    )
    return { value, shape: h.shape }
  },
  Cos: asFloat((b, x) => b.unary("Cos", x)),
  Cosh: asFloat((b, x) => b.unary("Cosh", x)),
  Elu: unary("Elu", () => ({ alpha: float(1) })),
  EluGrad: ({ b, x }) => {
    const [dy, y] = [x("dy"), x("y")]
    return b.where(b.elementwise("Greater", [y, constant(b, 0)], "bool"), dy, b.mul(dy, b.add(y, one(b))))
  },
  Equal: comparison("Equal"),
  Erf: asFloat((b, x) => b.unary("Erf", x)),
  Exp: asFloat((b, x) => b.unary("Exp", x)),
  Expm1: asFloat((b, x) => {
    // Near 0 through tanh, which loses nothing: e^x − 1 = 2t/(1 − t) with t = tanh(x/2).
    const t = b.unary("Tanh", b.mul(x, constant(b, 0.5)))
    const near = b.div(b.mul(t, constant(b, 2)), b.sub(one(b), t))
    const small = b.elementwise("Less", [b.unary("Abs", x), constant(b, 0.5)], "bool")
    return b.where(small, near, b.sub(b.unary("Exp", x), one(b)))
  }),
  Floor: rounding("Floor"),
  FloorDiv: ({ b, x }) => {
    const quotient = b.div(b.cast(x("a"), "float32"), b.cast(x("b"), "float32"))
    return b.cast(b.unary("Floor", quotient), "int32")
  },
  Greater: comparison("Greater"),
  GreaterEqual: comparison("GreaterOrEqual"),
  Identity: ({ x }) => x("x"),
  IsFinite: ({ b, x }) => {
    const h = b.cast(x("x"), "float32")
    return b.unary(
      "Not",
      b.elementwise("Or", [b.unary("IsNaN", h, {}, "bool"), b.unary("IsInf", h, {}, "bool")], "bool"),
    )
  },
  IsInf: ({ b, x }) => b.unary("IsInf", b.cast(x("x"), "float32"), {}, "bool"),
  IsNan: ({ b, x }) => b.unary("IsNaN", b.cast(x("x"), "float32"), {}, "bool"),
  LeakyRelu: unary("LeakyRelu", ({ alpha }) => ({ alpha: float(alpha) })),
  Less: comparison("Less"),
  LessEqual: comparison("LessOrEqual"),
  Log: asFloat((b, x) => b.unary("Log", x)),
  Log1p: asFloat(log1p),
  LogicalAnd: logical("And"),
  LogicalNot: ({ b, x }) => b.unary("Not", b.cast(x("x"), "bool")),
  LogicalOr: logical("Or"),
  LogicalXor: logical("Xor"),
  Maximum: ({ b, x }) => b.elementwise("Max", [x("a"), x("b")], x("a").value.dtype),
  Minimum: ({ b, x }) => b.elementwise("Min", [x("a"), x("b")], x("a").value.dtype),
  Mod: ({ b, x }) => mod(b, x("a"), x("b")),
  Multiply: ({ b, x }) => b.mul(x("a"), x("b")),
  Neg: unary("Neg"),
  NotEqual: ({ b, x }) => b.unary("Not", b.elementwise("Equal", [x("a"), x("b")], "bool")),
  OnesLike: ({ b, x }) => b.uniform(1, x("x").shape, x("x").value.dtype),
  Pow: ({ b, x }) => b.pow(x("a"), x("b")),
  Prelu: ({ b, x }) => {
    const [h, alpha] = [x("x"), x("alpha")]
    return b.where(b.elementwise("Less", [h, constant(b, 0)], "bool"), b.mul(h, alpha), h)
  },
  RealDiv: ({ b, x }) => b.div(x("a"), x("b")),
  Reciprocal: asFloat((b, x) => b.unary("Reciprocal", x)),
  Relu: ({ b, x }) =>
    x("x").value.dtype === "float32"
      ? b.unary("Relu", x("x"))
      : b.elementwise("Max", [x("x"), constant(b, 0, x("x").value.dtype)], x("x").value.dtype),
  Relu6: asFloat((b, x) => ({
    value: b.graph.op("Clip", [x.value, constant(b, 0).value, constant(b, 6).value], x.value),
    shape: x.shape,
  })),
  Round: rounding("Round"),
  Rsqrt: asFloat((b, x) => b.unary("Reciprocal", b.unary("Sqrt", x))),
  Select: ({ b, x }) => {
    const [t, e] = [x("t"), x("e")]
    let condition = b.cast(x("condition"), "bool")
    // A vector of conditions selects whole rows.
    if (condition.shape.length === 1 && t.shape.length > 1)
      condition = b.reshape(condition, [condition.shape[0]!, ...t.shape.slice(1).map(() => 1)])
    return b.where(condition, t, e)
  },
  Selu: unary("Selu"),
  Sigmoid: asFloat((b, x) => b.unary("Sigmoid", x)),
  Sign: unary("Sign"),
  Sin: asFloat((b, x) => b.unary("Sin", x)),
  Sinh: asFloat((b, x) => b.unary("Sinh", x)),
  Softplus: asFloat((b, x) => {
    // The native operator is ten times slower than max(x, 0) + log(1 + exp(−|x|)).
    const e = b.unary("Exp", b.unary("Neg", b.unary("Abs", x)))
    return b.add(b.unary("Relu", x), b.unary("Log", b.add(e, one(b))))
  }),
  Sqrt: asFloat((b, x) => b.unary("Sqrt", x)),
  Square: ({ b, x }) => b.mul(x("x"), x("x")),
  SquaredDifference: ({ b, x }) => {
    const d = b.sub(x("a"), x("b"))
    return b.mul(d, d)
  },
  Step: ({ b, x, attributes: { alpha } }) => {
    const h = b.cast(x("x"), "float32")
    const positive = b.elementwise("Greater", [h, constant(b, 0)], "bool")
    return alpha ? b.where(positive, one(b), constant(b, alpha)) : b.cast(positive, "float32")
  },
  Sub: ({ b, x }) => b.sub(x("a"), x("b")),
  Tan: asFloat((b, x) => b.unary("Tan", x)),
  Tanh: asFloat((b, x) => b.unary("Tanh", x)),
  ZerosLike: ({ b, x }) => b.uniform(0, x("x").shape, x("x").value.dtype),
}
