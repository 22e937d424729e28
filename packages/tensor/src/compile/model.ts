/** ONNX models of traced steps: one step, or K steps in one call. */
import { type Attribute, type Node, reachable, size, type Value, type ValueType } from "./graph.ts"
import { type EmittedNode, encodeModel, type GraphBody, layOut } from "./onnx.ts"
import type { TracedStep } from "./trace-step.ts"

/** A model with the names of what goes in and out. */
export interface StepModel {
  readonly bytes: Uint8Array
  /** Names of inputs that the graph reads. */
  readonly inputs: ReadonlySet<string>
  readonly outputs: readonly string[]
}

const ends = (step: TracedStep) => [
  ...Object.entries(step.next).map(([name, value]) => ({ name: `next/${name}`, value })),
  ...Object.entries(step.metrics).map(([name, value]) => ({ name: `metric/${name}`, value })),
]

const starts = (nodes: readonly Node[]) =>
  nodes.filter((node) => node.op === "Input").map((node) => ({ name: node.name!, value: node.outputs[0]! }))

/** Nodes of a step in order; inputs that nothing reads are not among them. */
export function stepNodes(step: TracedStep): readonly Node[] {
  return reachable(ends(step).map((e) => e.value))
}

/** The model of one step. */
export function oneStep(step: TracedStep): StepModel {
  const outputs = ends(step)
  const nodes = stepNodes(step)
  const inputs = starts(nodes)
  return {
    bytes: encodeModel(layOut("step", nodes, inputs, outputs)),
    inputs: new Set(inputs.map((i) => i.name)),
    outputs: outputs.map((o) => o.name),
  }
}

/**
 * The model of `count` steps: a Scan whose carried values are the state entries that change. Batches and random numbers
 * are stacked along a new first axis, metrics come back stacked; what does not change stays outside the loop.
 */
export function manySteps(step: TracedStep, count: number): StepModel {
  const nodes = stepNodes(step)
  const inputs = starts(nodes)
  const carried = Object.entries(step.next).map(([name, value]) => ({ name, before: step.state[name]!, after: value }))
  const isCarried = new Set(carried.map((c) => c.before))
  const fed = new Set<Value>([...Object.values(step.batch), ...step.draws.map((d) => d.value)])
  const scanned = inputs.filter((i) => fed.has(i.value))
  const fixed = inputs.filter((i) => !fed.has(i.value) && !isCarried.has(i.value))
  const metrics = Object.entries(step.metrics)
  const stacked = (type: ValueType): ValueType => ({ shape: [count, ...type.shape], dtype: type.dtype })
  // Large constants stay outside too: the body captures them by name.
  const constants = nodes.filter((n) => n.op === "Constant" && size(n.outputs[0]!.shape) > 64)
  const outer = new Map<Value, string>([
    ...fixed.map((i) => [i.value, i.name] as const),
    ...constants.map((n, i) => [n.outputs[0]!, `constant/${i}`] as const),
  ])
  const bodyInputs = [
    ...carried.map((c) => ({ name: `in/${c.name}`, value: c.before })),
    ...scanned.map((i) => ({ name: `in/${i.name}`, value: i.value })),
  ]
  const bodyOutputs = [
    ...carried.map((c) => ({ name: `out/${c.name}`, value: c.after })),
    ...metrics.map(([name, value]) => ({ name: `out/metric/${name}`, value })),
  ]
  const body = layOut("body", nodes, bodyInputs, bodyOutputs, "b/", outer)
  const attributes: Record<string, Attribute | { kind: "graph"; value: GraphBody }> = {
    body: { kind: "graph", value: body },
    num_scan_inputs: { kind: "int", value: scanned.length },
  }
  const scan: EmittedNode = {
    op: "Scan",
    domain: "",
    name: "steps",
    inputs: [...carried.map((c) => `state/${c.name}`), ...scanned.map((i) => i.name)],
    outputs: [...carried.map((c) => `next/${c.name}`), ...metrics.map(([name]) => `metric/${name}`)],
    attributes,
  }
  const top: GraphBody = {
    name: "steps",
    nodes: [scan],
    initializers: constants.map((n, i) => ({ name: `constant/${i}`, value: n.outputs[0]!, data: n.data! })),
    inputs: [
      ...carried.map((c) => ({ name: `state/${c.name}`, type: c.before })),
      ...fixed.map((i) => ({ name: i.name, type: i.value })),
      ...scanned.map((i) => ({ name: i.name, type: stacked(i.value) })),
    ],
    outputs: [
      ...carried.map((c) => ({ name: `next/${c.name}`, type: c.after })),
      ...metrics.map(([name, value]) => ({ name: `metric/${name}`, type: stacked(value) })),
    ],
  }
  return {
    bytes: encodeModel(top),
    inputs: new Set(top.inputs.map((i) => i.name)),
    outputs: top.outputs.map((o) => o.name),
  }
}
