/** Steering running experiments from another process: cancel, and setting right what died. */
import { setTimeout as sleep } from "node:timers/promises"
import type { Store } from "@exp/store"
import { buryDeadRuns, requestCancel } from "@exp/store/claims"
import * as Data from "effect/Data"
import { endOrphan, isGone } from "./ownership.ts"

/** The name given to `exp cancel` or `exp resume` is neither a run nor a trial nor an experiment. */
export class NothingByThatName extends Data.TaggedError("NothingByThatName")<{ readonly target: string }> {
  override get message() {
    return `there is no experiment, trial or run ${JSON.stringify(this.target)} here; exp ls shows what there is`
  }
}

/** The beginning of a trial id fits several trials, or several runs bear the name. */
export class SeveralByThatName extends Data.TaggedError("SeveralByThatName")<{
  readonly target: string
  readonly trials: readonly string[]
}> {
  override get message() {
    return `${JSON.stringify(this.target)} could be any of ${this.trials.join(", ")}; give a run number, or more of the id`
  }
}

export type ControlTarget =
  | { readonly kind: "run"; readonly run: number }
  | { readonly kind: "trial"; readonly trial: string }
  | { readonly kind: "experiment"; readonly experiment: string }

/**
 * What a user means by a name: an experiment, a run by its number or its name, or a trial by the beginning of its id.
 *
 * @throws NothingByThatName, SeveralByThatName
 */
export function findTarget(store: Store, name: string): ControlTarget {
  if (store.experiments.get(name) !== undefined) return { kind: "experiment", experiment: name }
  if (/^\d{1,15}$/.test(name) && store.runs.get(Number(name)) !== undefined) return { kind: "run", run: Number(name) }
  const named = store.runs.named(name)
  if (named.length > 1) throw new SeveralByThatName({ target: name, trials: named.map((run) => `run ${run}`) })
  if (named[0] !== undefined) return { kind: "run", run: named[0] }
  const trials = /^[0-9a-f]{4,32}$/.test(name) ? store.trials.startingWith(name, 4) : []
  if (trials.length > 1) throw new SeveralByThatName({ target: name, trials })
  if (trials[0] !== undefined) return { kind: "trial", trial: trials[0] }
  throw new NothingByThatName({ target: name })
}

/**
 * Marks live runs whose coordinator is gone as `interrupted`, and ends workers that it may have left. Any command may
 * call it; it takes a millisecond when there is nothing to do. Returns the runs that were set right.
 */
export function repairRuns(store: Store): readonly number[] {
  const buried = buryDeadRuns(store.connection, isGone)
  for (const { pid, owner } of buried) endOrphan(pid, owner)
  return buried.map((run) => run.runId)
}

/** How a cancellation went. */
export interface Cancellation {
  /** Runs that were live when it was asked for. */
  readonly asked: readonly number[]
  /** Those of them that are over. */
  readonly stopped: readonly number[]
  /** Those that still live: their coordinator does not answer. */
  readonly remaining: readonly number[]
  /** Cancelled before they began: the trial was still waiting for its turn. */
  readonly dropped: readonly number[]
}

/**
 * Asks for a run, a trial or an experiment to be cancelled and waits until it is. Its coordinator asks the worker, then
 * sends SIGTERM, then kills its process group, all within two seconds; an experiment that is cancelled starts no more
 * trials.
 */
export async function cancel(store: Store, target: ControlTarget, waitMs = 4_000): Promise<Cancellation> {
  repairRuns(store)
  const { asked, dropped } = requestCancel(
    store.connection,
    target.kind === "run"
      ? { run: target.run }
      : target.kind === "trial"
        ? { trial: target.trial }
        : { experiment: target.experiment },
  )
  const until = performance.now() + waitMs
  let remaining: readonly number[] = asked
  for (;;) {
    remaining = remaining.filter((runId) => {
      const status = store.runs.get(runId)?.status
      return status === "queued" || status === "running"
    })
    if (remaining.length === 0 || performance.now() > until) break
    await sleep(40)
  }
  return { asked, stopped: asked.filter((runId) => !remaining.includes(runId)), remaining, dropped }
}
