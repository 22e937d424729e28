import { holm, meanInterval, pairedComparison } from "@exp/ranking"
import type { FinalValue } from "@exp/store"

/** A compared condition with what its finished seeds give. */
export interface ArmLine {
  readonly label: string
  /** Seeds with a finite value, and seeds planned. */
  readonly n: number
  readonly planned: number
  readonly diverged: number
  readonly mean: number
  /** 95 % t interval of the mean; NaN below two seeds. */
  readonly low: number
  readonly high: number
  /** Paired difference of the best arm to this one with its Holm-corrected p value; NaN where there are no two pairs. */
  readonly behind: number
  readonly p: number
  /** Best, and better than every other condition in Holm-corrected paired tests over seeds. */
  readonly supported: boolean
  /** These seeds do not separate it from the best (which it may be itself). */
  readonly tied: boolean
}

/**
 * The conditions in the order of the plan, with the best one marked only where the seeds support it. Arms are compared
 * at equal conditions: within a point of the sweep, never across points.
 */
export function armLines(
  planned: readonly PlannedCondition[],
  values: readonly Final[],
  goal: "max" | "min",
): ArmLine[] {
  const points = Map.groupBy(planned, ({ arm, condition }) => condition.slice(arm.length).trim())
  const lines = new Map(
    [...points.values()].flatMap((part) => atOnePoint(part, values, goal).map((line) => [line.label, line] as const)),
  )
  return planned.map(({ condition }) => lines.get(condition)!)
}

type Final = Pick<FinalValue, "condition" | "seed" | "value">

/** A condition of the plan and how many seeds it is to have. */
export interface PlannedCondition {
  readonly arm: string
  readonly condition: string
  readonly planned: number
}

function atOnePoint(planned: readonly PlannedCondition[], values: readonly Final[], goal: "max" | "min"): ArmLine[] {
  const of = new Map<string, { seed: number; value: number }[]>()
  const diverged = new Map<string, number>()
  for (const { condition, seed, value } of values) {
    if (Number.isFinite(value)) {
      const own = of.get(condition)
      if (own === undefined) of.set(condition, [{ seed, value }])
      else own.push({ seed, value })
    } else diverged.set(condition, (diverged.get(condition) ?? 0) + 1)
  }
  const rows = planned.map(({ condition, planned }) => {
    const own = of.get(condition) ?? []
    const interval = own.length > 0 ? meanInterval(own.map((each) => each.value)) : undefined
    return { condition, planned, own, mean: interval?.mean ?? Number.NaN, interval }
  })
  const sign = goal === "max" ? 1 : -1
  const best = rows
    .filter((row) => row.own.length > 0)
    .reduce<(typeof rows)[number] | undefined>(
      (a, b) => (a === undefined || sign * (b.mean - a.mean) > 0 ? b : a),
      undefined,
    )
  const others = rows.filter((row) => row !== best)
  const tests = others.map((row) => compared(best?.own ?? [], row.own))
  const p = holm(tests.map((test) => test?.pValue ?? 1))
  const separated = best !== undefined && others.length > 0 && p.every((value) => value < 0.05)
  const rivals = rows.filter((row) => row.own.length > 0).length > 1
  return rows.map((row): ArmLine => {
    const at = others.indexOf(row)
    const test = tests[at]
    return {
      label: row.condition,
      n: row.own.length,
      planned: row.planned,
      diverged: diverged.get(row.condition) ?? 0,
      mean: row.mean,
      low: row.interval?.low ?? Number.NaN,
      high: row.interval?.high ?? Number.NaN,
      behind: test?.difference ?? Number.NaN,
      p: test === undefined ? Number.NaN : p[at]!,
      supported: row === best && separated,
      tied: row === best ? rivals && !separated : row.own.length > 0 && !(at >= 0 && p[at]! < 0.05),
    }
  })
}

type Values = readonly { readonly seed: number; readonly value: number }[]

function compared(best: Values, other: Values) {
  const of = new Map(other.map(({ seed, value }) => [seed, value]))
  const pairs = best.filter(({ seed }) => of.has(seed))
  if (pairs.length < 2) return undefined
  const { pValue, difference } = pairedComparison(
    pairs.map(({ value }) => value),
    pairs.map(({ seed }) => of.get(seed)!),
    { resamples: 0 },
  )
  return { pValue, difference }
}
