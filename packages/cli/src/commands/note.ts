import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp note`: a free text on an experiment or a run. */
export function register(program: Command): void {
  program
    .command("note")
    .description("write a note on an experiment or a run; without text print it")
    .argument("<target>", "experiment, run number, name or trial id; several runs as 3,5,8-12")
    .argument("[text...]", "the note; - reads it from standard input")
    .option("--clear", "take the note away")
    .action(async (target: string, text: string[], options: { readonly clear?: boolean }, command: Command) => {
      const { noteCommand } = await import("../annotate-command.ts")
      await noteCommand(target, text, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
