import type { Run, Store } from "@exp/store"
import { UsageError } from "./report-error.ts"

/**
 * The run that a name stands for: its number, or the newest run of the trial whose id begins so, a completed one before
 * others.
 *
 * @throws UsageError when there is none, or more than one trial
 */
export function findRun(store: Store, name: string): Run {
  const byNumber = /^\d{1,15}$/.test(name) ? store.runs.get(Number(name)) : undefined
  if (byNumber !== undefined) return byNumber
  if (/^[0-9a-f]{4,}$/.test(name)) {
    const trials = store.trials.startingWith(name)
    if (trials.length > 1) throw new UsageError(`${name} is the beginning of several trials: ${trials.join(", ")}.`)
    const runs = trials[0] === undefined ? [] : store.runs.ofTrial(trials[0])
    const run = runs.findLast((one) => one.status === "completed") ?? runs.at(-1)
    if (run !== undefined) return run
  }
  throw new UsageError(
    `There is no run ${name} in ${store.path}. Give a run number or the beginning of a trial id; \`exp ls --runs\` lists runs.`,
  )
}
