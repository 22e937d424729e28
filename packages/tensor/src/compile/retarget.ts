/** Rewrites a traced step: for a provider that lacks some of the operators which lowerings emit, or to have fewer. */
import { Builder } from "./builder.ts"
import { Graph, type Node, reachable, type Value } from "./graph.ts"
import type { TracedStep } from "./trace-step.ts"

/** Replaces one node: its operands in the new graph are given, one value for each of its outputs is returned. */
export type Replacement = (b: Builder, inputs: readonly (Value | undefined)[], node: Node) => readonly Value[]

/** Replacements by operator. A replacement that returns undefined leaves the node as it is. */
export type Replacements = Readonly<Record<string, (...args: Parameters<Replacement>) => readonly Value[] | undefined>>

/** The same step over another graph, in which the operators named are expressed through others. */
export function retarget(step: TracedStep, replacements: Replacements): TracedStep {
  const graph = new Graph()
  const b = new Builder(graph)
  const known = new Map<Value, Value>()
  const every = [
    ...Object.values(step.state),
    ...Object.values(step.batch),
    ...step.draws.map((d) => d.value),
    ...Object.values(step.next),
    ...Object.values(step.metrics),
  ]
  for (const node of reachable(every)) {
    const results = again(graph, b, node, known, replacements)
    node.outputs.forEach((old, i) => {
      known.set(old, results[i]!)
    })
  }
  const moved = (values: Readonly<Record<string, Value>>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [name, known.get(value)!]))
  return {
    state: moved(step.state),
    batch: moved(step.batch),
    draws: step.draws.map((d) => ({ ...d, value: known.get(d.value)! })),
    next: moved(step.next),
    metrics: moved(step.metrics),
  }
}

function again(
  graph: Graph,
  b: Builder,
  node: Node,
  known: ReadonlyMap<Value, Value>,
  replacements: Replacements,
): readonly Value[] {
  const out = node.outputs[0]!
  if (node.op === "Input") return [graph.input(node.name!, out)]
  if (node.op === "Constant") return [graph.constant(node.data!, out.shape, out.dtype)]
  const inputs = node.inputs.map((v) => v && known.get(v)!)
  const replaced = Object.hasOwn(replacements, node.op) ? replacements[node.op]!(b, inputs, node) : undefined
  if (replaced) return replaced
  // A barrier is a node of its own for every use; merging two would undo what they keep apart.
  const barrier = node.op === "Reshape" && node.inputs[1]!.node.op !== "Constant"
  return graph.apply(node.op, inputs, node.outputs, node.attributes, node.domain, barrier)
}
