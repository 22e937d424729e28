import type { Connection } from "./connection.ts"
import { emptyFold, type Fold, foldIn, fromReal } from "./fold.ts"
import type { MetricDeclaration, MetricNames } from "./metric-names.ts"
import { mergeInto } from "./metric-writer.ts"

export interface MetricSummary {
  readonly metric: string
  readonly goal: "max" | "min" | null
  readonly unit: string | null
  readonly count: number
  readonly nanCount: number
  readonly firstStep: number
  readonly first: number
  readonly lastStep: number
  readonly last: number
  /** NaN when every value is. */
  readonly min: number
  readonly max: number
}

/** One column of a chart: what the steps from `firstStep` to `lastStep` hold. Values that are NaN enter `count` only. */
export interface SeriesColumn {
  readonly firstStep: number
  readonly lastStep: number
  readonly count: number
  readonly nanCount: number
  readonly min: number
  readonly max: number
  readonly mean: number
  readonly last: number
}

export interface SeriesRange {
  readonly fromStep?: number | undefined
  readonly toStep?: number | undefined
}

/** Reading recorded metrics. */
export class Metrics {
  readonly #connection: Connection
  readonly #names: MetricNames

  constructor(connection: Connection, names: MetricNames) {
    this.#connection = connection
    this.#names = names
  }

  /** Records goal, unit and description of metrics; see {@link MetricNames.declare}. */
  declare(metrics: Readonly<Record<string, MetricDeclaration>>): void {
    this.#names.declare(metrics)
  }

  /** All metric names of the database. */
  names() {
    return this.#names.all()
  }

  /** The summaries of a run, by name. Never reads the series. */
  summaries(runId: number): MetricSummary[] {
    return this.#connection
      .sql<MetricSummary>(
        `SELECT m.name AS metric, m.goal, m.unit, s.count, s.nan_count, s.first_step, s.first, s.last_step, s.last, s.min, s.max
         FROM metric_summaries s JOIN metric_names m ON m.id = s.metric_id WHERE s.run_id = ? ORDER BY m.name`,
      )
      .all(runId)
      .map((row) => ({
        ...row,
        first: fromReal(row.first),
        last: fromReal(row.last),
        min: fromReal(row.min),
        max: fromReal(row.max),
      }))
  }

  /** Every point of a series in step order, as columns. `time` in ms since 1970. */
  points(
    runId: number,
    metric: string,
    range: SeriesRange = {},
  ): { readonly step: Float64Array; readonly value: Float64Array; readonly time: Float64Array } {
    const id = this.#names.find(metric)
    const rows =
      id === undefined
        ? []
        : this.#connection
            .sql<{ step: number; value: number | null; time: number }>(
              `SELECT step, value, time FROM metrics
               WHERE run_id = ? AND metric_id = ? AND step BETWEEN ? AND ? ORDER BY step`,
            )
            .all(runId, id, range.fromStep ?? Number.MIN_SAFE_INTEGER, range.toStep ?? Number.MAX_SAFE_INTEGER)
    return {
      step: Float64Array.from(rows, (row) => row.step),
      value: Float64Array.from(rows, (row) => fromReal(row.value)),
      time: Float64Array.from(rows, (row) => row.time),
    }
  }

  /**
   * A series reduced to at most `columns` columns of equal step width, each with minimum, maximum, mean and last value
   * of exactly the steps it names. Columns without points are left out. Long series are read from their blocks, so the
   * width is then a multiple of a block; a range that spans few blocks is read point by point.
   */
  series(runId: number, metric: string, columns: number, range: SeriesRange = {}): SeriesColumn[] {
    const id = this.#names.find(metric)
    if (id === undefined) return []
    return this.#connection.snapshot(() => {
      const summary = this.#connection
        .sql<{ firstStep: number; lastStep: number; blockShift: number | null }>(
          "SELECT first_step, last_step, block_shift FROM metric_summaries WHERE run_id = ? AND metric_id = ?",
        )
        .get(runId, id)
      if (summary === undefined) return []
      const from = Math.max(summary.firstStep, range.fromStep ?? summary.firstStep)
      const to = Math.min(summary.lastStep, range.toStep ?? summary.lastStep)
      if (to < from) return []
      const wanted = Math.max(1, Math.ceil((to - from + 1) / Math.max(1, columns)))
      const block = summary.blockShift === null ? undefined : 2 ** summary.blockShift
      return block !== undefined && wanted >= 2 * block
        ? this.#fromBlocks(runId, id, from, to, block, columns)
        : this.#fromPoints(runId, id, from, to, wanted)
    })
  }

  #fromPoints(runId: number, metricId: number, from: number, to: number, width: number): SeriesColumn[] {
    const found: SeriesColumn[] = []
    let fold = emptyFold()
    let column = -1
    const { sqlite } = this.#connection
    const rows = sqlite
      .prepare(
        "SELECT step, value FROM metrics WHERE run_id = ? AND metric_id = ? AND step BETWEEN ? AND ? ORDER BY step",
      )
      .raw(true)
      .iterate(runId, metricId, from, to) as IterableIterator<[number, number | null]>
    for (const [step, value] of rows) {
      const at = Math.floor((step - from) / width)
      if (at !== column) {
        if (fold.count > 0) found.push(toColumn(fold))
        fold = emptyFold()
        column = at
      }
      foldIn(fold, step, fromReal(value))
    }
    if (fold.count > 0) found.push(toColumn(fold))
    return found
  }

  #fromBlocks(
    runId: number,
    metricId: number,
    from: number,
    to: number,
    width: number,
    columns: number,
  ): SeriesColumn[] {
    const firstBlock = Math.floor(from / width)
    const lastBlock = Math.floor(to / width)
    const group = Math.ceil((lastBlock - firstBlock + 1) / columns)
    const found: SeriesColumn[] = []
    let fold = emptyFold()
    let column = -1
    const rows = this.#connection
      .sql<Fold & { block: number }>(
        `SELECT block, count, nan_count, first_step, first, last_step, last, min, max, sum FROM metric_blocks
         WHERE run_id = ? AND metric_id = ? AND block BETWEEN ? AND ? ORDER BY block`,
      )
      .all(runId, metricId, firstBlock, lastBlock)
    for (const row of rows) {
      const at = Math.floor((row.block - firstBlock) / group)
      if (at !== column) {
        if (fold.count > 0) found.push(toColumn(fold))
        fold = emptyFold()
        column = at
      }
      mergeInto(fold, row)
    }
    if (fold.count > 0) found.push(toColumn(fold))
    return found
  }

  /**
   * Copies the series of one run up to and including a step to another: a retry that starts from the checkpoint of a
   * failed attempt then has the whole curve.
   */
  inherit(fromRun: number, toRun: number, throughStep: number): void {
    this.#connection.write(() => {
      this.#connection
        .sql(
          `INSERT OR REPLACE INTO metrics (run_id, metric_id, step, value, time)
           SELECT ?, metric_id, step, value, time FROM metrics WHERE run_id = ? AND step <= ?`,
        )
        .run(toRun, fromRun, throughStep)
      this.#summarise(toRun)
    })
  }

  /** Forgets the points of a run after a step. */
  rewind(runId: number, step: number): void {
    this.#connection.write(() => {
      this.#connection.sql("DELETE FROM metrics WHERE run_id = ? AND step > ?").run(runId, step)
      this.#summarise(runId)
    })
  }

  /** Makes the summaries of a run anew from its rows; its blocks come back with the next write of a long series. */
  #summarise(runId: number): void {
    this.#connection.sql("DELETE FROM metric_blocks WHERE run_id = ?").run(runId)
    this.#connection.sql("DELETE FROM metric_summaries WHERE run_id = ?").run(runId)
    this.#connection
      .sql(
        `INSERT INTO metric_summaries
           (run_id, metric_id, count, nan_count, first_step, first, last_step, last, min, max, block_shift)
         SELECT a.run_id, a.metric_id, a.count, a.nan_count, a.first_step, f.value, a.last_step, l.value, a.min, a.max, NULL
         FROM (
           SELECT run_id, metric_id, count(*) AS count, count(*) - count(value) AS nan_count, min(step) AS first_step,
             max(step) AS last_step, min(value) AS min, max(value) AS max
           FROM metrics WHERE run_id = ? GROUP BY run_id, metric_id
         ) a
         JOIN metrics f ON f.run_id = a.run_id AND f.metric_id = a.metric_id AND f.step = a.first_step
         JOIN metrics l ON l.run_id = a.run_id AND l.metric_id = a.metric_id AND l.step = a.last_step`,
      )
      .run(runId)
  }
}

function toColumn(fold: Fold): SeriesColumn {
  const numbers = fold.count - fold.nanCount
  return {
    firstStep: fold.firstStep,
    lastStep: fold.lastStep,
    count: fold.count,
    nanCount: fold.nanCount,
    min: fold.min,
    max: fold.max,
    mean: numbers === 0 ? Number.NaN : fold.sum / numbers,
    last: fold.last,
  }
}
