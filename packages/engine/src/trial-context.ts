/** What a task is offered while it runs, on top of runs.db. Lives in the worker process. */
import {
  type AnyTask,
  type ConfigSchema,
  declaredMetric,
  type EarlyStop,
  Judge,
  type Stage,
  type TrialContext,
  type TrialLogger,
  UndeclaredMetric,
} from "@exp/spec"
import type { Store } from "@exp/store"
import { curveOf, inheritArtifacts, inheritSamples, valuesUpTo } from "@exp/store/claims"
import { type FromWorker, type Job, recordToWire, type StopReason } from "./protocol.ts"
import { runStage } from "./stages.ts"

/** Thrown into a task that was told to stop, once its checkpoint is safe. */
export class TrialStopped extends Error {
  readonly _tag = "TrialStopped"
  readonly reason: StopReason | "early"
  constructor(reason: StopReason | "early") {
    super(`the trial was told to stop (${reason})`)
    this.name = "TrialStopped"
    this.reason = reason
  }
}

/** Progress is told at most this often. */
const progressIntervalMs = 100

/** Messages beyond this many are in the database but no longer shown live. */
const liveLinesPerRun = 10_000

/** One running trial: the context for its task, and what the worker needs around it. */
export class RunningTrial {
  readonly job: Job
  readonly context: TrialContext
  readonly #store: Store
  readonly #send: (message: FromWorker) => void
  readonly #abort = new AbortController()
  readonly #writer: ReturnType<Store["metricWriter"]>
  readonly #latest: Record<string, number> = {}
  readonly #known = new Set<string>()
  #watched = false
  #stop: StopReason | undefined
  readonly #judge: Judge | undefined
  #early: EarlyStop | undefined
  #done = 0
  #total = 0
  #told = 0
  #pending: NodeJS.Timeout | undefined
  #lines = 0

  constructor(store: Store, task: AnyTask, job: Job, send: (message: FromWorker) => void) {
    this.job = job
    this.#store = store
    this.#send = send
    this.#writer = store.metricWriter(Number(job.runId))
    this.#judge = job.judgement === undefined ? undefined : new Judge(job.judgement)
    const runId = Number(job.runId)
    const check = (values: Readonly<Record<string, number | undefined>>) => {
      for (const name in values) {
        if (this.#known.has(name)) continue
        if (declaredMetric(task.metrics, name) === undefined) throw UndeclaredMetric.of(task.name, task.metrics, name)
        this.#known.add(name)
      }
    }
    const trial = this
    this.context = {
      trialId: job.trialId,
      runId: job.runId,
      seed: job.seed,
      device: job.device,
      get signal() {
        trial.#watched = true
        return trial.#abort.signal
      },
      log: (step, values) => {
        // Nothing is recorded after the stop, so that the series of a stopped trial is the same one every time.
        if (this.#early !== undefined) throw new TrialStopped("early")
        if (!Number.isSafeInteger(step)) throw new RangeError(`a step is a whole number, got ${step}`)
        check(values)
        const given: Record<string, number> = {}
        for (const name in values) {
          const value = values[name]
          if (value === undefined) continue
          if (typeof value !== "number") throw new TypeError(`metric ${name} takes a number, got ${typeof value}`)
          given[name] = value
          this.#latest[name] = value
        }
        this.#writer.logMany(step, given)
        this.#tell()
        const judged = job.judgement === undefined ? undefined : given[job.judgement.metric]
        if (judged !== undefined) this.#judgeValue(step, judged)
      },
      progress: (done, total) => {
        this.#done = done
        this.#total = total
        this.#tell()
      },
      samples: {
        record: (dataset, sampleKey, values, tags, text) => {
          check(values)
          store.samples.record(runId, dataset, sampleKey, values as Record<string, number>, tags, text)
        },
      },
      artifact: async (name, bytes, mediaType = "application/octet-stream") =>
        store.artifacts.put(bytes, mediaType, name, runId),
      checkpoint: {
        save: async (step, state) => {
          // Metrics first: what the checkpoint stands on has to be on disk when the checkpoint is.
          this.flush()
          const hash = store.artifacts.put(state, "application/octet-stream")
          store.checkpoints.save({ trialId: job.trialId, runId, step, hash })
          if (this.#early !== undefined) throw new TrialStopped("early")
          if (this.#stop !== undefined) throw new TrialStopped(this.#stop)
        },
        restore: async () => {
          const found = store.checkpoints.latest(job.trialId)
          if (found === undefined) return undefined
          // A copy on a buffer of its own: a Buffer may share its memory with others, which `state.buffer` would show.
          const state = new Uint8Array(store.artifacts.get(found.hash))
          // The checkpoint of an earlier, failed attempt: this run continues its series too.
          if (found.runId !== null && found.runId !== runId) {
            const earlier = { runId: found.runId, step: found.step, createdAt: found.createdAt }
            for (const { name, step, value } of valuesUpTo(store.connection, earlier)) {
              this.#latest[name] = value
              this.#writer.log(step, name, value)
            }
            inheritArtifacts(store.connection, found.runId, runId)
            inheritSamples(store.connection, found.runId, runId)
          }
          send({ type: "restored", runId: job.runId, step: found.step })
          this.#judgeEarlierValues(found.step)
          return { step: found.step, state }
        },
      },
      stage: (stage: Stage<ConfigSchema>, config: unknown) =>
        runStage(store, stage, config, {
          runId,
          device: job.device,
          signal: this.#abort.signal,
          logger: this.context.logger,
          progress: (done, total) => this.context.progress(done, total),
          onState: (key, state, durationMs) =>
            send({
              type: "stage",
              runId: job.runId,
              stage: stage.name,
              key,
              state,
              ...(durationMs === undefined ? {} : { durationMs }),
            }),
        }),
      logger: this.#logger(runId),
    } as TrialContext
  }

  #logger(runId: number): TrialLogger {
    const at = (level: "debug" | "info" | "warn" | "error") => (message: string, fields?: object) => {
      this.#store.logs.append(runId, level, message, fields)
      if (++this.#lines > liveLinesPerRun) return
      const line = fields === undefined ? message : `${message} ${JSON.stringify(fields)}`
      this.#send({ type: "log", runId: this.job.runId, level, line })
    }
    return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") }
  }

  /** Holds a value against the stopping rule. @throws TrialStopped when the trial is not to go on */
  #judgeValue(step: number, value: number): void {
    const stop = this.#judge?.observe(step, value)
    if (stop === undefined) return
    this.#early = stop
    const stopped = new TrialStopped("early")
    this.#abort.abort(stopped)
    throw stopped
  }

  /** What the trial logged before it was cut off is judged as if it were logged now. */
  #judgeEarlierValues(upTo: number): void {
    const metric = this.job.judgement?.metric
    if (metric === undefined) return
    this.flush()
    for (const [step, value] of curveOf(this.#store.connection, Number(this.job.runId), metric))
      if (step <= upTo) this.#judgeValue(step, value)
  }

  /** The stopping rule's verdict, if it ended the trial. */
  get earlyStop(): EarlyStop | undefined {
    return this.#early
  }

  /** Why the trial was told to stop, if it was. */
  get stopReason(): StopReason | undefined {
    return this.#stop
  }

  /** The task has looked at its signal: when it returns after a stop, it may have left work undone. */
  get watchesSignal(): boolean {
    return this.#watched
  }

  get latest(): Readonly<Record<string, number>> {
    return this.#latest
  }

  stop(reason: StopReason): void {
    if (this.#stop !== undefined) return
    this.#stop = reason
    this.#abort.abort(new TrialStopped(reason))
  }

  /** Everything logged so far is on disk when this returns. */
  flush(): void {
    this.#writer.flush()
    this.#store.samples.flush()
    this.#store.logs.flush()
  }

  close(): void {
    clearTimeout(this.#pending)
    this.#pending = undefined
    this.#writer.close()
    this.flush()
  }

  /** Tells the coordinator how far the trial is: at once when the last word is old enough, else a little later. */
  #tell(): void {
    if (this.#pending !== undefined) return
    const now = performance.now()
    const wait = this.#told + progressIntervalMs - now
    if (wait > 0) {
      this.#pending = setTimeout(() => {
        this.#pending = undefined
        this.#tellNow()
      }, wait)
      this.#pending.unref()
    } else this.#tellNow()
  }

  #tellNow(): void {
    this.#told = performance.now()
    this.#send({
      type: "progress",
      runId: this.job.runId,
      done: this.#done,
      total: this.#total,
      latest: recordToWire(this.#latest),
    })
  }
}
