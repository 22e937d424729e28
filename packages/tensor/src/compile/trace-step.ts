/** Traces a step into a graph. */
import type * as tf from "@tensorflow/tfjs-core"
import type { Distribution } from "../draws.ts"
import { ShapeMismatch } from "../errors.ts"
import { checkState, describeShape } from "../program.ts"
import type { HostType, Randomness, Step } from "../step.ts"
import type { Builder } from "./builder.ts"
import { foldFactors } from "./fold-factors.ts"
import type { Value } from "./graph.ts"
import { type Trace, traced } from "./tracer.ts"

/** Shapes of named tensors. */
export type Shapes = Readonly<Record<string, { readonly shape: readonly number[]; readonly dtype: HostType }>>

/** Random numbers that a step asked for: one input of the graph. */
export interface Draw {
  readonly distribution: Distribution
  readonly stream: string
  readonly shape: readonly number[]
  readonly value: Value
}

/** A step as a graph: every input and output by name. */
export interface TracedStep {
  readonly state: Readonly<Record<string, Value>>
  readonly batch: Readonly<Record<string, Value>>
  readonly draws: readonly Draw[]
  /** New values of the state entries that the step changes; all others keep theirs. */
  readonly next: Readonly<Record<string, Value>>
  readonly metrics: Readonly<Record<string, Value>>
}

/**
 * Calls the step once, with tensors that have shapes but no values, and records what it does.
 *
 * @throws ValueReadInStep, OpWithoutLowering, LargeCapturedConstant, HiddenRandomness, ShapeMismatch, and whatever the
 *   step itself throws
 */
export function traceStep(step: Step, state: Shapes, batch: Shapes): TracedStep {
  return traced((trace) => {
    const { builder } = trace
    const inputs = (kind: string, shapes: Shapes) => {
      const values: Record<string, Value> = {}
      const tensors: Record<string, tf.Tensor> = {}
      for (const [name, type] of Object.entries(shapes)) {
        const value = builder.graph.input(`${kind}/${name}`, type)
        values[name] = value
        tensors[name] = trace.tensor({ value, shape: type.shape })
      }
      return { values, tensors }
    }
    const before = inputs("state", state)
    const fed = inputs("batch", batch)
    const draws: Draw[] = []
    const result = step(before.tensors, fed.tensors, randomness(trace, draws))
    checkState(state, result.state)
    const next: Record<string, Value> = {}
    for (const [name, tensor] of Object.entries(result.state)) {
      const value = output(builder, trace, `state "${name}"`, tensor)
      if (value !== before.values[name]) next[name] = value
    }
    const metrics: Record<string, Value> = {}
    for (const [name, tensor] of Object.entries(result.metrics))
      metrics[name] = output(builder, trace, `metric "${name}"`, tensor)
    return foldFactors({ state: before.values, batch: fed.values, draws, next, metrics })
  })
}

function output(builder: Builder, trace: Trace, what: string, tensor: tf.Tensor): Value {
  if (!tensor || typeof tensor !== "object" || !("dataId" in tensor))
    throw new ShapeMismatch(what, "a tensor", typeof tensor)
  return builder.full(trace.handle(tensor, what))
}

function randomness(trace: Trace, draws: Draw[]): Randomness {
  const request = (distribution: Distribution) => (stream: string, shape: readonly number[]) => {
    const known = draws.find(
      (d) =>
        d.distribution === distribution &&
        d.stream === stream &&
        describeShape(d.value) === describeShape({ shape, dtype: "float32" }),
    )
    if (known) return trace.tensor({ value: known.value, shape })
    const value = trace.builder.graph.input(`random/${draws.length}`, { shape, dtype: "float32" })
    draws.push({ distribution, stream, shape: [...shape], value })
    return trace.tensor({ value, shape })
  }
  return { uniform: request("uniform"), normal: request("normal") }
}
