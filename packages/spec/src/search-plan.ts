/** Tuning in rounds: which candidates a round tries, and by what they are judged on their way. */
import { defaultParallel, describeRule, type Search, type StoppingRule } from "./adaptive.ts"
import type { Point } from "./expand.ts"
import type { PlannedTrial } from "./plan.ts"
import type { Goal, Observation, Outcome } from "./search/observation.ts"
import { coordinates, type Parameter, type SearchSpace } from "./search/parameter.ts"
import { type Curve, type Judgement, judgement } from "./search/stopping.ts"
import { propose, walk } from "./search/tpe.ts"

export type { Outcome } from "./search/observation.ts"
export type { Curve, EarlyStop, Judgement } from "./search/stopping.ts"

/** How a tuning trial came out, as far as the search needs to know. */
export interface TuningResult {
  readonly outcome: Outcome
  /** Its values of the tuning metric; needed where a stopping rule is declared. */
  readonly curve?: Curve | undefined
}

/** The trials of a round, all candidates of a round before those of the next. */
export interface Round {
  readonly trials: ReadonlyArray<PlannedTrial>
  /** What each trial is judged by, by its id; none without a stopping rule. */
  readonly judgements: ReadonlyMap<string, Judgement>
}

/** How the tuning goes about it. Pure: the same results give the same rounds on every machine. */
export interface SearchPlan {
  /** `TPE`, or undefined where the candidates are known beforehand. */
  readonly method: "TPE" | undefined
  readonly search: Search | undefined
  readonly rule: StoppingRule | undefined
  /** Candidates of each condition, at most. */
  readonly candidates: number
  /** Candidates of each condition in a round. */
  readonly parallel: number
  readonly rounds: number
  /**
   * The trials of round `n`, from 0. It hangs on the results of the earlier rounds, and on nothing else.
   *
   * @param earlier the trials of all earlier rounds, in any order
   * @param result how one of them came out; undefined counts as failed
   * @throws SpecError when the task does not admit a proposed config
   */
  round(n: number, earlier: ReadonlyArray<PlannedTrial>, result: (trialId: string) => TuningResult | undefined): Round
}

/** A search in one line: `14 candidates of each condition by TPE, 4 at a time; ASHA, rungs at …`. */
export function describeSearch({ method, rule, candidates, parallel }: SearchPlan, metric: string): string {
  const how = `${candidates} candidates of each condition${method === undefined ? "" : ` by ${method}`}, ${parallel} at a time`
  return rule === undefined ? how : `${how}; ${describeRule(rule, metric)}`
}

/** A condition that is tuned. */
export interface SearchedCondition {
  readonly label: string
  /** Its candidates, where they are known beforehand. */
  readonly candidates: ReadonlyArray<Point>
  readonly space: SearchSpace | undefined
  /** The trial of a candidate. */
  readonly trial: (point: Point, number: number, seed: number) => PlannedTrial
}

/**
 * How a candidate came out over its seeds: the mean of their scores. One seed that failed or has no finite score makes
 * it failed, which ranks below everything; one that was stopped makes it stopped, where the first was.
 */
export function candidateOutcome(outcomes: ReadonlyArray<Outcome | undefined>): Outcome {
  const mean = (values: ReadonlyArray<number>) => values.reduce((sum, x) => sum + x, 0) / values.length
  const stopped = outcomes.filter((outcome) => outcome?.status === "stopped")
  if (stopped.length > 0) {
    const step = Math.min(...stopped.map((outcome) => outcome.step))
    return {
      status: "stopped",
      step,
      score: mean(stopped.filter((outcome) => outcome.step === step).map((outcome) => outcome.score)),
    }
  }
  const scores = outcomes.map((outcome) => (outcome?.status === "finished" ? outcome.score : Number.NaN))
  const score = mean(scores)
  return Number.isFinite(score) ? { status: "finished", score } : { status: "failed" }
}

/** @see SearchPlan */
export function searchPlan(options: {
  readonly conditions: ReadonlyArray<SearchedCondition>
  readonly search: Search | undefined
  readonly rule: StoppingRule | undefined
  readonly parallel: number | undefined
  readonly seeds: ReadonlyArray<number>
  readonly metric: string
  readonly goal: Goal
}): SearchPlan {
  const { conditions, search, rule, seeds, metric, goal } = options
  const parallel = options.parallel ?? defaultParallel
  const candidates = search?.trials ?? Math.max(0, ...conditions.map((condition) => condition.candidates.length))
  return {
    method: search === undefined ? undefined : "TPE",
    search,
    rule,
    candidates,
    parallel,
    rounds: Math.ceil(candidates / parallel),
    round: (n, earlier, result) => {
      const trials: PlannedTrial[] = []
      const judgements = new Map<string, Judgement>()
      const first = n * parallel
      const proposed = conditions.map((condition) => {
        const before = earlier.filter((trial) => trial.condition === condition.label && trial.candidate !== undefined)
        if (search === undefined || condition.space === undefined)
          return { condition, before, points: condition.candidates.slice(first, first + parallel) }
        const observations = observationsOf(before, result)
        const points: Point[] = []
        for (let index = first; index < Math.min(candidates, first + parallel); index++) {
          const point = propose(condition.space, observations, index, { ...search, goal })
          if (point === undefined) break
          observations.push({ index, point })
          points.push(point)
        }
        return { condition, before, points }
      })
      for (let i = 0; i < parallel; i++) {
        for (const { condition, before, points } of proposed) {
          const point = points[i]
          if (point === undefined) continue
          for (const seed of seeds) {
            const trial = condition.trial(point, first + i, seed)
            trials.push(trial)
            if (rule === undefined || judgements.has(trial.id)) continue
            const curves = before
              .filter((other) => other.seed === seed)
              .map((other) => result(other.id)?.curve)
              .filter((curve) => curve !== undefined)
            judgements.set(trial.id, judgement(rule, curves, { metric, goal }))
          }
        }
      }
      return { trials, judgements }
    },
  }
}

function observationsOf(
  trials: ReadonlyArray<PlannedTrial>,
  result: (trialId: string) => TuningResult | undefined,
): Observation[] {
  const byNumber = new Map<number, { readonly point: Point; readonly outcomes: (Outcome | undefined)[] }>()
  for (const { id, candidate } of trials) {
    const entry = byNumber.get(candidate!.number) ?? { point: candidate!.point, outcomes: [] }
    entry.outcomes.push(result(id)?.outcome)
    byNumber.set(candidate!.number, entry)
  }
  return [...byNumber]
    .sort(([a], [b]) => a - b)
    .map(([index, { point, outcomes }]) => ({ index, point, outcome: candidateOutcome(outcomes) }))
}

/** Part of a range at either end that counts as its border. */
const border = 0.02

/** Whether a value sits on the border of what was searched: at one end of at least three values, or of a range. */
export function atBorderOf(parameter: Parameter, value: unknown): boolean {
  if (parameter.kind === "unordered") return false
  const { cells, place } = coordinates(parameter)
  const at = place(value)
  if (at === undefined) return false
  return cells === undefined ? at <= border || at >= 1 - border : cells >= 3 && (at === 0 || at === cells - 1)
}

/**
 * Points that show whether the task admits what a space may propose: for each parameter its ends, or all of its values
 * where they are few, the others as in the first candidates.
 */
export function extremePoints(space: SearchSpace, bases: ReadonlyArray<Point>): ReadonlyArray<Point> {
  const found: Point[] = []
  for (const name of space.names) {
    const base = bases.find((point) => Object.hasOwn(point, name))
    const parameter = base && space.parameter(name, base)
    if (base === undefined || parameter === undefined) continue
    const { cells, value } = coordinates(parameter)
    const places =
      parameter.kind === "number" || cells! > 64
        ? [0, (cells ?? 2) - 1]
        : Array.from({ length: cells! }, (_, cell) => cell)
    for (const place of places) {
      found.push(
        walk(space, (other, otherParameter) =>
          other === name
            ? value(place)
            : Object.hasOwn(base, other)
              ? base[other]
              : coordinates(otherParameter).value(0),
        ),
      )
    }
  }
  return found
}
