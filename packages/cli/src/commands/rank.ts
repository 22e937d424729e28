import { type Command, InvalidArgumentError, Option } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp rank` accepts. */
export interface RankCommandOptions {
  readonly metric?: readonly string[]
  readonly goal?: "max" | "min"
  readonly where?: readonly string[]
  readonly about?: string
  readonly top?: number
  readonly dataset?: string
  readonly tie: "one-each" | "half" | "drop"
  readonly tolerance?: number
  readonly weighting: "pairs" | "samples"
  readonly bootstrap?: number | true
  readonly level?: number
  readonly seed: number
  readonly by?: string
  readonly missing?: boolean
  readonly csv?: boolean
  readonly out?: string
  readonly select?: number
  readonly fair?: readonly string[]
  readonly voting: "sntv" | "bloc" | "borda" | "cc" | "acc" | "hb"
  readonly profile?: string
  readonly quick?: boolean
}

const whole = (least: number) => (text: string) => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < least) throw new InvalidArgumentError(`Give a whole number of at least ${least}.`)
  return n
}

const between = (low: number, high: number) => (text: string) => {
  const x = Number(text)
  if (!(x > low && x < high)) throw new InvalidArgumentError(`Give a number between ${low} and ${high}.`)
  return x
}

/** `exp rank`: rankings of arms or imported competitors from their sample results. */
export function register(program: Command): void {
  program
    .command("rank")
    .description("rank arms, or imported competitors, from results on samples, however incomplete")
    .argument("[experiment...]", "rank the arms of these experiments (default: what was imported)")
    .option("--metric <name...>", "only these metrics (default: those compared, or all)")
    .addOption(new Option("--goal <goal>", "direction of metrics that have none").choices(["max", "min"]))
    .option("--where <condition...>", "only samples whose tags fit: --where \"tag = 'sandal'\"")
    .option("--about <words>", 'only samples whose text or tags speak of this: --about "ankle boots"')
    .option("--top <n>", "with --about: the n best matches", whole(1))
    .option("--dataset <name>", "only samples of this data set")
    .addOption(
      new Option("--tie <rule>", "what a tie counts").choices(["one-each", "half", "drop"]).default("one-each"),
    )
    .option("--tolerance <x>", "values this close are ties", between(0, Number.POSITIVE_INFINITY))
    .addOption(
      new Option("--weighting <what>", "every pair counts the same, or every measurement")
        .choices(["pairs", "samples"])
        .default("pairs"),
    )
    .option("--bootstrap [n]", "intervals from n resamples of the samples (200) instead of the closed form", whole(2))
    .option("--level <p>", "coverage of the intervals (0.95)", between(0, 1))
    .option("--seed <n>", "seed of all random choices", whole(0), 0)
    .option("--by <tag>", "one ranking for each value of a tag, side by side")
    .option("--missing", "what is not measured, and what to measure next")
    .option("--csv", "print the ranking as CSV")
    .option("--out <file>", "draw the ranking: .svg, .png or .html")
    .option(
      "--select <k>",
      "choose k competitors from the rankings of the samples (or of the values of --by)",
      whole(1),
    )
    .option(
      "--fair <pattern...>",
      'with --select: at least the proportional share (or n) of a group: "Llama*" or "Llama*:2"',
    )
    .addOption(
      new Option("--voting <score>", "with --select: the score of a selection")
        .choices(["sntv", "bloc", "borda", "cc", "acc", "hb"])
        .default("borda"),
    )
    .option("--quick", "results of the experiment's quick profile")
    .option("--profile <name>", "results of this profile of the experiment")
    .action(async (experiments: string[], options: RankCommandOptions, command: Command) => {
      const { rankCommand } = await import("../rank-command.ts")
      await rankCommand(experiments, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
