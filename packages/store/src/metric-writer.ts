import type Sqlite from "better-sqlite3"
import type { Connection } from "./connection.ts"
import { DiskFull } from "./errors.ts"
import type { Buffered, Flusher } from "./flusher.ts"
import { emptyFold, type Fold, foldIn, fromReal, toReal } from "./fold.ts"
import type { MetricNames } from "./metric-names.ts"

export interface MetricWriter {
  /**
   * Notes one value. Costs well under a microsecond and never waits for the disk. `step` is an integer; `time` is now, in
   * ms since 1970, unless said otherwise.
   */
  log(step: number, name: string, value: number, time?: number): void
  /** Notes several values of one step. Undefined values are left out. */
  logMany(step: number, values: Readonly<Record<string, number | undefined>>): void
  /** Writes what is held, now. */
  flush(): void
  /** Writes what is held and ends this writer. */
  close(): void
  /** Values noted and not yet on disk. */
  readonly pending: number
}

/** From this length on a series gets blocks; shorter ones are read whole. */
const blocksFrom = 4096
/** Points that a block should hold. */
const blockPoints = 256
/** Held rows that start a write without waiting for the timer. */
const flushRows = 8192
/** Rows of one transaction: others wait for it, so it must be short. */
const transactionRows = 8192
/** The same while other processes write too: many short turns, so that nobody waits long for his. */
const contendedRows = 2048
/** Held rows from which `log`, every so many rows, waits a little for the lock: they come faster than they are written. */
const waitRows = 32_768
/** How long it then waits at most, in ms. */
const waitMs = 1000
/** Held rows (about 100 bytes each) that a full disk may pile up before `log` throws. */
const mostRows = 4_194_304
const chunk = 64

interface SummaryRow extends Omit<Fold, "sum"> {
  blockShift: number | null
}

/** Steps and values side by side. */
interface Points {
  readonly steps: Float64Array
  readonly values: Float64Array
}

/** A metric of this run as the writer knows it. */
interface Series {
  readonly name: string
  id: number | undefined
  insertMany: Sqlite.Statement | undefined
}

/**
 * Writes one run's metrics. `log` appends to columns of typed arrays; a write sorts them by metric, inserts them in
 * statements of 64 rows, and brings summaries and blocks up to date, all in one transaction. A value for a step that
 * is there already replaces it (a resumed run repeats the steps after its checkpoint).
 */
export class BufferedMetricWriter implements MetricWriter, Buffered {
  readonly #connection: Connection
  readonly #flusher: Flusher
  readonly #names: MetricNames
  readonly #runId: number
  readonly #index = new Map<string, number>()
  readonly #series: Series[] = []
  #capacity = 1024
  #metric = new Int32Array(1024)
  #step = new Float64Array(1024)
  #value = new Float64Array(1024)
  #time = new Float64Array(1024)
  #count = 0
  #writing = 0
  #closed = false
  #dueAt = Number.POSITIVE_INFINITY
  #flushAt = flushRows
  readonly #bound: (number | null)[] = new Array(chunk * 3)

  constructor(connection: Connection, flusher: Flusher, names: MetricNames, runId: number) {
    this.#connection = connection
    this.#flusher = flusher
    this.#names = names
    this.#runId = runId
    flusher.add(this)
  }

  get pending(): number {
    return this.#count
  }

  log(step: number, name: string, value: number, time?: number): void {
    const now = Date.now()
    this.#append(step, name, value, time ?? now)
    if (this.#count >= this.#flushAt || now >= this.#dueAt) this.#due()
  }

  logMany(step: number, values: Readonly<Record<string, number | undefined>>): void {
    const now = Date.now()
    for (const name in values) {
      const value = values[name]
      if (value !== undefined) this.#append(step, name, value, now)
    }
    if (this.#count >= this.#flushAt || now >= this.#dueAt) this.#due()
  }

  #append(step: number, name: string, value: number, time: number): void {
    let metric = this.#index.get(name)
    if (metric === undefined) metric = this.#newSeries(name)
    const at = this.#count
    if (at === this.#capacity) this.#grow()
    if (!Number.isSafeInteger(step)) throw new RangeError(`step must be an integer, got ${step} for ${name}`)
    this.#metric[at] = metric
    this.#step[at] = step
    this.#value[at] = value
    this.#time[at] = time
    this.#count = at + 1
    if (at === 0) {
      this.#flusher.schedule()
      this.#dueAt = this.#flusher.dueAt
    }
  }

  #newSeries(name: string): number {
    if (this.#closed) throw new Error(`the metric writer of run ${this.#runId} is closed`)
    const metric = this.#series.length
    this.#series.push({ name, id: undefined, insertMany: undefined })
    this.#index.set(name, metric)
    return metric
  }

  #grow(): void {
    if (this.#capacity >= mostRows) throw new DiskFull(this.#connection.path)
    this.#capacity *= 2
    const larger = <A extends Int32Array | Float64Array>(old: A, made: A): A => {
      made.set(old)
      return made
    }
    this.#metric = larger(this.#metric, new Int32Array(this.#capacity))
    this.#step = larger(this.#step, new Float64Array(this.#capacity))
    this.#value = larger(this.#value, new Float64Array(this.#capacity))
    this.#time = larger(this.#time, new Float64Array(this.#capacity))
  }

  /** The caller's loop does not let timers fire, or holds many rows: write from here. */
  #due(): void {
    const flood = this.#count >= waitRows && this.#count >= this.#flushAt
    this.#flusher.background(flood ? waitMs : 0)
    this.#dueAt = this.#flusher.dueAt
    // Not written: come back after some more rows or when the flusher is due again, not at every value.
    this.#flushAt = Math.max(this.#flushAt, this.#count < flushRows ? flushRows : this.#count + 4096)
  }

  flush(): void {
    this.#flusher.flush(this)
  }

  close(): void {
    if (this.#closed) return
    this.flush()
    this.#closed = true
    this.#flusher.remove(this)
    this.#index.clear()
    this.#series.length = 0
  }

  settled(committed: boolean): void {
    if (!committed) {
      // Ids and statements made in the lost transaction may not exist.
      for (const series of this.#series) {
        series.id = undefined
        series.insertMany = undefined
      }
      this.#dueAt = this.#flusher.dueAt
      return
    }
    const rest = this.#count - this.#writing
    if (rest > 0) {
      this.#metric.copyWithin(0, this.#writing, this.#count)
      this.#step.copyWithin(0, this.#writing, this.#count)
      this.#value.copyWithin(0, this.#writing, this.#count)
      this.#time.copyWithin(0, this.#writing, this.#count)
    }
    this.#count = rest
    this.#flushAt = Math.max(flushRows, rest + 1024)
    this.#dueAt = rest > 0 ? this.#flusher.dueAt : Number.POSITIVE_INFINITY
  }

  write(): void {
    const n = Math.min(this.#count, this.#connection.contended ? contendedRows : transactionRows)
    this.#writing = n
    const many = this.#series.length
    // Counting sort by metric, order of coming kept.
    const starts = new Int32Array(many + 1)
    for (let i = 0; i < n; i++) starts[this.#metric[i]! + 1]!++
    for (let m = 0; m < many; m++) starts[m + 1]! += starts[m]!
    const next = starts.slice(0, many)
    const steps = new Float64Array(n)
    const values = new Float64Array(n)
    const times = new Float64Array(n)
    for (let i = 0; i < n; i++) {
      const at = next[this.#metric[i]!]!++
      steps[at] = this.#step[i]!
      values[at] = this.#value[i]!
      times[at] = this.#time[i]!
    }
    for (let m = 0; m < many; m++) {
      const from = starts[m]!
      const to = starts[m + 1]!
      if (from < to)
        this.#writeSeries(
          this.#series[m]!,
          steps.subarray(from, to),
          values.subarray(from, to),
          times.subarray(from, to),
        )
    }
  }

  #writeSeries(series: Series, steps: Float64Array, values: Float64Array, times: Float64Array): void {
    series.id ??= this.#names.id(series.name)
    const metricId = series.id
    const runId = this.#runId
    const { sqlite } = this.#connection
    const n = steps.length

    let i = 0
    if (n >= chunk) {
      series.insertMany ??= sqlite.prepare(
        `INSERT OR REPLACE INTO metrics VALUES ${Array(chunk).fill(`(${runId},${metricId},?,?,?)`).join()}`,
      )
      const bound = this.#bound
      for (; i + chunk <= n; i += chunk) {
        for (let j = i, at = 0; j < i + chunk; j++) {
          bound[at++] = steps[j]!
          bound[at++] = values[j]!
          bound[at++] = times[j]!
        }
        series.insertMany.run(bound)
      }
    }
    const insert = this.#connection.sql("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?)")
    for (; i < n; i++) insert.run(runId, metricId, steps[i]!, values[i]!, times[i]!)

    const before = this.#connection
      .sql<SummaryRow>(
        `SELECT count, nan_count, first_step, first, last_step, last, min, max, block_shift
         FROM metric_summaries WHERE run_id = ? AND metric_id = ?`,
      )
      .get(runId, metricId)
    const summary: Fold = emptyFold()
    if (before !== undefined) copySummary(before, summary)
    let appended = true
    let lowest = Number.POSITIVE_INFINITY
    let highest = Number.NEGATIVE_INFINITY
    let last = summary.lastStep
    for (let k = 0; k < n; k++) {
      const step = steps[k]!
      if (step <= last) appended = false
      else last = step
      if (step < lowest) lowest = step
      if (step > highest) highest = step
    }
    if (appended) for (let k = 0; k < n; k++) foldIn(summary, steps[k]!, values[k]!)
    let shift = before?.blockShift ?? null
    if (shift === null) {
      const all = appended && summary.count < blocksFrom ? undefined : this.#points(metricId)
      if (!appended) Object.assign(summary, foldPoints(all!))
      if (summary.count >= blocksFrom) {
        shift = shiftFor(summary)
        this.#writeBlocks(metricId, shift, all!)
      }
    } else if (appended) {
      const open = this.#block(metricId, Math.floor(lowest / 2 ** shift))
      this.#writeBlocks(metricId, shift, { steps, values }, open)
    } else {
      // Repeated or late steps: make the touched blocks anew from the rows, then the summary from the blocks.
      const width = 2 ** shift
      const start = Math.floor(lowest / width) * width
      const end = Math.floor(highest / width) * width + width - 1
      this.#writeBlocks(metricId, shift, this.#points(metricId, start, end))
      Object.assign(summary, this.#summaryFromBlocks(metricId))
    }
    this.#connection
      .sql(`INSERT OR REPLACE INTO metric_summaries
        (run_id, metric_id, count, nan_count, first_step, first, last_step, last, min, max, block_shift)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
      .run(
        runId,
        metricId,
        summary.count,
        summary.nanCount,
        summary.firstStep,
        toReal(summary.first),
        summary.lastStep,
        toReal(summary.last),
        toReal(summary.min),
        toReal(summary.max),
        shift,
      )
  }

  /** The rows of a series with `start` ≤ step ≤ `end`, in step order. */
  #points(metricId: number, start = Number.MIN_SAFE_INTEGER, end = Number.MAX_SAFE_INTEGER): Points {
    const rows = this.#connection
      .sql<{ step: number; value: number | null }>(
        "SELECT step, value FROM metrics WHERE run_id = ? AND metric_id = ? AND step BETWEEN ? AND ? ORDER BY step",
      )
      .all(this.#runId, metricId, start, end)
    return {
      steps: Float64Array.from(rows, (row) => row.step),
      values: Float64Array.from(rows, (row) => fromReal(row.value)),
    }
  }

  #block(metricId: number, block: number): Fold | undefined {
    return this.#connection
      .sql<Fold>(
        `SELECT count, nan_count, first_step, first, last_step, last, min, max, sum FROM metric_blocks
         WHERE run_id = ? AND metric_id = ? AND block = ?`,
      )
      .get(this.#runId, metricId, block)
  }

  /** Writes the blocks of `points` (in step order); `open` is what the first of them holds already. */
  #writeBlocks(metricId: number, shift: number, points: Points, open?: Fold): void {
    const width = 2 ** shift
    const upsert = this.#connection.sql(`INSERT OR REPLACE INTO metric_blocks
      (run_id, metric_id, block, count, nan_count, first_step, first, last_step, last, min, max, sum)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
    let block = Number.NaN
    let fold = emptyFold()
    const finish = () => {
      if (fold.count === 0) return
      const { count, nanCount, firstStep, first, lastStep, last, min, max, sum } = fold
      upsert.run(
        this.#runId,
        metricId,
        block,
        count,
        nanCount,
        firstStep,
        toReal(first),
        lastStep,
        toReal(last),
        toReal(min),
        toReal(max),
        toReal(sum),
      )
    }
    const { steps, values } = points
    for (let k = 0; k < steps.length; k++) {
      const step = steps[k]!
      const at = Math.floor(step / width)
      if (at !== block) {
        finish()
        fold = emptyFold()
        if (Number.isNaN(block) && open !== undefined) {
          copySummary(open, fold)
          fold.sum = fromReal(open.sum)
        }
        block = at
      }
      foldIn(fold, step, values[k]!)
    }
    finish()
  }

  #summaryFromBlocks(metricId: number): Fold {
    const total = emptyFold()
    const blocks = this.#connection
      .sql<Fold>(
        `SELECT count, nan_count, first_step, first, last_step, last, min, max, sum FROM metric_blocks
         WHERE run_id = ? AND metric_id = ? ORDER BY block`,
      )
      .all(this.#runId, metricId)
    for (const block of blocks) mergeInto(total, block)
    return total
  }
}

function copySummary(row: Omit<Fold, "sum">, into: Fold): void {
  into.count = row.count
  into.nanCount = row.nanCount
  into.firstStep = row.firstStep
  into.first = fromReal(row.first)
  into.lastStep = row.lastStep
  into.last = fromReal(row.last)
  into.min = fromReal(row.min)
  into.max = fromReal(row.max)
}

/** Joins the aggregates of a later stretch of the series. Columns that hold NaN come as null. */
export function mergeInto(total: Fold, later: Fold): void {
  total.count += later.count
  total.nanCount += later.nanCount
  if (later.firstStep < total.firstStep) {
    total.firstStep = later.firstStep
    total.first = fromReal(later.first)
  }
  if (later.lastStep > total.lastStep) {
    total.lastStep = later.lastStep
    total.last = fromReal(later.last)
  }
  const min = fromReal(later.min)
  const max = fromReal(later.max)
  if (!Number.isNaN(min) && !(min >= total.min)) total.min = min
  if (!Number.isNaN(max) && !(max <= total.max)) total.max = max
  total.sum += fromReal(later.sum)
}

function foldPoints({ steps, values }: Points): Fold {
  const fold = emptyFold()
  for (let k = 0; k < steps.length; k++) foldIn(fold, steps[k]!, values[k]!)
  return fold
}

/** Block width (as a power of two of steps) at which a block holds about `blockPoints` points of this series. */
function shiftFor(summary: Fold): number {
  const stride = (summary.lastStep - summary.firstStep) / Math.max(1, summary.count - 1)
  return Math.max(0, Math.round(Math.log2(Math.max(1, stride) * blockPoints)))
}
