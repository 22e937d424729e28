import { setTimeout as sleep } from "node:timers/promises"
import { findTarget } from "@exp/engine"
import { isLive, type LogLine, openStore, type Store } from "@exp/store"
import type { LogsOptions } from "./commands/logs.ts"
import { json } from "./json.ts"
import { UsageError } from "./report-error.ts"
import { plainText, style } from "./terminal.ts"

/**
 * Prints the log of a run; with `follow`, until the run ends.
 *
 * @throws NothingByThatName, SeveralByThatName; UsageError for an experiment, which has no log of its own
 */
export async function logsCommand(
  target: string,
  options: LogsOptions,
  output: { db: string; json: boolean },
): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  const runId = runOf(store, target)
  let last = 0
  const print = (lines: readonly LogLine[]) => {
    for (const line of lines) {
      if (line.id <= last) continue
      last = line.id
      if (output.json) process.stdout.write(`${json(line, 0)}\n`)
      else {
        const level =
          line.level === "error" || line.level === "stderr" ? "red" : line.level === "warn" ? "yellow" : "dim"
        const time = new Date(line.time).toISOString().slice(0, 19).replace("T", " ")
        process.stdout.write(
          `${style("dim", time, process.stdout)} ${style(level, line.level.padEnd(6), process.stdout)} ${plainText(line.message)}\n`,
        )
      }
    }
  }
  print(store.logs.tail(runId, { limit: options.lines }))
  while (options.follow === true) {
    const run = store.runs.get(runId)
    const live = run !== undefined && isLive(run.status) && !run.lost
    print(store.logs.tail(runId, { limit: 1000 }))
    if (!live) return
    await sleep(200)
  }
}

function runOf(store: Store, target: string): number {
  const found = findTarget(store, target)
  if (found.kind === "run") return found.run
  if (found.kind === "trial") {
    const run = store.runs.ofTrial(found.trial).at(-1)
    if (run !== undefined) return run.id
  }
  throw new UsageError(`${target} is no run; \`exp ls ${target}\` lists the runs of an experiment with their numbers.`)
}
