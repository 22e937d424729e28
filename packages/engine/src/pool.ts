/**
 * A pool of warm worker processes. A worker imports the experiment once and then runs one trial after another, so a
 * trial costs a message, not a process start. A worker that dies takes only its own trial with it.
 */
import { type ChildProcess, fork } from "node:child_process"
import { getCompileCacheDir } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Failure } from "./events.ts"
import { LastLines, type OutputLine, readLines } from "./output.ts"
import { formatIdentity, residentMemory, signalGroup, thisProcess } from "./process-identity.ts"
import type { FromWorker, Job, StopReason, ToWorker } from "./protocol.ts"

/** Messages of a running job that are passed on as they come. */
export type JobMessage = Extract<FromWorker, { readonly type: "restored" | "progress" | "log" | "stage" }>

/** How a job ended. */
export type JobEnd =
  | Extract<FromWorker, { readonly type: "finished" }>
  | Extract<FromWorker, { readonly type: "stopped" | "stopped-early" }>
  | { readonly type: "failed"; readonly runId: string; readonly failure: Failure }

export interface PoolOptions {
  readonly file: string
  readonly db: string
  /** Extra variables for the workers. */
  readonly environment?: Readonly<Record<string, string>>
}

/** How long a stopping trial has: to end by itself, and to end after SIGTERM; then its process group is killed. */
export interface StopDeadlines {
  readonly graceMs: number
  readonly termMs: number
}

/** A trial that is interrupted may write its checkpoint; one that is cancelled has to be gone within two seconds. */
export const stopDeadlines: { readonly [R in StopReason]: StopDeadlines } = {
  interrupt: { graceMs: 10_000, termMs: 2_000 },
  timeout: { graceMs: 1_000, termMs: 500 },
  cancel: { graceMs: 800, termMs: 500 },
}

/** How long the pipes of a process that is gone are read for its last words. */
export const lastWordsMs = 250

const workerEntry = fileURLToPath(new URL("./worker.ts", import.meta.url))
const readyDeadlineMs = 120_000

/** One worker process and the job it is at. */
export class Worker {
  readonly index: number
  readonly pid: number
  readonly ready: Promise<void>
  /** The process is gone. */
  readonly gone: Promise<void>
  readonly #child: ChildProcess
  #lines = new LastLines()
  #job:
    | { readonly job: Job; readonly onMessage: (message: JobMessage) => void; readonly end: (end: JobEnd) => void }
    | undefined
  #stopping: StopReason | undefined
  #overMemory: { readonly used: number; readonly limit: number } | undefined
  #timers: NodeJS.Timeout[] = []
  #alive = true
  /** It is about to end, and must not be given another trial. */
  #doomed = false
  #isReady = false

  constructor(index: number, options: PoolOptions, onLine: (line: OutputLine) => void) {
    this.index = index
    // A process group of its own: Ctrl-C in the terminal reaches the coordinator alone, and a kill reaches whatever the
    // trial has started. The coordinator's identity in the arguments lets whoever takes over recognise an orphan.
    const child = fork(workerEntry, [formatIdentity(thisProcess()), options.db, options.file], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      serialization: "json",
      execArgv: ["--disable-warning=ExperimentalWarning"],
      env: {
        ...process.env,
        ORT_DISABLE_TELEMETRY: "1",
        NODE_COMPILE_CACHE:
          process.env["NODE_COMPILE_CACHE"] ?? getCompileCacheDir() ?? join(tmpdir(), "node-compile-cache"),
        ...options.environment,
      },
    })
    this.#child = child
    this.pid = child.pid ?? -1
    const line = (output: OutputLine) => {
      this.#lines.add(output.line)
      onLine(output)
    }
    if (child.stdout) readLines(child.stdout, "stdout", line)
    if (child.stderr) readLines(child.stderr, "stderr", line)

    let resolveReady: () => void = () => {}
    let rejectReady: (failure: Failure) => void = () => {}
    this.ready = new Promise((resolve, reject) => {
      resolveReady = resolve
      rejectReady = reject
    })
    this.ready.catch(() => {})
    const late = setTimeout(() => {
      rejectReady(
        this.#failure("WorkerNotReady", `a worker did not load ${options.file} within ${readyDeadlineMs / 1000} s`),
      )
      this.kill()
    }, readyDeadlineMs)
    late.unref()

    child.on("message", (message: FromWorker) => {
      if (message.type === "ready") {
        clearTimeout(late)
        this.#isReady = true
        return resolveReady()
      }
      if (message.type === "unusable") {
        clearTimeout(late)
        return rejectReady({ ...message.failure, lastLines: this.#lines.all })
      }
      const current = this.#job
      if (current === undefined || message.runId !== current.job.runId) return
      if (message.type === "finished" || message.type === "stopped" || message.type === "stopped-early")
        return this.#finish(message)
      if (message.type === "failed") {
        if (message.last) this.#doomed = true
        const { runId, failure } = message
        return this.#finish({ type: "failed", runId, failure: { ...failure, lastLines: this.#lines.all } })
      }
      if (message.type === "log") this.#lines.add(message.line)
      current.onMessage(message)
    })
    child.on("error", (error) => rejectReady(this.#failure("WorkerNotStarted", error.message)))
    this.gone = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        this.#alive = false
        clearTimeout(late)
        // Whatever the trial has left behind in its group goes with it.
        signalGroup(this.pid, "SIGKILL")
        // The channel may still hold the word how the trial ended, and the pipes its last lines. The channel closes with
        // the process; the pipes only when whoever inherited them closes them too, and that must not hold us up.
        const settled = () => {
          clearTimeout(patience)
          const failure = this.#exitFailure(code, signal)
          rejectReady(failure)
          const runId = this.#job?.job.runId
          if (runId !== undefined) {
            this.#finish(
              this.#stopping !== undefined && this.#overMemory === undefined
                ? { type: "stopped", runId, reason: this.#stopping }
                : signal === "SIGTERM" || code === 143
                  ? { type: "stopped", runId, reason: "interrupt" }
                  : { type: "failed", runId, failure },
            )
          }
          resolve()
        }
        let patience: NodeJS.Timeout | undefined
        child.once("close", settled)
        const channelRead = () => {
          clearTimeout(patience)
          patience = setTimeout(settled, lastWordsMs)
        }
        if (child.connected) {
          patience = setTimeout(settled, 10_000)
          child.once("disconnect", channelRead)
        } else channelRead()
      })
    })
  }

  /** It can be given a trial. */
  get free(): boolean {
    return this.#alive && !this.#doomed && this.#job === undefined
  }

  get busy(): boolean {
    return this.#job !== undefined
  }

  /** Runs one trial. Resolves however it ends; never rejects. */
  run(job: Job, onMessage: (message: JobMessage) => void): Promise<JobEnd> {
    return new Promise((resolve) => {
      this.#lines = new LastLines()
      this.#stopping = undefined
      this.#overMemory = undefined
      this.#job = { job, onMessage, end: resolve }
      if (!this.#alive) {
        this.#finish({ type: "failed", runId: job.runId, failure: this.#exitFailure(null, null) })
        return
      }
      this.#send({ type: "run", job })
    })
  }

  /** Asks the running trial to stop, and sees to it that it does. */
  stop(reason: StopReason): void {
    const current = this.#job
    if (current === undefined || this.#stopping === reason) return
    this.#stopping = reason
    this.#clearTimers()
    const { graceMs, termMs } = stopDeadlines[reason]
    this.#send({ type: "stop", runId: current.job.runId, reason })
    this.#timers.push(
      setTimeout(() => {
        this.#doomed = true
        if (this.#alive) this.#child.kill("SIGTERM")
      }, graceMs),
      setTimeout(() => this.#alive && this.kill(), graceMs + termMs),
    )
  }

  /** Ends the process and everything in its group at once. */
  kill(): void {
    if (!signalGroup(this.pid, "SIGKILL")) this.#child.kill("SIGKILL")
  }

  /** Lets an idle worker end by itself; kills one that does not. */
  async dismiss(): Promise<void> {
    if (!this.#alive) return
    // One that is still loading would first have to finish that.
    if (!this.#isReady) this.kill()
    this.#send({ type: "exit" })
    const timer = setTimeout(() => this.kill(), 2_000)
    await this.gone
    clearTimeout(timer)
  }

  /** Stops the process when it holds more memory than it may. */
  checkMemory(limit: number): void {
    if (!this.#alive || this.#job === undefined) return
    const used = residentMemory(this.pid)
    if (used === undefined || used <= limit) return
    this.#overMemory = { used, limit }
    this.kill()
  }

  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message, () => {})
  }

  #finish(end: JobEnd): void {
    const current = this.#job
    if (current === undefined) return
    this.#job = undefined
    this.#clearTimers()
    current.end(end)
  }

  #clearTimers(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers = []
  }

  #failure(kind: string, message: string): Failure {
    return { kind, message, lastLines: this.#lines.all, retriable: true }
  }

  #exitFailure(code: number | null, signal: NodeJS.Signals | null): Failure {
    const lastLines = this.#lines.all
    const how = { ...(code === null ? {} : { exitCode: code }), ...(signal === null ? {} : { signal }) }
    const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MB`
    if (this.#overMemory !== undefined) {
      return {
        kind: "OutOfMemory",
        message: `the worker held ${megabytes(this.#overMemory.used)}, over its limit of ${megabytes(this.#overMemory.limit)}, and was stopped; use fewer workers, a smaller batch or a higher memory limit`,
        lastLines,
        ...how,
        retriable: false,
      }
    }
    if (lastLines.some((line) => /heap out of memory|Array buffer allocation failed|std::bad_alloc/.test(line))) {
      return { kind: "OutOfMemory", message: "the worker ran out of memory", lastLines, ...how, retriable: true }
    }
    const what = signal === null ? (code === null ? "is gone" : `exited with code ${code}`) : `was ended by ${signal}`
    return {
      kind: "WorkerExited",
      message: `the worker process ${what} in the middle of the trial`,
      lastLines,
      ...how,
      retriable: true,
    }
  }
}

/** Where a trial stands among those that wait for a worker, and what it needs. */
export interface Place {
  readonly priority: number
  readonly rank: number
  /** Of the device. */
  readonly share: number
}

/** Shares are fractions that people write down: a third three times is one. */
const shareTolerance = 1e-6

/** The workers of one coordinator. */
export class WorkerPool {
  readonly #options: PoolOptions
  readonly #workers = new Set<Worker>()
  readonly #idle: Worker[] = []
  readonly #waiting: (Place & { readonly give: (slot: number) => void })[] = []
  readonly #slots: number[] = []
  readonly #guard: NodeJS.Timeout
  /** Shares of the device that are left. */
  #room = Number.POSITIVE_INFINITY
  #using = 0
  #usedShare = 0
  #memoryLimit = Number.POSITIVE_INFINITY
  #closed = false
  /** Receives what the workers print. */
  onLine: (line: OutputLine) => void = () => {}

  /** A pool without slots; {@link open} gives it some. */
  constructor(options: PoolOptions) {
    this.#options = options
    this.#guard = setInterval(() => {
      for (const worker of this.#workers) worker.checkMemory(this.#memoryLimit)
    }, 250)
    this.#guard.unref()
  }

  /** Starts a worker ahead of the first trial, so that both processes load the experiment at the same time. */
  warm(): void {
    if (this.#workers.size === 0) this.#idle.push(this.#spawn(0))
  }

  /**
   * Lets so many trials run at the same time, each in a worker of its own.
   *
   * @param room how much of the device there is; the shares of running trials do not exceed it
   * @param memoryLimit resident memory in bytes at which a worker is stopped
   */
  open(size: number, room: number, memoryLimit: number): void {
    this.#memoryLimit = memoryLimit
    this.#room = room
    for (let slot = size - 1; slot >= 0; slot--) this.#slots.push(slot)
  }

  #spawn(index: number): Worker {
    const worker = new Worker(index, this.#options, (line) => this.onLine(line))
    this.#workers.add(worker)
    void worker.gone.then(() => {
      this.#workers.delete(worker)
      const at = this.#idle.indexOf(worker)
      if (at >= 0) this.#idle.splice(at, 1)
    })
    return worker
  }

  /** Gives free slots to those who wait, in their order: whoever is first is not overtaken by one who needs less. */
  #serve(): void {
    while (this.#slots.length > 0) {
      const first = this.#waiting[0]
      if (first === undefined) return
      // Who needs more than there is has the device alone.
      if (this.#using > 0 && this.#usedShare + first.share > this.#room + shareTolerance) return
      this.#waiting.shift()
      this.#using++
      this.#usedShare += first.share
      first.give(this.#slots.pop()!)
    }
  }

  /**
   * Waits for a free slot and gives it a ready worker to use; the slot is free again when `use` has settled. The highest
   * priority goes first, of equals the lowest rank, and of those who came first.
   *
   * @throws Failure when a worker cannot load the experiment
   */
  async use<A>(place: Place, use: (worker: Worker) => Promise<A>): Promise<A> {
    const slot = await new Promise<number>((give) => {
      const at = this.#waiting.findIndex(
        (other) => other.priority < place.priority || (other.priority === place.priority && other.rank > place.rank),
      )
      this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, { ...place, give })
      if (this.#closed) give(-1)
      else this.#serve()
    })
    let worker: Worker | undefined
    try {
      if (this.#closed) throw poolClosed
      worker = this.#idle.pop() ?? this.#spawn(slot)
      await worker.ready
      return await use(worker)
    } finally {
      if (worker?.free && !this.#closed) this.#idle.push(worker)
      if (slot >= 0) {
        this.#using--
        this.#usedShare = this.#using === 0 ? 0 : this.#usedShare - place.share
        this.#slots.push(slot)
        this.#serve()
      }
    }
  }

  /** Asks every running trial to stop. */
  stopAll(reason: StopReason): void {
    for (const worker of this.#workers) worker.stop(reason)
  }

  /** Kills every worker at once. */
  killAll(): void {
    for (const worker of this.#workers) worker.kill()
  }

  /** Kills all workers; resolves when their processes are gone. Does nothing to a pool that is closed. */
  abandon(): Promise<void> {
    this.killAll()
    return this.close()
  }

  /** Ends all workers; resolves when their processes are gone. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#guard)
    for (const waiting of this.#waiting.splice(0)) waiting.give(-1)
    await Promise.all([...this.#workers].map((worker) => (worker.busy ? worker.gone : worker.dismiss())))
  }
}

/** Thrown by {@link WorkerPool.use} to whoever still waits when the pool closes. */
export const poolClosed: Failure = {
  kind: "PoolClosed",
  message: "the pool of workers is closed",
  lastLines: [],
  retriable: true,
}
