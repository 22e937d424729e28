import type Sqlite from "better-sqlite3"
import type { Connection } from "./connection.ts"
import { DiskFull } from "./errors.ts"
import type { Buffered, Flusher } from "./flusher.ts"
import { emptyFold, type Fold, foldIn, fromReal, toReal } from "./fold.ts"
import type { MetricNames } from "./metric-names.ts"

export interface MetricWriter {
  /** Notes one value. Costs well under a microsecond and never waits for the disk. `step` is an integer. */
  log(step: number, name: string, value: number): void
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
const flushRows = 32_768
/** Held rows from which `log` waits for the lock instead of holding more. */
const waitRows = 262_144
/** Held rows (about 100 bytes each) that a full disk may pile up before `log` throws. */
const mostRows = 4_194_304
const chunk = 64

interface SummaryRow extends Omit<Fold, "sum"> {
  blockShift: number | null
}

interface PointRow {
  step: number
  value: number | null
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

  log(step: number, name: string, value: number): void {
    const now = Date.now()
    this.#append(step, name, value, now)
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
    if (this.#count >= waitRows) {
      try {
        this.#flusher.flush(this)
        return
      } catch {
        // The flusher has armed its retry, and a full disk is reported from there.
      }
    } else this.#flusher.background()
    this.#dueAt = this.#flusher.dueAt
    // Not written: come back when the flusher is due again, not at every value.
    if (this.#count >= this.#flushAt) this.#flushAt = this.#count + 4096
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
    this.#flushAt = flushRows
    this.#dueAt = Number.POSITIVE_INFINITY
  }

  write(): void {
    const n = this.#count
    this.#writing = n
    const many = this.#series.length
    // Counting sort by metric, order of coming kept.
    const starts = new Int32Array(many + 1)
    for (let i = 0; i < n; i++) starts[this.#metric[i]! + 1]!++
    for (let m = 0; m < many; m++) starts[m + 1]! += starts[m]!
    const next = starts.slice(0, many)
    const order = new Int32Array(n)
    for (let i = 0; i < n; i++) order[next[this.#metric[i]!]!++] = i
    for (let m = 0; m < many; m++) {
      if (starts[m]! < starts[m + 1]!) this.#writeSeries(this.#series[m]!, order, starts[m]!, starts[m + 1]!)
    }
  }

  #writeSeries(series: Series, order: Int32Array, from: number, to: number): void {
    series.id ??= this.#names.id(series.name)
    const metricId = series.id
    const runId = this.#runId
    const steps = this.#step
    const values = this.#value
    const times = this.#time
    const { sqlite } = this.#connection

    let i = from
    if (to - from >= chunk) {
      series.insertMany ??= sqlite.prepare(
        `INSERT OR REPLACE INTO metrics VALUES ${Array(chunk).fill(`(${runId},${metricId},?,?,?)`).join()}`,
      )
      const bound = this.#bound
      for (; i + chunk <= to; i += chunk) {
        for (let j = 0, at = 0; j < chunk; j++) {
          const row = order[i + j]!
          bound[at++] = steps[row]!
          bound[at++] = values[row]!
          bound[at++] = times[row]!
        }
        series.insertMany.run(bound)
      }
    }
    const insert = this.#connection.sql("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?, ?, ?)")
    for (; i < to; i++) {
      const row = order[i]!
      insert.run(runId, metricId, steps[row]!, values[row]!, times[row]!)
    }

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
    let last = summary.lastStep
    for (let k = from; k < to; k++) {
      const step = steps[order[k]!]!
      if (step <= last) appended = false
      else last = step
      if (step < lowest) lowest = step
    }
    if (appended) for (let k = from; k < to; k++) foldIn(summary, steps[order[k]!]!, values[order[k]!]!)
    let shift = before?.blockShift ?? null
    if (shift === null) {
      if (!appended) Object.assign(summary, foldRows(this.#points(metricId, Number.MIN_SAFE_INTEGER)))
      if (summary.count >= blocksFrom) {
        shift = shiftFor(summary)
        this.#writeBlocks(metricId, shift, this.#points(metricId, Number.MIN_SAFE_INTEGER))
      }
    } else if (appended) {
      const open = this.#block(metricId, Math.floor(lowest / 2 ** shift))
      this.#writeBlocks(metricId, shift, rowsOf(order, from, to, steps, values), open)
    } else {
      // Repeated or late steps: make the touched blocks anew from the rows, then the summary from the blocks.
      const start = Math.floor(lowest / 2 ** shift) * 2 ** shift
      this.#writeBlocks(metricId, shift, this.#points(metricId, start))
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

  *#points(metricId: number, start: number): Generator<readonly [number, number]> {
    const rows = this.#connection
      .sql<PointRow>("SELECT step, value FROM metrics WHERE run_id = ? AND metric_id = ? AND step >= ? ORDER BY step")
      .all(this.#runId, metricId, start)
    for (const { step, value } of rows) yield [step, fromReal(value)]
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
  #writeBlocks(metricId: number, shift: number, points: Iterable<readonly [number, number]>, open?: Fold): void {
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
    for (const [step, value] of points) {
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
      foldIn(fold, step, value)
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

function* rowsOf(
  order: Int32Array,
  from: number,
  to: number,
  steps: Float64Array,
  values: Float64Array,
): Generator<readonly [number, number]> {
  for (let k = from; k < to; k++) yield [steps[order[k]!]!, values[order[k]!]!]
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

function foldRows(points: Iterable<readonly [number, number]>): Fold {
  const fold = emptyFold()
  for (const [step, value] of points) foldIn(fold, step, value)
  return fold
}

/** Block width (as a power of two of steps) at which a block holds about `blockPoints` points of this series. */
function shiftFor(summary: Fold): number {
  const stride = (summary.lastStep - summary.firstStep) / Math.max(1, summary.count - 1)
  return Math.max(0, Math.round(Math.log2(Math.max(1, stride) * blockPoints)))
}
