import type { Report } from "@exp/engine"
import { holm, type MeanInterval, meanInterval, type PairedComparison, pairedComparison } from "@exp/ranking"
import type { RunListItem, Store } from "@exp/store"

/** A trial of the comparison: one seed of one condition. */
export interface ComparedTrial {
  readonly seed: number
  /** Whether it has finished; its metrics count only then. */
  readonly finished: boolean
  readonly failed: boolean
  readonly stale: boolean
  readonly milliseconds: number
  readonly metrics: Readonly<Record<string, number>>
}

/** What is compared: conditions in the order of the plan, each with its trials. */
export interface Comparison {
  readonly experiment: string
  readonly metric: string
  readonly goal: "max" | "min"
  readonly unit: string | undefined
  /** Label of the condition that the others are compared with. */
  readonly baseline: string
  readonly conditions: readonly {
    readonly label: string
    readonly arm: string
    readonly trials: readonly ComparedTrial[]
  }[]
}

/** Metrics that the table shows beside the compared one. */
export const costMetrics = ["mem/trainable", "mem/state"] as const

/** The comparison that a run came to. */
export function comparisonOfReport(report: Report): Comparison {
  const { metric, goal, unit } = report.compare[0]!
  return {
    experiment: report.experiment,
    metric,
    goal,
    unit,
    baseline: report.baseline ?? report.conditions[0]!.label,
    conditions: report.conditions.map(({ label, arm }) => ({
      label,
      arm,
      trials: report.trials
        .filter((trial) => trial.phase === "compare" && trial.condition === label)
        .map((trial) => ({
          seed: trial.seed,
          finished: trial.status === "completed" || trial.status === "reused",
          failed: trial.status === "failed",
          stale: trial.stale,
          milliseconds: trial.durationMs ?? Number.NaN,
          metrics: trial.metrics,
        })),
    })),
  }
}

/** The comparison that a database holds of an experiment, whether it is finished or not. */
export function comparisonOfStore(store: Store, experiment: string, profile: string, metric?: string): Comparison {
  const row = store.experiments.get(experiment)!
  const compared = metric ?? (typeof row.compare === "string" ? (JSON.parse(row.compare) as string[]) : row.compare)[0]!
  const declared = store.metrics.names().find(({ name }) => name === compared)
  const members = store.experiments.trials(experiment, profile).filter((member) => member.phase === "compare")
  const latest = new Map<string, RunListItem>()
  const place = { experiment, profile, phase: "compare", metrics: [compared, ...costMetrics] } as const
  for (const run of store.queries.ofTrials(
    members.map((member) => member.trialId),
    place,
  )) {
    const known = latest.get(run.trialId)
    if (known === undefined || (known.status !== "completed" && run.status === "completed"))
      latest.set(run.trialId, run)
  }
  const labels = [...new Set(members.map((member) => member.condition))]
  return {
    experiment,
    metric: compared,
    goal: declared?.goal ?? "max",
    unit: declared?.unit ?? undefined,
    baseline: row.baseline !== null && labels.includes(row.baseline) ? row.baseline : labels[0]!,
    conditions: labels.map((label) => {
      const own = members.filter((member) => member.condition === label)
      return {
        label,
        arm: own[0]!.arm,
        trials: own.map((member) => {
          const run = latest.get(member.trialId)
          return {
            seed: run?.seed ?? Number.NaN,
            finished: run?.status === "completed",
            failed: run?.status === "failed",
            stale: false,
            milliseconds:
              run === undefined || run.startedAt === null || run.finishedAt === null
                ? Number.NaN
                : run.finishedAt - run.startedAt,
            metrics: run?.metrics ?? {},
          }
        }),
      }
    }),
  }
}

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

const meanOf = (trials: readonly ComparedTrial[], metric: string): number => {
  const values = trials.map((trial) => trial.metrics[metric]).filter((x): x is number => x !== undefined)
  return values.length === 0 ? Number.NaN : values.reduce((sum, x) => sum + x, 0) / values.length
}

/** Mean and 95 % interval; all NaN for a condition without a finished trial. */
const intervalOf = (values: readonly number[]): MeanInterval =>
  values.length > 0
    ? meanInterval(values)
    : { n: 0, mean: Number.NaN, sd: Number.NaN, low: Number.NaN, high: Number.NaN, level: 0.95 }

/** A paired comparison over the seeds that both have; undefined below two pairs. */
function pairedBySeed(ours: ConditionSummary["values"], theirs: ConditionSummary["values"]) {
  const of = new Map(theirs.map(({ seed, value }) => [seed, value]))
  const pairs = ours.filter(({ seed }) => of.has(seed))
  if (pairs.length < 2) return undefined
  return pairedComparison(
    pairs.map(({ value }) => value),
    pairs.map(({ seed }) => of.get(seed)!),
  )
}

/**
 * A comparison for each point of the sweep: arms are compared with each other at equal conditions, never across the
 * points of a sweep. Without a sweep there is one.
 */
export function byPoint(comparison: Comparison): readonly (Comparison & { readonly point: string })[] {
  const pointOf = ({ label, arm }: { label: string; arm: string }) => label.slice(arm.length).trim()
  const points = [...new Set(comparison.conditions.map(pointOf))]
  const baseArm = comparison.conditions.find(({ label }) => label === comparison.baseline)?.arm ?? comparison.baseline
  return points.map((point) => {
    const conditions = comparison.conditions.filter((condition) => pointOf(condition) === point)
    return {
      ...comparison,
      point,
      conditions: conditions.map((condition) => ({ ...condition, label: condition.arm })),
      baseline: conditions.some(({ arm }) => arm === baseArm) ? baseArm : conditions[0]!.arm,
    }
  })
}

/**
 * Summarises a comparison: mean and 95 % interval per condition, differences to the baseline paired by seed with a
 * Holm-corrected t-test, and a verdict that names a winner only where the data support one.
 */
export function summarise(comparison: Comparison): ComparisonSummary {
  const { metric, goal, unit, baseline } = comparison
  const plain = comparison.conditions.map(({ label, arm, trials }) => {
    const done = trials.filter((trial) => trial.finished)
    const values = done
      .map((trial) => ({ seed: trial.seed, value: trial.metrics[metric] ?? Number.NaN }))
      .filter(({ value }) => Number.isFinite(value))
    const times = done.map((trial) => trial.milliseconds).filter(Number.isFinite)
    return {
      label,
      arm,
      value: intervalOf(values.map(({ value }) => value)),
      values,
      missing: trials.length - values.length,
      failed: trials.filter((trial) => trial.failed).length,
      stale: trials.filter((trial) => trial.stale).length,
      trainable: meanOf(done, costMetrics[0]),
      stateBytes: meanOf(done, costMetrics[1]),
      milliseconds: times.reduce((sum, x) => sum + x, 0) / times.length,
    }
  })
  const base = plain.find((row) => row.label === baseline)?.values ?? []
  const rows = plain.map((row) => ({
    ...row,
    paired: row.label === baseline ? undefined : pairedBySeed(row.values, base),
  }))
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
  const tests = others.map((other) => pairedBySeed(best.values, other.values))
  const pValues = holm(tests.map((test) => test?.pValue ?? 1))
  const tied = others.filter((_, i) => !(pValues[i]! < level))
  if (tied.length === 0) {
    const without = conditions.length - measured.length
    const left = without === 0 ? "" : ` ${without} without results could not be compared.`
    return `${best.label} is best: better than every other measured arm (paired t-tests over seeds, Holm-corrected, p < ${level}).${left}`
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
