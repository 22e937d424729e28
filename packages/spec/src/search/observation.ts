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
  const grade = ({ outcome }: Observation): number => {
    if (outcome === undefined || outcome.status === "failed") return 2
    if (outcome.status === "stopped") return 1
    return Number.isFinite(outcome.score) ? 0 : 2
  }
  const worth = (score: number) => (Number.isFinite(score) ? sign * score : Number.POSITIVE_INFINITY)
  const compare = (a: Observation, b: Observation): number => {
    const level = grade(a) - grade(b)
    if (level !== 0) return level
    const [x, y] = [a.outcome!, b.outcome!]
    if (x.status === "stopped" && y.status === "stopped" && x.step !== y.step) return y.step - x.step
    if (x.status !== "failed" && y.status !== "failed") {
      const [p, q] = [worth(x.score), worth(y.score)]
      if (p !== q) return p < q ? -1 : 1
    }
    return a.index - b.index
  }
  return observations.filter(({ outcome }) => outcome !== undefined).sort(compare)
}
