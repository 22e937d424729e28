import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp diff`: why two runs differ, and from which step on. */
export function register(program: Command): void {
  program
    .command("diff")
    .description("explain how two runs differ: spec, code, data, environment, hardware, and where their curves part")
    .argument("<a>", "run number, or the beginning of a trial id")
    .argument("<b>", "run number, or the beginning of a trial id")
    .action(async (a: string, b: string, _options, command: Command) => {
      const { diffCommand } = await import("../diff-command.ts")
      await diffCommand(a, b, { db: databasePath(command), json: wantsJson(command) })
    })
}
