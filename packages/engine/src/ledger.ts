/**
 * The coordinator's view of runs.db: claims, ends of runs, results, requests. The claims of runs.db are the one source
 * of truth about who owns a trial; @exp/store holds their SQL, this module says what this coordinator asks with.
 *
 * Whether an owner is dead is asked of the system (pid and start time), not of a clock, so neither a stopped process
 * nor a clock set back loses its trials; only owners on other machines are judged by their lease.
 */
import {
  type Choice,
  declaredMetric,
  type EarlyStop,
  type Judgement,
  type Plan,
  type PlannedTrial,
  stands,
} from "@exp/spec"
import type { Store } from "@exp/store"
import {
  buryDeadRuns,
  cancelRequests,
  claimTrial,
  completedRuns,
  curveOf,
  hasDeadRuns,
  liveRuns,
  type RunOrigin,
  renewLeases,
  settleRun,
  stoppedRuns,
} from "@exp/store/claims"
import type { Failure } from "./events.ts"
import { endOrphan, isGone } from "./ownership.ts"
import { parseIdentity } from "./process-identity.ts"
import { earlyStopFrom } from "./protocol.ts"
import type { Provenance } from "./provenance.ts"

export type Claim =
  /** The caller owns the trial now. `resumed`: the run was interrupted and goes on, series and checkpoint included. */
  | {
      readonly type: "mine"
      readonly runId: string
      readonly attempt: number
      readonly resumed: boolean
      readonly checkpoint: number | undefined
    }
  /** There is a result that counts. */
  | { readonly type: "done"; readonly runId: string }
  /** A stopping rule has ended it, and would again. */
  | { readonly type: "stopped"; readonly runId: string; readonly stop: EarlyStop }
  /** Another living coordinator is at it. */
  | { readonly type: "busy" }
  /** It was cancelled before its turn came. */
  | { readonly type: "cancelled"; readonly runId: string }

/** A trial that a stopping rule has ended. */
export interface StoppedResult {
  readonly runId: string
  readonly stop: EarlyStop
  /** Other code than today's has made it. */
  readonly stale: boolean
}

export interface LedgerOptions {
  readonly plan: Plan
  readonly file: string
  readonly owner: string
  readonly device: string
  readonly provenance: Provenance
  readonly force: boolean
  readonly rerunStale: boolean
}

/** Lines of output kept per run. */
const maximumLines = 20_000

export class Ledger {
  /** Runs with ids up to this one do not count when the results are to be made again. */
  floor = 0
  readonly identity: string
  readonly #store: Store
  readonly #options: LedgerOptions
  readonly #origin: RunOrigin
  readonly #diff: string | undefined
  readonly #cancelledBefore: number | null
  readonly #lines = new Map<string, number>()
  readonly #progress = new Map<string, { readonly done: number; readonly total: number }>()

  constructor(store: Store, options: LedgerOptions) {
    this.#store = store
    this.#options = options
    const { provenance } = options
    this.#origin = {
      device: options.device,
      host: parseIdentity(options.owner)?.host ?? "",
      codeHash: provenance.code.hash,
      gitCommit: provenance.git.commit,
      gitDirty: provenance.git.dirty,
      packages: provenance.packages,
      environment: { ...provenance.environment, files: provenance.code.files },
    }
    this.#diff =
      (provenance.git.diff ?? "") === ""
        ? undefined
        : store.artifacts.put(Buffer.from(provenance.git.diff ?? ""), "text/x-diff")
    const { experiment, compare, baseline } = options.plan
    const id = store.experiments.register({
      name: experiment.name,
      question: experiment.question,
      task: experiment.task.name,
      taskVersion: experiment.task.version,
      compare,
      baseline,
      spec: {
        arms: experiment.arms,
        base: experiment.base,
        sweep: experiment.sweep,
        tune: experiment.tune,
        seeds: experiment.seeds,
      },
      metrics: experiment.task.metrics,
      file: options.file,
    })
    const created = store.connection
      .sql<{ at: number }>("SELECT created_at AS at FROM experiments WHERE id = ?")
      .get(id)?.at
    this.identity = `${id}/${created}`
    this.#buryDead()
    this.#cancelledBefore = cancelRequests(store.connection, options.owner, experiment.name).experimentAt
  }

  /** Nothing is to say `running` when no process runs it. */
  #buryDead(): void {
    if (!hasDeadRuns(this.#connection, isGone)) return
    for (const { pid, owner } of buryDeadRuns(this.#connection, isGone)) endOrphan(pid, owner)
  }

  get #connection() {
    return this.#store.connection
  }

  /** The newest run of the database. */
  get lastRun(): number {
    return this.#connection.sql<{ id: number | null }>("SELECT max(id) AS id FROM runs").get()?.id ?? 0
  }

  /** @param from position of the first of them in its phase: those before it stay */
  register(phase: "tune" | "compare", trials: readonly PlannedTrial[], from = 0): void {
    const { experiment, profile } = this.#options.plan
    this.#store.experiments.addTrials(experiment.name, phase, trials, profile ?? "default", from)
  }

  #accepts = (run: { readonly id: number; readonly codeHash: string | null }): boolean =>
    (!this.#options.force || run.id > this.floor) &&
    (!this.#options.rerunStale || run.codeHash === this.#origin.codeHash)

  /** Finished results that count: trial → run, and whether other code than today's has made it. */
  results(trialIds: readonly string[]): ReadonlyMap<string, { readonly runId: string; readonly stale: boolean }> {
    const results = new Map<string, { readonly runId: string; readonly stale: boolean }>()
    for (const run of completedRuns(this.#connection, trialIds)) {
      if (!this.#accepts(run)) continue
      const stale = run.codeHash !== this.#origin.codeHash
      // A result of today's code goes before a newer one of other code.
      if (stale && results.get(run.trialId)?.stale === false) continue
      results.set(run.trialId, { runId: String(run.id), stale })
    }
    return results
  }

  /** Stops of these trials that count: made by a rule that would stop them again. */
  stops(judgements: ReadonlyMap<string, Judgement>): ReadonlyMap<string, StoppedResult> {
    const stops = new Map<string, StoppedResult>()
    if (judgements.size === 0) return stops
    for (const run of stoppedRuns(this.#connection, [...judgements.keys()])) {
      const stop = earlyStopFrom(run.error as EarlyStop)
      if (!this.#accepts(run) || !stands(stop, judgements.get(run.trialId)!)) continue
      const stale = run.codeHash !== this.#origin.codeHash
      if (stale && stops.get(run.trialId)?.stale === false) continue
      stops.set(run.trialId, { runId: String(run.id), stop, stale })
    }
    return stops
  }

  /** The stop of a run, if a rule ended it. */
  stopOf(runId: string): EarlyStop | undefined {
    const row = this.#connection
      .sql<{ error: string | null }>("SELECT error FROM runs WHERE id = ? AND status = 'cancelled'")
      .get(Number(runId))
    const error = JSON.parse(row?.error ?? "null") as (EarlyStop & { readonly kind?: string }) | null
    return error?.kind === "StoppedEarly" ? earlyStopFrom(error) : undefined
  }

  /** The values of a metric in a run, by rising step. */
  curve(runId: string, metric: string): readonly (readonly [step: number, value: number])[] {
    return curveOf(this.#connection, Number(runId), metric)
  }

  claim(trialId: string, pid: number | undefined, judgement?: Judgement): Claim {
    const { owner } = this.#options
    const claim = claimTrial(this.#connection, {
      trialId,
      owner,
      pid,
      origin: this.#origin,
      accepts: this.#accepts,
      // A result of other code is shown as stale; half a run of other code cannot become a run of any code.
      continues: (run) => this.#accepts(run) && run.codeHash === this.#origin.codeHash,
      isGone,
      cancelledAfter: this.floor,
      stopped: (run) =>
        judgement !== undefined && this.#accepts(run) && stands(earlyStopFrom(run.error as EarlyStop), judgement),
    })
    if (claim.type === "stopped")
      return { type: "stopped", runId: String(claim.runId), stop: earlyStopFrom(claim.error as EarlyStop) }
    if (claim.type === "busy") return { type: "busy" }
    if (claim.type === "cancelled") return { type: "cancelled", runId: String(claim.runId) }
    if (claim.type === "done") return { type: "done", runId: String(claim.runId) }
    if (claim.buried !== undefined) endOrphan(claim.buried.pid, claim.buried.owner)
    if (this.#diff !== undefined) this.#store.artifacts.attach(claim.runId, "git.diff", this.#diff)
    // The claim has cleared away what must not be continued from.
    const first = claim.attempt === 1 && !claim.resumed
    const checkpoint = first ? undefined : this.#store.checkpoints.latest(trialId)?.step
    return { type: "mine", runId: String(claim.runId), attempt: claim.attempt, resumed: claim.resumed, checkpoint }
  }

  status(runId: string): string | undefined {
    return this.#connection.sql<{ status: string }>("SELECT status FROM runs WHERE id = ?").get(Number(runId))?.status
  }

  settle(runId: string, to: "failed" | "cancelled" | "interrupted", failure?: Failure): void {
    this.flush()
    settleRun(this.#connection, {
      runId: Number(runId),
      owner: this.#options.owner,
      to,
      ...(failure === undefined ? {} : { error: failure }),
    })
  }

  /** Remembers how far a run is; written with the next heartbeat. */
  progress(runId: string, done: number, total: number): void {
    this.#progress.set(runId, { done, total })
  }

  heartbeat(): void {
    this.#buryDead()
    this.#connection.write(() => {
      renewLeases(this.#connection, this.#options.owner)
      const update = this.#connection.sql("UPDATE runs SET progress_done = ?, progress_total = ? WHERE id = ?")
      for (const [runId, { done, total }] of this.#progress) update.run(done, total, Number(runId))
      this.#progress.clear()
    })
    this.flush()
  }

  finalMetrics(runIds: readonly string[]): ReadonlyMap<string, Readonly<Record<string, number>>> {
    const found = new Map<string, Record<string, number>>()
    const rows = this.#connection
      .sql<{ runId: number; name: string; last: number | null }>(
        `SELECT s.run_id, n.name, s.last FROM metric_summaries s JOIN metric_names n ON n.id = s.metric_id
         WHERE s.run_id IN (SELECT value FROM json_each(?))`,
      )
      .all(JSON.stringify(runIds.map(Number)))
    for (const { runId, name, last } of rows) {
      const key = String(runId)
      const metrics = found.get(key) ?? {}
      // NULL is how NaN is kept.
      metrics[name] = last ?? Number.NaN
      found.set(key, metrics)
    }
    return found
  }

  recordSelections(metric: string, choices: readonly Choice[]): void {
    const arms = new Map(this.#options.plan.conditions.map((condition) => [condition.label, condition.arm]))
    for (const { condition, winner, candidates } of choices) {
      if (winner === undefined) continue
      this.#store.experiments.select({
        experiment: this.#options.plan.experiment.name,
        profile: this.#options.plan.profile ?? "default",
        arm: arms.get(condition) ?? condition,
        condition,
        metric,
        choice: winner,
        candidates,
      })
    }
  }

  cancelRequests(): { readonly runs: readonly string[]; readonly experiment: boolean } {
    const { runs, experimentAt } = cancelRequests(
      this.#connection,
      this.#options.owner,
      this.#options.plan.experiment.name,
    )
    return { runs: runs.map(String), experiment: experimentAt !== null && experimentAt !== this.#cancelledBefore }
  }

  /** Those of the trials that no living coordinator is at. */
  unowned(trialIds: readonly string[]): readonly string[] {
    const owned = new Set(
      liveRuns(this.#connection, trialIds)
        .filter((run) => !isGone(run.owner, run.leaseExpiresAt))
        .map((run) => run.trialId),
    )
    return trialIds.filter((trialId) => !owned.has(trialId))
  }

  /** Keeps a line that the worker process printed. */
  output(runId: string, source: "stdout" | "stderr", line: string): void {
    const count = (this.#lines.get(runId) ?? 0) + 1
    this.#lines.set(runId, count)
    if (count > maximumLines) return
    this.#store.logs.append(
      Number(runId),
      source,
      count === maximumLines ? `${line}\n(further output of this run is not kept: ${maximumLines} lines)` : line,
    )
  }

  flush(): void {
    this.#store.logs.flush()
  }

  goalOf(metric: string): { readonly goal: "max" | "min"; readonly unit?: string } {
    const declared = declaredMetric(this.#options.plan.experiment.task.metrics, metric)
    return { goal: declared?.goal ?? "max", ...(declared?.unit === undefined ? {} : { unit: declared.unit }) }
  }
}
