import type { Report, TrialReport } from "@exp/engine"
import { holm, type MeanInterval, meanInterval, type PairedComparison, pairedComparison } from "@exp/ranking"

/** One condition of an experiment, summarised over its seeds. */
export interface ConditionSummary {
  readonly label: string
  readonly arm: string
  /** The compared metric over the seeds that finished with a finite value. */
  readonly value: MeanInterval
  readonly values: readonly { readonly seed: number; readonly value: number }[]
  /** Trials that are planned but have no finite value, by why. */
  readonly missing: number
  readonly failed: number
  readonly stale: number
  /** Means over the same seeds of what a method costs; NaN where it is not recorded. */
  readonly trainable: number
  readonly stateBytes: number
  readonly milliseconds: number
  /** Against the first arm, over the seeds that both have; undefined for the first arm itself and below two pairs. */
  readonly paired: PairedComparison | undefined
  /** p of the paired t-test after Holm's correction over all conditions of the table. */
  readonly corrected: number | undefined
}

/** The comparison that a run ends with. */
export interface ComparisonSummary {
  readonly metric: string
  readonly goal: "max" | "min"
  readonly unit: string | undefined
  readonly baseline: string
  readonly conditions: readonly ConditionSummary[]
  /** What the data support, in one or two sentences. */
  readonly verdict: string
}

/** Significance level of the corrected tests. */
const level = 0.05

const finished = (trial: TrialReport) => trial.status === "completed" || trial.status === "reused"

const meanOf = (trials: readonly TrialReport[], metric: string): number => {
  const values = trials.map((trial) => trial.metrics[metric]).filter((x): x is number => x !== undefined)
  return values.length === 0 ? Number.NaN : values.reduce((sum, x) => sum + x, 0) / values.length
}

/**
 * Summarises a report: mean and 95 % interval per condition, differences to the baseline paired by seed with a
 * Holm-corrected t-test, and a verdict that names a winner only where the data support one.
 */
export function summarise(report: Report): ComparisonSummary {
  const { metric, goal, unit } = report.compare[0]!
  const compared = report.trials.filter((trial) => trial.phase === "compare")
  const baseline = report.baseline ?? report.conditions[0]!.label
  const valuesOf = (label: string) =>
    compared
      .filter((trial) => trial.condition === label && finished(trial))
      .map((trial) => ({ seed: trial.seed, value: trial.metrics[metric] ?? Number.NaN }))
      .filter(({ value }) => Number.isFinite(value))
  const base = new Map(valuesOf(baseline).map(({ seed, value }) => [seed, value]))

  const rows = report.conditions.map((condition) => {
    const trials = compared.filter((trial) => trial.condition === condition.label)
    const done = trials.filter(finished)
    const values = valuesOf(condition.label)
    const pairs = condition.label === baseline ? [] : values.filter(({ seed }) => base.has(seed))
    const paired =
      pairs.length < 2
        ? undefined
        : pairedComparison(
            pairs.map(({ value }) => value),
            pairs.map(({ seed }) => base.get(seed)!),
          )
    return {
      label: condition.label,
      arm: condition.arm,
      value: meanInterval(values.map(({ value }) => value)),
      values,
      missing: trials.length - values.length,
      failed: trials.filter((trial) => trial.status === "failed").length,
      stale: trials.filter((trial) => trial.stale).length,
      trainable: meanOf(done, "mem/trainable"),
      stateBytes: meanOf(done, "mem/state_bytes"),
      milliseconds: done.reduce((sum, trial) => sum + (trial.durationMs ?? Number.NaN), 0) / done.length,
      paired,
    }
  })
  const tested = rows.filter((row) => row.paired !== undefined)
  const corrected = holm(tested.map((row) => row.paired!.pValue))
  const conditions = rows.map((row) => {
    const at = tested.indexOf(row)
    return { ...row, corrected: at < 0 ? undefined : corrected[at] }
  })
  return { metric, goal, unit, baseline, conditions, verdict: verdict(conditions, baseline, metric, goal) }
}

/** The best condition is named only when it beats every other one in a Holm-corrected paired test. */
function verdict(
  conditions: readonly ConditionSummary[],
  baseline: string,
  metric: string,
  goal: "max" | "min",
): string {
  const measured = conditions.filter((condition) => condition.value.n > 0)
  if (measured.length === 0) return `No finished trial has a finite ${metric}.`
  if (measured.length === 1) return `Only ${measured[0]!.label} has results; there is nothing to compare it with.`
  const sign = goal === "max" ? 1 : -1
  const best = measured.reduce((a, b) => (sign * b.value.mean > sign * a.value.mean ? b : a))
  const others = measured.filter((condition) => condition !== best)
  const tests = others.map((other) => {
    const of = new Map(other.values.map(({ seed, value }) => [seed, value]))
    const pairs = best.values.filter(({ seed }) => of.has(seed))
    return pairs.length < 2
      ? undefined
      : pairedComparison(
          pairs.map(({ value }) => value),
          pairs.map(({ seed }) => of.get(seed)!),
        )
  })
  const pValues = holm(tests.map((test) => test?.pValue ?? 1))
  const tied = others.filter((_, i) => !(pValues[i]! < level))
  if (tied.length === 0) {
    return `${best.label} is best: better than every other condition (paired t-tests over seeds, Holm-corrected, p < ${level}).`
  }
  const names = tied.map((condition) => condition.label)
  const shown = names.length > 4 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ")
  const against = conditions.filter((c) => c.corrected !== undefined && c.corrected < level)
  const better = against.filter((c) => sign * c.paired!.difference > 0).map((c) => c.label)
  const worse = against.filter((c) => sign * c.paired!.difference < 0).map((c) => c.label)
  const lines = [`No single winner: ${best.label} has the best mean, but these seeds do not separate it from ${shown}.`]
  if (better.length > 0) lines.push(`Better than ${baseline}: ${better.join(", ")}.`)
  if (worse.length > 0) lines.push(`Worse than ${baseline}: ${worse.join(", ")}.`)
  return lines.join(" ")
}
