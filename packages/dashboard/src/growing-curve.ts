import type { MetricSummary, SeriesColumn, Store } from "@exp/store"

/**
 * A curve that grows while it is watched: read whole once, later only what came since, folded into columns of the same
 * width. The database is asked for new steps only, whatever the length of the series.
 */
export class GrowingCurve {
  readonly metric: string
  readonly #runId: number
  #columns: SeriesColumn[] = []
  #count = 0
  #lastStep = Number.NEGATIVE_INFINITY
  #wanted = 0
  #x: number[] = []
  #y: number[] = []

  constructor(runId: number, metric: string) {
    this.#runId = runId
    this.metric = metric
  }

  /** Middle steps and means of the columns. The same arrays as long as nothing came. */
  get points(): { readonly x: readonly number[]; readonly y: readonly number[] } {
    return { x: this.#x, y: this.#y }
  }

  /** Brings the curve up to date. `wanted` columns are shown; there may be up to half as many again. */
  update(store: Store, summary: MetricSummary, wanted: number): void {
    const { count, lastStep } = summary
    if (wanted === this.#wanted && count === this.#count && lastStep === this.#lastStep) return
    const grown = wanted === this.#wanted && count > this.#count && lastStep > this.#lastStep
    const fresh = grown
      ? store.metrics.series(this.#runId, this.metric, wanted, { fromStep: this.#lastStep + 1 })
      : undefined
    const added = fresh?.reduce((sum, column) => sum + column.count, 0)
    // Steps that were logged anew (after a resume from a checkpoint) are not behind the last one: read it whole.
    if (fresh !== undefined && added === count - this.#count) this.#append(fresh, lastStep)
    else this.#columns = store.metrics.series(this.#runId, this.metric, wanted)
    if (this.#columns.length > 1.5 * wanted) this.#columns = store.metrics.series(this.#runId, this.metric, wanted)
    this.#count = count
    this.#lastStep = lastStep
    this.#wanted = wanted
    this.#x = this.#columns.map((column) => (column.firstStep + column.lastStep) / 2)
    this.#y = this.#columns.map((column) => column.mean)
  }

  #append(fresh: readonly SeriesColumn[], lastStep: number): void {
    const width = (lastStep - (this.#columns[0]?.firstStep ?? 0)) / this.#wanted
    for (const column of fresh) {
      const last = this.#columns.at(-1)
      if (last !== undefined && column.lastStep - last.firstStep < width) {
        this.#columns[this.#columns.length - 1] = joined(last, column)
      } else this.#columns.push(column)
    }
  }
}

function joined(a: SeriesColumn, b: SeriesColumn): SeriesColumn {
  const [m, n] = [a.count - a.nanCount, b.count - b.nanCount]
  return {
    firstStep: a.firstStep,
    lastStep: b.lastStep,
    count: a.count + b.count,
    nanCount: a.nanCount + b.nanCount,
    min: m === 0 ? b.min : n === 0 ? a.min : Math.min(a.min, b.min),
    max: m === 0 ? b.max : n === 0 ? a.max : Math.max(a.max, b.max),
    mean: m === 0 ? b.mean : n === 0 ? a.mean : (a.mean * m + b.mean * n) / (m + n),
    last: b.last,
  }
}
