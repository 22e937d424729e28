import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp show`: everything recorded about a run, or an experiment's comparison. */
export function register(program: Command): void {
  program
    .command("show")
    .description("show a run, or the comparison of an experiment")
    .argument("<id>", "run id, trial id (or its beginning), or experiment name")
    .option("--repro", "print the one command that repeats a run")
    .action(async (id: string, options: { readonly repro?: boolean }, command: Command) => {
      if (options.repro === true) {
        const { reproCommand } = await import("../repro-command.ts")
        return reproCommand(id, { db: databasePath(command), json: wantsJson(command) })
      }
      const { showCommand } = await import("../show-command.ts")
      await showCommand(id, { db: databasePath(command), json: wantsJson(command) })
    })
}
