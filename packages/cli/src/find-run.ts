import { findTarget, NothingByThatName, SeveralByThatName } from "@exp/engine"
import type { Run, Store } from "@exp/store"
import { UsageError } from "./report-error.ts"

/**
 * The run that a name stands for: its number, its own name, or the newest run of the trial whose id begins so, a
 * completed one before others. Undefined when there is none.
 *
 * @throws UsageError when it could be several
 */
export function runNamed(store: Store, name: string): Run | undefined {
  const byNumber = /^\d{1,15}$/.test(name) ? store.runs.get(Number(name)) : undefined
  if (byNumber !== undefined) return byNumber
  const named = store.runs.named(name)
  if (named.length > 1) throw new UsageError(`Several runs are called ${name}: ${named.join(", ")}. Give a number.`)
  if (named[0] !== undefined) return store.runs.get(named[0])
  if (!/^[0-9a-f]{4,}$/.test(name)) return undefined
  const trials = store.trials.startingWith(name)
  if (trials.length > 1) throw new UsageError(`${name} is the beginning of several trials: ${trials.join(", ")}.`)
  const runs = trials[0] === undefined ? [] : store.runs.ofTrial(trials[0])
  return runs.findLast((one) => one.status === "completed") ?? runs.at(-1)
}

/**
 * The run that a name stands for.
 *
 * @throws UsageError when there is none, or more than one trial
 */
export function findRun(store: Store, name: string): Run {
  const run = runNamed(store, name)
  if (run !== undefined) return run
  throw new UsageError(
    `There is no run ${name} in ${store.path}. Give a run number, a run's name or the beginning of a trial id; \`exp ls --runs\` lists runs.`,
  )
}

/** What a command is to be done to. */
export type Target =
  | { readonly kind: "experiment"; readonly name: string }
  | { readonly kind: "run"; readonly id: number }

/** Runs that one argument may name at most. */
const mostRuns = 100_000

/**
 * Experiments and runs by what a user calls them: an experiment, a run by its number or name, `3,5,8-12` for several, or
 * the beginning of a trial id for its newest run.
 *
 * @throws UsageError when one of them is nothing, or could be several
 */
export function findTargets(store: Store, names: readonly string[]): Target[] {
  const found = names.flatMap((name): Target[] => {
    if (
      store.experiments.get(name) === undefined &&
      /^\d{1,15}(-\d{1,15})?(,\d{1,15}(-\d{1,15})?)+$|^\d+-\d+$/.test(name)
    ) {
      const ids = name.split(",").flatMap((part) => {
        const [from, to = from] = part.split("-").map(Number) as [number, number?]
        if (to < from || to - from >= mostRuns) throw new UsageError(`${part} is no range of run numbers.`)
        return Array.from({ length: to - from + 1 }, (_, i) => from + i)
      })
      const missing = ids.filter((id) => store.runs.get(id) === undefined)
      if (missing.length > 0)
        throw new UsageError(
          `There is no run ${missing.slice(0, 5).join(", ")}${missing.length > 5 ? " …" : ""} in ${store.path}.`,
        )
      return ids.map((id) => ({ kind: "run", id }))
    }
    try {
      const target = findTarget(store, name)
      if (target.kind === "experiment") return [{ kind: "experiment", name: target.experiment }]
      return [{ kind: "run", id: target.kind === "run" ? target.run : findRun(store, name).id }]
    } catch (error) {
      if (error instanceof NothingByThatName || error instanceof SeveralByThatName) throw new UsageError(error.message)
      throw error
    }
  })
  return [...new Map(found.map((target) => [JSON.stringify(target), target])).values()]
}

/** A target in words. */
export const targetText = (target: Target): string => (target.kind === "experiment" ? target.name : `run ${target.id}`)
