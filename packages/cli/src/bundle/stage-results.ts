/** Results of stages for the database of a bundle: taken from one that has them, or computed. */
import { existsSync } from "node:fs"
import { openStore, type Store } from "@exp/store"
import type { WantedStage } from "./needs.ts"

const owner = "bundle"

/** What became of the stages: how many came along, and the data sets that those left out will read. */
export interface StageResults {
  readonly reused: number
  readonly computed: number
  readonly left: readonly WantedStage[]
}

/**
 * Fills the database `into` with results of stages.
 *
 * A result that `from` has is copied. One that is missing is computed where it would need data sets on the other machine
 * and `compute` is set; others are left for the machine that needs them.
 *
 * @param say told what is computed, and the lines that stages log
 */
export async function stageResults(
  stages: Iterable<WantedStage>,
  from: string,
  into: string,
  compute: boolean,
  say: (line: string) => void,
): Promise<StageResults> {
  using source = existsSync(from) ? openStore(from, { mode: "read" }) : undefined
  using target = openStore(into, { mode: "write" })
  let reused = 0
  let computed = 0
  const left: WantedStage[] = []
  for (const wanted of stages) {
    const found = source && finished(source, wanted.key)
    if (found !== undefined) {
      keep(target, wanted, found)
      reused++
    } else if (compute && wanted.datasets.length > 0) {
      say(`computing stage ${wanted.stage.name}, which no run in ${from} has finished`)
      keep(target, wanted, await computeStage(wanted, say))
      computed++
    } else left.push(wanted)
  }
  return { reused, computed, left }
}

function finished(store: Store, key: string): Uint8Array | undefined {
  const row = store.stages.get(key)
  if (row?.status !== "completed" || row.hash === null) return undefined
  try {
    return new Uint8Array(store.artifacts.get(row.hash))
  } catch {
    return undefined // its file is lost or damaged: as if it had not been computed
  }
}

function keep(store: Store, { key, stage, encoded }: WantedStage, bytes: Uint8Array): void {
  const claim = store.stages.begin({ key, name: stage.name, version: stage.version, config: encoded, owner })
  if (claim.type === "mine") store.stages.finish(key, owner, store.artifacts.put(bytes))
}

function computeStage({ stage, config }: WantedStage, say: (line: string) => void): Promise<Uint8Array> {
  const line = (message: string) => say(`  ${message}`)
  return stage.run(config, {
    signal: new AbortController().signal,
    device: "auto",
    progress: () => {},
    logger: { debug: () => {}, info: line, warn: line, error: line },
    checkpoint: { save: async () => {}, restore: async () => undefined },
  })
}
