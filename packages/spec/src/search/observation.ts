import type { SearchPoint } from "./parameter.ts"

/** How a candidate came out. */
export type Outcome =
  /** Carried out in full. A score that is not finite counts as failed. */
  | { readonly status: "finished"; readonly score: number }
  /** Ended early by a stopping rule, after this step, at this value of the metric. */
  | { readonly status: "stopped"; readonly step: number; readonly score: number }
  | { readonly status: "failed" }

/** A candidate that was proposed. Without an outcome it is still under way. */
export interface Observation {
  /** Its number in the search, from 0. */
  readonly index: number
  readonly point: SearchPoint
  readonly outcome?: Outcome | undefined
}

/** Which way a score is better. */
export type Goal = "max" | "min"

/**
 * The observations that have an outcome, best first: finished ones by score; then stopped ones, those that came further
 * before those that were stopped sooner, and by value where they came equally far; then failed ones. Equals keep the
 * order of their numbers, so the order in which outcomes became known is of no account.
 */
export function ranked(observations: ReadonlyArray<Observation>, goal: Goal): ReadonlyArray<Observation> {
  const sign = goal === "min" ? 1 : -1
  const told = observations.filter(({ outcome }) => outcome !== undefined)
  // Everything that decides, as numbers of which the lesser is better, found once for each and not at each comparison.
  const keys = new Float64Array(3 * told.length)
  for (const [i, { outcome }] of told.entries()) {
    const score = outcome!.status === "failed" ? Number.NaN : outcome!.score
    const finite = Number.isFinite(score)
    keys[3 * i] = outcome!.status === "stopped" ? 1 : outcome!.status === "finished" && finite ? 0 : 2
    keys[3 * i + 1] = outcome!.status === "stopped" ? -outcome!.step : 0
    keys[3 * i + 2] = finite ? sign * score : Number.POSITIVE_INFINITY
  }
  const order = Array.from(told.keys()).sort((a, b) => {
    for (let k = 0; k < 3; k++) {
      const x = keys[3 * a + k]!
      const y = keys[3 * b + k]!
      if (x !== y) return x < y ? -1 : 1
    }
    return told[a]!.index - told[b]!.index
  })
  return order.map((i) => told[i]!)
}
