/** The graph of a step without a device: for showing it, for its cost, for other programs. */
import type { ProgramGraph, Step } from "../step.ts"
import { costOf } from "./cost.ts"
import { modelHash } from "./engine.ts"
import { oneStep } from "./model.ts"
import { type Shapes, traceStep } from "./trace-step.ts"

/**
 * Compiles a step as the `cpu` device does, without running it. Needs shapes only, and no native package.
 *
 * @param shapes of the state and of one batch
 * @throws as compilation does: ValueReadInStep, OpWithoutLowering, …
 */
export function compiledGraph(step: Step, shapes: { readonly state: Shapes; readonly batch: Shapes }): ProgramGraph {
  const traced = traceStep(step, shapes.state, shapes.batch)
  const { bytes } = oneStep(traced)
  return { hash: modelHash(bytes), onnx: bytes, cost: costOf(traced) }
}
