/** Accounting on graphs: operations, memory traffic, and the peak of live memory. */
import type { OperatorCost, Step, StepCost } from "../step.ts"
import { type Node, size, type Value, type ValueType } from "./graph.ts"
import { stepNodes } from "./model.ts"
import { type Shapes, type TracedStep, traceStep } from "./trace-step.ts"

const width = { float32: 4, int32: 4, bool: 1, int64: 8 } as const

const bytesOf = (v: ValueType): number => size(v.shape) * width[v.dtype]

/** Results that share the memory of their first operand. */
const views = new Set(["Reshape", "Identity"])

/** Operators that only move elements. */
const moves = new Set([
  "Cast",
  "Concat",
  "Expand",
  "Gather",
  "GatherElements",
  "GatherND",
  "Identity",
  "Pad",
  "Reshape",
  "Slice",
  "Split",
  "Tile",
  "Transpose",
])

/** Operations per element of the input for operators that do more than one. */
const perElement: Readonly<Record<string, number>> = { Softmax: 5, LogSoftmax: 5, LayerNormalization: 8, Gelu: 8 }

/** Floating-point operations of one node. */
export function nodeFlops(node: Node): number {
  const out = node.outputs[0]!
  const [a, b] = node.inputs as readonly (Value | undefined)[]
  switch (node.op) {
    case "Gemm":
    case "MatMul":
    case "FusedMatMul": {
      const rank = a!.shape.length
      const k = a!.shape[node.attributes["transA"]?.value === 1 ? rank - 2 : rank - 1]!
      return 2 * size(out.shape) * k + (node.inputs[2] ? size(out.shape) : 0)
    }
    case "Conv":
      return 2 * size(out.shape) * size(b!.shape.slice(1))
    case "ConvTranspose":
      return 2 * size(a!.shape) * size(b!.shape.slice(1))
    case "Einsum": {
      const terms = String(node.attributes["equation"]!.value).split("->")[0]!.split(",")
      const sizes = new Map<string, number>()
      terms.forEach((term, i) => {
        ;[...term].forEach((c, d) => {
          sizes.set(c, node.inputs[i]!.shape[d]!)
        })
      })
      return 2 * [...sizes.values()].reduce((x, y) => x * y, 1)
    }
  }
  if (moves.has(node.op)) return 0
  if (node.op.startsWith("Reduce") || node.op === "TopK" || node.op.startsWith("Arg")) return size(a!.shape)
  if (node.op === "ScatterND") return size(node.inputs[2]!.shape)
  return size(out.shape) * (perElement[node.op] ?? 1)
}

/**
 * The bytes alive while the nodes run in order: results from their making to their last use, outputs to the end. Views
 * share the memory of what they view. Operands are not overwritten in place.
 *
 * @param overwriting values that cost nothing: they are taken to replace what they were computed from
 * @returns the largest number, and the number after each node, when what it used last is gone
 */
export function liveBytes(
  nodes: readonly Node[],
  outputs: readonly Value[],
  overwriting: ReadonlySet<Value> = new Set(),
): { readonly peak: number; readonly after: Float64Array } {
  const held = (v: Value) => v.node.op !== "Input" && v.node.op !== "Constant"
  const room = (v: Value) => (overwriting.has(v) ? 0 : bytesOf(v))
  const lastUse = new Map<Value, number>()
  nodes.forEach((node, i) => {
    for (const input of node.inputs) if (input) lastUse.set(storage(input), i)
  })
  for (const output of outputs) lastUse.set(storage(output), nodes.length)
  const dying: Value[][] = nodes.map(() => [])
  const after = new Float64Array(nodes.length)
  let live = 0
  let peak = 0
  nodes.forEach((node, i) => {
    if (held(node.outputs[0]!)) {
      if (!views.has(node.op))
        for (const out of node.outputs) {
          live += room(out)
          const end = lastUse.get(out) ?? i
          if (end < nodes.length) dying[end]!.push(out)
        }
      peak = Math.max(peak, live)
      for (const value of dying[i]!) if (held(value)) live -= room(value)
    }
    after[i] = live
  })
  return { peak, after }
}

/** The value whose memory a value shares: its own, or that of what it is a view of. */
const storage = (v: Value): Value => (views.has(v.node.op) && v.node.inputs[0] ? storage(v.node.inputs[0]) : v)

/** The largest number of {@link liveBytes}. */
export const peakBytes = (nodes: readonly Node[], outputs: readonly Value[]): number => liveBytes(nodes, outputs).peak

/** The cost of a traced step. */
export function costOf(step: TracedStep): StepCost {
  const nodes = stepNodes(step)
  const operators: Record<string, { count: number; flops: number; bytes: number }> = {}
  let constantBytes = 0
  for (const node of nodes) {
    if (node.op === "Constant") constantBytes += bytesOf(node.outputs[0]!)
    if (node.op === "Input" || node.op === "Constant") continue
    operators[node.op] ??= { count: 0, flops: 0, bytes: 0 }
    const entry = operators[node.op]!
    entry.count++
    entry.flops += nodeFlops(node)
    if (!views.has(node.op)) for (const v of [...node.inputs, ...node.outputs]) if (v) entry.bytes += bytesOf(v)
  }
  const total = (field: keyof OperatorCost) => Object.values(operators).reduce((n, o) => n + o[field], 0)
  const sum = (values: readonly ValueType[]) => values.reduce((n, v) => n + bytesOf(v), 0)
  const outputs = [...Object.values(step.next), ...Object.values(step.metrics)]
  const live = liveBytes(nodes, outputs)
  const place = new Map(nodes.map((node, i) => [node, i]))
  return {
    nodes: total("count"),
    flops: total("flops"),
    bytes: total("bytes"),
    peakBytes: live.peak,
    peakInPlaceBytes: liveBytes(nodes, outputs, new Set(Object.values(step.next).map(storage))).peak,
    aliveAt: Object.fromEntries(
      Object.entries(step.metrics).map(([name, value]) => [name, live.after[place.get(storage(value).node)!] ?? 0]),
    ),
    stateBytes: sum(Object.values(step.state)),
    updatedBytes: sum(Object.values(step.next)),
    inputBytes: sum([...Object.values(step.batch), ...step.draws.map((d) => d.value)]),
    constantBytes,
    operators,
  }
}

/**
 * What a step would cost, from shapes alone: nothing is allocated or run, so that models far larger than the machine can
 * be accounted for. Needs no native package.
 *
 * @param shapes of the state and of one batch
 * @throws as compilation does: ValueReadInStep, OpWithoutLowering, …
 */
export function traceCost(step: Step, shapes: { readonly state: Shapes; readonly batch: Shapes }): StepCost {
  return costOf(traceStep(step, shapes.state, shapes.batch))
}
