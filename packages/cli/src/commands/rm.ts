import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp rm`: out of all lists, and back with --undo. */
export function register(program: Command): void {
  program
    .command("rm")
    .description("take experiments or runs out of all lists; --undo brings them back, exp gc --yes erases them")
    .argument("[targets...]", "experiments, run numbers, names or trial ids; several runs as 3,5,8-12")
    .option("--undo", "bring them back; without a target list what is removed")
    .action(async (targets: string[], options: { readonly undo?: boolean }, command: Command) => {
      const { removeCommand } = await import("../remove-command.ts")
      await removeCommand(targets, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
