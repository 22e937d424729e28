/** Curves of a metric over steps: mean and interval over the seeds of a condition. */
import { meanInterval } from "@exp/ranking"
import type { Store } from "@exp/store"
import type { Subject } from "./subjects.ts"

/** Mean of a metric over seeds at each step, with a t interval where two seeds or more have the step. */
export interface MeanCurve {
  readonly label: string
  readonly x: readonly number[]
  readonly mean: readonly number[]
  /** NaN where fewer than two seeds have a value. */
  readonly low: readonly number[]
  readonly high: readonly number[]
  readonly seeds: number
}

/** Metrics of which runs have more than one point: those that most subjects have first, then those of most points. */
export function seriesMetrics(store: Store, subjects: readonly Subject[]): string[] {
  const found = new Map<string, { subjects: number; points: number }>()
  for (const subject of subjects) {
    for (const run of subject.runs.slice(0, 1)) {
      for (const { metric, count } of store.metrics.summaries(run.id)) {
        if (count < 2) continue
        const known = found.get(metric) ?? { subjects: 0, points: 0 }
        found.set(metric, { subjects: known.subjects + 1, points: Math.max(known.points, count) })
      }
    }
  }
  return [...found.entries()]
    .sort((a, b) => b[1].subjects - a[1].subjects || b[1].points - a[1].points || a[0].localeCompare(b[0]))
    .map(([metric]) => metric)
}

/**
 * Mean curves of a metric, the first of {@link seriesMetrics} when none is named, reduced to at most `columns` points.
 * Undefined when no run has a series of it.
 *
 * Runs of one condition are put on a common grid of `columns` cells of step; a cell without a point of a run is a gap
 * of that run, never an interpolation.
 */
export function meanCurves(
  store: Store,
  subjects: readonly Subject[],
  wanted: string | undefined,
  columns: number,
): { readonly metric: string; readonly curves: readonly MeanCurve[] } | undefined {
  const metric = wanted ?? seriesMetrics(store, subjects)[0]
  if (metric === undefined) return undefined
  const curves = subjects.flatMap((subject): MeanCurve[] => {
    const series = subject.runs
      .map((run) => store.metrics.series(run.id, metric, columns))
      .filter((points) => points.length > 1)
    if (series.length === 0) return []
    const first = Math.min(...series.map((points) => points[0]!.firstStep))
    const last = Math.max(...series.map((points) => points.at(-1)!.lastStep))
    const width = Math.max(1, (last - first + 1) / columns)
    const cells = new Map<number, { step: number; values: number[]; count: number }>()
    for (const points of series) {
      // A run enters a cell once, with the mean of what it has there.
      const own = new Map<number, { step: number; sum: number; count: number }>()
      for (const point of points) {
        if (!Number.isFinite(point.mean)) continue
        const step = (point.firstStep + point.lastStep) / 2
        const at = Math.floor((step - first) / width)
        const cell = own.get(at) ?? { step: 0, sum: 0, count: 0 }
        cell.step += step
        cell.sum += point.mean
        cell.count++
        own.set(at, cell)
      }
      for (const [at, { step, sum, count }] of own) {
        const cell = cells.get(at) ?? { step: 0, values: [], count: 0 }
        cell.step += step / count
        cell.count++
        cell.values.push(sum / count)
        cells.set(at, cell)
      }
    }
    const ordered = [...cells.entries()].sort((a, b) => a[0] - b[0]).map(([, cell]) => cell)
    const intervals = ordered.map((cell) => meanInterval(cell.values))
    return [
      {
        label: subject.label,
        x: ordered.map((cell) => cell.step / cell.count),
        mean: intervals.map(({ mean }) => mean),
        low: intervals.map(({ n, low }) => (n > 1 ? low : Number.NaN)),
        high: intervals.map(({ n, high }) => (n > 1 ? high : Number.NaN)),
        seeds: series.length,
      },
    ]
  })
  return curves.length === 0 ? undefined : { metric, curves }
}
