import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp report` accepts. */
export interface ReportOptions {
  readonly out?: string
  readonly profile?: string
  readonly quick?: boolean
}

/** `exp report`: an experiment as one page that can be sent to somebody. */
export function register(program: Command): void {
  program
    .command("report")
    .description("write an experiment as one self-contained HTML page")
    .argument("<experiment>", "name of the experiment")
    .option("--out <file>", "the page (default: <experiment>.html)")
    .option("--profile <name>", "profile of the experiment (default: default, or the only one)")
    .option("--quick", "the same as --profile quick")
    .action(async (experiment: string, options: ReportOptions, command: Command) => {
      const { reportCommand } = await import("../report-command.ts")
      await reportCommand(experiment, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
