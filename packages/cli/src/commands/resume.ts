import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp resume`: gives the last `exp run` once more, by the experiment's name. */
export function register(program: Command): void {
  program
    .command("resume")
    .description("continue the last exp run: the same file, profile and options again")
    .argument("[experiment]", "experiment name (default: the one that was interrupted last)")
    .option("--plain", "plain lines instead of a live display")
    .action(async (experiment: string | undefined, options: { readonly plain?: boolean }, command: Command) => {
      const { resumeCommand } = await import("../resume-command.ts")
      process.exitCode = await resumeCommand(experiment, options, {
        db: databasePath(command),
        json: wantsJson(command),
      })
    })
}
