/** Tests between subjects over the seeds that they share, and their place on the front of value against cost. */
import { holm, type MeanInterval, meanInterval, type PairedComparison, pairedComparison } from "@exp/ranking"
import type { Store } from "@exp/store"
import type { Subject } from "./subjects.ts"

/** The name under which the wall time of a run is a cost. */
export const secondsCost = "seconds"

/** Costs that are weighed when none are named, as far as they are recorded. */
export const usualCosts = ["mem/state", "mem/trainable", "flops/step", secondsCost] as const

/** Finite values of a metric by seed; `seconds` is the wall time of the run. */
export function valuesBySeed(subject: Subject, metric: string): { readonly seed: number; readonly value: number }[] {
  return subject.runs
    .map((run) => ({
      seed: run.seed,
      value:
        metric === secondsCost
          ? run.startedAt === null || run.finishedAt === null
            ? Number.NaN
            : (run.finishedAt - run.startedAt) / 1000
          : (run.metrics[metric] ?? Number.NaN),
    }))
    .filter(({ value }) => Number.isFinite(value))
}

/** Goal and unit of a metric. */
export function declaredMetric(store: Store, metric: string): { goal: "max" | "min"; unit: string | undefined } {
  if (metric === secondsCost) return { goal: "min", unit: "s" }
  const known = store.metrics.names().find(({ name }) => name === metric)
  return { goal: known?.goal ?? "max", unit: known?.unit ?? undefined }
}

/** A mean over seeds; `interval` is undefined without a finite value. */
export interface SubjectValue {
  readonly label: string
  readonly interval: MeanInterval | undefined
  readonly values: readonly { readonly seed: number; readonly value: number }[]
}

/** One paired test, `a` minus `b`. */
export interface PairTest {
  readonly a: string
  readonly b: string
  /** Undefined where the two share fewer than two seeds. */
  readonly result: PairedComparison | undefined
  readonly seeds: readonly number[]
  /** p of the t test and of Wilcoxon's test after Holm's correction over all tests of this metric. */
  readonly correctedT: number
  readonly correctedWilcoxon: number
  /** Whether the corrected t test separates the two at 1 − level, and who is better then. */
  readonly better: string | undefined
}

export interface MetricComparison {
  readonly metric: string
  readonly goal: "max" | "min"
  readonly unit: string | undefined
  readonly subjects: readonly SubjectValue[]
  readonly tests: readonly PairTest[]
}

/**
 * Compares subjects in one metric: means with t intervals, and tests of differences paired by seed, of each subject
 * against the first or of every pair. Holm's correction runs over the tests of the metric.
 */
export function compareMetric(
  store: Store,
  subjects: readonly Subject[],
  metric: string,
  options: { readonly pairs: boolean; readonly level: number },
): MetricComparison {
  const { goal, unit } = declaredMetric(store, metric)
  const rows = subjects.map((subject) => {
    const values = valuesBySeed(subject, metric)
    return {
      label: subject.label,
      values,
      interval:
        values.length === 0
          ? undefined
          : meanInterval(
              values.map(({ value }) => value),
              options.level,
            ),
    }
  })
  const pairs = rows.flatMap((a, i) => rows.slice(0, options.pairs ? i : Math.min(i, 1)).map((b) => [a, b] as const))
  const raw = pairs.map(([a, b]) => {
    const theirs = new Map(b.values.map(({ seed, value }) => [seed, value]))
    const shared = a.values.filter(({ seed }) => theirs.has(seed))
    const result =
      shared.length < 2
        ? undefined
        : pairedComparison(
            shared.map(({ value }) => value),
            shared.map(({ seed }) => theirs.get(seed)!),
            { level: options.level },
          )
    return { a: a.label, b: b.label, result, seeds: shared.map(({ seed }) => seed) }
  })
  const t = holm(raw.map(({ result }) => result?.pValue ?? Number.NaN))
  const w = holm(raw.map(({ result }) => result?.wilcoxon.pValue ?? Number.NaN))
  const sign = goal === "max" ? 1 : -1
  const tests = raw.map((test, i) => ({
    ...test,
    correctedT: t[i]!,
    correctedWilcoxon: w[i]!,
    better:
      test.result !== undefined && t[i]! < 1 - options.level
        ? sign * test.result.difference > 0
          ? test.a
          : test.b
        : undefined,
  }))
  return { metric, goal, unit, subjects: rows, tests }
}

/** One subject among value and costs, by their means. */
export interface ParetoPoint {
  readonly label: string
  readonly value: number
  readonly costs: Readonly<Record<string, number>>
  /** Costs for which no other subject is at least as good in both, and better in one. */
  readonly frontOf: readonly string[]
  /** Nothing else is at least as good in the value and all costs together, and better in one. */
  readonly efficient: boolean
  readonly dominatedBy: readonly string[]
}

const meanOf = (values: readonly { readonly value: number }[]): number =>
  values.length === 0 ? Number.NaN : values.reduce((sum, { value }) => sum + value, 0) / values.length

/** Whether `a` is at least as small as `b` everywhere and smaller somewhere. */
const dominates = (a: readonly number[], b: readonly number[]): boolean =>
  a.every((x, i) => x <= b[i]!) && a.some((x, i) => x < b[i]!)

/** The subjects by value and cost, cheapest first in the first cost. Costs that nobody recorded are left out. */
export function paretoFront(
  store: Store,
  subjects: readonly Subject[],
  metric: string,
  costs: readonly string[],
): { readonly metric: string; readonly costs: readonly string[]; readonly points: readonly ParetoPoint[] } {
  const { goal } = declaredMetric(store, metric)
  const sign = goal === "max" ? -1 : 1
  const recorded = costs.filter((cost) => subjects.some((subject) => valuesBySeed(subject, cost).length > 0))
  const rows = subjects
    .map((subject) => ({
      label: subject.label,
      value: meanOf(valuesBySeed(subject, metric)),
      costs: Object.fromEntries(recorded.map((cost) => [cost, meanOf(valuesBySeed(subject, cost))])),
    }))
    .filter((row) => Number.isFinite(row.value))
  // A cost for which more is better (compression ratios) counts the other way round.
  const signOf = new Map(recorded.map((cost) => [cost, signOfCost(store, cost)]))
  const vector = (row: (typeof rows)[number], of: readonly string[]) => [
    sign * row.value,
    ...of.map((cost) => signOf.get(cost)! * row.costs[cost]!),
  ]
  const complete = (row: (typeof rows)[number], of: readonly string[]) =>
    of.every((cost) => Number.isFinite(row.costs[cost]))
  const beaten = (row: (typeof rows)[number], of: readonly string[]) =>
    rows.filter((other) => other !== row && complete(other, of) && dominates(vector(other, of), vector(row, of)))
  const points = rows.map((row) => {
    const dominatedBy = complete(row, recorded) ? beaten(row, recorded).map(({ label }) => label) : []
    return {
      ...row,
      frontOf: recorded.filter((cost) => Number.isFinite(row.costs[cost]) && beaten(row, [cost]).length === 0),
      efficient: complete(row, recorded) && dominatedBy.length === 0,
      dominatedBy,
    }
  })
  const by = recorded[0]
  points.sort((a, b) => (by === undefined ? 0 : a.costs[by]! - b.costs[by]!) || sign * (a.value - b.value))
  return { metric, costs: recorded, points }
}

/** −1 for a metric that is declared with the goal max, 1 for one that is undeclared or to be small. */
function signOfCost(store: Store, cost: string): number {
  return store.metrics.names().find(({ name }) => name === cost)?.goal === "max" ? -1 : 1
}
