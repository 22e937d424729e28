import { availableParallelism, freemem, totalmem } from "node:os"
import { canonicalJson, contentHash, describeSearch, type Plan, plan as planExperiment } from "@exp/spec"
import { openStore, type Store } from "@exp/store"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import type { Report, RunEvent } from "./events.ts"
import * as Journal from "./journal.ts"
import { Ledger } from "./ledger.ts"
import { loadExperiment } from "./load.ts"
import type { RunOptions } from "./options.ts"
import { prepareRun } from "./prepare.ts"
import { formatIdentity, liveness, thisProcess } from "./process-identity.ts"
import { collectProvenance, type Provenance } from "./provenance.ts"
import { recordedCommand } from "./resume.ts"
import { Session } from "./session.ts"
import * as Sqlite from "./sqlite-client.ts"
import { Turns } from "./turns.ts"
import * as Workflows from "./workflows.ts"

/** Devices that a machine has one of, so that one trial at a time may use it. */
const exclusiveDevices = new Set(["webgpu", "webgpu-eager", "cuda"])

/** How much of a device there is, in shares of it: one GPU, or the cores of the machine. */
const roomOf = (device: string): number => (exclusiveDevices.has(device) ? 1 : availableParallelism())

/**
 * How many trials run at the same time when the command does not say: one per core, or one per GPU.
 *
 * @param share of the device that a trial takes
 */
export function defaultWorkers(device: string, share = 1): number {
  return Math.max(1, Math.floor(roomOf(device) / share + 1e-6))
}

/**
 * Plans an experiment, carries its trials out in child processes, and reports.
 *
 * The same command continues where an earlier one was cut off: finished trials are reused, interrupted ones go on from
 * their checkpoint. Two of these calls, in this or in other processes, may work on the same database at the same time.
 *
 * @throws LoadError when the file is no experiment; SpecError with all issues when a config is invalid; a store error
 * when runs.db cannot be used. A trial that fails is no error here: it is in the report.
 */
export async function runExperiment(options: RunOptions): Promise<Report> {
  // The first worker loads the experiment while this process does.
  const { pool, db, git } = options.prepared ?? prepareRun(options)
  let session: Session | undefined
  pool.onLine = (line) => session?.output(line)
  const kill = () => pool.killAll()
  options.killSignal?.addEventListener("abort", kill)
  let store: Store | undefined
  try {
    const { file, experiment } = await loadExperiment(options.file)
    const plan = planExperiment(experiment, {
      ...(options.profile === undefined ? {} : { profile: options.profile }),
      ...(options.arms === undefined ? {} : { arms: options.arms }),
      ...(options.seeds === undefined ? {} : { seeds: options.seeds }),
      ...(options.set === undefined ? {} : { set: options.set }),
    })
    const device = options.device ?? plan.policy.device ?? "auto"
    const trials = plan.count.tune + plan.count.compare
    const leastShare = Math.min(...Object.values(plan.policy.deviceShare))
    const workers = Math.max(1, Math.min(options.workers ?? defaultWorkers(device, leastShare), trials))
    // Who asks for so many workers gets them.
    const room = options.workers === undefined ? roomOf(device) : Number.POSITIVE_INFINITY
    pool.open(workers, room, options.memoryLimit ?? defaultMemoryLimit(workers))
    const provenance = collectProvenance(file, device, await git)
    const owner = formatIdentity(thisProcess())
    const tell = (event: RunEvent): void => {
      try {
        options.onEvent?.(event)
      } catch (error) {
        // An observer that fails must not take the experiment with it.
        process.emitWarning(
          `an observer of the experiment failed: ${error instanceof Error ? error.message : String(error)}`,
        )
      }
    }
    store = openStore(db, {
      mode: "write",
      onWarning: (line) => tell({ type: "log", level: "warn", source: "engine", line }),
    })
    const ledger = new Ledger(store, {
      plan,
      file,
      owner,
      device,
      provenance,
      force: options.force ?? false,
      rerunStale: options.stale === "rerun",
    })
    const current = await Effect.runPromise(
      Effect.gen(function* () {
        const invocation = yield* Journal.openInvocation({
          experiment: experiment.name,
          fingerprint: fingerprint(options, plan, ledger, provenance),
          command: recordedCommand(options, file),
          owner,
          floor: ledger.lastRun,
          isGone: (other) => liveness(other) === "dead",
        })
        ledger.floor = invocation.floor
        const maxFailures = options.maxFailures ?? Number.POSITIVE_INFINITY
        const turns = new Turns({
          file: `${db}-engine`,
          owner,
          experiment: experiment.name,
          priority: options.priority ?? plan.policy.priority.experiment,
          device,
          capacity: exclusiveDevices.has(device) ? room : Number.POSITIVE_INFINITY,
        })
        const made = new Session({ plan, ledger, pool, turns, device, file, db, maxFailures, onEvent: tell })
        session = made
        tell({
          type: "planned",
          experiment: experiment.name,
          question: experiment.question,
          conditions: plan.conditions.map(({ arm, label }) => ({ arm, label })),
          tuning: plan.count.tune,
          compared: plan.count.compare,
          search: plan.search && describeSearch(plan.search, plan.tuneBy!.metric),
          workers,
          device,
          db,
        })
        const onAbort = () => made.interrupt("interrupted")
        options.signal?.addEventListener("abort", onAbort)
        if (options.signal?.aborted) onAbort()
        try {
          yield* Effect.raceFirst(
            Workflows.ExperimentWorkflow.execute({ invocation: invocation.id }).pipe(
              Effect.provide(Workflows.layer.pipe(Layer.provideMerge(Journal.layer))),
              Effect.provideService(Workflows.CurrentCoordinator, made),
              Effect.scoped,
            ),
            Effect.promise(() => made.halted),
          )
          // An interrupted invocation stays open: the same command will take it up.
          if (made.haltReason !== "interrupt") yield* Journal.closeInvocation(invocation.id)
        } finally {
          options.signal?.removeEventListener("abort", onAbort)
          made.dispose()
        }
        return made
      }).pipe(
        // Nobody collects spans here, and those of ten thousand trials take their memory.
        Effect.provideService(References.TracerEnabled, false),
        Effect.provide(Layer.merge(Sqlite.layer({ filename: `${db}-engine` }), Digest.layerWebCrypto)),
        Effect.scoped,
      ),
    )
    await pool.close()
    ledger.flush()
    const report = current.report()
    tell({ type: "finished", report })
    return report
  } finally {
    options.killSignal?.removeEventListener("abort", kill)
    await pool.abandon()
    store?.close()
  }
}

/** Each worker's share of nine tenths of the memory, but a gigabyte at least. */
const defaultMemoryLimit = (workers: number): number =>
  Math.max(2 ** 30, (0.9 * Math.max(totalmem() / 2, freemem())) / workers)

/** Hash of everything that makes two commands the same one. */
const fingerprint = (options: RunOptions, plan: Plan, ledger: Ledger, provenance: Provenance): string =>
  contentHash(
    canonicalJson({
      database: ledger.identity,
      tuning: plan.tuning.map((trial) => trial.id),
      search:
        plan.search === undefined
          ? null
          : { by: plan.search.search ?? null, stop: plan.search.rule ?? null, parallel: plan.search.parallel },
      // The very configs of the compared trials, where they do not hang on the tuning.
      compared: plan.tuning.length === 0 ? plan.compared().map((trial) => trial.id) : null,
      conditions: plan.conditions.map((condition) => condition.label),
      seeds: plan.seeds,
      code: provenance.code.hash,
      force: options.force ?? false,
      stale: options.stale ?? "use",
      set: options.set ?? {},
      profile: options.profile ?? null,
    }),
  )
