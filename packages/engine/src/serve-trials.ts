/**
 * What a worker process does: imports the experiment, then runs the trials that the coordinator sends, one at a time,
 * writing what they yield straight into runs.db. Arguments: identity of the coordinator, database, experiment file.
 */
import { writeSync } from "node:fs"
import { SpecError, stopMessage, UndeclaredMetric } from "@exp/spec"
import { openStore, type Store } from "@exp/store"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Failure } from "./events.ts"
import { type LoadedExperiment, loadExperiment } from "./load.ts"
import { parseIdentity } from "./process-identity.ts"
import { type FromWorker, type Job, outputMark, recordToWire, type ToWorker } from "./protocol.ts"
import { RunningTrial, TrialStopped } from "./trial-context.ts"
import { watchParent } from "./watchdog.ts"

const [owner = "", db = "", file = ""] = process.argv.slice(2)

const send = (message: FromWorker): void => {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}

/** Sends the last word and ends the process when it is out. */
const sendAndExit = (message: FromWorker, code: number): void => {
  if (!process.connected) process.exit(code)
  process.send?.(message, undefined, undefined, () => process.exit(code))
}

const asFailure = (cause: unknown): Omit<Failure, "lastLines"> => {
  if (!(cause instanceof Error)) {
    // An Effect may fail with plain data.
    const { _tag, message, retriable } = (cause ?? {}) as {
      readonly _tag?: unknown
      readonly message?: unknown
      readonly retriable?: unknown
    }
    return {
      kind: typeof _tag === "string" ? _tag : "TaskFailed",
      message:
        typeof message === "string" ? message : typeof cause === "object" ? JSON.stringify(cause) : String(cause),
      retriable: retriable !== false,
    }
  }
  const { _tag, retriable } = cause as { readonly _tag?: unknown; readonly retriable?: unknown }
  const kind = typeof _tag === "string" ? _tag : cause.name === "Error" ? "TaskFailed" : cause.name
  // A mistake in the declaration will be there the next time too.
  const hopeless = cause instanceof SpecError || cause instanceof UndeclaredMetric || kind === "SchemaError"
  return {
    kind: hopeless && kind !== "UndeclaredMetric" ? "SpecError" : kind,
    message: cause.message,
    ...(cause.stack === undefined ? {} : { stack: cause.stack }),
    retriable: !hopeless && retriable !== false,
  }
}

let opened: Store | undefined
/** Opened with the first job: a worker that was started too early leaves no database behind. */
const theStore = (): Store => (opened ??= openStore(db, { mode: "write" }))
let loaded: LoadedExperiment
let current: RunningTrial | undefined

async function run(job: Job): Promise<void> {
  // What the process prints from here on belongs to this run.
  for (const descriptor of [1, 2]) {
    try {
      writeSync(descriptor, outputMark(job.runId))
    } catch {
      // The coordinator is gone; the closed channel ends this process.
    }
  }
  const { task } = loaded.experiment
  const begun = performance.now()
  let store: Store
  let trial: RunningTrial
  try {
    store = theStore()
    trial = new RunningTrial(store, task, job, send)
  } catch (cause) {
    send({ type: "failed", runId: job.runId, failure: asFailure(cause) })
    return
  }
  current = trial
  let end: FromWorker
  try {
    const config = Schema.decodeUnknownSync(task.config)(job.config, { errors: "all", onExcessProperty: "error" })
    const result = task.run(config, trial.context)
    if (Effect.isEffect(result)) await Effect.runPromise(result as Effect.Effect<void, unknown>)
    else await result
    if (trial.earlyStop !== undefined) throw new TrialStopped("early")
    if (trial.stopReason !== undefined && trial.watchesSignal) throw new TrialStopped(trial.stopReason)
    trial.close()
    // Refused when the run was taken over meanwhile: then another run of this trial counts.
    store.runs.transition(Number(job.runId), "completed", { owner })
    end = {
      type: "finished",
      runId: job.runId,
      durationMs: performance.now() - begun,
      metrics: recordToWire(trial.latest),
    }
  } catch (cause) {
    end =
      trial.earlyStop !== undefined
        ? { type: "stopped-early", runId: job.runId, stop: trial.earlyStop }
        : trial.stopReason === undefined
          ? { type: "failed", runId: job.runId, failure: asFailure(cause) }
          : { type: "stopped", runId: job.runId, reason: trial.stopReason }
    try {
      if (end.type === "stopped-early") settleEarlyStop(store, trial)
      else trial.close()
    } catch (error) {
      if (end.type !== "failed") end = { type: "failed", runId: job.runId, failure: asFailure(error) }
    }
  }
  current = undefined
  send(end)
}

/** Records that a stopping rule ended a trial. Like completion it is the worker's to say: the verdict fell here. */
function settleEarlyStop(store: Store, trial: RunningTrial): void {
  trial.close()
  const stop = trial.earlyStop!
  store.runs.transition(Number(trial.job.runId), "cancelled", {
    owner,
    error: { kind: "StoppedEarly", message: stopMessage(stop), lastLines: [], retriable: false, ...stop },
  })
}

/** Something went wrong outside of the task's own promise: the process cannot be trusted any more. */
const fatal = (cause: unknown): void => {
  const trial = current
  if (trial === undefined) process.exit(70)
  current = undefined
  try {
    if (trial.earlyStop !== undefined) {
      // The rule's verdict, thrown into a callback that nobody awaits.
      settleEarlyStop(theStore(), trial)
      sendAndExit({ type: "stopped-early", runId: trial.job.runId, stop: trial.earlyStop }, 0)
      return
    }
    trial.close()
  } catch {
    // The failure below says more than the database's.
  }
  sendAndExit({ type: "failed", runId: trial.job.runId, failure: asFailure(cause), last: true }, 70)
}
process.on("uncaughtException", fatal)
process.on("unhandledRejection", fatal)

// The terminal's Ctrl-C goes to the coordinator, which tells us; a SIGTERM to this very process is a wish to stop.
process.on("SIGINT", () => {})
process.on("SIGTERM", () => {
  if (current === undefined) process.exit(143)
  if (current.stopReason === undefined) {
    current.stop("interrupt")
    setTimeout(() => process.exit(143), 5_000).unref()
  } else process.exit(143)
})

process.on("disconnect", () => {
  // Nobody listens any more. What is in memory goes to disk; the trial continues elsewhere from its checkpoint.
  try {
    current?.close()
  } finally {
    process.exit(current === undefined ? 0 : 129)
  }
})

process.on("message", (message: ToWorker) => {
  if (message.type === "run") void run(message.job)
  else if (message.type === "stop") {
    if (current?.job.runId === message.runId) current.stop(message.reason)
  } else process.exit(0)
})

const parent = parseIdentity(owner)?.pid ?? process.ppid
if (process.ppid !== parent) process.exit(129)
watchParent(parent)
try {
  loaded = await loadExperiment(file)
  send({ type: "ready" })
} catch (cause) {
  sendAndExit({ type: "unusable", failure: asFailure(cause) }, 70)
}
