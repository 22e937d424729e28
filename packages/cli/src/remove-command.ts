import { isLive, openStore, type Store } from "@exp/store"
import { findTargets, type Target, targetText } from "./find-run.ts"
import { json } from "./json.ts"
import { UsageError } from "./report-error.ts"
import { plainText } from "./terminal.ts"

const say = (text: string) => process.stdout.write(`${plainText(text)}\n`)

/**
 * `exp rm`: takes experiments and runs out of all lists and views, or brings them back. Nothing is erased before
 * `exp gc --yes`.
 *
 * @throws UsageError for what is not there, and for what is running
 */
export async function removeCommand(
  names: readonly string[],
  options: { readonly undo?: boolean },
  output: { readonly db: string; readonly json: boolean },
): Promise<void> {
  const undo = options.undo === true
  if (names.length === 0 && !undo) throw new UsageError("Say what to remove: an experiment or a run.")
  using store = openStore(output.db, { mode: names.length === 0 ? "read" : "write" })
  if (names.length === 0) {
    listRemoved(store, output.json)
    return
  }
  const targets = findTargets(store, names)
  if (!undo) for (const target of targets) refuseLive(store, target)
  const changed = store.connection.write(() =>
    targets.filter((target) =>
      target.kind === "experiment"
        ? undo
          ? store.experiments.get(target.name)!.deletedAt !== null && store.experiments.restore(target.name)
          : store.experiments.remove(target.name)
        : undo
          ? store.runs.get(target.id)!.deletedAt !== null && store.runs.restore(target.id)
          : store.runs.remove(target.id),
    ),
  )
  const unchanged = targets.filter((target) => !changed.includes(target)).map(targetText)
  const list = changed.map(targetText)
  if (output.json) {
    process.stdout.write(`${json({ [undo ? "restored" : "removed"]: list, unchanged })}\n`)
    return
  }
  if (list.length > 0) say(undo ? `brought back ${list.join(", ")}` : `removed ${list.join(", ")}`)
  if (unchanged.length > 0) say(`${unchanged.join(", ")}: ${undo ? "not removed" : "removed already"}`)
  if (!undo && list.length > 0)
    say(
      `exp rm --undo ${names.join(" ")} brings ${list.length === 1 ? "it" : "them"} back; exp gc --yes erases it for good.`,
    )
}

function refuseLive(store: Store, target: Target): void {
  const live = store.runs.live().filter((run) => !run.lost)
  const hit =
    target.kind === "run"
      ? live.filter((run) => run.id === target.id)
      : live.filter((run) => store.queries.runs({ experiment: target.name, trial: run.trialId, limit: 1 }).length > 0)
  if (hit.length > 0)
    throw new UsageError(
      `${targetText(target)} is running${target.kind === "run" ? "" : ` (run ${hit.map((run) => run.id).join(", ")})`}: stop it first, with exp cancel ${target.kind === "run" ? target.id : target.name}.`,
    )
  // A run whose process died is still live by its state, and the store would refuse to remove it.
  if (target.kind === "run") {
    const run = store.runs.get(target.id)
    if (run !== undefined && isLive(run.status) && run.lost)
      throw new UsageError(`Run ${target.id} is lost: exp cancel ${target.id} ends it, then it can be removed.`)
  }
}

function listRemoved(store: Store, asJson: boolean): void {
  const experiments = store.experiments.list({ removed: true }).filter((row) => row.deletedAt !== null)
  const runs = store.queries.runs({ removed: "only", limit: 1000 })
  if (asJson) {
    process.stdout.write(
      `${json({ experiments: experiments.map((row) => row.name), runs: runs.map((run) => run.id) })}\n`,
    )
    return
  }
  if (experiments.length + runs.length === 0) say("Nothing is removed.")
  for (const { name } of experiments) say(name)
  if (runs.length > 0) say(`runs ${runs.map((run) => run.id).join(", ")}`)
}
