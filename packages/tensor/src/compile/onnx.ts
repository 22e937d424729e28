/** Writes ONNX models (protocol buffers, onnx.proto3) without a library: the few messages and fields that are needed. */
import type { Attribute, ConstantData, ElementType, Node, Value, ValueType } from "./graph.ts"

const elementTypes: Record<ElementType, number> = { float32: 1, int32: 6, int64: 7, bool: 9 }

/** A growing protocol buffer message. */
class Message {
  #bytes = new Uint8Array(256)
  #length = 0

  #reserve(n: number): void {
    if (this.#length + n <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + n))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }

  #varint(value: number | bigint): void {
    this.#reserve(10)
    let v = BigInt.asUintN(64, BigInt(value))
    while (v > 127n) {
      this.#bytes[this.#length++] = Number(v & 127n) | 128
      v >>= 7n
    }
    this.#bytes[this.#length++] = Number(v)
  }

  /** Field of wire type 0. */
  int(field: number, value: number | bigint): this {
    this.#varint(field << 3)
    this.#varint(value)
    return this
  }

  /** Field of wire type 5, a 32-bit float. */
  float(field: number, value: number): this {
    this.#varint((field << 3) | 5)
    this.#reserve(4)
    new DataView(this.#bytes.buffer).setFloat32(this.#length, value, true)
    this.#length += 4
    return this
  }

  /** Field of wire type 2. */
  bytes(field: number, value: Uint8Array): this {
    this.#varint((field << 3) | 2)
    this.#varint(value.length)
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  string(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, "utf8"))
  }

  message(field: number, value: Message): this {
    return this.bytes(field, value.finish())
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }
}

/** A graph as attribute of a node (the body of Scan). */
export interface GraphBody {
  readonly name: string
  readonly nodes: readonly EmittedNode[]
  readonly initializers: readonly { readonly name: string; readonly value: ValueType; readonly data: ConstantData }[]
  readonly inputs: readonly { readonly name: string; readonly type: ValueType }[]
  readonly outputs: readonly { readonly name: string; readonly type: ValueType }[]
  /** Types of inner values that shape inference cannot find. */
  readonly values?: readonly { readonly name: string; readonly type: ValueType }[]
}

/** A node with the names of its operands. */
export interface EmittedNode {
  readonly op: string
  readonly domain: string
  readonly name: string
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute | { readonly kind: "graph"; readonly value: GraphBody }>>
}

function valueInfo(name: string, type: ValueType): Message {
  const shape = new Message()
  for (const d of type.shape) shape.message(1, new Message().int(1, d))
  const tensor = new Message().int(1, elementTypes[type.dtype]).message(2, shape)
  return new Message().string(1, name).message(2, new Message().message(1, tensor))
}

function tensor(name: string, type: ValueType, data: ConstantData): Message {
  const m = new Message()
  for (const d of type.shape) m.int(1, d)
  return m
    .int(2, elementTypes[type.dtype])
    .string(8, name)
    .bytes(9, new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
}

function attribute(name: string, a: EmittedNode["attributes"][string]): Message {
  const m = new Message().string(1, name)
  switch (a.kind) {
    case "float":
      return m.float(2, a.value).int(20, 1)
    case "int":
      return m.int(3, a.value).int(20, 2)
    case "string":
      return m.string(4, a.value).int(20, 3)
    case "graph":
      return m.message(6, graph(a.value)).int(20, 5)
    case "ints":
      for (const v of a.value) m.int(8, v)
      return m.int(20, 7)
  }
}

function graph(body: GraphBody): Message {
  const m = new Message()
  for (const node of body.nodes) {
    const n = new Message()
    for (const name of node.inputs) n.string(1, name)
    for (const name of node.outputs) n.string(2, name)
    n.string(3, node.name).string(4, node.op)
    for (const [name, a] of Object.entries(node.attributes)) n.message(5, attribute(name, a))
    if (node.domain) n.string(7, node.domain)
    m.message(1, n)
  }
  m.string(2, body.name)
  for (const { name, value, data } of body.initializers) m.message(5, tensor(name, value, data))
  for (const { name, type } of body.inputs) m.message(11, valueInfo(name, type))
  for (const { name, type } of body.outputs) m.message(12, valueInfo(name, type))
  for (const { name, type } of body.values ?? []) m.message(13, valueInfo(name, type))
  return m
}

/** The bytes of a model: IR version 10, operator set 21 and Microsoft's contributed operators. */
export function encodeModel(body: GraphBody): Uint8Array {
  return new Message()
    .int(1, 10)
    .string(2, "exp")
    .message(7, graph(body))
    .message(8, new Message().string(1, "").int(2, 21))
    .message(8, new Message().string(1, "com.microsoft").int(2, 1))
    .finish()
    .slice()
}

/**
 * Lays nodes out as a graph body.
 *
 * @param nodes in dependency order, inputs and constants included
 * @param outputs each under a name of its own; an input, a constant or a repeated value gets an Identity
 */
export function layOut(
  name: string,
  nodes: readonly Node[],
  inputs: readonly { readonly name: string; readonly value: Value }[],
  outputs: readonly { readonly name: string; readonly value: Value }[],
  prefix = "",
  outer: ReadonlyMap<Value, string> = new Map(),
): GraphBody {
  const names = new Map<Value, string>(outer)
  for (const input of inputs) names.set(input.value, input.name)
  for (const output of outputs)
    if (!names.has(output.value) && output.value.node.op !== "Constant") names.set(output.value, output.name)
  let count = 0
  const nameOf = (value: Value | undefined): string => {
    if (!value) return ""
    let known = names.get(value)
    if (!known) {
      known = `${prefix}v${count++}`
      names.set(value, known)
    }
    return known
  }
  const initializers: { name: string; value: ValueType; data: ConstantData }[] = []
  const emitted: EmittedNode[] = []
  const values: { name: string; type: ValueType }[] = []
  for (const node of nodes) {
    if (node.op === "Input") continue
    if (node.op === "Constant") {
      if (!outer.has(node.outputs[0]!))
        initializers.push({ name: nameOf(node.outputs[0]), value: node.outputs[0]!, data: node.data! })
      continue
    }
    emitted.push({
      op: node.op,
      domain: node.domain,
      name: `${prefix}n${emitted.length}`,
      inputs: node.inputs.map(nameOf),
      outputs: node.outputs.map(nameOf),
      attributes: node.attributes,
    })
    if (node.op === "Reshape" && node.inputs[1]!.node.op !== "Constant")
      values.push({ name: nameOf(node.outputs[0]), type: node.outputs[0]! })
  }
  const aliases = outputs
    .filter((output) => names.get(output.value) !== output.name)
    .map((output) => identity(nameOf(output.value), output.name))
  return {
    name,
    nodes: [...emitted, ...aliases],
    initializers,
    inputs: inputs.map((i) => ({ name: i.name, type: i.value })),
    outputs: outputs.map((o) => ({ name: o.name, type: o.value })),
    values,
  }
}

function identity(from: string, to: string): EmittedNode {
  return { op: "Identity", domain: "", name: `alias ${to}`, inputs: [from], outputs: [to], attributes: {} }
}
