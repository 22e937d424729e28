/**
 * The dataflow graph of a traced step: single-assignment values with static shapes. Equal nodes are one node (common
 * subexpressions merge as the graph is built), and whatever no output reaches is simply never emitted.
 */
import { createHash } from "node:crypto"

/** Element types inside graphs. int64 exists for the index operands of the native operators only. */
export type ElementType = "float32" | "int32" | "bool" | "int64"

/** Raw constants. */
export type ConstantData = Float32Array | Int32Array | Uint8Array | BigInt64Array

/** An operator attribute with its wire type. */
export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "string"; readonly value: string }

export const int = (value: number): Attribute => ({ kind: "int", value })
export const float = (value: number): Attribute => ({ kind: "float", value })
export const ints = (value: readonly number[]): Attribute => ({ kind: "ints", value })
export const text = (value: string): Attribute => ({ kind: "string", value })

/** Static type of a value. */
export interface ValueType {
  readonly shape: readonly number[]
  readonly dtype: ElementType
}

/** One output of a node. */
export interface Value extends ValueType {
  readonly id: number
  readonly node: Node
}

/** An operator applied to values; `op` is the ONNX name, or "Input" or "Constant". */
export interface Node {
  readonly id: number
  readonly op: string
  readonly domain: string
  readonly inputs: readonly (Value | undefined)[]
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly outputs: Value[]
  /** Of constants. */
  readonly data?: ConstantData
  /** Of inputs. */
  readonly name?: string
}

export const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)

export const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i])

/** Shape of an elementwise result by the usual right-aligned broadcasting. */
export function broadcast(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((s) => s.length))
  return Array.from({ length: rank }, (_, i) => {
    let d = 1
    for (const s of shapes) {
      const n = s[i - (rank - s.length)] ?? 1
      if (n !== 1 && d !== 1 && n !== d)
        throw new RangeError(`shapes ${shapes.map((x) => `[${x.join(", ")}]`).join(" and ")} do not broadcast`)
      if (n !== 1) d = n
    }
    return d
  })
}

/** Builds a graph. */
export class Graph {
  #ids = 0
  readonly #known = new Map<string, Node>()
  readonly inputs: Value[] = []

  /** A named input; never merged with another. */
  input(name: string, type: ValueType): Value {
    const node = this.#make("Input", "", [], {}, [type], { name })
    this.inputs.push(node.outputs[0]!)
    return node.outputs[0]!
  }

  /** A constant; equal ones are shared. */
  constant(data: ConstantData, shape: readonly number[], dtype: ElementType): Value {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    const content = bytes.length <= 256 ? bytes.toString("latin1") : createHash("sha256").update(bytes).digest("hex")
    const key = `Constant|${dtype}|${shape.join(",")}|${content}`
    let node = this.#known.get(key)
    if (!node) {
      node = this.#make("Constant", "", [], {}, [{ shape, dtype }], { data: data.slice() as ConstantData })
      this.#known.set(key, node)
    }
    return node.outputs[0]!
  }

  /** An int64 vector for operands such as shapes, axes and pads. */
  indices(values: readonly number[]): Value {
    return this.constant(BigInt64Array.from(values, BigInt), [values.length], "int64")
  }

  /** Applies an operator with several outputs. */
  apply(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputs: readonly ValueType[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = "",
    unique = false,
  ): readonly Value[] {
    const attrs = Object.keys(attributes)
      .sort()
      .map((name) => `${name}=${attributes[name]!.kind}:${String(attributes[name]!.value)}`)
      .join(";")
    const types = outputs.map((o) => `${o.dtype}[${o.shape.join(",")}]`).join(";")
    const key = `${domain}.${op}|${inputs.map((v) => v?.id ?? "").join(",")}|${attrs}|${types}`
    let node = unique ? undefined : this.#known.get(key)
    if (!node) {
      node = this.#make(op, domain, inputs, attributes, outputs)
      if (!unique) this.#known.set(key, node)
    }
    return node.outputs
  }

  /** Applies an operator with one output. */
  op(
    op: string,
    inputs: readonly (Value | undefined)[],
    output: ValueType,
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = "",
  ): Value {
    return this.apply(op, inputs, [output], attributes, domain)[0]!
  }

  #make(
    op: string,
    domain: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>>,
    outputs: readonly ValueType[],
    extra: { data?: ConstantData; name?: string } = {},
  ): Node {
    const node: Node = { id: this.#ids++, op, domain, inputs, attributes, outputs: [], ...extra }
    for (const { shape, dtype } of outputs) node.outputs.push({ id: this.#ids++, node, shape: [...shape], dtype })
    return node
  }
}

/** The nodes that the given values need, every node after those it depends on; inputs and constants included. */
export function reachable(outputs: readonly Value[]): readonly Node[] {
  const order: Node[] = []
  const done = new Set<Node>()
  const stack: { node: Node; next: number }[] = []
  for (const output of outputs) {
    if (done.has(output.node)) continue
    done.add(output.node)
    stack.push({ node: output.node, next: 0 })
    while (stack.length > 0) {
      const top = stack[stack.length - 1]!
      const input = top.node.inputs[top.next++]
      if (top.next > top.node.inputs.length) {
        order.push(top.node)
        stack.pop()
      } else if (input && !done.has(input.node)) {
        done.add(input.node)
        stack.push({ node: input.node, next: 0 })
      }
    }
  }
  // Ids grow along dependencies: the order of the trace, forward before backward, is the better schedule for memory.
  return order.sort((a, b) => a.id - b.id)
}
