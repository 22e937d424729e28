import type { Command } from "commander"
import { databasePath } from "../database-path.ts"

/** `exp watch`: the live dashboard of any database, from any terminal. */
export function register(program: Command): void {
  program
    .command("watch")
    .description("watch a database live: progress, arms, curves, logs")
    .argument("[experiment]", "experiment to start with (default: the most recent)")
    .option("--profile <name>", "profile of the experiment", "default")
    .option("--plain", "sober lines instead of the dashboard (default without a terminal, and in CI)")
    .action(async (experiment: string | undefined, options: { profile: string; plain?: boolean }, command: Command) => {
      const { watchCommand } = await import("../watch-command.ts")
      await watchCommand(experiment, options, { db: databasePath(command) })
    })
}
