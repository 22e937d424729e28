import { defaultParallel, type Search, type StoppingRule } from "./adaptive.ts"
import { declarationIssues, mostSeeds, parseTimeout, unknownName } from "./declaration.ts"
import type { SpecIssue } from "./errors.ts"
import { SpecError, show } from "./errors.ts"
import { describeParameter, expand, namesIn, type Point, searchSpace } from "./expand.ts"
import type { ArmInput, Experiment, ProfileInput } from "./experiment.ts"
import { configPaths, fieldsAt } from "./fields.ts"
import { type JsonObject, trialId } from "./identity.ts"
import { isFields, nest, valueAt } from "./merge.ts"
import { declaredMetric, type Metric } from "./metric.ts"
import { overrides } from "./overrides.ts"
import { type Layer, mergeLayers, placeIn, resolveConfig } from "./resolve.ts"
import type { Outcome } from "./search/observation.ts"
import type { SearchSpace } from "./search/parameter.ts"
import { points as pointsOf } from "./search/points.ts"
import { propose } from "./search/tpe.ts"
import { atBorderOf, candidateOutcome, extremePoints, type SearchPlan, searchPlan } from "./search-plan.ts"

/** What the command line changes. */
export interface PlanOptions {
  readonly profile?: string
  /** Only these arms. */
  readonly arms?: ReadonlyArray<string>
  readonly seeds?: number | ReadonlyArray<number>
  /** `--set` overrides: dotted path → JSON text, or plain text that stands for a string. */
  readonly set?: Readonly<Record<string, string>>
}

/** One thing compared: an arm at a point of the sweep. */
export interface Condition {
  readonly arm: string
  /** Values of the sweep, by dotted path; empty without a sweep. */
  readonly point: Point
  /** Unique in the plan: the arm's name, and the point where there is a sweep. */
  readonly label: string
  /** The candidates of its tuning, those of the first round in an adaptive search; empty when it is not tuned. */
  readonly candidates: ReadonlyArray<Point>
  /** What an adaptive search goes over, by path: `0.0001 … 0.1 (log)`. */
  readonly space?: Readonly<Record<string, string>>
}

/** A trial of the plan. */
export interface PlannedTrial {
  /** Content hash of (task, version, config, seed). */
  readonly id: string
  readonly taskName: string
  readonly taskVersion: number
  /** The fully resolved config in its encoded form: plain JSON with sorted keys. */
  readonly config: JsonObject
  readonly seed: number
  readonly arm: string
  /** Label of the condition. */
  readonly condition: string
  readonly phase: "tune" | "compare"
  /** Values of the sweep and of tuning, by dotted path. */
  readonly point: Point
  /** In tuning: which candidate of its condition it is, from 0, and the tuned values alone. */
  readonly candidate?: { readonly number: number; readonly point: Point }
}

/** What tuning chose: condition label → point of the tuning space. */
export type Selection = Readonly<Record<string, Point>>

/** How one condition's choice was made. */
export interface Choice {
  readonly condition: string
  readonly winner: Point | undefined
  /** Every candidate with its mean over the tuning seeds that have a finite value, and how many those were. */
  readonly candidates: ReadonlyArray<{
    readonly point: Point
    readonly score: number | undefined
    readonly seeds: number
    /** It was stopped early, at this step; a stopped candidate is never chosen. */
    readonly stopped?: number
  }>
  /** The winner takes an end of a searched range: a wider search might find better. */
  readonly atBorder: boolean
}

/** What an experiment comes to: conditions and trials. */
export interface Plan {
  readonly experiment: Experiment
  readonly profile: string | undefined
  readonly conditions: ReadonlyArray<Condition>
  readonly baseline: string
  readonly seeds: ReadonlyArray<number>
  /** The metrics compared; the first one ranks. */
  readonly compare: ReadonlyArray<string>
  /** The metric that decides the tuning, and its direction. */
  readonly tuneBy: { readonly metric: string; readonly goal: Metric["goal"] } | undefined
  /** Trials of the tuning, those of the first round in an adaptive search; empty when nothing is tuned. */
  readonly tuning: ReadonlyArray<PlannedTrial>
  /** The rounds of the tuning, where it has any: with `search` or `stop`. */
  readonly search: SearchPlan | undefined
  /** Whether a condition's tuned point takes an end of a range that was searched. */
  atBorder(condition: string, point: Point): boolean
  /**
   * The compared trials, all conditions at the first seed, then all at the second, and so on, so that a part of them
   * already compares every arm. `selection` gives the tuned point of every tuned condition.
   *
   * @throws SpecError when a tuned condition has no point in `selection`
   */
  compared(selection?: Selection): ReadonlyArray<PlannedTrial>
  /** How many trials there will be in all, at most. */
  readonly count: { readonly tune: number; readonly compare: number }
  readonly policy: {
    readonly retry: number
    /** Seconds; undefined for no limit. */
    readonly timeout: number | undefined
    readonly onFailure: "continue" | "stop"
    readonly device: string | undefined
    /** By arm: the share of the device that a trial takes. */
    readonly deviceShare: Readonly<Record<string, number>>
    /** Of the experiment among others, and of its arms among themselves; the higher goes first. */
    readonly priority: { readonly experiment: number; readonly arms: Readonly<Record<string, number>> }
  }
}

const brief = (value: unknown): string => {
  if (typeof value === "string") return value
  if (isFields(value) && typeof value["_tag"] === "string") {
    const { _tag, ...rest } = value
    const fields = Object.entries(rest).map(([name, field]) => `${name}=${brief(field)}`)
    return `${_tag}(${fields.join(",")})`
  }
  return show(value)
}

/** A point in one line: `tuner.rank=4 epochs=10`. */
export const pointLabel = (point: Point): string =>
  Object.entries(point)
    .map(([path, value]) => `${path}=${brief(value)}`)
    .join(" ")

/** Seeds as a list: a count n means 0 … n-1. What is neither a sound count nor a list gives none. */
export const seedList = (seeds: number | ReadonlyArray<number>): ReadonlyArray<number> => {
  if (Array.isArray(seeds)) return seeds
  return typeof seeds === "number" && seeds >= 1 && seeds <= mostSeeds
    ? Array.from({ length: Math.floor(seeds) }, (_, i) => i)
    : []
}

type Fields = Readonly<Record<string, unknown>>
const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})

/**
 * Turns a declaration into conditions and trials. A pure function: the same declaration and options give the same plan
 * on every machine.
 *
 * Layers merge in this order, the last wins: base, arm, sweep point, tuning point, `tune.with` (tuning trials only),
 * profile, `--set`. A field that the profile or `--set` gives is neither swept nor tuned.
 *
 * @throws SpecError with all mistakes that were found
 */
export function plan(experiment: Experiment, options: PlanOptions = {}): Plan {
  const { plan, issues } = analyse(experiment, options)
  if (plan === undefined)
    throw new SpecError({ experiment: typeof experiment?.name === "string" ? experiment.name : "", issues })
  return plan
}

/** As {@link plan}, giving the mistakes instead of throwing them. The plan is undefined when there are any. */
export function analyse(
  experiment: Experiment,
  options: PlanOptions = {},
): { readonly plan: Plan | undefined; readonly issues: ReadonlyArray<SpecIssue> } {
  const found = new Map<string, SpecIssue>()
  const issue = (one: SpecIssue): void => {
    const key = `${one.path}\n${one.expected}\n${one.got}`
    if (!found.has(key)) found.set(key, one)
  }
  for (const one of declarationIssues(experiment, options)) issue(one)
  // Without a sound outline there is nothing to expand.
  if (found.size > 0 && [...found.values()].some((one) => one.path === "" || /^(task|base|arms)$/.test(one.path)))
    return { plan: undefined, issues: [...found.values()] }

  const { task } = experiment
  const named: unknown = options.profile === undefined ? undefined : experiment.profiles?.[options.profile]
  const profile = isFields(named) ? (named as ProfileInput<Fields, string, string>) : undefined
  const profileAt = `profiles.${options.profile}`
  const allArms = Object.keys(experiment.arms)
  const profileArms = fieldsOf(Array.isArray(profile?.arms) ? {} : profile?.arms)
  const inProfile = Array.isArray(profile?.arms) ? profile.arms : Object.keys(profileArms)
  const chosen = options.arms ?? (inProfile.length > 0 ? inProfile : allArms)
  const arms = allArms.filter((arm) => chosen.includes(arm))

  const own = new Set(fieldsAt(task.config.ast, {}, []).map((field) => field.name))
  const configOf = (arm: ArmInput<unknown>): Fields =>
    Object.fromEntries(Object.entries(arm).filter(([name]) => own.has(name) || (name !== "tune" && name !== "sweep")))
  const spaceOf = (arm: Fields, name: "tune" | "sweep") => (own.has(name) ? undefined : arm[name])

  const sets = overrides(options.set ?? {}, allArms)
  for (const one of sets.issues) issue(one)
  const profileBase = fieldsOf(profile?.base)
  const pinned = (arm: string, path: string): boolean => {
    const keys = path.split(".")
    return [profileBase, profileArms[arm], sets.all, sets.of(arm)].some((layer) => {
      // Setting `tuner` as a whole also decides `tuner.rank`; setting `tuner.rank` decides only that.
      for (let n = 1; n <= keys.length; n++) {
        const value = valueAt(layer, keys.slice(0, n))
        if (value === undefined) return false
        if (n === keys.length || !isFields(value) || "_tag" in value) return true
      }
      return false
    })
  }

  const profileTune = isFields(profile?.tune) ? profile.tune : undefined
  const tune =
    profile?.tune === false || !(isFields(experiment.tune) || profileTune !== undefined)
      ? undefined
      : { by: "", over: {}, ...experiment.tune, ...profileTune }
  const sweep =
    profile?.sweep === undefined
      ? { at: "sweep", space: fieldsOf(experiment.sweep) }
      : { at: `${profileAt}.sweep`, space: fieldsOf(profile.sweep) }
  const overAt = profileTune?.over === undefined ? "tune.over" : `${profileAt}.tune.over`
  const withAt = profileTune?.with === undefined ? "tune.with" : `${profileAt}.tune.with`

  // A misspelled name in a condition would silently drop its axis.
  const paths = configPaths(task.config)
  const conditions = (at: string, space: unknown): void => {
    for (const [path, axis] of Object.entries(fieldsOf(space))) {
      const names = namesIn(axis)
      for (const arm of names.arms) {
        if (!allArms.includes(arm)) issue(unknownName(`${at}.${path}`, "a condition on one of the arms", arm, allArms))
      }
      for (const field of names.paths) {
        if (!paths.has(field)) issue(unknownName(`${at}.${path}`, "a condition on a config field", field, [...paths]))
      }
    }
  }
  conditions(sweep.at, sweep.space)
  conditions(overAt, tune?.over)
  for (const arm of arms) {
    conditions(`arms.${arm}.tune`, spaceOf(experiment.arms[arm]!, "tune"))
    conditions(`arms.${arm}.sweep`, spaceOf(experiment.arms[arm]!, "sweep"))
  }

  const seeds = seedList(options.seeds ?? profile?.seeds ?? experiment.seeds)
  const tuneSeeds = seedList(tune?.seeds ?? 1)

  const search: Search | undefined = isFields(tune?.search) && tune.search.trials > 0 ? tune.search : undefined
  const rule: StoppingRule | undefined = isFields(tune?.stop) ? tune.stop : undefined
  if (search !== undefined && tune?.budget !== undefined)
    issue({
      path: overAt.replace(/over$/, "budget"),
      expected: "either a search with its trials, or a budget",
      got: String(tune.budget),
    })
  const goal = declaredMetric(task.metrics, tune?.by ?? "")?.goal ?? "max"

  interface Draft extends Condition {
    readonly searched: SearchSpace | undefined
    readonly layers: (tuned: Point, phase: "tune" | "compare") => ReadonlyArray<Layer>
  }
  const drafts: Draft[] = []
  for (const arm of arms) {
    const declared = experiment.arms[arm]!
    const below: ReadonlyArray<Layer> = [
      { at: "base", value: experiment.base },
      { at: `arms.${arm}`, value: configOf(declared) },
    ]
    const above: ReadonlyArray<Layer> = [
      { at: `${profileAt}.base`, value: profileBase },
      { at: `${profileAt}.arms.${arm}`, value: fieldsOf(profileArms[arm]) },
      { at: "--set", value: sets.all },
      { at: `--set arms.${arm}`, value: sets.of(arm) },
    ]
    const lookUp =
      (extra: Point) =>
      (path: string, point: Point): unknown =>
        valueAt(mergeLayers([...below, { at: "", value: nest({ ...extra, ...point }) }, ...above]), path.split("."))
    /** The axes of an arm: the experiment's, replaced one by one by the arm's own, less those that are pinned. */
    const axes = (
      shared: { readonly at: string; readonly space: Fields },
      name: "tune" | "sweep",
    ): ReadonlyArray<{ readonly at: string; readonly space: Fields }> => {
      const mine = spaceOf(declared, name)
      if (mine === false) return []
      const replaced = isFields(mine) ? mine : {}
      const free = (space: Fields, skip: Fields) =>
        Object.fromEntries(Object.entries(space).filter(([path]) => !pinned(arm, path) && !Object.hasOwn(skip, path)))
      return [
        { at: shared.at, space: free(shared.space, replaced) },
        { at: `arms.${arm}.${name}`, space: free(replaced, {}) },
      ].filter(({ space }) => Object.keys(space).length > 0)
    }
    const layersOf = (parts: ReturnType<typeof axes>, point: Point): ReadonlyArray<Layer> =>
      parts.map(({ at, space }) => ({
        at,
        value: nest(Object.fromEntries(Object.entries(point).filter(([path]) => Object.hasOwn(space, path)))),
      }))
    const spaceOfAxes = (parts: ReturnType<typeof axes>): Fields =>
      Object.assign({}, ...parts.map((part) => part.space))
    const expansion = (parts: ReturnType<typeof axes>, extra: Point) => {
      const at = parts.length === 1 ? parts[0]!.at : parts.map((part) => part.at).join(" with ")
      const place = (path: string) => parts.find((part) => Object.hasOwn(part.space, path))?.at ?? at
      return { arm, lookUp: lookUp(extra), at, place, issue }
    }
    const expanded = (parts: ReturnType<typeof axes>, extra: Point, budget?: number): ReadonlyArray<Point> =>
      parts.length === 0
        ? []
        : expand(spaceOfAxes(parts), { ...expansion(parts, extra), ...(budget === undefined ? {} : { budget }) })
    /** The opening of an adaptive search. */
    const opening = (space: SearchSpace, at: string): ReadonlyArray<Point> => {
      const few = pointsOf(space)
      // Nothing is left to search where no axis applies to the arm.
      if (few?.length === 1 && Object.keys(few[0]!).length === 0) return []
      if (few !== undefined && few.length < search!.trials) {
        issue({
          path: at,
          expected: `at least as many points as the search has trials, ${search!.trials} (without search, each of them is tried)`,
          got: `${few.length} for arm ${JSON.stringify(arm)}`,
        })
      }
      const begun: Point[] = []
      for (let index = 0; index < Math.min(search!.trials, tune?.parallel ?? defaultParallel); index++) {
        const observations = begun.map((point, i) => ({ index: i, point }))
        const point = propose(space, observations, index, { ...search!, goal })
        if (point !== undefined) begun.push(point)
      }
      return begun
    }
    const sweepAxes = axes(sweep, "sweep")
    const points = sweepAxes.length === 0 ? [{}] : expanded(sweepAxes, {})
    const tuneAxes = tune === undefined ? [] : axes({ at: overAt, space: fieldsOf(tune.over) }, "tune")
    for (const point of points) {
      const label = Object.keys(point).length === 0 ? arm : `${arm} ${pointLabel(point)}`
      const how = tuneAxes.length === 0 || search === undefined ? undefined : expansion(tuneAxes, point)
      const searched = how && searchSpace(spaceOfAxes(tuneAxes), how)
      const candidates =
        tuneAxes.length === 0
          ? []
          : searched === undefined
            ? expanded(tuneAxes, point, tune?.budget)
            : opening(searched, how!.at)
      drafts.push({
        arm,
        point,
        label,
        candidates,
        searched,
        ...(searched === undefined ? {} : { space: described(searched, candidates) }),
        layers: (tuned, phase) => [
          ...below,
          ...layersOf(sweepAxes, point),
          ...layersOf(tuneAxes, tuned),
          ...(phase === "tune" && tune?.with !== undefined ? [{ at: withAt, value: fieldsOf(tune.with) }] : []),
          ...above,
        ],
      })
    }
  }

  // The same budget for every arm, or the comparison is not one.
  const tuned = drafts.filter((draft) => draft.candidates.length > 0)
  const counts = new Set(tuned.map((draft) => draft.candidates.length))
  if (counts.size > 1 && search === undefined) {
    const list = tuned.map((draft) => `${draft.label}: ${draft.candidates.length}`).join(", ")
    issue({
      path: overAt,
      expected: "the same number of candidates for every arm (set tune.budget to draw as many from each space)",
      got: list,
    })
  }

  // Resolve every config once, and say of each mistake where it was made.
  const absent = new Map<string, { readonly issue: SpecIssue; readonly arms: Set<string> }>()
  const resolve = (draft: Draft, point: Point, phase: "tune" | "compare") => {
    const resolved = resolveConfig(task.config, draft.layers(point, phase))
    if (resolved._tag === "Config") return resolved
    for (const { absent: missing, ...one } of resolved.issues) {
      if (!missing) issue(one)
      else {
        const entry = absent.get(one.path) ?? { issue: one, arms: new Set<string>() }
        entry.arms.add(draft.arm)
        absent.set(one.path, entry)
      }
    }
    return undefined
  }
  const compareConfigs = new Map<string, string>()
  const tuning: PlannedTrial[] = []
  const trial = (
    draft: Draft,
    config: JsonObject,
    seed: number,
    phase: "tune" | "compare",
    point: Point,
    candidate?: number,
  ): PlannedTrial => ({
    id: trialId({ task: task.name, version: task.version, config, seed }),
    taskName: task.name,
    taskVersion: task.version,
    config,
    seed,
    arm: draft.arm,
    condition: draft.label,
    phase,
    point: { ...draft.point, ...point },
    ...(candidate === undefined ? {} : { candidate: { number: candidate, point } }),
  })
  const labelled = new Map(drafts.map((draft) => [draft.label, draft]))
  for (const draft of drafts) {
    const candidates = draft.candidates.length === 0 ? [{}] : draft.candidates
    const signature: string[] = []
    if (draft.searched !== undefined) {
      // The search may come to any of these, and should not find out then that the task does not admit them.
      const before = found.size
      for (const extreme of extremePoints(draft.searched, candidates))
        for (const phase of ["tune", "compare"] as const) resolve(draft, extreme, phase)
      if (found.size > before) continue
    }
    for (const [number, candidate] of candidates.entries()) {
      const compared = resolve(draft, candidate, "compare")
      if (compared !== undefined) signature.push(compared.key)
      if (draft.candidates.length === 0) continue
      const searched = resolve(draft, candidate, "tune")
      if (searched === undefined) continue
      for (const seed of tuneSeeds) tuning.push(trial(draft, searched.config, seed, "tune", candidate, number))
    }
    if (signature.length !== candidates.length) continue
    const key = signature.sort().join("\n")
    const twin = compareConfigs.get(key)
    if (twin === undefined) compareConfigs.set(key, draft.label)
    else {
      issue({
        path: `arms.${draft.arm}`,
        expected: `another config than ${JSON.stringify(twin)}`,
        got: `the same trials for ${JSON.stringify(draft.label)}`,
      })
    }
  }
  for (const { issue: one, arms: lacking } of absent.values()) {
    if (lacking.size === arms.length) issue({ ...one, path: placeIn("base", [one.path]) })
    else for (const arm of lacking) issue({ ...one, path: placeIn(`arms.${arm}`, [one.path]) })
  }
  if (found.size > 0) return { plan: undefined, issues: [...found.values()] }

  const compare = typeof experiment.compare === "string" ? [experiment.compare] : experiment.compare
  const baseline =
    experiment.baseline !== undefined && arms.includes(experiment.baseline) ? experiment.baseline : arms[0]!
  const byArm = (given: number | Readonly<Record<string, number>> | undefined, otherwise: number) =>
    Object.fromEntries(drafts.map(({ arm }) => [arm, typeof given === "number" ? given : (given?.[arm] ?? otherwise)]))
  const rounds =
    tuned.length === 0 || (search === undefined && rule === undefined)
      ? undefined
      : searchPlan({
          conditions: tuned.map((draft) => ({
            label: draft.label,
            candidates: draft.candidates,
            space: draft.searched,
            trial: (point, number, seed) => {
              const resolved = resolveConfig(task.config, draft.layers(point, "tune"))
              if (resolved._tag === "Config") return trial(draft, resolved.config, seed, "tune", point, number)
              throw new SpecError({ experiment: experiment.name, issues: resolved.issues })
            },
          })),
          search,
          rule,
          parallel: tune?.parallel,
          seeds: tuneSeeds,
          metric: tune!.by,
          goal,
        })
  return {
    issues: [],
    plan: {
      experiment,
      profile: options.profile,
      conditions: drafts.map(({ arm, point, label, candidates, space }) => ({
        arm,
        point,
        label,
        candidates,
        ...(space === undefined ? {} : { space }),
      })),
      baseline,
      seeds,
      compare,
      tuneBy:
        tune === undefined || tuned.length === 0
          ? undefined
          : { metric: tune.by, goal: declaredMetric(task.metrics, tune.by)!.goal },
      tuning: rounds?.method === undefined ? tuning : rounds.round(0, [], () => undefined).trials,
      search: rounds,
      atBorder: (condition, point) => {
        const draft = labelled.get(condition)
        return draft !== undefined && isAtBorder(draft.searched, draft.candidates, point)
      },
      count: {
        tune: rounds?.method === undefined ? tuning.length : tuned.length * rounds.candidates * tuneSeeds.length,
        compare: drafts.length * seeds.length,
      },
      policy: {
        retry: profile?.retry ?? experiment.retry ?? 1,
        timeout: parseTimeout(profile?.timeout ?? experiment.timeout),
        onFailure: experiment.onFailure ?? "continue",
        device: experiment.device,
        deviceShare: byArm(experiment.resources?.device, 1),
        priority: {
          experiment: typeof experiment.priority === "number" ? experiment.priority : 0,
          arms: byArm(typeof experiment.priority === "number" ? 0 : experiment.priority, 0),
        },
      },
      compared: (selection = {}) => {
        const lacking = tuned.filter((draft) => !Object.hasOwn(selection, draft.label))
        if (lacking.length > 0) {
          throw new SpecError({
            experiment: experiment.name,
            issues: lacking.map((draft) => ({
              path: `selection of ${JSON.stringify(draft.label)}`,
              expected: "the point that tuning chose",
              got: "nothing",
            })),
          })
        }
        const configs = drafts.map((draft) => {
          const point = draft.candidates.length === 0 ? {} : selection[draft.label]!
          const resolved = resolveConfig(task.config, draft.layers(point, "compare"))
          if (resolved._tag === "Config") return { draft, point, config: resolved.config }
          throw new SpecError({ experiment: experiment.name, issues: resolved.issues })
        })
        return seeds.flatMap((seed) =>
          configs.map(({ draft, point, config }) => trial(draft, config, seed, "compare", point)),
        )
      },
    },
  }
}

/** What a space goes over, as far as its first candidates show it. */
const described = (space: SearchSpace, candidates: ReadonlyArray<Point>): Readonly<Record<string, string>> =>
  Object.fromEntries(
    space.names.flatMap((name) => {
      const having = candidates.find((point) => Object.hasOwn(point, name))
      const parameter = having && space.parameter(name, having)
      return [[name, parameter === undefined ? "under a condition" : describeParameter(parameter)]]
    }),
  )

function isAtBorder(space: SearchSpace | undefined, candidates: ReadonlyArray<Point>, winner: Point): boolean {
  return Object.entries(winner).some(([path, value]) => {
    if (space !== undefined) {
      const parameter = space.parameter(path, winner)
      return parameter !== undefined && atBorderOf(parameter, value)
    }
    const values = new Set(candidates.map((point) => point[path]).filter((v) => typeof v === "number"))
    if (typeof value !== "number" || values.size < 3) return false
    return value === Math.min(...values) || value === Math.max(...values)
  })
}

/**
 * Chooses the point of every tuned condition: the candidate with the best mean of the tuning metric over its seeds.
 * Candidates that were stopped early and those without a finite value are passed over; of equals the first declared
 * wins; a candidate that lacks some of its seeds only wins when none is complete.
 *
 * @param outcomeOf how a trial came out, by its id; undefined when it was not run
 * @param trials the tuning trials of all rounds
 */
export function chooseWinners(
  plan: Plan,
  outcomeOf: (trialId: string) => Outcome | undefined,
  trials: ReadonlyArray<PlannedTrial> = plan.tuning,
): { readonly selection: Selection; readonly choices: ReadonlyArray<Choice> } {
  const sign = plan.tuneBy?.goal === "min" ? -1 : 1
  const selection: Record<string, Point> = {}
  const choices: Choice[] = []
  for (const { label, candidates: declared } of plan.conditions) {
    if (declared.length === 0) continue
    const byNumber = new Map<number, { readonly point: Point; readonly outcomes: (Outcome | undefined)[] }>()
    for (const { id, condition, candidate } of trials) {
      if (condition !== label || candidate === undefined) continue
      const entry = byNumber.get(candidate.number) ?? { point: candidate.point, outcomes: [] }
      entry.outcomes.push(outcomeOf(id))
      byNumber.set(candidate.number, entry)
    }
    const candidates = [...byNumber]
      .sort(([a], [b]) => a - b)
      .map(([, { point, outcomes }]) => {
        const values = outcomes
          .map((outcome) => (outcome?.status === "finished" ? outcome.score : Number.NaN))
          .filter(Number.isFinite)
        const score = values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length
        const whole = candidateOutcome(outcomes)
        return {
          point,
          score,
          seeds: values.length,
          ...(whole.status === "stopped" ? { stopped: whole.step } : {}),
        }
      })
    const eligible = candidates.filter((candidate) => !("stopped" in candidate))
    const most = Math.max(...eligible.map((candidate) => candidate.seeds))
    let winner: (typeof candidates)[number] | undefined
    for (const candidate of eligible) {
      if (candidate.score === undefined || candidate.seeds < most) continue
      if (winner === undefined || sign * (candidate.score - winner.score!) > 0) winner = candidate
    }
    if (winner !== undefined) selection[label] = winner.point
    choices.push({
      condition: label,
      winner: winner?.point,
      candidates,
      atBorder: winner !== undefined && plan.atBorder(label, winner.point),
    })
  }
  return { selection, choices }
}
