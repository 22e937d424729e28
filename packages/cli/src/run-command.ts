import { relative } from "node:path"
import { stripVTControlCharacters } from "node:util"
import {
  interruptSignals,
  loadExperiment,
  type Report,
  type RunEvent,
  runExperiment,
  type TrialReport,
} from "@exp/engine"
import type { PreparedRun } from "@exp/engine/prepare"
import { plan, pointLabel } from "@exp/spec"
import type { RunCommandOptions } from "./commands/run.ts"
import { experimentPath } from "./experiment-path.ts"
import { duration, number } from "./numbers.ts"
import { profileOf } from "./plan-options.ts"
import { programName } from "./program-name.ts"
import { ProgressLine } from "./progress-line.ts"
import { UsageError } from "./report-error.ts"
import { plainText, style } from "./terminal.ts"

/**
 * Carries an experiment out and prints what came of it.
 *
 * @param prepared what was begun for this file and database already; the caller ends it
 * @returns the exit code: 0 ok, 1 some trials failed, 130 interrupted
 * @throws LoadError, SpecError, a store error
 */
export async function runCommand(
  argument: string,
  options: RunCommandOptions,
  output: { db: string; json: boolean },
  prepared?: PreparedRun,
): Promise<number> {
  const file = experimentPath(argument)
  if (options.dryRun === true) {
    const { planLine, printPlan, specOptions } = await import("./check-command.ts")
    const { experiment } = await loadExperiment(file)
    const planned = plan(experiment, specOptions(options))
    if (output.json) {
      process.stdout.write(`${JSON.stringify({ count: planned.count, tuning: planned.tuning }, null, 2)}\n`)
    } else {
      printPlan(planned, relative(process.cwd(), file))
      process.stdout.write(`dry run: ${planLine(planned)}; nothing was started\n`)
    }
    return 0
  }

  if (options.device !== undefined) await checkDevice(options.device)
  const { signal, killSignal, dispose } = interruptSignals()
  const live =
    process.stdout.isTTY &&
    process.stdin.isTTY &&
    options.plain !== true &&
    !output.json &&
    !process.env["CI"] &&
    process.env["TERM"] !== "dumb"
  const progress = new ProgressLine(process.stderr, { plain: options.plain === true })
  let name = ""
  let screen: Promise<Screen> | undefined
  try {
    const report = await runExperiment({
      file,
      profile: profileOf(options),
      arms: options.arm,
      seeds: options.seeds,
      set: options.set,
      db: output.db,
      workers: options.workers,
      device: options.device,
      force: options.force,
      stale: options.stale,
      priority: options.priority,
      maxFailures: options.maxFailures,
      onEvent: (event) => {
        show(event, progress)
        if (live && event.type === "planned") name = event.experiment
        if (live && event.type === "phase-started" && event.trials > event.reused) {
          screen ??= showScreen(output.db, name, profileOf(options), progress)
        }
      },
      signal,
      killSignal,
      prepared,
    })
    await (await screen)?.close()
    progress.close()
    if (output.json) await printJson(report)
    else await finish(report, output.db)
    return report.exitCode
  } finally {
    await (await screen)?.close()
    progress.close()
    dispose()
  }
}

/**
 * Opens and closes a device, so that one that is not there is reported before anything is planned or recorded.
 *
 * @throws UsageError for an unknown name; DeviceUnavailable with the reason
 */
async function checkDevice(name: string): Promise<void> {
  const { deviceNames, openDevice } = await import("@exp/tensor")
  const known = deviceNames.find((device) => device === name)
  if (known === undefined) throw new UsageError(`--device takes ${deviceNames.join(", ")}, not ${name}.`)
  const device = await openDevice(known)
  device.dispose()
}

/** The dashboard while a run lasts. */
interface Screen {
  close(): Promise<void>
}

/**
 * Shows the dashboard over the progress line. Leaving it with `q` brings the progress line back; Ctrl-C means what it
 * means without the dashboard.
 */
async function showScreen(
  db: string,
  name: string,
  profile: string | undefined,
  progress: ProgressLine,
): Promise<Screen> {
  const { startDashboard } = await import("@exp/dashboard")
  const { cancelTarget } = await import("./watch-command.ts")
  progress.hold()
  const dashboard = startDashboard({
    db,
    experiment: { name, profile: profile ?? "default" },
    cancel: (target) => cancelTarget(db, target),
    retry: async (runId) => {
      const { retryRun } = await import("./retry-run.ts")
      return retryRun(db, runId)
    },
    status: () => stripVTControlCharacters(progress.lastHeld ?? ""),
    onInterrupt: () => process.kill(process.pid, "SIGINT"),
  })
  const closed = dashboard.closed.then(() => progress.release())
  return {
    close: () => {
      dashboard.close()
      return closed
    },
  }
}

function show(event: RunEvent, progress: ProgressLine): void {
  switch (event.type) {
    case "planned":
      progress.planned(event)
      return
    case "phase-started":
      progress.phase(event)
      return
    case "trial-started":
      progress.started(event)
      return
    case "trial-progress":
      progress.progress(event)
      return
    case "trial-finished":
    case "trial-reused":
    case "trial-stopped":
      progress.ended(event)
      return
    case "trial-failed": {
      progress.ended(event)
      const { trial, failure } = event
      const next = event.willRetry ? "it will be tried again" : "it is recorded as failed; the others go on"
      progress.say(
        `${style("red", "failed")} ${trial.condition} seed ${trial.seed} (attempt ${event.attempt}): ${failure.message}; ${next}`,
      )
      for (const line of failure.lastLines.slice(-3)) progress.say(style("dim", `  ${plainText(line)}`))
      return
    }
    case "selected": {
      const { selection } = event
      const best = selection.candidates.find((candidate) => same(candidate.point, selection.chosen))
      progress.say(
        `tuned ${selection.condition}: ${pointLabel(selection.chosen)} (${selection.by} ${number(best?.score ?? Number.NaN)}, ${bestOf(selection)})${selection.atBorder ? style("yellow", ", at the border of the searched range") : ""}`,
      )
      return
    }
    case "stage":
      if (event.state === "computing") progress.say(`stage ${event.stage}: computing once for all trials`)
      if (event.state === "finished") {
        progress.say(`stage ${event.stage}: finished in ${duration(event.durationMs ?? 0)}`)
      }
      return
    case "log":
      if (event.level === "warn" || event.level === "error") {
        progress.say(`${style(event.level === "warn" ? "yellow" : "red", event.level)} ${plainText(event.line)}`)
      } else if (event.level === "info" && event.source === "logger") progress.say(style("dim", plainText(event.line)))
      return
    case "interrupting":
      progress.say(`${event.reason}: saving checkpoints; Ctrl-C again stops at once`)
      return
  }
}

/** `best of 50 (TPE), 31 stopped early by ASHA, 2 without a value`. */
function bestOf({ candidates, method, stopped }: Report["selections"][number]): string {
  const lacking = candidates.filter(({ score }) => !Number.isFinite(score)).length - (stopped?.candidates ?? 0)
  return [
    `best of ${candidates.length}${method === undefined ? "" : ` (${method})`}`,
    ...(stopped === undefined ? [] : [`${stopped.candidates} stopped early by ${stopped.rule}`]),
    ...(lacking > 0 ? [`${lacking} without a value, taken as the worst`] : []),
  ].join(", ")
}

const same = (a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>) =>
  JSON.stringify(a) === JSON.stringify(b)

// What prints the results is loaded when there are some: a run is to begin at once.

async function printJson(report: Report): Promise<void> {
  const [{ byPoint, comparisonOfReport, summarise }, { json }] = await Promise.all([
    import("./comparison-table.ts"),
    import("./json.ts"),
  ])
  const summary = byPoint(comparisonOfReport(report)).map((part) => ({ point: part.point, ...summarise(part) }))
  process.stdout.write(`${json({ ...report, summary })}\n`)
}

async function finish(report: Report, db: string): Promise<void> {
  process.stdout.write(`\n${style("bold", report.experiment, process.stdout)}  ${report.db}\n\n`)
  const compared = report.trials.some((trial) => trial.phase === "compare" && isFinished(trial))
  if (compared) {
    const [{ comparisonOfReport }, { printComparisons }] = await Promise.all([
      import("./comparison-table.ts"),
      import("./print-comparison.ts"),
    ])
    printComparisons(comparisonOfReport(report), process.stdout)
  } else process.stdout.write(withoutResults(report))
  const border = report.selections.filter((selection) => selection.atBorder).map((selection) => selection.condition)
  if (border.length > 0) {
    process.stdout.write(`Tuned at the border of its range (a wider search might find better): ${border.join(", ")}.\n`)
  }
  const option = db === "runs.db" ? "" : ` --db ${db}`
  const program = programName()
  const next: string[] = []
  if (report.status === "interrupted")
    next.push(`${program} resume ${report.experiment}${option}   continues where it stopped`)
  if (report.counts.failed > 0)
    next.push(`${program} ls ${report.experiment} --status failed${option}   shows what failed and why`)
  if (compared) {
    next.push(`${program} show ${report.experiment}${option}   this table again, with the tuning and each seed`)
    next.push(`${program} sql${option} "SELECT * FROM arm_summary WHERE experiment = '${report.experiment}'"`)
  } else next.push(`${program} ls ${report.experiment}${option}   every run, and how far it is`)
  process.stdout.write(`\nNext:\n${next.map((line) => `  ${line}`).join("\n")}\n`)
}

const isFinished = (trial: TrialReport): boolean => trial.status === "completed" || trial.status === "reused"

/** What is recorded of an experiment that has nothing to compare yet. */
function withoutResults(report: Report): string {
  const lines = ["No compared trial is finished, so there is nothing to compare yet. Recorded so far:"]
  for (const [phase, what] of [
    ["tune", "tuning"],
    ["compare", "compared"],
  ] as const) {
    const planned = report.trials.filter((trial) => trial.phase === phase)
    if (planned.length === 0) continue
    const counts = (["completed", "reused", "failed", "cancelled", "interrupted", "pending"] as const)
      .map((status) => ({ status, n: planned.filter((trial) => trial.status === status).length }))
      .filter(({ n }) => n > 0)
      .map(({ status, n }) => `${n} ${status === "pending" ? "not begun" : status}`)
    lines.push(`  ${planned.length} ${what} ${planned.length === 1 ? "trial" : "trials"}: ${counts.join(", ")}`)
  }
  for (const trial of report.trials.filter(({ status }) => status === "interrupted").slice(0, 8)) {
    const logged = Object.entries(trial.metrics)
      .slice(0, 3)
      .map(([name, value]) => `${name} ${number(value)}`)
    const what = logged.length === 0 ? "nothing logged yet" : `last ${logged.join(", ")}`
    lines.push(`  ${trial.condition} seed ${trial.seed}, run ${trial.runId}: ${what}`)
  }
  return `${lines.join("\n")}\n`
}
