import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp name`: a name by which a run can be called everywhere. */
export function register(program: Command): void {
  program
    .command("name")
    .description("give a run a name, by which every command then knows it; without one print it")
    .argument("<run>", "run number, name or trial id")
    .argument("[name]", "the name")
    .option("--clear", "take the name away")
    .action(async (run: string, name: string | undefined, options: { readonly clear?: boolean }, command: Command) => {
      const { nameCommand } = await import("../annotate-command.ts")
      await nameCommand(run, name, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
