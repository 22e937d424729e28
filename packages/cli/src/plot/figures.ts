/** What a picture shows, read from the database; how it is drawn is decided elsewhere. */
import { meanInterval } from "@exp/ranking"
import type { RunListItem, Store } from "@exp/store"
import { type MeanCurve, meanCurves, seriesMetrics } from "../compare/curves.ts"
import { declaredMetric, secondsCost, valuesBySeed } from "../compare/statistics.ts"
import { comparedMetrics, conditionsOf, flatten, type Subject } from "../compare/subjects.ts"
import { UsageError } from "../report-error.ts"

interface Common {
  readonly title: string
  readonly metric: string
  readonly unit: string | undefined
  readonly goal: "max" | "min"
  readonly log: boolean
}

/** Mean curves with bands over seeds. */
export interface CurvesFigure extends Common {
  readonly kind: "curves"
  /** What lies along the axis: `step`, or a metric, whose means over seeds are then the x of the curves. */
  readonly x: string
  readonly logX: boolean
  readonly curves: readonly MeanCurve[]
}

/** Means with intervals, and the values they come from. */
export interface BarsFigure extends Common {
  readonly kind: "bars"
  readonly bars: readonly {
    readonly label: string
    readonly mean: number
    readonly low: number
    readonly high: number
    readonly values: readonly number[]
  }[]
}

/** Runs as points of two columns. */
export interface ScatterFigure extends Common {
  readonly kind: "scatter"
  readonly x: string
  readonly y: string
  readonly groups: readonly {
    readonly label: string
    readonly points: readonly { readonly x: number; readonly y: number; readonly run: number }[]
  }[]
}

/** Mean of a metric over two columns of a sweep. */
export interface HeatFigure extends Common {
  readonly kind: "heat"
  readonly x: string
  readonly y: string
  readonly xs: readonly string[]
  readonly ys: readonly string[]
  readonly cells: readonly { readonly x: number; readonly y: number; readonly mean: number; readonly n: number }[]
}

/** Runs as lines over their config values and the metric. */
export interface ParallelFigure extends Common {
  readonly kind: "parallel"
  readonly axes: readonly { readonly name: string; readonly categories: readonly string[] | undefined }[]
  readonly groups: readonly { readonly label: string; readonly lines: readonly (readonly (number | string)[])[] }[]
}

export type Figure = CurvesFigure | BarsFigure | ScatterFigure | HeatFigure | ParallelFigure

/** What is asked of a figure. */
export interface FigureRequest {
  readonly kind?: Figure["kind"] | undefined
  readonly metric?: string | undefined
  readonly x?: string | undefined
  readonly y?: string | undefined
  readonly arms?: readonly string[] | undefined
  readonly profile: string
  readonly tuning?: boolean | undefined
  readonly log?: boolean | undefined
  readonly logX?: boolean | undefined
  /** Points of a curve at most. */
  readonly columns: number
}

/** The runs of the tuning search, by arm. */
function tuningSubjects(store: Store, experiment: string, profile: string, metrics: readonly string[]): Subject[] {
  const runs = store.queries.runs({
    experiment,
    profile,
    phase: "tune",
    status: ["completed"],
    limit: 1_000_000,
    metrics,
  })
  const newest = [...new Map([...runs].reverse().map((run) => [run.trialId, run])).values()]
  return [...new Set(newest.map((run) => run.arm ?? ""))].map((arm) => {
    const own = newest.filter((run) => run.arm === arm)
    return { label: arm, experiment, profile, arm, runs: own, planned: own.length }
  })
}

/**
 * Reads the figure that is asked for.
 *
 * @throws UsageError for metrics and columns that are not recorded, or when there is nothing to draw
 */
export function readFigure(store: Store, experiment: string, request: FigureRequest): Figure {
  const { profile } = request
  const names = store.metrics.names().map(({ name }) => name)
  for (const wanted of [request.metric]) {
    if (wanted !== undefined && !names.includes(wanted)) {
      throw new UsageError(`There is no metric ${wanted} in ${store.path}. There are: ${names.join(", ") || "none"}.`)
    }
  }
  const selected = store.experiments.selections(experiment, profile)[0]?.metric
  const compared = (request.tuning === true ? selected : undefined) ?? comparedMetrics(store, experiment)[0] ?? ""
  const axes = [request.x, request.y].filter((name) => name !== undefined && names.includes(name)) as string[]
  const metrics = [...new Set([compared, ...(request.metric === undefined ? [] : [request.metric]), ...axes])]
  const all =
    request.tuning === true
      ? tuningSubjects(store, experiment, profile, metrics)
      : conditionsOf(store, experiment, profile, metrics)
  const arms = new Set(all.map((subject) => subject.arm))
  for (const arm of request.arms ?? []) {
    if (!arms.has(arm)) throw new UsageError(`${experiment} has no arm ${arm}; it has ${[...arms].join(", ")}.`)
  }
  const subjects = all.filter(
    (subject) => subject.runs.length > 0 && (request.arms === undefined || request.arms.includes(subject.arm ?? "")),
  )
  if (subjects.length === 0) {
    throw new UsageError(
      `${experiment} has no finished ${request.tuning === true ? "tuning trial" : "trial"} under the profile ${profile} yet.`,
    )
  }
  const kind =
    request.kind ??
    (request.x !== undefined || request.y !== undefined
      ? "scatter"
      : seriesMetrics(store, subjects).length > 0
        ? "curves"
        : "bars")
  const base = (metric: string) => ({
    title: profile === "default" ? experiment : `${experiment} (${profile})`,
    metric,
    ...declaredMetric(store, metric),
    log: request.log === true,
  })
  if (kind === "curves") {
    const found = meanCurves(store, subjects, request.metric, request.columns)
    if (found === undefined) {
      throw new UsageError(
        `No run of ${experiment} has a series${request.metric === undefined ? "" : ` of ${request.metric}`}; there are series of ${seriesMetrics(store, subjects).join(", ") || "nothing"}.`,
      )
    }
    const logX = request.logX === true
    if (request.x === undefined) return { kind, ...base(found.metric), x: "step", logX, curves: found.curves }
    const along = meanCurves(store, subjects, request.x, request.columns)
    if (along === undefined) {
      throw new UsageError(
        `No run of ${experiment} has a series of ${request.x}; there are series of ${seriesMetrics(store, subjects).join(", ") || "nothing"}.`,
      )
    }
    const curves = found.curves.flatMap((curve) => alongMetric(curve, along.curves))
    return { kind, ...base(found.metric), x: request.x, logX, curves }
  }
  const metric = request.metric ?? compared
  if (kind === "bars") {
    const bars = subjects.flatMap((subject) => {
      const values = valuesBySeed(subject, metric).map(({ value }) => value)
      if (values.length === 0) return []
      const { mean, low, high, n } = meanInterval(values)
      return [{ label: subject.label, mean, low: n > 1 ? low : Number.NaN, high: n > 1 ? high : Number.NaN, values }]
    })
    if (bars.length === 0) throw new UsageError(`No finished trial of ${experiment} has a finite ${metric}.`)
    return { kind, ...base(metric), bars }
  }
  const paths = varyingPaths(subjects)
  const column = (name: string) => columnOf(store, name, subjects)
  if (kind === "scatter") {
    const x = request.x ?? secondsCost
    const y = request.y ?? metric
    const [ofX, ofY] = [column(x), column(y)]
    const groups = subjects.map((subject) => ({
      label: subject.label,
      points: subject.runs
        .map((run) => ({ x: Number(ofX(run)), y: Number(ofY(run)), run: run.id }))
        .filter((point) => Number.isFinite(point.x) && Number.isFinite(point.y)),
    }))
    if (groups.every(({ points }) => points.length === 0)) {
      throw new UsageError(`No finished trial has numbers in both ${x} and ${y}.`)
    }
    return { kind, ...base(y), x, y, groups: groups.filter(({ points }) => points.length > 0) }
  }
  if (kind === "heat") {
    const free = paths.filter((path) => path !== request.x && path !== request.y)
    const x = request.x ?? free.shift()
    const y = request.y ?? free.shift() ?? "arm"
    if (x === undefined) throw new UsageError(`No config value varies in ${experiment}: there is no sweep to map.`)
    const [ofX, ofY] = [column(x), column(y)]
    const runs = subjects.flatMap((subject) => subject.runs)
    const xs = sorted(runs.map(ofX))
    const ys = sorted(runs.map(ofY))
    const cells = xs.flatMap((vx, i) =>
      ys.flatMap((vy, j) => {
        const values = runs
          .filter((run) => ofX(run) === vx && ofY(run) === vy)
          .map((run) => run.metrics[metric] ?? Number.NaN)
          .filter(Number.isFinite)
        if (values.length === 0) return []
        return [{ x: i, y: j, mean: values.reduce((sum, v) => sum + v, 0) / values.length, n: values.length }]
      }),
    )
    if (cells.length === 0) throw new UsageError(`No finished trial of ${experiment} has a finite ${metric}.`)
    return { kind, ...base(metric), x, y, xs: xs.map(String), ys: ys.map(String), cells }
  }
  if (paths.length === 0) throw new UsageError(`No config value varies in ${experiment}: there is no sweep to show.`)
  const columns = [...paths.slice(0, 8), metric].map((name) => ({ name, of: column(name) }))
  const runs = subjects.flatMap((subject) => subject.runs)
  const numeric = columns.map(({ of }) => runs.every((run) => typeof of(run) === "number"))
  return {
    kind,
    ...base(metric),
    axes: columns.map(({ name, of }, i) => ({
      name,
      categories: numeric[i] ? undefined : sorted(runs.map(of)).map(String),
    })),
    groups: subjects.map((subject) => ({
      label: subject.label,
      lines: subject.runs.map((run) =>
        columns.map(({ of }, i) => {
          const value = of(run)
          return numeric[i] ? Number(value) : String(value)
        }),
      ),
    })),
  }
}

/** A curve over the values that a metric has at the same steps, in the order of those values. */
function alongMetric(curve: MeanCurve, others: readonly MeanCurve[]): MeanCurve[] {
  const other = others.find(({ label }) => label === curve.label)
  if (other === undefined) return []
  const at = new Map(other.x.map((step, i) => [step, other.mean[i]!]))
  const kept = curve.x
    .map((step, i) => ({ i, x: at.get(step) ?? Number.NaN }))
    .filter(({ x }) => Number.isFinite(x))
    .sort((a, b) => a.x - b.x)
  const pick = (values: readonly number[]) => kept.map(({ i }) => values[i]!)
  return [{ ...curve, x: kept.map(({ x }) => x), mean: pick(curve.mean), low: pick(curve.low), high: pick(curve.high) }]
}

/** Distinct values, numbers by size before words by letter. */
function sorted(values: readonly (string | number)[]): (string | number)[] {
  return [...new Set(values)].sort((a, b) =>
    typeof a === "number" && typeof b === "number"
      ? a - b
      : typeof a === typeof b
        ? String(a).localeCompare(String(b))
        : typeof a === "number"
          ? -1
          : 1,
  )
}

/** Config paths that have more than one value over all runs, those of numbers first. */
function varyingPaths(subjects: readonly Subject[]): string[] {
  const seen = new Map<string, Set<unknown>>()
  const runs = subjects.flatMap((subject) => subject.runs)
  const flat = runs.map((run) => flatten(run.config))
  for (const path of new Set(flat.flatMap((map) => [...map.keys()]))) {
    seen.set(path, new Set(flat.map((map) => JSON.stringify(map.get(path)) ?? "–")))
  }
  return [...seen.entries()]
    .filter(([, values]) => values.size > 1)
    .map(([path]) => path)
    .sort()
}

/** Reads one column of a run: a metric, a config path, `arm`, `condition`, `seed` or `seconds`. */
function columnOf(store: Store, name: string, subjects: readonly Subject[]): (run: RunListItem) => string | number {
  if (name === "seed") return (run) => run.seed
  if (name === "arm") return (run) => run.arm ?? "–"
  if (name === "condition") return (run) => run.condition ?? "–"
  if (name === secondsCost) {
    return (run) =>
      run.startedAt === null || run.finishedAt === null ? Number.NaN : (run.finishedAt - run.startedAt) / 1000
  }
  if (subjects.some((subject) => subject.runs.some((run) => run.metrics[name] !== undefined))) {
    return (run) => run.metrics[name] ?? Number.NaN
  }
  const paths = new Set(subjects.flatMap((subject) => subject.runs.flatMap((run) => [...flatten(run.config).keys()])))
  if (!paths.has(name)) {
    const metrics = store.metrics.names().map((metric) => metric.name)
    throw new UsageError(
      `${name} is neither a metric nor a config value of these runs. Config: ${[...paths].sort().join(", ")}. Metrics: ${metrics.join(", ")}. Also: arm, condition, seed, seconds.`,
    )
  }
  return (run) => {
    const value = flatten(run.config).get(name)
    return typeof value === "number" ? value : typeof value === "string" ? value : (JSON.stringify(value) ?? "–")
  }
}
