/**
 * Operations on handles, with the simplifications that are made while the graph is built: constants fold, broadcasts
 * stay lazy, transposes move into matrix products, and what does nothing leaves no node.
 */
import {
  type Attribute,
  broadcast,
  type ConstantData,
  type ElementType,
  float,
  type Graph,
  int,
  ints,
  sameShape,
  size,
  type Value,
} from "./graph.ts"

/**
 * A tensor while it is traced: a value of the graph, and the shape that the step sees. The value may be smaller where it
 * only needs broadcasting: a uniform tensor is held as a scalar.
 */
export interface Handle {
  readonly value: Value
  readonly shape: readonly number[]
}

type Scalar = number

const f32 = Math.fround

const foldUnary: Record<string, (x: number) => number> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Cos: Math.cos,
  Exp: Math.exp,
  Floor: Math.floor,
  Log: Math.log,
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Relu: (x) => (Number.isNaN(x) ? x : Math.max(0, x)),
  Sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  Sin: Math.sin,
  Sqrt: Math.sqrt,
  Tanh: Math.tanh,
}

const foldBinary: Record<string, (a: number, b: number) => number> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => a * b,
  Div: (a, b) => a / b,
  Pow: (a, b) => a ** b,
}

/** From this length of its sums on, a product is worth another layout of its operands. */
const longProduct = 512

/** From this many columns on, a left operand that is transposed panel by panel costs more than one transposition. */
const manyColumns = 64

/** Builds a graph from handles. */
export class Builder {
  readonly graph: Graph
  constructor(graph: Graph) {
    this.graph = graph
  }

  // ---- constants -----------------------------------------------------------------------------------------------

  /** A tensor every element of which is `x`. */
  uniform(x: number, shape: readonly number[], dtype: ElementType): Handle {
    const data =
      dtype === "float32"
        ? Float32Array.of(x)
        : dtype === "int32"
          ? Int32Array.of(x)
          : dtype === "bool"
            ? Uint8Array.of(x ? 1 : 0)
            : BigInt64Array.of(BigInt(x))
    return { value: this.graph.constant(data, [], dtype), shape }
  }

  /** A constant tensor; held as a scalar where all elements are equal. */
  constant(data: ConstantData, shape: readonly number[], dtype: ElementType): Handle {
    const first = data[0]
    if (first !== undefined && data.length > 1 && data.every((x) => Object.is(x, first)))
      return { value: this.graph.constant(data.slice(0, 1) as ConstantData, [], dtype), shape }
    if (data.length === 1) return { value: this.graph.constant(data, [], dtype), shape }
    return { value: this.graph.constant(data, shape, dtype), shape }
  }

  /** The one value of a uniform constant, else undefined. */
  known(h: Handle): Scalar | undefined {
    const { node } = h.value
    return node.op === "Constant" && node.data!.length === 1 ? Number(node.data![0]) : undefined
  }

  /** All elements of a constant in the shape that the step sees, else undefined. */
  elements(h: Handle): ConstantData | undefined {
    const { node } = h.value
    if (node.op !== "Constant") return undefined
    const data = node.data!
    const n = size(h.shape)
    if (data.length === n) return data
    const out = new (data.constructor as { new (n: number): ConstantData })(n)
    if (data.length === 1) return out.fill(data[0] as never)
    const from = strides(h.value.shape, h.shape.length)
    const to = strides(h.shape, h.shape.length)
    for (let i = 0; i < n; i++) {
      let at = 0
      h.shape.forEach((d, axis) => {
        at += (Math.floor(i / to[axis]!) % d) * from[axis]!
      })
      out[i] = data[at]!
    }
    return out
  }

  /** Whether the value needs no broadcasting. */
  isFull(h: Handle): boolean {
    return sameShape(h.value.shape, h.shape)
  }

  // ---- layout --------------------------------------------------------------------------------------------------

  /** The value with 1-sized axes in front, so that its rank is that of the tensor. */
  aligned(h: Handle): Value {
    const missing = h.shape.length - h.value.shape.length
    return missing === 0 ? h.value : this.#reshaped(h.value, [...new Array<number>(missing).fill(1), ...h.value.shape])
  }

  /** The value in its whole shape. */
  full(h: Handle): Value {
    if (this.isFull(h)) return h.value
    if (size(h.value.shape) === size(h.shape)) return this.#reshaped(h.value, h.shape)
    return this.graph.op("Expand", [h.value, this.graph.indices(h.shape)], { shape: h.shape, dtype: h.value.dtype })
  }

  #reshaped(v: Value, shape: readonly number[]): Value {
    if (sameShape(v.shape, shape)) return v
    if (v.node.op === "Constant") return this.graph.constant(v.node.data!, shape, v.dtype)
    // A reshape of a reshape is one reshape; the barrier's reshape (run-time shape) must stay.
    const from = v.node.op === "Reshape" && v.node.inputs[1]!.node.op === "Constant" ? v.node.inputs[0]! : v
    if (sameShape(from.shape, shape)) return from
    // A 0 in the shape would mean "as in the input".
    const attributes: Record<string, Attribute> = shape.includes(0) ? { allowzero: int(1) } : {}
    return this.graph.op("Reshape", [from, this.graph.indices(shape)], { shape, dtype: v.dtype }, attributes)
  }

  reshape(h: Handle, shape: readonly number[]): Handle {
    if (sameShape(h.shape, shape)) return h
    if (size(h.value.shape) === 1) return { value: this.#reshaped(h.value, []), shape }
    if (this.isFull(h)) return { value: this.#reshaped(h.value, shape), shape }
    // Only 1-sized axes added or removed: the lazy broadcast survives.
    const a = h.shape.filter((d) => d !== 1)
    const b = shape.filter((d) => d !== 1)
    if (sameShape(a, b)) {
      const aligned = this.aligned(h).shape.filter((_, i) => h.shape[i] !== 1)
      let at = 0
      return {
        value: this.#reshaped(
          h.value,
          shape.map((d) => (d === 1 ? 1 : aligned[at++]!)),
        ),
        shape,
      }
    }
    return { value: this.#reshaped(this.full(h), shape), shape }
  }

  transpose(h: Handle, perm: readonly number[]): Handle {
    const shape = perm.map((p) => h.shape[p]!)
    if (perm.every((p, i) => p === i)) return h
    if (size(h.value.shape) === 1) return { value: this.#reshaped(h.value, []), shape }
    return { value: this.#transposed(this.aligned(h), perm), shape }
  }

  #transposed(v: Value, perm: readonly number[]): Value {
    if (v.node.op === "Transpose") {
      const before = v.node.attributes["perm"]!.value as readonly number[]
      const both = perm.map((p) => before[p]!)
      const source = v.node.inputs[0]!
      return both.every((p, i) => p === i) ? source : this.#transposed(source, both)
    }
    const shape = perm.map((p) => v.shape[p]!)
    // Moving 1-sized axes moves no data.
    const real = perm.filter((p) => v.shape[p] !== 1)
    if (real.every((p, i) => i === 0 || p > real[i - 1]!)) return this.#reshaped(v, shape)
    return this.graph.op("Transpose", [v], { shape, dtype: v.dtype }, { perm: ints(perm) })
  }

  /** Broadcasts lazily. */
  broadcastTo(h: Handle, shape: readonly number[]): Handle {
    broadcast(h.shape, shape)
    return { value: h.value, shape }
  }

  cast(h: Handle, dtype: ElementType): Handle {
    if (h.value.dtype === dtype) return h
    const known = this.known(h)
    if (known !== undefined) {
      const x = dtype === "bool" ? (known !== 0 ? 1 : 0) : dtype === "float32" ? f32(known) : Math.trunc(known) || 0
      if (dtype === "float32" || Number.isFinite(known)) return this.uniform(x, h.shape, dtype)
    }
    const to = { float32: 1, int32: 6, int64: 7, bool: 9 }[dtype]
    return {
      value: this.graph.op("Cast", [h.value], { shape: h.value.shape, dtype }, { to: int(to) }),
      shape: h.shape,
    }
  }

  // ---- elementwise ---------------------------------------------------------------------------------------------

  unary(op: string, h: Handle, attributes = {}, dtype: ElementType = h.value.dtype): Handle {
    const known = this.known(h)
    const fold = foldUnary[op]
    if (known !== undefined && fold && dtype === "float32") return this.uniform(f32(fold(known)), h.shape, dtype)
    if (op === "Neg" && h.value.node.op === "Neg") return { value: h.value.node.inputs[0]!, shape: h.shape }
    if (op === "Not" && h.value.node.op === "Not") return { value: h.value.node.inputs[0]!, shape: h.shape }
    const domain = op === "QuickGelu" ? "com.microsoft" : ""
    return {
      value: this.graph.op(op, [h.value], { shape: h.value.shape, dtype }, attributes, domain),
      shape: h.shape,
    }
  }

  /** Any elementwise operator with broadcasting, without simplification. */
  elementwise(op: string, inputs: readonly Handle[], dtype: ElementType, attributes = {}): Handle {
    return {
      value: this.graph.op(
        op,
        inputs.map((h) => h.value),
        { shape: broadcast(...inputs.map((h) => h.value.shape)), dtype },
        attributes,
      ),
      shape: broadcast(...inputs.map((h) => h.shape)),
    }
  }

  #fold(op: string, a: Handle, b: Handle, shape: readonly number[]): Handle | undefined {
    const x = this.known(a)
    const y = this.known(b)
    const fold = foldBinary[op]
    if (x === undefined || y === undefined || !fold || a.value.dtype !== "float32") return undefined
    return this.uniform(f32(fold(x, y)), shape, "float32")
  }

  add(a: Handle, b: Handle): Handle {
    const shape = broadcast(a.shape, b.shape)
    const folded = this.#fold("Add", a, b, shape)
    if (folded) return folded
    if (this.known(a) === 0) return { value: b.value, shape }
    if (this.known(b) === 0) return { value: a.value, shape }
    if (b.value.node.op === "Neg") return this.sub(a, { value: b.value.node.inputs[0]!, shape: b.shape })
    if (a.value.node.op === "Neg") return this.sub(b, { value: a.value.node.inputs[0]!, shape: a.shape })
    const biased = this.#withBias(a, b) ?? this.#withBias(b, a)
    if (biased) return { value: biased, shape }
    return this.elementwise("Add", [a, b], a.value.dtype)
  }

  /** A bias added to a matrix product moves into the product. */
  #withBias(product: Handle, bias: Handle): Value | undefined {
    let v = product.value
    const reshaped = v.node.op === "Reshape" && v.node.inputs[1]!.node.op === "Constant"
    if (reshaped) v = v.node.inputs[0]!
    if (v.node.op !== "Gemm" || v.node.inputs.length !== 2) return undefined
    const n = v.shape[1]!
    const b = bias.value.shape
    if (!this.isFull(product) || product.shape[product.shape.length - 1] !== n || n === 1) return undefined
    if (b.length === 0 || b[b.length - 1] !== n || size(b) !== n || bias.value.dtype !== "float32") return undefined
    if (b.length > product.shape.length || bias.value.node.op === "Constant") return undefined
    const gemm = this.graph.op("Gemm", [...v.node.inputs, this.#reshaped(bias.value, [n])], v, v.node.attributes)
    return this.#reshaped(gemm, product.value.shape)
  }

  sub(a: Handle, b: Handle): Handle {
    const shape = broadcast(a.shape, b.shape)
    const folded = this.#fold("Sub", a, b, shape)
    if (folded) return folded
    if (this.known(b) === 0) return { value: a.value, shape }
    if (this.known(a) === 0) return { value: this.unary("Neg", b).value, shape }
    if (b.value.node.op === "Neg") return this.add(a, { value: b.value.node.inputs[0]!, shape: b.shape })
    return this.elementwise("Sub", [a, b], a.value.dtype)
  }

  /**
   * Product. A uniform constant 0 annihilates (also where the other factor is NaN or infinite): it stands for "this
   * term is switched off", and whole branches of gradients disappear with it.
   */
  mul(a: Handle, b: Handle): Handle {
    const shape = broadcast(a.shape, b.shape)
    const folded = this.#fold("Mul", a, b, shape)
    if (folded) return folded
    for (const [c, h] of [
      [a, b],
      [b, a],
    ] as const) {
      const x = this.known(c)
      if (x === undefined) continue
      if (x === 1) return { value: h.value, shape }
      if (x === 0) return this.uniform(0, shape, h.value.dtype)
      if (x === -1) return { value: this.unary("Neg", h).value, shape }
      if (h.value.node.op === "Mul" && h.value.dtype === "float32") {
        const [p, q] = h.value.node.inputs as [Value, Value]
        for (const [inner, rest] of [
          [p, q],
          [q, p],
        ] as const) {
          const y = this.known({ value: inner, shape: [] })
          if (y !== undefined) return this.mul(this.uniform(f32(x * y), shape, "float32"), { value: rest, shape })
        }
      }
    }
    return this.elementwise("Mul", [a, b], a.value.dtype)
  }

  div(a: Handle, b: Handle): Handle {
    const shape = broadcast(a.shape, b.shape)
    const folded = this.#fold("Div", a, b, shape)
    if (folded) return folded
    const y = this.known(b)
    if (y === 1) return { value: a.value, shape }
    // Division by a power of two is an exact product.
    if (y !== undefined && a.value.dtype === "float32" && Number.isInteger(Math.log2(Math.abs(y))))
      return this.mul(a, this.uniform(1 / y, b.shape, "float32"))
    if (this.known(a) === 1 && a.value.dtype === "float32") return { value: this.unary("Reciprocal", b).value, shape }
    return this.elementwise("Div", [a, b], a.value.dtype)
  }

  pow(a: Handle, b: Handle): Handle {
    const shape = broadcast(a.shape, b.shape)
    const folded = this.#fold("Pow", a, b, shape)
    if (folded) return folded
    const e = a.value.dtype === "float32" ? this.known(b) : undefined
    const at = (h: Handle): Handle => ({ value: h.value, shape })
    if (e === 0) return this.uniform(1, shape, "float32")
    if (e === 1) return at(a)
    if (e === 2) return at(this.mul(a, a))
    if (e === 3) return at(this.mul(a, this.mul(a, a)))
    if (e === 4) return at(this.mul(this.mul(a, a), this.mul(a, a)))
    if (e === 0.5) return at(this.unary("Sqrt", a))
    if (e === -0.5) return at(this.unary("Reciprocal", this.unary("Sqrt", a)))
    if (e === -1) return at(this.unary("Reciprocal", a))
    if (e === -2) return at(this.unary("Reciprocal", this.mul(a, a)))
    return this.elementwise("Pow", [a, b], a.value.dtype)
  }

  where(condition: Handle, t: Handle, e: Handle): Handle {
    const shape = broadcast(condition.shape, t.shape, e.shape)
    const known = this.known(condition)
    if (known !== undefined) return { value: (known ? t : e).value, shape }
    if (t.value === e.value) return { value: t.value, shape }
    if (condition.value.node.op === "Not")
      return this.where({ value: condition.value.node.inputs[0]!, shape: condition.shape }, e, t)
    if (t.value.dtype === "bool") {
      // No kernel selects booleans.
      const chosen = this.elementwise("And", [condition, t], "bool")
      const other = this.elementwise("And", [this.unary("Not", condition), e], "bool")
      return this.elementwise("Or", [chosen, other], "bool")
    }
    return this.elementwise("Where", [condition, t, e], t.value.dtype)
  }

  // ---- reductions ----------------------------------------------------------------------------------------------

  /** ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd over axes. */
  reduce(op: string, h: Handle, axes: readonly number[], keepDims: boolean): Handle {
    const keptShape = h.shape.map((d, i) => (axes.includes(i) ? 1 : d))
    const shape = keepDims ? keptShape : h.shape.filter((_, i) => !axes.includes(i))
    if (axes.length === 0) return h
    const aligned = this.aligned(h)
    // Along an axis that is only broadcast, a sum is a product with the count, and mean, max and min do nothing.
    const repeated = axes.reduce((n, i) => (aligned.shape[i] === 1 ? n * h.shape[i]! : n), 1)
    const real = axes.filter((i) => aligned.shape[i] !== 1)
    let value: Handle = { value: aligned, shape: keptShape }
    if (real.length > 0) {
      const out = aligned.shape.map((d, i) => (real.includes(i) ? 1 : d))
      value = {
        value: this.graph.op(
          op,
          [aligned, this.graph.indices(real)],
          { shape: out, dtype: aligned.dtype },
          { keepdims: int(1) },
        ),
        shape: keptShape,
      }
    }
    if (op === "ReduceSum" && repeated !== 1) value = this.mul(value, this.uniform(repeated, [], aligned.dtype))
    if (op === "ReduceProd" && repeated !== 1) value = this.pow(value, this.uniform(repeated, [], aligned.dtype))
    return this.reshape({ value: value.value, shape: keptShape }, shape)
  }

  // ---- selection -----------------------------------------------------------------------------------------------

  slice(h: Handle, begin: readonly number[], end: readonly number[], steps?: readonly number[]): Handle {
    const step = steps ?? begin.map(() => 1)
    const shape = begin.map((b, i) => Math.max(0, Math.ceil((end[i]! - b) / step[i]!)))
    const aligned = this.aligned(h)
    const axes = begin
      .map((_, i) => i)
      .filter((i) => {
        const whole = begin[i] === 0 && end[i] === h.shape[i] && step[i] === 1
        return !whole && !(aligned.shape[i] === 1 && h.shape[i] !== 1)
      })
    if (axes.length === 0) return { value: aligned, shape }
    const pick = (xs: readonly number[]) => this.graph.indices(axes.map((i) => xs[i]!))
    // A descending slice that includes element 0 ends before the beginning.
    const stop = end.map((e, i) => (step[i]! < 0 && e < 0 ? -(2 ** 31) : e))
    const out = aligned.shape.map((d, i) => (axes.includes(i) ? shape[i]! : d))
    const value = this.graph.op("Slice", [aligned, pick(begin), pick(stop), this.graph.indices(axes), pick(step)], {
      shape: out,
      dtype: aligned.dtype,
    })
    return { value, shape }
  }

  concat(parts: readonly Handle[], axis: number): Handle {
    const kept = parts.filter((p) => p.shape[axis] !== 0)
    const shape = [...(parts[0]?.shape ?? [])]
    shape[axis] = parts.reduce((n, p) => n + p.shape[axis]!, 0)
    if (kept.length === 1) return { value: this.full(kept[0]!), shape }
    if (kept.length === 0) return { value: this.full(parts[0]!), shape }
    const value = this.graph.op(
      "Concat",
      kept.map((p) => this.full(p)),
      { shape, dtype: parts[0]!.value.dtype },
      { axis: int(axis) },
    )
    return { value, shape }
  }

  pad(h: Handle, paddings: readonly (readonly [number, number])[], fill: number, mode = "constant"): Handle {
    const shape = h.shape.map((d, i) => d + paddings[i]![0] + paddings[i]![1])
    if (paddings.every(([a, b]) => a === 0 && b === 0)) return h
    const dtype = h.value.dtype
    if (mode === "constant" && this.known(h) === fill) return { value: h.value, shape }
    if (dtype === "bool") return this.cast(this.pad(this.cast(h, "int32"), paddings, fill, mode), "bool")
    const operands = [this.full(h), this.graph.indices([...paddings.map((p) => p[0]), ...paddings.map((p) => p[1])])]
    if (mode === "constant") operands.push(this.uniform(fill, [], dtype).value)
    const value = this.graph.op("Pad", operands, { shape, dtype }, { mode: { kind: "string", value: mode } })
    return { value, shape }
  }

  /** Rows of `x` along `axis`. */
  gather(x: Handle, indices: Handle, axis: number): Handle {
    const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)]
    if (size(x.value.shape) === 1) return { value: this.#reshaped(x.value, []), shape }
    const at = this.cast(indices, "int32")
    const value = this.graph.op(
      "Gather",
      [this.full(x), this.full(at)],
      { shape, dtype: x.value.dtype },
      { axis: int(axis) },
    )
    return { value, shape }
  }

  /** Adds rows of `updates` [m, …] at `rows` [m] into zeros [count, …]; every row number must be in range. */
  scatterRows(updates: Handle, rows: Handle, count: number): Handle {
    const rest = updates.shape.slice(1)
    const shape = [count, ...rest]
    const dtype = updates.value.dtype
    const at = this.reshape(this.cast(rows, "int64"), [rows.shape[0]!, 1])
    const value = this.graph.op(
      "ScatterND",
      [this.full(this.uniform(0, shape, dtype)), this.full(at), this.full(updates)],
      { shape, dtype },
      { reduction: { kind: "string", value: "add" } },
    )
    return { value, shape }
  }

  // ---- products ------------------------------------------------------------------------------------------------

  /** Product of the last two axes, batched over the leading ones. */
  matMul(a: Handle, b: Handle, transposeA: boolean, transposeB: boolean): Handle {
    const [ta, va] = this.#operand(a, transposeA)
    const [tb, vb] = this.#operand(b, transposeB)
    const [ra, rb] = [a.shape.length, b.shape.length]
    const m = a.shape[ra - (transposeA ? 1 : 2)]!
    const k = a.shape[ra - (transposeA ? 2 : 1)]!
    const n = b.shape[rb - (transposeB ? 2 : 1)]!
    const batch = broadcast(a.shape.slice(0, -2), b.shape.slice(0, -2))
    const shape = [...batch, m, n]
    const dtype = a.value.dtype
    if (k === 0 || size(shape) === 0) return this.uniform(0, shape, dtype)
    if (dtype !== "float32") {
      const swap = (v: Value, t: boolean) =>
        t ? this.#transposed(v, [...v.shape.keys()].slice(0, -2).concat(v.shape.length - 1, v.shape.length - 2)) : v
      return { value: this.graph.op("MatMul", [swap(va, ta), swap(vb, tb)], { shape, dtype }), shape }
    }
    const flags = { transA: int(ta ? 1 : 0), transB: int(tb ? 1 : 0) }
    if (size(b.shape.slice(0, -2)) === 1 && (!ta || size(a.shape.slice(0, -2)) === 1)) {
      // One matrix on the right: the batch is rows of one product.
      const rows = size(a.shape.slice(0, -2))
      let left = this.#reshaped(va, ta ? va.shape.slice(-2) : [rows * m, k])
      const right = this.#reshaped(vb, vb.shape.slice(-2))
      if (ta && k >= longProduct) {
        // The native product transposes panels of the left operand again for every panel of columns. Long sums (weight
        // gradients) are cheaper with the narrower operand on the left, and with its transpose made once.
        if (!tb && m >= 2 * n) {
          const turned = this.matMul(
            { value: right, shape: right.shape },
            { value: left, shape: left.shape },
            true,
            false,
          )
          return this.reshape(this.transpose(turned, [1, 0]), shape)
        }
        if (n >= manyColumns) {
          left = this.#transposed(left, [1, 0])
          flags.transA = int(0)
        }
      }
      const product = this.graph.op("Gemm", [left, right], { shape: [rows * m, n], dtype }, flags)
      return { value: this.#reshaped(product, shape), shape }
    }
    if (!ta && !tb) return { value: this.graph.op("MatMul", [va, vb], { shape, dtype }), shape }
    return {
      value: this.graph.op(
        "FusedMatMul",
        [va, vb],
        { shape, dtype },
        { transA: flags.transA, transB: flags.transB, alpha: float(1) },
        "com.microsoft",
      ),
      shape,
    }
  }

  /** An operand of a product, with a transpose of its last two axes taken out. */
  #operand(h: Handle, transposed: boolean): [boolean, Value] {
    const v = this.full(h)
    if (v.node.op === "Transpose") {
      const perm = v.node.attributes["perm"]!.value as readonly number[]
      const r = perm.length
      if (perm.every((p, i) => (i === r - 1 ? p === r - 2 : i === r - 2 ? p === r - 1 : p === i)))
        return [!transposed, v.node.inputs[0]!]
    }
    return [transposed, v]
  }
}

/** Row-major strides of a value aligned to `rank` axes, 0 along broadcast ones. */
function strides(shape: readonly number[], rank: number): number[] {
  const out = new Array<number>(rank).fill(0)
  let step = 1
  for (let i = shape.length - 1, axis = rank - 1; i >= 0; i--, axis--) {
    out[axis] = shape[i] === 1 ? 0 : step
    step *= shape[i]!
  }
  return out
}
