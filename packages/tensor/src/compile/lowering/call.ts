/** What a lowering gets: the operands of one kernel call. */
import type { Builder, Handle } from "../builder.ts"

/** One call of a TensorFlow.js kernel while tracing. */
export interface Call {
  readonly b: Builder
  /** Operands in order; of kernels that take a list, the list. */
  readonly list: readonly Handle[]
  /** An operand by its TensorFlow.js name. */
  readonly x: (name: string) => Handle
  /** Whether an optional operand was given. */
  readonly has: (name: string) => boolean
  // biome-ignore lint/suspicious/noExplicitAny: attribute types differ per kernel and are checked where they are read
  readonly attributes: any
}

/** Turns a kernel call into nodes. */
export type Lowering = (call: Call) => Handle | readonly Handle[]

/** Axes of a reduction: none given means all; negative ones count from the end. */
export function axesOf(axis: number | readonly number[] | null | undefined, rank: number): number[] {
  const all =
    axis === null || axis === undefined ? [...Array(rank).keys()] : typeof axis === "number" ? [axis] : [...axis]
  return all.map((a) => (a < 0 ? a + rank : a))
}
