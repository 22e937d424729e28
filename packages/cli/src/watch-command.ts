import { startDashboard } from "@exp/dashboard"
import { cancel, findTarget } from "@exp/engine"
import { openStore } from "@exp/store"
import { UsageError } from "./report-error.ts"

/**
 * Asks the coordinator that has it to stop a run (by its number) or an experiment, and waits until it has.
 *
 * @throws NothingByThatName; UsageError when a live run's coordinator does not answer
 */
export async function cancelTarget(db: string, target: string): Promise<void> {
  using store = openStore(db, { mode: "write" })
  const { remaining } = await cancel(store, findTarget(store, target))
  if (remaining.length > 0)
    throw new UsageError(`Asked, but the coordinator of run ${remaining.join(", ")} does not answer (yet).`)
}

/**
 * Shows the dashboard until it is left; where there is no terminal to draw on, sober lines until nothing runs any more.
 *
 * @throws a store error when there is no terminal and the database cannot be read
 */
export async function watchCommand(
  experiment: string | undefined,
  options: { readonly profile: string; readonly plain?: boolean },
  output: { db: string },
): Promise<void> {
  const terminal = process.stdout.isTTY && process.stdin.isTTY && process.env["TERM"] !== "dumb"
  if (!terminal || options.plain === true || process.env["CI"]) {
    const { watchPlainly } = await import("./watch-plainly.ts")
    await watchPlainly(experiment, options.profile, output.db)
    return
  }
  const dashboard = startDashboard({
    db: output.db,
    experiment: experiment === undefined ? undefined : { name: experiment, profile: options.profile },
    cancel: (target) => cancelTarget(output.db, target),
    retry: async (runId) => {
      const { retryRun } = await import("./retry-run.ts")
      return retryRun(output.db, runId)
    },
  })
  await dashboard.closed
}
