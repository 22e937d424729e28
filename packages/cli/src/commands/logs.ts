import { type Command, InvalidArgumentError } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp logs` accepts. */
export interface LogsOptions {
  readonly follow?: boolean
  readonly lines: number
}

/** `exp logs`: what a run printed and logged. */
export function register(program: Command): void {
  program
    .command("logs")
    .description("print what a run logged, and follow it")
    .argument("<run>", "run number, or the beginning of a trial id (its newest run)")
    .option("-f, --follow", "go on printing until the run ends")
    .option(
      "-n, --lines <n>",
      "how many of the last lines",
      (text: string) => {
        if (!/^\d+$/.test(text)) throw new InvalidArgumentError("Give a whole number.")
        return Number(text)
      },
      200,
    )
    .action(async (run: string, options: LogsOptions, command: Command) => {
      const { logsCommand } = await import("../logs-command.ts")
      await logsCommand(run, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
