import { type Command, InvalidArgumentError, Option } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"
import { experimentPath } from "../experiment-path.ts"
import { addPlanOptions, type PlanOptions } from "../plan-options.ts"

/** What `exp run` accepts besides the options of the plan. */
export interface RunCommandOptions extends PlanOptions {
  readonly workers?: number
  readonly device?: string
  readonly force?: boolean
  readonly stale?: "use" | "rerun"
  readonly dryRun?: boolean
  readonly priority?: number
  readonly maxFailures?: number
  readonly plain?: boolean
}

const positive = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("Give a whole number of at least 1.")
  return n
}

const finite = (text: string): number => {
  const n = Number(text)
  if (text.trim() === "" || !Number.isFinite(n)) throw new InvalidArgumentError("Give a number, for example 10.")
  return n
}

/** `exp run`: plans an experiment, carries its trials out and prints the comparison. */
export function register(program: Command): void {
  addPlanOptions(
    program
      .command("run")
      .description("run an experiment: plan, train in parallel, record, compare")
      .argument("<experiment>", "experiment file, for example snella.vit.ts"),
  )
    .option("--workers <n>", "trials at the same time (default: one per core, or one per GPU)", positive)
    .option("--device <name>", "auto, cpu, webgpu, webgpu-eager, cuda, wasm or js")
    .option("--force", "run finished trials again")
    .addOption(
      new Option("--stale <what>", "finished results of other code: use them, marked, or rerun them").choices([
        "use",
        "rerun",
      ]),
    )
    .option("--priority <n>", "among experiments on the same database: the higher begins its trials first", finite)
    .option("--max-failures <n>", "stop after so many failed trials", positive)
    .option("--dry-run", "print the plan and stop")
    .option("--plain", "plain lines instead of a live display")
    .action(async (file: string, options: RunCommandOptions, command: Command) => {
      const db = databasePath(command)
      // A worker process loads the experiment while this one loads the engine.
      const prepared =
        options.dryRun === true
          ? undefined
          : (await import("@exp/engine/prepare")).prepareRun({ file: experimentPath(file), db })
      try {
        const { runCommand } = await import("../run-command.ts")
        process.exitCode = await runCommand(file, options, { db, json: wantsJson(command) }, prepared)
      } finally {
        await prepared?.pool.abandon()
      }
    })
}
