import { type Command, InvalidArgumentError } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp compare` accepts. */
export interface CompareOptions {
  readonly metric?: readonly string[]
  readonly cost?: readonly string[]
  readonly profile?: string
  readonly quick?: boolean
  readonly experiment?: string
  readonly pairs?: boolean
  readonly curves?: string | true
  readonly level: number
}

const level = (text: string): number => {
  const x = Number(text)
  if (!(x > 0 && x < 1)) throw new InvalidArgumentError("Give a number between 0 and 1.")
  return x
}

/** `exp compare`: conditions or runs against each other: what differs, what it changes, and whether that is more than chance. */
export function register(program: Command): void {
  program
    .command("compare")
    .description("compare experiments, their conditions, or runs: differences in config, paired tests, cost")
    .argument(
      "<what...>",
      "experiment, experiment:condition, condition, run number or trial id; the first is the baseline",
    )
    .option("--metric <name...>", "metrics to test (default: those that the experiments compare)")
    .option("--cost <name...>", 'costs to weigh against (default: mem/state, mem/trainable and "seconds")')
    .option("--profile <name>", "profile of the experiments (default: default, or the only one)")
    .option("--quick", "the same as --profile quick")
    .option("--experiment <name>", "experiment whose conditions are named")
    .option("--pairs", "test every pair, not only against the baseline")
    .option("--curves [metric]", "draw the mean curves of a metric over each other")
    .option("--level <x>", "coverage of the intervals", level, 0.95)
    .action(async (what: readonly string[], options: CompareOptions, command: Command) => {
      const { compareCommand } = await import("../compare-command.ts")
      await compareCommand(what, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
