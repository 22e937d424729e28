import { findJournalGarbage, freeJournalGarbage } from "@exp/engine/journal-garbage"
import { openStore } from "@exp/store"
import { findGarbage, freeGarbage } from "@exp/store/garbage"
import { json } from "./json.ts"
import { bytes } from "./numbers.ts"
import { textTable } from "./table.ts"

const what = {
  runs: "removed runs, with their metrics, logs and results",
  experiments: "removed experiments",
  checkpoints: "checkpoints of finished trials",
  stages: "results of stages that no run has used",
  artifacts: "artifacts that nothing refers to",
  files: "files left by a crash",
  executions: "journals of commands that have ended",
} as const

/** Lists what could be freed, or frees it with `yes`. Never anything that a run refers to. */
export async function gcCommand(
  options: { readonly yes?: boolean; readonly olderThan: number },
  output: { db: string; json: boolean },
): Promise<void> {
  const free = options.yes === true
  using store = openStore(output.db, { mode: free ? "write" : "read" })
  const grace = options.olderThan * 3_600_000
  const garbage = free
    ? { ...freeGarbage(store, grace), executions: freeJournalGarbage(store.path, grace) }
    : { ...findGarbage(store, grace), executions: findJournalGarbage(store.path, grace) }
  if (output.json) {
    process.stdout.write(`${json({ freed: free, ...garbage })}\n`)
    return
  }
  const kinds = (Object.keys(what) as (keyof typeof what)[]).filter((kind) => garbage[kind].count > 0)
  if (kinds.length === 0) {
    process.stdout.write(`Nothing to free in ${store.path}.\n`)
    return
  }
  const rows = kinds.map((kind) => [what[kind], String(garbage[kind].count), bytes(garbage[kind].bytes)])
  const total = kinds.reduce((sum, kind) => sum + garbage[kind].bytes, 0)
  const columns = [
    { title: free ? "freed" : "would be freed" },
    { title: "count", align: "right" },
    { title: "size", align: "right" },
  ] as const
  process.stdout.write(`${textTable(columns, [...rows, ["in all", "", bytes(total)]])}\n`)
  if (free) store.compact()
  if (!free && garbage.runs.count + garbage.experiments.count > 0)
    process.stdout.write("What was removed can be had back until then: exp rm --undo NAME.\n")
  if (!free) process.stdout.write("Nothing was changed; exp gc --yes frees it.\n")
}
