/** The coordinator of one invocation: claims trials, hands them to workers, settles how they ended, tells observers. */
import {
  type Choice,
  chooseWinners,
  type EarlyStop,
  Judge,
  type Judgement,
  type Plan,
  type PlannedTrial,
  type Selection as Points,
  ruleName,
  type Outcome as TuningOutcome,
  type TuningResult,
} from "@exp/spec"
import type { Failure, Report, RunEvent, Selection, TrialRef, TrialReport } from "./events.ts"
import { heapKeeper } from "./heap.ts"
import type { Ledger } from "./ledger.ts"
import type { OutputLine } from "./output.ts"
import { type JobEnd, type JobMessage, poolClosed, type Worker, type WorkerPool } from "./pool.ts"
import { earlyStopFrom, recordFromWire, type StopReason } from "./protocol.ts"
import type { Turns } from "./turns.ts"
import type { Coordinator, Outcome, Stage } from "./workflows.ts"

const never = new Promise<never>(() => {})

/** How often the database is asked for cancel requests and for trials that other coordinators hold. */
export const watchIntervalMs = 250
const heartbeatIntervalMs = 2_000
const heapIntervalMs = 1_000

interface Entry {
  readonly refs: TrialRef[]
  readonly planned: PlannedTrial
  status: TrialReport["status"] | "running"
  runId?: string
  attempts: number
  durationMs?: number
  failure?: Failure
  /** By what it is stopped early, and how it was. */
  judgement?: Judgement
  stop?: EarlyStop
  stale: boolean
}

export interface SessionOptions {
  readonly plan: Plan
  readonly ledger: Ledger
  readonly pool: WorkerPool
  readonly turns: Turns
  readonly device: string
  readonly file: string
  readonly db: string
  readonly maxFailures: number
  readonly onEvent: (event: RunEvent) => void
}

export class Session implements Coordinator {
  readonly plan: Plan
  readonly selections: Selection[] = []
  readonly #options: SessionOptions
  readonly #entries = new Map<string, Entry>()
  /** The tuning trials of all rounds so far. */
  #tuning: PlannedTrial[] = []
  readonly #tuningResults = new Map<string, TuningResult>()
  readonly #running = new Map<string, { readonly worker: Worker; readonly entry: Entry }>()
  readonly #elsewhere = new Map<string, (() => void)[]>()
  readonly #begun = performance.now()
  readonly #timers: NodeJS.Timeout[] = []
  /** Why no more trials are started. */
  #halt: "interrupt" | "failures" | "cancel" | undefined
  #halted: () => void = () => {}
  #haltedWhy: string | undefined
  /** Resolves when the session has halted and no trial runs any more. */
  readonly halted: Promise<void>
  #inFlight = 0
  #disposed = false
  #failures = 0

  constructor(options: SessionOptions) {
    this.plan = options.plan
    this.#options = options
    this.halted = new Promise((resolve) => {
      this.#halted = resolve
    })
    const every = (ms: number, what: () => void) => {
      const timer = setInterval(() => {
        try {
          what()
        } catch (error) {
          // A database that is locked or full for a moment: the next round tries again.
          this.#tell({
            type: "log",
            level: "warn",
            source: "engine",
            line: error instanceof Error ? error.message : String(error),
          })
        }
      }, ms)
      // These keep the process alive while it waits for nothing but another coordinator.
      this.#timers.push(timer)
    }
    every(watchIntervalMs, () => this.#watch())
    every(heartbeatIntervalMs, () => options.ledger.heartbeat())
    every(heapIntervalMs, heapKeeper())
  }

  #tell(event: RunEvent): void {
    this.#options.onEvent(event)
  }

  // --- what the workflows ask for ---

  register(phase: "tune" | "compare", trials: readonly PlannedTrial[], { from, judgements }: Stage): void {
    this.#options.ledger.register(phase, trials, from)
    if (phase === "tune") this.#tuning = [...this.#tuning.slice(0, from), ...trials]
    trials.forEach((planned, i) => {
      const index = from + i
      const ref: TrialRef = {
        trialId: planned.id,
        arm: planned.arm,
        condition: planned.condition,
        seed: planned.seed,
        phase,
        index,
      }
      const known = this.#entries.get(planned.id)
      if (known !== undefined) {
        // The same trial under two arms or in both phases: one entry, shown in every place.
        if (!known.refs.some((r) => r.phase === phase && r.condition === ref.condition)) known.refs.push(ref)
        // Compared in full, whatever a rule said about it as a candidate.
        if (phase === "compare" && known.status === "stopped") {
          known.status = "pending"
          delete known.judgement
          delete known.stop
        }
        return
      }
      const judgement = judgements?.get(planned.id)
      this.#entries.set(planned.id, {
        refs: [ref],
        planned,
        status: "pending",
        attempts: 0,
        stale: false,
        ...(judgement === undefined ? {} : { judgement }),
      })
    })
  }

  finished(trials: readonly PlannedTrial[], { round, judgements }: Stage): ReadonlySet<string> {
    const done = new Set<string>()
    const phase = trials[0]?.phase ?? "compare"
    const results = this.#options.ledger.results(trials.map((trial) => trial.id))
    const stops = this.#options.ledger.stops(judgements ?? new Map())
    const stopped = [...stops].filter(([trialId]) => !results.has(trialId))
    this.#tell({
      type: "phase-started",
      phase,
      trials: trials.length,
      reused: results.size + stopped.length,
      ...(round === undefined ? {} : { round: { number: round + 1, of: this.plan.search?.rounds ?? 1 } }),
    })
    for (const [trialId, { runId, stop, stale }] of stopped) {
      const entry = this.#entries.get(trialId)
      if (entry === undefined) continue
      done.add(trialId)
      if (entry.status === "pending") this.#stopped(entry, runId, stop, stale)
    }
    for (const [trialId, result] of results) {
      const entry = this.#entries.get(trialId)
      if (entry === undefined) continue
      done.add(trialId)
      if (entry.status !== "completed" && entry.status !== "reused") this.#reuse(entry, result.runId, result.stale)
    }
    return done
  }

  #reuse(entry: Entry, runId: string, stale: boolean): void {
    // Carried out in full elsewhere, where no rule or another one was at work. Here it counts as it would have come out
    // here, so that a search does not hang on what else the database holds.
    if (entry.judgement !== undefined) {
      const judge = new Judge(entry.judgement)
      for (const [step, value] of this.#options.ledger.curve(runId, entry.judgement.metric)) {
        const stop = judge.observe(step, value)
        if (stop === undefined) continue
        this.#stopped(entry, runId, stop, stale)
        return
      }
    }
    entry.status = "reused"
    entry.runId = runId
    entry.stale = stale
    this.#tell({ type: "trial-reused", trial: entry.refs[0]!, runId, stale })
  }

  /** A stopping rule has ended the trial, in this process or earlier. */
  #stopped(entry: Entry, runId: string, stop: EarlyStop, stale: boolean): void {
    entry.status = "stopped"
    entry.runId = runId
    entry.stop = stop
    entry.stale = stale
    delete entry.failure
    this.#tell({ type: "trial-stopped", trial: entry.refs[0]!, runId, status: "stopped", stop })
  }

  tuningResult(trialId: string): TuningResult | undefined {
    const known = this.#tuningResults.get(trialId)
    if (known !== undefined) return known
    const outcome = this.#tuningOutcome(trialId)
    const runId = this.#entries.get(trialId)?.runId
    if (outcome === undefined) return undefined
    const { rule } = this.plan.search ?? {}
    const curve =
      rule === undefined || runId === undefined
        ? undefined
        : {
            points: this.#options.ledger
              .curve(runId, this.plan.tuneBy!.metric)
              .filter(([step]) => step <= (this.#entries.get(trialId)?.stop?.step ?? Number.POSITIVE_INFINITY)),
            finished: outcome.status === "finished",
          }
    const result = { outcome, curve }
    this.#tuningResults.set(trialId, result)
    return result
  }

  #tuningOutcome(trialId: string): TuningOutcome | undefined {
    const entry = this.#entries.get(trialId)
    if (entry?.status === "stopped" && entry.stop !== undefined)
      return { status: "stopped", step: entry.stop.rung, score: entry.stop.value }
    if (entry?.status === "failed" || entry?.status === "cancelled") return { status: "failed" }
    if (entry?.runId === undefined || (entry.status !== "completed" && entry.status !== "reused")) return undefined
    const score = this.#options.ledger.finalMetrics([entry.runId]).get(entry.runId)?.[this.plan.tuneBy!.metric]
    return score === undefined ? { status: "failed" } : { status: "finished", score }
  }

  async attempt(trialId: string, attempt: number, retriesLeft: number): Promise<Outcome> {
    const entry = this.#entries.get(trialId)!
    const trial = entry.refs[0]!
    const place = {
      priority: this.plan.policy.priority.arms[trial.arm] ?? 0,
      rank: trial.index,
      share: this.plan.policy.deviceShare[trial.arm] ?? 1,
    }
    if (attempt > 1) this.#tell({ type: "trial-retried", trial, attempt, delayMs: 0 })
    for (;;) {
      if (this.#halt !== undefined) return never
      this.#inFlight++
      let outcome: Outcome | "busy" | "stopped"
      try {
        outcome = await this.#options.pool.use(place, (worker) =>
          this.#inTurn(place.share, () => this.#attemptOn(worker, entry, retriesLeft)),
        )
      } catch (cause) {
        outcome =
          cause === poolClosed || this.#halt !== undefined ? "stopped" : this.#withoutWorker(entry, cause, retriesLeft)
      } finally {
        this.#inFlight--
        if (this.#halt !== undefined && this.#inFlight === 0) this.#halted()
      }
      if (outcome === "stopped") return never
      if (outcome !== "busy") return outcome
      await new Promise<void>((resolve) => {
        const waiting = this.#elsewhere.get(trialId)
        if (waiting === undefined) this.#elsewhere.set(trialId, [resolve])
        else waiting.push(resolve)
      })
    }
  }

  /** Makes the attempt when it is this coordinator's turn. */
  async #inTurn(
    share: number,
    attempt: () => Promise<Outcome | "busy" | "stopped">,
  ): Promise<Outcome | "busy" | "stopped"> {
    const { turns } = this.#options
    this.#tellWaiting()
    while (!turns.take(share)) {
      if (this.#halt !== undefined || this.#disposed) return "stopped"
      await new Promise((resolve) => setTimeout(resolve, watchIntervalMs))
    }
    try {
      return await attempt()
    } finally {
      turns.give(share)
    }
  }

  /** Tells other coordinators how many trials could begin here at once if there were room. */
  #tellWaiting(): void {
    this.#options.turns.waiting(this.#halt === undefined ? this.#inFlight - this.#running.size : 0)
  }

  /** No worker could be had: the experiment does not load there, or the process cannot be started. */
  #withoutWorker(entry: Entry, cause: unknown, retriesLeft: number): Outcome {
    const failure: Failure =
      typeof cause === "object" && cause !== null && "lastLines" in cause
        ? (cause as Failure)
        : {
            kind: "EngineError",
            message: cause instanceof Error ? cause.message : String(cause),
            lastLines: [],
            retriable: false,
          }
    const claim = this.#options.ledger.claim(entry.planned.id, undefined, entry.judgement)
    if (claim.type === "cancelled" || claim.type === "stopped") return { status: claim.type, runId: claim.runId }
    if (claim.type !== "mine") return { status: "reused", runId: claim.type === "done" ? claim.runId : "" }
    return this.#settleFailure(entry, claim.runId, failure, retriesLeft)
  }

  async #attemptOn(worker: Worker, entry: Entry, retriesLeft: number): Promise<Outcome | "busy" | "stopped"> {
    if (this.#halt !== undefined) return "stopped"
    const { ledger } = this.#options
    const claim = ledger.claim(entry.planned.id, worker.pid, entry.judgement)
    if (claim.type === "busy") return "busy"
    if (claim.type === "done") {
      this.#reuse(entry, claim.runId, false)
      return { status: "reused", runId: claim.runId }
    }
    if (claim.type === "stopped") {
      this.#stopped(entry, claim.runId, claim.stop, false)
      return { status: "stopped", runId: claim.runId }
    }
    if (claim.type === "cancelled") {
      entry.status = "cancelled"
      entry.runId = claim.runId
      this.#tell({ type: "trial-stopped", trial: entry.refs[0]!, runId: claim.runId, status: "cancelled" })
      return { status: "cancelled", runId: claim.runId }
    }
    const { runId } = claim
    const trial = entry.refs[0]!
    entry.status = "running"
    entry.runId = runId
    entry.attempts = claim.attempt
    this.#tell({
      type: "trial-started",
      trial,
      runId,
      attempt: claim.attempt,
      worker: worker.index,
      resumedFrom: claim.checkpoint,
    })
    this.#running.set(runId, { worker, entry })
    const limit = this.plan.policy.timeout
    const timer = limit === undefined ? undefined : setTimeout(() => worker.stop("timeout"), limit * 1000)
    const begun = performance.now()
    const end = await worker.run(
      {
        runId,
        trialId: trial.trialId,
        config: entry.planned.config,
        seed: entry.planned.seed,
        device: this.#options.device,
        judgement: entry.judgement,
      },
      (message) => this.#message(trial, message),
    )
    clearTimeout(timer)
    this.#running.delete(runId)
    entry.durationMs = performance.now() - begun
    return this.#settle(entry, runId, end, retriesLeft)
  }

  #message(trial: TrialRef, message: JobMessage): void {
    const { runId } = message
    if (message.type === "progress") {
      const { done, total } = message
      this.#options.ledger.progress(runId, done, total)
      this.#tell({ type: "trial-progress", trial, runId, done, total, latest: recordFromWire(message.latest) })
    } else if (message.type === "log") {
      this.#tell({ type: "log", trial, runId, level: message.level, source: "logger", line: message.line })
    } else if (message.type === "stage") {
      const { stage, key, state, durationMs } = message
      this.#tell({ type: "stage", trial, stage, key, state, durationMs })
    } else {
      const line = `continues from step ${message.step}`
      this.#tell({ type: "log", trial, runId, level: "info", source: "engine", line })
    }
  }

  /** Decides, in one place, what the end of a job means for its run. */
  #settle(entry: Entry, runId: string, end: JobEnd, retriesLeft: number): Outcome | "stopped" {
    const { ledger } = this.#options
    const trial = entry.refs[0]!
    const { durationMs } = entry
    const timing = durationMs === undefined ? {} : { durationMs }
    // The worker may have died between completing the run and telling us.
    if (end.type === "finished" || ledger.status(runId) === "completed") {
      entry.status = "completed"
      delete entry.failure
      const metrics =
        end.type === "finished" ? recordFromWire(end.metrics) : (ledger.finalMetrics([runId]).get(runId) ?? {})
      this.#tell({ type: "trial-finished", trial, runId, durationMs: durationMs ?? 0, metrics })
      return { status: "completed", runId, ...timing }
    }
    // As above: the verdict may be recorded though its worker did not live to tell.
    const stop = end.type === "stopped-early" ? earlyStopFrom(end.stop) : ledger.stopOf(runId)
    if (end.type === "stopped-early" || stop !== undefined) {
      this.#stopped(entry, runId, stop!, false)
      return { status: "stopped", runId, ...timing }
    }
    if (end.type === "failed") return this.#settleFailure(entry, runId, end.failure, retriesLeft)
    if (end.reason === "timeout") {
      const limit = this.plan.policy.timeout
      return this.#settleFailure(
        entry,
        runId,
        {
          kind: "TimedOut",
          message: `the trial took longer than its limit of ${limit} s; raise timeout in the experiment, or make the trial smaller`,
          lastLines: [],
          retriable: false,
        },
        retriesLeft,
      )
    }
    const status = end.reason === "cancel" ? "cancelled" : "interrupted"
    ledger.settle(runId, status)
    entry.status = status
    this.#tell({ type: "trial-stopped", trial, runId, status })
    if (status === "cancelled") return { status, runId, ...timing }
    if (this.#halt === undefined) this.interrupt("a worker was told to end")
    return "stopped"
  }

  #settleFailure(entry: Entry, runId: string, failure: Failure, retriesLeft: number): Outcome {
    const willRetry = failure.retriable && retriesLeft > 0 && this.#halt === undefined
    this.#options.ledger.settle(runId, "failed", failure)
    entry.status = "failed"
    entry.failure = failure
    this.#tell({ type: "trial-failed", trial: entry.refs[0]!, runId, attempt: entry.attempts, failure, willRetry })
    if (!willRetry) {
      this.#failures++
      if (this.plan.policy.onFailure === "stop" || this.#failures >= this.#options.maxFailures) {
        this.#stopStarting("failures", `${this.#failures} failed for good`)
      }
    }
    const { durationMs } = entry
    return { status: "failed", runId, failure, ...(durationMs === undefined ? {} : { durationMs }) }
  }

  select(): { readonly selection: Points; readonly choices: readonly Choice[] } {
    const by = this.plan.tuneBy!
    const { selection, choices } = chooseWinners(
      this.plan,
      (trialId) => this.tuningResult(trialId)?.outcome,
      this.#tuning,
    )
    this.#options.ledger.recordSelections(by.metric, choices)
    return { selection, choices }
  }

  announce(choices: readonly Choice[]): void {
    const by = this.plan.tuneBy
    const { search } = this.plan
    if (by === undefined) return
    for (const choice of choices) {
      const condition = this.plan.conditions.find((c) => c.label === choice.condition)
      const selection: Selection = {
        condition: choice.condition,
        arm: condition?.arm ?? choice.condition,
        by: by.metric,
        goal: by.goal,
        chosen: choice.winner ?? {},
        candidates: choice.candidates.map(({ point, score }) => ({ point, score: score ?? Number.NaN })),
        atBorder: choice.atBorder,
        ...(search?.method === undefined ? {} : { method: search.method }),
        ...(search?.rule === undefined
          ? {}
          : {
              stopped: {
                rule: ruleName(search.rule),
                candidates: choice.candidates.filter(({ stopped }) => stopped !== undefined).length,
              },
            }),
      }
      this.selections.push(selection)
      this.#tell({ type: "selected", selection })
    }
  }

  // --- stopping ---

  #stopStarting(why: "interrupt" | "failures" | "cancel", reason: string): void {
    if (this.#halt !== undefined) return
    this.#halt = why
    this.#haltedWhy = reason
    for (const resolve of [...this.#elsewhere.values()].flat()) resolve()
    this.#elsewhere.clear()
    if (why !== "failures") this.#tell({ type: "interrupting", reason })
    if (this.#inFlight === 0) this.#halted()
  }

  /** Running trials save a checkpoint and become `interrupted`; no other is started. */
  interrupt(reason: string): void {
    this.#stopStarting("interrupt", reason)
    this.#options.pool.stopAll("interrupt")
  }

  get haltReason(): "interrupt" | "failures" | "cancel" | undefined {
    return this.#halt
  }

  #watch(): void {
    const { ledger } = this.#options
    if (this.#running.size > 0 || this.#halt === undefined) {
      const requests = ledger.cancelRequests()
      for (const runId of requests.runs) this.#running.get(runId)?.worker.stop("cancel")
      if (requests.experiment && this.#halt === undefined) {
        this.#stopStarting("cancel", "the experiment was cancelled")
        this.#options.pool.stopAll("cancel" satisfies StopReason)
      }
    }
    this.#tellWaiting()
    if (this.#elsewhere.size === 0) return
    for (const trialId of ledger.unowned([...this.#elsewhere.keys()])) {
      const waiting = this.#elsewhere.get(trialId) ?? []
      this.#elsewhere.delete(trialId)
      for (const resolve of waiting) resolve()
    }
  }

  /** Output of a worker process: into the run's log, and to the observers. */
  output({ runId, source, line }: OutputLine): void {
    if (runId !== undefined) this.#options.ledger.output(runId, source, line)
    const trial = runId === undefined ? undefined : this.#running.get(runId)?.entry.refs[0]
    this.#tell({ type: "log", trial, runId, level: source === "stderr" ? "warn" : "info", source, line })
  }

  // --- the end ---

  dispose(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#timers.length = 0
    this.#disposed = true
    this.#options.turns.close()
  }

  report(): Report {
    const { plan } = this
    const { ledger } = this.#options
    const runIds = [...this.#entries.values()].map((entry) => entry.runId).filter((id) => id !== undefined)
    const metrics = ledger.finalMetrics(runIds)
    const trials: TrialReport[] = []
    const counts = { completed: 0, reused: 0, stopped: 0, failed: 0, cancelled: 0, interrupted: 0, pending: 0 }
    for (const phase of ["tune", "compare"] as const) {
      const rows = [...this.#entries.values()].flatMap((entry) =>
        entry.refs.filter((ref) => ref.phase === phase).map((ref) => ({ entry, ref })),
      )
      rows.sort((a, b) => a.ref.index - b.ref.index)
      for (const { entry, ref } of rows) {
        let status = entry.status === "running" ? "interrupted" : entry.status
        if (status === "pending" && this.#halt === "cancel") status = "cancelled"
        counts[status]++
        trials.push({
          ...ref,
          status,
          config: entry.planned.config as Readonly<Record<string, unknown>>,
          runId: entry.runId,
          attempts: entry.attempts,
          durationMs: entry.durationMs,
          metrics: metrics.get(entry.runId ?? "") ?? {},
          failure: entry.status === "failed" ? entry.failure : undefined,
          stop: entry.status === "stopped" ? entry.stop : undefined,
          stale: entry.stale,
        })
      }
    }
    const complete = counts.completed + counts.reused + counts.stopped === trials.length && this.#halt === undefined
    const exitCode = this.#halt === "interrupt" ? 130 : complete ? 0 : 1
    return {
      experiment: plan.experiment.name,
      file: this.#options.file,
      db: this.#options.db,
      status: exitCode === 130 ? "interrupted" : exitCode === 0 ? "completed" : "failed",
      exitCode,
      reason: this.#haltedWhy,
      compare: plan.compare.map((metric) => ({ metric, ...ledger.goalOf(metric) })),
      conditions: plan.conditions.map(({ arm, label, point }) => ({ arm, label, point })),
      baseline: plan.baseline,
      selections: this.selections,
      trials,
      counts,
      durationMs: performance.now() - this.#begun,
    }
  }

  adopt(trialId: string, outcome: Outcome): void {
    const entry = this.#entries.get(trialId)
    if (entry === undefined || entry.status !== "pending") return
    entry.status = outcome.status
    entry.runId = outcome.runId
    if (outcome.durationMs !== undefined) entry.durationMs = outcome.durationMs
    if (outcome.failure !== undefined) entry.failure = outcome.failure
    const stop = outcome.status === "stopped" ? this.#options.ledger.stopOf(outcome.runId) : undefined
    if (stop !== undefined) entry.stop = stop
  }
}
