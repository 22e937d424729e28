/**
 * A worker must not outlive its coordinator, not even while a tensor library keeps its event loop busy for minutes. The
 * loop itself notices the closed channel when it gets to turn; a thread of its own sees to the rest.
 */
import { Worker } from "node:worker_threads"

const watch = `
const { workerData } = require("node:worker_threads")
let since
setInterval(() => {
  if (process.ppid === workerData.parent) return
  since ??= performance.now()
  if (performance.now() - since < workerData.graceMs) return
  // The group holds whatever the trial has started.
  try { process.kill(-process.pid, "SIGKILL") } catch { process.kill(process.pid, "SIGKILL") }
}, workerData.pollMs)
`

/**
 * Kills this process and its group when its parent is gone and it has not ended by itself within the grace.
 *
 * @param parent pid of the parent at the start, from the parent itself where possible
 */
export function watchParent(parent: number, graceMs = 1_000, pollMs = 200): void {
  const thread = new Worker(watch, {
    eval: true,
    workerData: { parent, graceMs, pollMs },
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2 },
  })
  thread.unref()
  // Out of memory or the like: then the closed channel has to do.
  thread.on("error", () => {})
}
