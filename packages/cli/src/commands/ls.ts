import { type Command, InvalidArgumentError } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp ls` accepts. */
export interface ListOptions {
  readonly status?: string
  readonly arm?: string
  readonly where?: readonly string[]
  readonly tag?: string
  readonly since?: string
  readonly limit: number
  readonly runs?: boolean
  readonly removed?: boolean
}

const limit = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError("Give a whole number of at least 1.")
  return n
}

/** `exp ls`: experiments, or the runs of one. */
export function register(program: Command): void {
  program
    .command("ls")
    .description("list experiments, or the runs of one experiment")
    .argument("[experiment]", "list the runs of this experiment, newest first")
    .option("--runs", "list runs of all experiments")
    .option("--status <status>", "only runs in this state: running, completed, failed, cancelled, interrupted, lost")
    .option("--arm <name>", "only runs of this arm")
    .option(
      "--where <condition...>",
      'conditions on config, metrics, seed, name, note …: --where "learningRate >= 0.01 and test/accuracy > 0.8"',
    )
    .option("--tag <tag>", "only runs with this tag")
    .option("--since <when>", "only runs started since: 2h, 3d or a date")
    .option("--removed", "only what exp rm has removed")
    .option("--limit <n>", "how many rows", limit, 50)
    .action(async (experiment: string | undefined, options: ListOptions, command: Command) => {
      const { listCommand } = await import("../list-command.ts")
      await listCommand(experiment, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
