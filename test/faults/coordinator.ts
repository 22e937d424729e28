/** A coordinator as `exp run` is one, for the fault tests: argv is the options as JSON; prints events as JSON lines. */
import { enableCompileCache } from "node:module"
import type { RunOptions } from "@exp/engine"

// As bin/exp.js does; everything after it has to be imported afterwards to profit.
enableCompileCache()
await import("@exp/engine/quick-resolution")
const options = JSON.parse(process.argv[2] ?? "{}") as RunOptions
const prepared = (await import("@exp/engine/prepare")).prepareRun(options)
const { interruptSignals, runExperiment } = await import("@exp/engine")

const signals = interruptSignals()
const report = await runExperiment({
  ...options,
  prepared,
  signal: signals.signal,
  killSignal: signals.killSignal,
  onEvent: (event) => {
    if (event.type !== "finished") process.stdout.write(`${JSON.stringify(event)}\n`)
  },
})
signals.dispose()
process.stdout.write(
  `${JSON.stringify({ type: "report", status: report.status, counts: report.counts, peakBytes: process.resourceUsage().maxRSS * 1024 })}\n`,
)
process.exitCode = report.exitCode
