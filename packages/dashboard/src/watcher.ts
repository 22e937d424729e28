/**
 * What the dashboard shows at one moment, read from runs.db only: it works on a running, a finished and a foreign
 * database, from any terminal, without disturbing the writer.
 */
import { statSync } from "node:fs"
import { type LogLine, type MetricSummary, openStore, parseWhere, type Store } from "@exp/store"
import { configLeaves } from "@exp/store/experiments"
import {
  type ConditionProgress,
  conditionProgress,
  databaseCounts,
  endedRuns,
  experimentRuns,
  liveRuns,
  plannedConditions,
  sampleFingerprint,
  stateFingerprint,
  type WatchedRun,
  watchedRun,
} from "@exp/store/watching"
import { type ArmLine, armLines } from "./arms.ts"
import { endsAt } from "./eta.ts"
import { GrowingCurve } from "./growing-curve.ts"
import { RankingFeed, type RankingState } from "./ranking-feed.ts"

/** An experiment under one profile, with how far it is. */
export interface ExperimentLine {
  readonly name: string
  readonly profile: string
  readonly question: string | null
  /** The first compared metric, its goal and unit. */
  readonly metric: string
  readonly goal: "max" | "min"
  readonly unit: string | null
  readonly total: number
  /** Completed, or ended by a stopping rule: nothing more is to come of them. */
  readonly completed: number
  readonly running: number
  /** Waiting for their turn. */
  readonly queued: number
  readonly failed: number
  /** Cancelled or interrupted. */
  readonly halted: number
  readonly lost: number
  /** When it will be through, in ms since 1970; NaN where nothing is measured or nothing runs. */
  readonly endsAt: number
}

/** One curve of a run. */
export interface CurveView {
  readonly metric: string
  readonly x: readonly number[]
  readonly y: readonly number[]
  readonly last: number
  readonly unit: string | null
}

/** One run in detail. */
export interface RunDetail {
  readonly run: WatchedRun
  readonly config: readonly (readonly [path: string, value: string])[]
  readonly summaries: readonly MetricSummary[]
  readonly curves: readonly CurveView[]
  /** Metrics that have a curve; `curves` are some of them. */
  readonly curved: number
  readonly logs: readonly LogLine[]
}

/** How much there is in the database. */
export interface DatabaseCounts {
  readonly experiments: number
  readonly trials: number
  readonly runs: number
  readonly points: number
}

export type View = "overview" | "runs" | "ranking" | "system"
export type Sort = "newest" | "metric" | "status" | "time"
export const sorts: readonly Sort[] = ["newest", "metric", "status", "time"]

/** What is asked of the watcher. Only what the view shows is read. */
export interface Request {
  readonly view: View
  readonly experiment?: { readonly name: string; readonly profile: string } | undefined
  readonly run?: number | undefined
  /** Columns of a chart, number of charts, and the first of them. */
  readonly columns: number
  readonly charts: number
  readonly firstChart: number
  readonly filter: string
  readonly sort: Sort
}

export interface Snapshot {
  readonly path: string
  readonly experiments: readonly ExperimentLine[]
  readonly selected: ExperimentLine | undefined
  readonly arms: readonly ArmLine[]
  /** Live runs of all experiments. */
  readonly live: readonly WatchedRun[]
  readonly ended: readonly WatchedRun[]
  /** Runs of the selected experiment, filtered and sorted, and how many there are without the filter. */
  readonly runs: readonly WatchedRun[]
  readonly allRuns: number
  /** Why the filter could not be applied. */
  readonly filterProblem: string | undefined
  readonly detail: RunDetail | undefined
  readonly counts: DatabaseCounts | undefined
  /** undefined where no results by sample are recorded: the arms are the ranking then. */
  readonly ranking: RankingState | undefined
}

/** What a look at the database gives: the last state that could be read, and what is in the way now. */
export interface Look {
  readonly snapshot: Snapshot | undefined
  readonly problem: string | undefined
}

/** What takes a time to read is read anew after so many times that time, so that it costs 2 % of a core at most. */
const restFactor = 50
/** Changes that the fingerprint of states does not show (tags, removed runs) are seen after this long, in ms. */
const slowestMs = 2000
/** How soon to try again after a failure, in ms. */
const retryMs = 500
const shownLive = 64
const keptLogs = 5000

interface Piece {
  readonly key: string
  readonly state: string
  readonly version: number
  readonly value: unknown
  readonly at: number
  readonly cost: number
}

/**
 * Reads the database for the dashboard. While nothing changes it gives the same look again and costs two system calls.
 * A database that is missing, being migrated, locked or gone is reported as a problem and tried again.
 */
export class Watcher {
  readonly path: string
  #store: Store | undefined
  #inode = 0
  #schema = 0
  #version = -1
  #key = ""
  #look: Look = { snapshot: undefined, problem: undefined }
  #pieces = new Map<string, Piece>()
  #detail: DetailReader | undefined
  #ranking: RankingFeed
  /** When something that was put off is due, in ms since 1970. */
  #dueAt = Number.POSITIVE_INFINITY
  #retryAt = 0

  constructor(path: string) {
    this.path = path
    this.#ranking = new RankingFeed(path, () => {
      this.#dueAt = 0
    })
  }

  /** The present state. The same object as before while there is nothing new. */
  look(request: Request, now = Date.now()): Look {
    if (this.#store === undefined && now < this.#retryAt) return this.#look
    try {
      // Opening says more of a missing file than stat does.
      const inode = statSync(this.path, { throwIfNoEntry: false })?.ino ?? 0
      if (this.#store !== undefined && inode !== this.#inode) this.#close()
      if (this.#store === undefined) {
        this.#store = openStore(this.path, { mode: "read", lockTimeoutMs: 50, onWarning: () => {} })
        this.#inode = inode
        this.#schema = this.#pragma("schema_version")
      }
      const version = this.#pragma("data_version")
      const key = JSON.stringify(request)
      const fresh = version === this.#version && key === this.#key && now < this.#dueAt
      if (fresh && this.#look.problem === undefined) return this.#look
      // Somebody migrated the file: opening it again tells whether this program still understands it.
      if (version !== this.#version && this.#version >= 0 && this.#pragma("schema_version") !== this.#schema) {
        this.#close()
        return this.look(request, now)
      }
      this.#version = version
      this.#key = key
      const store = this.#store
      const snapshot = store.connection.snapshot(() => this.#snapshot(store, request, now))
      this.#look = { snapshot, problem: undefined }
    } catch (error) {
      this.#close()
      this.#retryAt = now + retryMs
      const problem = error instanceof Error ? error.message : String(error)
      if (problem !== this.#look.problem) this.#look = { snapshot: this.#look.snapshot, problem }
    }
    return this.#look
  }

  #pragma(name: string): number {
    return this.#store!.connection.sqlite.pragma(name, { simple: true }) as number
  }

  #close(): void {
    this.#store?.close()
    this.#store = undefined
    this.#version = -1
    this.#key = ""
    this.#pieces.clear()
    this.#detail = undefined
  }

  /** Closes the file and ends the thread of the ranking. */
  close(): void {
    this.#close()
    this.#ranking.close()
  }

  /**
   * A part of the snapshot that costs more the more trials there are. It is computed when its question changes, and when
   * runs began or ended, but never more often than its cost allows.
   */
  #piece<T>(name: string, key: string, state: string, now: number, compute: () => T): T {
    const known = this.#pieces.get(name)
    if (known !== undefined && known.key === key) {
      const rested = known.at + restFactor * known.cost
      const old = known.version !== this.#version ? known.at + slowestMs : Number.POSITIVE_INFINITY
      const due = Math.max(rested, known.state === state ? old : 0)
      if (now < due) {
        this.#dueAt = Math.min(this.#dueAt, due)
        return known.value as T
      }
    }
    const began = performance.now()
    const value = compute()
    this.#pieces.set(name, { key, state, version: this.#version, value, at: now, cost: performance.now() - began })
    return value
  }

  #snapshot(store: Store, request: Request, now: number): Snapshot {
    this.#dueAt = Number.POSITIVE_INFINITY
    const { connection } = store
    const state = stateFingerprint(connection, now)
    const live = liveRuns(connection, shownLive, now)
    // A lease may run out without any change of the database.
    if (live.length > 0) this.#dueAt = now + slowestMs
    const experiments = this.#piece("experiments", "", state, now, () => experimentLines(store, live, now))
    const selected = chosen(experiments, request.experiment)
    const of = JSON.stringify([selected?.name, selected?.profile, selected?.metric])
    const inRun = request.run !== undefined
    const piece = <T>(name: string, wanted: boolean, compute: (line: ExperimentLine) => T, none: T): T =>
      selected === undefined || !wanted ? none : this.#piece(name, of, state, now, () => compute(selected))

    const onArms = !inRun && (request.view === "overview" || request.view === "ranking")
    const arms = piece(
      "arms",
      onArms,
      ({ name, profile, metric, goal }) =>
        armLines(plannedConditions(connection, name, profile), store.queries.finalValues(name, metric, profile), goal),
      [],
    )
    const ended = piece(
      "ended",
      !inRun && request.view === "overview",
      ({ name, profile, metric }) => endedRuns(connection, name, profile, metric, 48, now),
      [],
    )
    const all = piece(
      "runs",
      request.view === "runs",
      ({ name, profile, metric }) => experimentRuns(connection, name, profile, metric, now),
      [],
    )
    const { runs, problem } =
      request.view === "runs" ? this.#list(store, all, live, request, selected) : { runs: [], problem: undefined }
    return {
      path: store.path,
      experiments,
      selected,
      arms,
      live,
      ended,
      runs,
      allRuns: all.length,
      filterProblem: problem,
      detail: this.#readDetail(store, request, now),
      counts:
        request.view === "system" && !inRun
          ? this.#piece("counts", "", state, now, () => databaseCounts(connection))
          : undefined,
      ranking: request.view === "ranking" && !inRun ? this.#rank(store, selected, state, now) : undefined,
    }
  }

  #rank(store: Store, selected: ExperimentLine | undefined, state: string, now: number): RankingState | undefined {
    const profile = selected?.profile ?? "default"
    const found = this.#piece("samples", JSON.stringify([selected?.name, profile]), state, now, () =>
      sampleFingerprint(store.connection, selected?.name, profile),
    )
    if (!found.any) return undefined
    const question = { experiment: selected?.name, profile, metric: selected?.metric ?? "" }
    const answer = this.#ranking.ask(question, found.key, now)
    this.#dueAt = Math.min(this.#dueAt, this.#ranking.dueAt(question, found.key))
    return answer
  }

  #listed:
    | {
        key: string
        all: readonly WatchedRun[]
        live: readonly WatchedRun[]
        runs: readonly WatchedRun[]
        problem: string | undefined
      }
    | undefined

  /** The runs that the filter finds, sorted; what runs shows where it is now. */
  #list(
    store: Store,
    all: readonly WatchedRun[],
    live: readonly WatchedRun[],
    { filter, sort }: Request,
    selected: ExperimentLine | undefined,
  ): { readonly runs: readonly WatchedRun[]; readonly problem: string | undefined } {
    const now = new Map(live.map((run) => [run.id, run]))
    const key = JSON.stringify([filter, sort, selected?.name, selected?.profile])
    if (this.#listed?.all === all && this.#listed.key === key) {
      const { runs, problem } = this.#listed
      return { runs: now.size === 0 ? runs : runs.map((run) => merged(run, now.get(run.id))), problem }
    }
    const current = now.size === 0 ? all : all.map((run) => merged(run, now.get(run.id)))
    const { keep, problem } = filterOf(store, filter, selected)
    const runs = sorted(current.filter(keep), sort, selected?.goal ?? "max")
    this.#listed = { key, all, live, runs, problem }
    return { runs, problem }
  }

  #readDetail(store: Store, request: Request, now: number): RunDetail | undefined {
    if (request.run === undefined) {
      this.#detail = undefined
      return undefined
    }
    if (this.#detail?.runId !== request.run) this.#detail = new DetailReader(request.run)
    return this.#detail.read(store, request, now)
  }
}

const merged = (run: WatchedRun, live: WatchedRun | undefined): WatchedRun =>
  live === undefined ? run : { ...run, ...live, phase: run.phase, condition: run.condition, value: live.value }

function chosen(experiments: readonly ExperimentLine[], wanted: Request["experiment"]): ExperimentLine | undefined {
  if (wanted === undefined) return experiments[0]
  return experiments.find((line) => line.name === wanted.name && line.profile === wanted.profile) ?? experiments[0]
}

function experimentLines(store: Store, live: readonly WatchedRun[], now: number): ExperimentLine[] {
  const known = new Map(store.metrics.names().map((metric) => [metric.name, metric]))
  const groups = Map.groupBy(conditionProgress(store.connection, now), (group) => group.experimentId)
  return store.experiments.list().flatMap((row) => {
    const metric = (JSON.parse(row.compare) as string[])[0] ?? ""
    const profiles = Map.groupBy(groups.get(row.id) ?? [], (group) => group.profile)
    return [...profiles].map(([profile, own]): ExperimentLine => {
      const count = (...states: readonly ConditionProgress["state"][]) =>
        own.reduce((sum, { state, trials }) => sum + (states.includes(state) ? trials : 0), 0)
      const running = live.filter(
        (run) => run.experiment === row.name && run.profile === profile && run.status === "running" && !run.lost,
      )
      return {
        name: row.name,
        profile,
        question: row.question,
        metric,
        goal: known.get(metric)?.goal ?? "max",
        unit: known.get(metric)?.unit ?? null,
        total: own.reduce((sum, { trials }) => sum + trials, 0),
        completed: count("completed", "stopped"),
        running: count("running"),
        queued: count("waiting", "queued"),
        failed: count("failed"),
        halted: count("cancelled", "interrupted"),
        lost: count("lost"),
        endsAt: endsAt(own, running, now),
      }
    })
  })
}

/** What a filter keeps: comparisons (`learningRate >= 0.01`) on config and metrics, else words that must all occur. */
function filterOf(
  store: Store,
  filter: string,
  selected: ExperimentLine | undefined,
): { readonly keep: (run: WatchedRun) => boolean; readonly problem: string | undefined } {
  if (filter.trim() === "") return { keep: () => true, problem: undefined }
  if (/[<>=!~]/.test(filter) && selected !== undefined) {
    try {
      const ids = new Set(
        store.queries
          .runs({ experiment: selected.name, profile: selected.profile, where: parseWhere(filter), limit: 100_000 })
          .map((run) => run.id),
      )
      return { keep: (run) => ids.has(run.id), problem: undefined }
    } catch (error) {
      return { keep: () => true, problem: error instanceof Error ? error.message : String(error) }
    }
  }
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  const keep = (run: WatchedRun) => {
    const state = run.lost ? "lost" : run.stopped ? "stopped" : run.status
    const text = `${run.id} ${run.condition} ${run.phase} seed ${run.seed} ${state} ${run.name ?? ""} ${run.device ?? ""}`
    const lower = text.toLowerCase()
    return words.every((word) => lower.includes(word))
  }
  return { keep, problem: undefined }
}

const statusOrder = ["running", "queued", "failed", "interrupted", "cancelled", "completed"]

function sorted(runs: WatchedRun[], sort: Sort, goal: "max" | "min"): WatchedRun[] {
  const last = (x: number) => (Number.isNaN(x) ? Number.POSITIVE_INFINITY : x)
  switch (sort) {
    case "newest":
      return runs
    case "metric":
      return runs.sort(
        (a, b) => (goal === "max" ? last(-a.value) - last(-b.value) : last(a.value) - last(b.value)) || b.id - a.id,
      )
    case "status":
      return runs.sort((a, b) => statusOrder.indexOf(a.status) - statusOrder.indexOf(b.status) || b.id - a.id)
    case "time": {
      const took = (run: WatchedRun) => (run.startedAt === null ? -1 : (run.finishedAt ?? Date.now()) - run.startedAt)
      return runs.sort((a, b) => took(b) - took(a) || b.id - a.id)
    }
  }
}

/** Series of machines and costs come after what a model learns. */
const groupOrder = ["train", "val", "test"]
const curveOrder = (metric: string): number => {
  const at = groupOrder.indexOf(metric.split("/")[0]!)
  return at < 0 ? groupOrder.length : at
}

/** Reads one run again and again: of its curves and its log only what is new. */
class DetailReader {
  readonly runId: number
  #config: readonly (readonly [string, string])[] | undefined
  #curves = new Map<string, GrowingCurve>()
  #logs: LogLine[] | undefined

  constructor(runId: number) {
    this.runId = runId
  }

  read(store: Store, request: Request, now: number): RunDetail | undefined {
    const run = watchedRun(store.connection, this.runId, now)
    if (run === undefined) return undefined
    this.#config ??= configLeaves(store.trials.get(run.trialId)?.config ?? {}).map(([path, value]) => [
      path,
      String(value),
    ])
    const summaries = store.metrics.summaries(this.runId)
    const curved = summaries
      .filter((summary) => summary.count > 1)
      .sort((a, b) => curveOrder(a.metric) - curveOrder(b.metric) || (a.metric < b.metric ? -1 : 1))
    const curves = curved.slice(request.firstChart, request.firstChart + request.charts).map((summary): CurveView => {
      let curve = this.#curves.get(summary.metric)
      if (curve === undefined) {
        curve = new GrowingCurve(this.runId, summary.metric)
        this.#curves.set(summary.metric, curve)
      }
      curve.update(store, summary, request.columns * 2)
      return { metric: summary.metric, ...curve.points, last: summary.last, unit: summary.unit }
    })
    return { run, config: this.#config, summaries, curves, curved: curved.length, logs: this.#readLogs(store) }
  }

  #readLogs(store: Store): readonly LogLine[] {
    if (this.#logs === undefined) {
      this.#logs = store.logs.tail(this.runId, { limit: 1000 })
      return this.#logs
    }
    const fresh = store.logs.page(this.runId, { after: this.#logs.at(-1)?.id ?? 0, limit: 2000 })
    if (fresh.length > 0) this.#logs = [...this.#logs, ...fresh].slice(-keptLogs)
    return this.#logs
  }
}
