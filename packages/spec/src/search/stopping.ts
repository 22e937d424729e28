/**
 * Early stopping: which candidates are not worth finishing. A rule turns the curves of earlier candidates into limits
 * that are known before a trial begins, so whether and where it stops depends on its own curve and on theirs, never on
 * what happens to run at the same time.
 */
import type { Goal } from "./observation.ts"

/** Values of the judging metric of one earlier trial by rising step. */
export interface Curve {
  readonly points: ReadonlyArray<readonly [step: number, value: number]>
  /** It was carried out in full: neither stopped nor failed. */
  readonly finished: boolean
}

/**
 * Successive halving: at each rung (the steps `min`, `min·reduction`, `min·reduction²`, …) only the best
 * `1/reduction` of all trials that came so far go on (Li, Jamieson, Rostamizadeh et al., "A system for massively parallel
 * hyperparameter tuning", MLSys 2020, in the form that stops trials instead of pausing them).
 */
export interface Asha {
  readonly _tag: "Asha"
  readonly min: number
  readonly reduction: number
  readonly max?: number
}

/**
 * The median stopping rule: a trial stops at a step when its best value so far is worse than the median of the finished
 * trials' running averages up to that step (Golovin, Solnik, Moitra et al., "Google Vizier", KDD 2017, §3.2.1).
 */
export interface MedianRule {
  readonly _tag: "MedianRule"
  readonly after: number
  readonly every: number
  readonly trials: number
}

export type StoppingRule = Asha | MedianRule

/** A trial that has got to `step` and is worse than `threshold` stops there. */
export interface Limit {
  readonly step: number
  readonly threshold: number
}

/** What a trial is judged by while it runs; plain data, to be handed to the process that runs it. */
export interface Judgement {
  readonly rule: "ASHA" | "median rule"
  readonly metric: string
  readonly goal: Goal
  /** What is held against the limits: the value at the rung, or the best one up to it. */
  readonly by: "value" | "best"
  readonly limits: ReadonlyArray<Limit>
}

/** Why and where a trial was stopped. */
export interface EarlyStop {
  readonly rule: Judgement["rule"]
  readonly metric: string
  /** The rung: the step of the limit that was missed. */
  readonly rung: number
  /** The step at which it was found: the first logged one at or after the rung. */
  readonly step: number
  /** What was held against the limit; NaN for a value that was not finite. */
  readonly value: number
  readonly threshold: number
}

/** The name of a rule as it is printed. */
export const ruleName = (rule: StoppingRule): Judgement["rule"] => (rule._tag === "Asha" ? "ASHA" : "median rule")

const sign = (goal: Goal) => (goal === "min" ? -1 : 1)
/** A value as something to be maximised; what is not finite is worse than anything. */
const worth = (value: number, goal: Goal) => (Number.isFinite(value) ? sign(goal) * value : Number.NEGATIVE_INFINITY)

/** Whether a value misses a limit. Equals pass; what is not finite misses every limit. */
export const misses = (value: number, threshold: number, goal: Goal): boolean =>
  worth(value, goal) < worth(threshold, goal)

/**
 * The limits for the next trials.
 *
 * @param curves all earlier trials that were judged by the same rule, in any order
 */
export function judgement(
  rule: StoppingRule,
  curves: ReadonlyArray<Curve>,
  by: { readonly metric: string; readonly goal: Goal },
): Judgement {
  const common = { rule: ruleName(rule), metric: by.metric, goal: by.goal }
  return rule._tag === "Asha"
    ? { ...common, by: "value", limits: ashaLimits(rule, curves, by.goal) }
    : { ...common, by: "best", limits: medianLimits(rule, curves, by.goal) }
}

function ashaLimits(rule: Asha, curves: ReadonlyArray<Curve>, goal: Goal): ReadonlyArray<Limit> {
  // At its last step a trial is finished; stopping it there would save nothing.
  const last = rule.max ?? Math.max(...curves.map((curve) => (curve.finished ? (curve.points.at(-1)?.[0] ?? 0) : 0)))
  const limits: Limit[] = []
  for (let step = rule.min; step < last; step *= rule.reduction) {
    const values = curves
      .map((curve) => curve.points.find(([at]) => at >= step)?.[1])
      .filter((value) => value !== undefined)
      .map((value) => worth(value, goal))
      .sort((a, b) => b - a)
    // The trial itself is one of those at the rung.
    const places = Math.max(1, Math.floor((values.length + 1) / rule.reduction))
    const threshold = values[places - 1]
    if (threshold !== undefined && Number.isFinite(threshold)) limits.push({ step, threshold: sign(goal) * threshold })
  }
  return limits
}

function medianLimits(rule: MedianRule, curves: ReadonlyArray<Curve>, goal: Goal): ReadonlyArray<Limit> {
  const finished = curves.filter((curve) => curve.finished && curve.points.length > 0)
  if (finished.length < rule.trials) return []
  const last = Math.max(...finished.map((curve) => curve.points.at(-1)![0]))
  const steps = [...new Set(finished.flatMap((curve) => curve.points.map(([step]) => step)))].sort((a, b) => a - b)
  const limits: Limit[] = []
  const walks = finished.map((curve) => ({ points: curve.points, next: 0, sum: 0, count: 0 }))
  let due = rule.after
  for (const step of steps) {
    for (const walk of walks) {
      while (walk.next < walk.points.length && walk.points[walk.next]![0] <= step) {
        const value = worth(walk.points[walk.next++]![1], goal)
        // One value that is not finite makes no average; it stands for no better and no worse than the others.
        if (!Number.isFinite(value)) continue
        walk.sum += value
        walk.count++
      }
    }
    if (step < due || step >= last) continue
    due = step + rule.every
    const averages = walks
      .filter((walk) => walk.count > 0)
      .map((walk) => walk.sum / walk.count)
      .sort((a, b) => a - b)
    if (averages.length < rule.trials) continue
    const middle = averages.length >> 1
    const median = averages.length % 2 === 1 ? averages[middle]! : (averages[middle - 1]! + averages[middle]!) / 2
    limits.push({ step, threshold: sign(goal) * median })
  }
  return limits
}

/** Judges one trial as its values come. */
export class Judge {
  readonly #judgement: Judgement
  #next = 0
  #best = Number.NEGATIVE_INFINITY

  constructor(judgement: Judgement) {
    this.#judgement = judgement
  }

  /**
   * Takes in the next value of the judging metric. Each limit is judged once, by the first value at or after its step.
   *
   * @returns the stop, if the trial is not to go on
   */
  observe(step: number, value: number): EarlyStop | undefined {
    const { rule, metric, goal, by, limits } = this.#judgement
    const own = worth(value, goal)
    this.#best = Math.max(this.#best, own)
    const judged = by === "best" ? this.#best : own
    for (; this.#next < limits.length && limits[this.#next]!.step <= step; this.#next++) {
      const { step: rung, threshold } = limits[this.#next]!
      if (judged >= worth(threshold, goal)) continue
      return {
        rule,
        metric,
        rung,
        step,
        value: Number.isFinite(judged) ? sign(goal) * judged : Number.NaN,
        threshold,
      }
    }
    return undefined
  }
}

/** Whether a recorded stop would be decided again under this judgement: then the trial need not be run again. */
export function stands(stop: Pick<EarlyStop, "rule" | "metric" | "rung" | "value">, judgement: Judgement): boolean {
  if (stop.rule !== judgement.rule || stop.metric !== judgement.metric) return false
  const limit = judgement.limits.find(({ step }) => step === stop.rung)
  return limit !== undefined && misses(stop.value, limit.threshold, judgement.goal)
}

/** One line for a run's record: what happened, where, against what. */
export const stopMessage = (stop: EarlyStop): string =>
  `stopped early by the ${stop.rule === "ASHA" ? "ASHA rule" : stop.rule} at step ${stop.step} (rung ${stop.rung}): ${stop.metric} ${Number(stop.value.toPrecision(6))} is worse than the limit ${Number(stop.threshold.toPrecision(6))} that earlier candidates set`
