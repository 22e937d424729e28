/** What a `tune` may say about how it searches and which candidates it gives up: the values of `search` and `stop`. */
import { show } from "./errors.ts"
import { isFields } from "./merge.ts"
import { pointKey } from "./search/points.ts"
import type { Asha, MedianRule, StoppingRule } from "./search/stopping.ts"
import { tpeDefaults } from "./search/tpe.ts"

export type { Asha, MedianRule, StoppingRule } from "./search/stopping.ts"

/** An adaptive search by a tree-structured Parzen estimator. Make one with {@link tpe}. */
export interface Tpe {
  readonly _tag: "Tpe"
  readonly trials: number
  readonly seed: number
  readonly startup: number
  readonly quantile: number
  readonly draws: number
}

/** How candidates are come by. */
export type Search = Tpe

/** Candidates under way at the same time in each condition, when the declaration does not say. */
export const defaultParallel = 4

/**
 * `search: tpe({ trials: 50 })`: so many candidates for each arm, each of them chosen in the light of the earlier ones
 * (Bergstra et al. 2011). The first `startup` (default 10) spread evenly over the space.
 *
 * Candidates are proposed in rounds of `tune.parallel`. A proposal depends on the seed and on the results of the earlier
 * rounds, never on timing or on the number of workers, so an interrupted search goes on as if nothing had happened.
 *
 * @param options.seed another seed gives another search (default 0); arms with the same space begin alike
 * @param options.quantile part of the candidates that counts as good (default 0.15)
 * @param options.draws points considered for each proposal (default 24)
 */
export function tpe(options: {
  readonly trials: number
  readonly seed?: number
  readonly startup?: number
  readonly quantile?: number
  readonly draws?: number
}): Tpe {
  return { _tag: "Tpe", ...tpeDefaults, ...options }
}

/**
 * `stop: asha({ min: 1 })`: at the steps `min`, `min·reduction`, `min·reduction²`, … only the best `1/reduction` of the
 * candidates that got there go on (successive halving; Li et al. 2020). Steps are those of `trial.log`; the metric is
 * `tune.by`, which the task has to log on its way.
 *
 * A trial is held against the candidates of earlier rounds only, so what is stopped, and where, does not depend on
 * timing.
 *
 * @param options.reduction how much sharper each rung is, and how much further it is away (default 3)
 * @param options.max the step at which trials end; without it, the last one that a finished candidate logged
 */
export function asha(options: { readonly min: number; readonly reduction?: number; readonly max?: number }): Asha {
  return { _tag: "Asha", reduction: 3, ...options }
}

/**
 * `stop: medianRule({ after: 2 })`: a trial ends at a step when its best value so far is worse than the median of the
 * running averages of the finished candidates (Golovin et al. 2017). Steps and metric are as in {@link asha}.
 *
 * @param options.after the first step at which trials are judged
 * @param options.every least distance between two judgements (default 1)
 * @param options.trials finished candidates that it takes before any is stopped (default 5)
 */
export function medianRule(options: {
  readonly after: number
  readonly every?: number
  readonly trials?: number
}): MedianRule {
  return { _tag: "MedianRule", every: 1, trials: 5, ...options }
}

type Flaw = { readonly field: string; readonly expected: string; readonly got: string }

const whole = (value: unknown, least: number) => Number.isSafeInteger(value) && (value as number) >= least
const positive = (value: unknown) => typeof value === "number" && Number.isFinite(value) && value > 0

function* flaws(
  value: Readonly<Record<string, unknown>>,
  rules: Readonly<Record<string, readonly [expected: string, sound: (value: unknown) => boolean]>>,
): Iterable<Flaw> {
  for (const [field, [expected, sound]] of Object.entries(rules))
    if (!sound(value[field])) yield { field, expected, got: show(value[field]) }
  for (const field of Object.keys(value))
    if (field !== "_tag" && !Object.hasOwn(rules, field))
      yield { field, expected: `one of ${Object.keys(rules).join(", ")}`, got: show(value[field]) }
}

/** What is wrong with the value of `search`. */
export function searchFlaws(search: unknown): ReadonlyArray<Flaw> {
  if (!isFields(search) || search["_tag"] !== "Tpe")
    return [{ field: "", expected: "tpe({ trials: … })", got: show(search) }]
  return [
    ...flaws(search, {
      trials: ["a whole number of candidates from 1 to 100000", (n) => whole(n, 1) && (n as number) <= 100_000],
      seed: ["a whole number from 0", (n) => whole(n, 0)],
      startup: ["a whole number from 1", (n) => whole(n, 1)],
      quantile: ["a number above 0 and below 1", (x) => positive(x) && (x as number) < 1],
      draws: ["a whole number from 1", (n) => whole(n, 1)],
    }),
  ]
}

/** What is wrong with the value of `stop`. */
export function stopFlaws(stop: unknown): ReadonlyArray<Flaw> {
  const tag = isFields(stop) ? stop["_tag"] : undefined
  if (!isFields(stop) || (tag !== "Asha" && tag !== "MedianRule"))
    return [{ field: "", expected: "asha({ min: … }) or medianRule({ after: … })", got: show(stop) }]
  if (tag === "MedianRule") {
    return [
      ...flaws(stop, {
        after: ["a step, a number above 0", positive],
        every: ["a number of steps above 0", positive],
        trials: ["a whole number of candidates from 1", (n) => whole(n, 1)],
      }),
    ]
  }
  return [
    ...flaws(stop, {
      min: ["a step, a number above 0", positive],
      reduction: ["a number above 1", (x) => positive(x) && (x as number) > 1],
      max: [
        "a step above min, or nothing",
        (x) => x === undefined || (positive(x) && (x as number) > (stop["min"] as number)),
      ],
    }),
  ]
}

/** A rule in one line: `ASHA, rungs at 1, 3, 9, … of val/accuracy`. */
export function describeRule(rule: StoppingRule, metric: string): string {
  if (rule._tag === "MedianRule")
    return `median rule from step ${rule.after} of ${metric} on, once ${rule.trials} candidates have finished`
  const rungs: number[] = []
  for (let step = rule.min; rungs.length < 4 && step < (rule.max ?? Number.POSITIVE_INFINITY); step *= rule.reduction)
    rungs.push(Number(step.toPrecision(6)))
  return `ASHA, rungs at ${rungs.join(", ")}${rungs.length === 4 ? ", …" : ""} of ${metric}, the best 1/${rule.reduction} go on`
}

/** Whether two points are the same one. */
export const samePoint = (a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): boolean =>
  pointKey(a) === pointKey(b)
