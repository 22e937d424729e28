import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp tag`: words on experiments and runs, to find them again with `exp ls --tag`. */
export function register(program: Command): void {
  program
    .command("tag")
    .description("tag experiments and runs; without tags list them")
    .argument("[target]", "experiment, run number, name or trial id; several runs as 3,5,8-12")
    .argument("[tags...]", "words to add")
    .option("-d, --remove", "take the words away instead")
    .action(
      async (target: string | undefined, tags: string[], options: { readonly remove?: boolean }, command: Command) => {
        const { tagCommand } = await import("../annotate-command.ts")
        await tagCommand(target, tags, options, { db: databasePath(command), json: wantsJson(command) })
      },
    )
}
