import { cancel, findTarget } from "@exp/engine"
import { openStore } from "@exp/store"
import { ExitCode } from "./exit-code.ts"
import { json } from "./json.ts"

/**
 * Cancels and waits until it is done.
 *
 * @returns the exit code: 1 when something still runs
 * @throws NothingByThatName, SeveralByThatName
 */
export async function cancelCommand(target: string, output: { db: string; json: boolean }): Promise<number> {
  using store = openStore(output.db, { mode: "write" })
  const { asked, stopped, remaining, dropped } = await cancel(store, findTarget(store, target))
  if (output.json) process.stdout.write(`${json({ asked, stopped, remaining, dropped })}\n`)
  else if (dropped.length > 0) process.stdout.write(`cancelled before it began: run ${dropped.join(", ")}\n`)
  else if (asked.length === 0) process.stdout.write(`Nothing of ${target} is running.\n`)
  else {
    process.stdout.write(`cancelled ${stopped.length} of ${asked.length} runs: ${stopped.join(", ")}\n`)
    if (remaining.length > 0) {
      process.stdout.write(`still running: ${remaining.join(", ")}; their coordinator does not answer\n`)
    }
  }
  return remaining.length > 0 ? ExitCode.trialsFailed : ExitCode.ok
}
