import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp cancel`: stops a running experiment, trial or run from another terminal. */
export function register(program: Command): void {
  program
    .command("cancel")
    .description("stop a running experiment, trial or run, from any terminal")
    .argument("<target>", "experiment name, run number, or the beginning of a trial id")
    .action(async (target: string, _options, command: Command) => {
      const { cancelCommand } = await import("../cancel-command.ts")
      process.exitCode = await cancelCommand(target, { db: databasePath(command), json: wantsJson(command) })
    })
}
