/**
 * What the dashboard shows at one moment, read from runs.db only: it works on a running, a finished and a foreign
 * database, from any terminal, without disturbing the writer.
 */
import { statSync } from "node:fs"
import { holm, meanInterval, pairedComparison } from "@exp/ranking"
import { type LogLine, type MetricSummary, openStore, type RunListItem, type Store } from "@exp/store"

/** An experiment under one profile, with how far it is. */
export interface ExperimentLine {
  readonly name: string
  readonly profile: string
  readonly question: string | null
  readonly metric: string
  readonly goal: "max" | "min"
  readonly completed: number
  readonly total: number
  readonly running: number
  readonly failed: number
  readonly lost: number
  /** Seconds that are left at the measured time per trial, NaN while nothing is measured or running. */
  readonly secondsLeft: number
}

/** A compared condition with what its finished seeds give. */
export interface ArmLine {
  readonly label: string
  readonly n: number
  readonly planned: number
  readonly mean: number
  readonly low: number
  readonly high: number
  /** Best, and better than every other condition in Holm-corrected paired tests over seeds. */
  readonly supported: boolean
}

/** The overview of one experiment. */
export interface Overview {
  readonly arms: readonly ArmLine[]
  readonly running: readonly RunListItem[]
  readonly recent: readonly RunListItem[]
}

/** One run in detail. */
export interface RunDetail {
  readonly run: RunListItem
  readonly summaries: readonly MetricSummary[]
  readonly logs: readonly LogLine[]
  readonly curves: readonly { readonly metric: string; readonly x: number[]; readonly y: number[] }[]
}

/** How the database itself is doing. */
export interface DatabaseState {
  readonly path: string
  readonly bytes: number
  readonly runs: number
}

/** What is asked of the reader. */
export interface SnapshotRequest {
  readonly experiment?: { readonly name: string; readonly profile: string } | undefined
  readonly run?: number | undefined
  /** Columns of a chart: series come reduced to twice as many points. */
  readonly columns: number
  /** Metrics to draw in the detail; the first few when empty. */
  readonly metrics: readonly string[]
  readonly list: { readonly filter: string; readonly sort: "newest" | "metric" | "status"; readonly limit: number }
}

export interface Snapshot {
  readonly experiments: readonly ExperimentLine[]
  readonly selected: ExperimentLine | undefined
  readonly overview: Overview | undefined
  readonly runs: readonly RunListItem[]
  readonly detail: RunDetail | undefined
  readonly database: DatabaseState
}

const compareOf = (value: unknown): readonly string[] =>
  typeof value === "string" ? (JSON.parse(value) as string[]) : (value as string[])

/**
 * Reads snapshots. Between changes of the database it gives the same snapshot again without a query. A database that
 * is missing, being migrated or gone is reported as a reason, and tried again at the next call.
 */
export class SnapshotReader {
  readonly #path: string
  #store: Store | undefined
  #version = -1
  #key = ""
  #last: Snapshot | undefined

  constructor(path: string) {
    this.#path = path
  }

  /** The present snapshot, or why there is none. */
  read(request: SnapshotRequest): Snapshot | { readonly problem: string } {
    try {
      this.#store ??= openStore(this.#path, { mode: "read", lockTimeoutMs: 200, onWarning: () => {} })
      const inode = statSync(this.#path).ino
      const version = this.#store.connection.sqlite.pragma("data_version", { simple: true }) as number
      const key = `${inode} ${JSON.stringify(request)}`
      // Elapsed times move on by themselves: even an unchanged database is read again now and then.
      if (this.#last !== undefined && version === this.#version && key === this.#key) return this.#last
      if (this.#key !== "" && !this.#key.startsWith(`${inode} `)) {
        this.close()
        return this.read(request)
      }
      this.#version = version
      this.#key = key
      this.#last = snapshot(this.#store, request)
      return this.#last
    } catch (error) {
      this.close()
      return { problem: error instanceof Error ? error.message : String(error) }
    }
  }

  /** Closes the file; the next read opens it again. */
  close(): void {
    this.#store?.close()
    this.#store = undefined
    this.#last = undefined
    this.#key = ""
    this.#version = -1
  }
}

function snapshot(store: Store, request: SnapshotRequest): Snapshot {
  const goals = new Map(store.metrics.names().map((metric) => [metric.name, metric.goal]))
  const experiments = store.experiments.list().flatMap((row) =>
    store.experiments.profiles(row.name).map((profile): ExperimentLine => {
      const progress = store.experiments.progress(row.name, profile)
      const metric = compareOf(row.compare)[0] ?? ""
      const open = progress.waiting + progress.queued + progress.running
      return {
        name: row.name,
        profile,
        question: row.question,
        metric,
        goal: goals.get(metric) ?? "max",
        // Trials that a stopping rule ended are over, and nothing more is to come of them.
        completed: progress.completed + progress.stopped,
        total: progress.total,
        running: progress.running,
        failed: progress.failed,
        lost: progress.lost,
        secondsLeft: progress.running > 0 ? (open * progress.meanSeconds) / progress.running : Number.NaN,
      }
    }),
  )
  const wanted = request.experiment
  const selected =
    wanted === undefined
      ? experiments[0]
      : experiments.find((line) => line.name === wanted.name && line.profile === wanted.profile)
  const overview = selected === undefined ? undefined : readOverview(store, selected)
  const runs = selected === undefined ? [] : readRuns(store, selected, request)
  return {
    experiments,
    selected,
    overview,
    runs,
    detail: request.run === undefined ? undefined : readDetail(store, request.run, request),
    database: { path: store.path, bytes: statSync(store.path).size, runs: store.queries.count() },
  }
}

function readOverview(store: Store, line: ExperimentLine): Overview {
  const values = store.queries.finalValues(line.name, line.metric, line.profile)
  const members = store.experiments.trials(line.name, line.profile).filter((member) => member.phase === "compare")
  const labels = [...new Set(members.map((member) => member.condition))]
  const rows = labels.map((label) => {
    const own = values.filter((value) => value.condition === label && Number.isFinite(value.value))
    const interval = own.length > 0 ? meanInterval(own.map((value) => value.value)) : undefined
    return {
      label,
      own,
      n: own.length,
      planned: members.filter((member) => member.condition === label).length,
      mean: interval?.mean ?? Number.NaN,
      low: interval?.low ?? Number.NaN,
      high: interval?.high ?? Number.NaN,
    }
  })
  const sign = line.goal === "max" ? 1 : -1
  const best = rows.filter((row) => row.n > 0).sort((a, b) => sign * (b.mean - a.mean))[0]
  const supported =
    best !== undefined &&
    beatsAll(
      best.own,
      rows.filter((row) => row !== best).map((row) => row.own),
    )
  const filter = { experiment: line.name, profile: line.profile, metrics: [line.metric] }
  return {
    arms: rows.map(({ own: _, ...row }) => ({ ...row, supported: supported && row.label === best?.label })),
    running: store.queries.runs({ ...filter, status: ["running"], limit: 32 }),
    recent: store.queries.runs({
      ...filter,
      status: ["completed", "failed", "cancelled", "interrupted", "lost"],
      limit: 32,
    }),
  }
}

type Values = readonly { readonly seed: number; readonly value: number }[]

function beatsAll(best: Values, others: readonly Values[]): boolean {
  if (others.length === 0) return false
  const pValues = others.map((other) => {
    const of = new Map(other.map(({ seed, value }) => [seed, value]))
    const pairs = best.filter(({ seed }) => of.has(seed))
    if (pairs.length < 2) return 1
    return pairedComparison(
      pairs.map(({ value }) => value),
      pairs.map(({ seed }) => of.get(seed)!),
    ).pValue
  })
  return holm(pValues).every((p) => p < 0.05)
}

function readRuns(store: Store, line: ExperimentLine, request: SnapshotRequest): RunListItem[] {
  const { filter, sort, limit } = request.list
  const found = store.queries.runs({
    experiment: line.name,
    profile: line.profile,
    metrics: [line.metric],
    limit: filter === "" && sort === "newest" ? limit : 5000,
  })
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  const kept = found.filter((run) => {
    const text =
      `${run.condition} ${run.phase} seed ${run.seed} ${run.lost ? "lost" : run.status} ${run.name ?? ""}`.toLowerCase()
    return words.every((word) => text.includes(word))
  })
  const sign = line.goal === "max" ? -1 : 1
  const value = (run: RunListItem) => run.metrics[line.metric] ?? Number.NaN
  if (sort === "metric") {
    kept.sort((a, b) => {
      const [x, y] = [value(a), value(b)]
      return Number.isNaN(x) ? (Number.isNaN(y) ? 0 : 1) : Number.isNaN(y) ? -1 : sign * (x - y)
    })
  }
  if (sort === "status") kept.sort((a, b) => a.status.localeCompare(b.status) || b.id - a.id)
  return kept.slice(0, limit)
}

function readDetail(store: Store, runId: number, request: SnapshotRequest): RunDetail | undefined {
  const trial = store.runs.get(runId)?.trialId
  const run =
    trial === undefined ? undefined : store.queries.runs({ trial, limit: 50 }).find((item) => item.id === runId)
  if (run === undefined) return undefined
  const summaries = store.metrics.summaries(runId)
  const curved = summaries.filter((summary) => summary.count > 1)
  const drawn =
    request.metrics.length > 0 ? curved.filter((s) => request.metrics.includes(s.metric)) : curved.slice(0, 2)
  const curves = drawn.map(({ metric }) => {
    const columns = store.metrics.series(runId, metric, request.columns * 2)
    return { metric, x: columns.map((c) => (c.firstStep + c.lastStep) / 2), y: columns.map((c) => c.mean) }
  })
  return { run, summaries, logs: store.logs.tail(runId, { limit: 200 }), curves }
}
