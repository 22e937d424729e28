/**
 * The random numbers of steps, on the host. One definition serves the eager randomness and the inputs of compiled
 * programs, so that the two cannot differ.
 */
import { fillNormal, fillUniform, key } from "@exp/random"
import type { HostTensor, StepTime } from "./step.ts"

/** Distributions that a step can ask for. */
export type Distribution = "uniform" | "normal"

/**
 * The numbers of one request: element i of stream `stream` at (seed, step), whatever else the step asks for.
 *
 * @param into written over when given (its length must be the product of `shape`), else a new array
 */
export function draw(
  distribution: Distribution,
  stream: string,
  shape: readonly number[],
  at: StepTime,
  into?: Float32Array,
): HostTensor {
  const data = into ?? new Float32Array(shape.reduce((a, b) => a * b, 1))
  const k = key(at.seed, stream, at.step)
  if (distribution === "uniform") fillUniform(k, data)
  else fillNormal(k, data)
  return { data, shape, dtype: "float32" }
}
