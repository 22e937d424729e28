import { startDashboard } from "@exp/dashboard"
import { cancel, findTarget } from "@exp/engine"
import { openStore } from "@exp/store"
import { UsageError } from "./report-error.ts"

/** Asks the coordinator that runs it to stop a run, and waits until it has. */
export async function cancelRun(db: string, runId: number): Promise<void> {
  const store = openStore(db, { mode: "write" })
  try {
    await cancel(store, findTarget(store, String(runId)))
  } finally {
    store.close()
  }
}

/**
 * Shows the dashboard until it is left.
 *
 * @throws UsageError when stdout or stdin is no terminal
 */
export async function watchCommand(
  experiment: string | undefined,
  profile: string,
  output: { db: string },
): Promise<void> {
  if (!process.stdout.isTTY || !process.stdin.isTTY) {
    throw new UsageError(
      "exp watch needs a terminal. Without one use: exp ls, exp show, exp sql (with --json for programs)",
    )
  }
  const dashboard = startDashboard({
    db: output.db,
    experiment: experiment === undefined ? undefined : { name: experiment, profile },
    cancel: (runId) => cancelRun(output.db, runId),
  })
  await dashboard.closed
}
