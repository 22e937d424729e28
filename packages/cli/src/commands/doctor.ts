import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp doctor`: whether this machine and project are fit to run experiments, and what to do where they are not. */
export function register(program: Command): void {
  program
    .command("doctor")
    .description("check the machine, the installation, the cache and the database")
    .action(async (_options, command: Command) => {
      const { examine } = await import("../doctor-command.ts")
      process.exitCode = await examine({ db: databasePath(command), json: wantsJson(command) })
    })
}
