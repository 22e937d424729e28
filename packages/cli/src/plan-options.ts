import { type Command, InvalidArgumentError } from "commander"

/** The options of `exp run` and `exp check` that decide which trials are planned. */
export interface PlanOptions {
  readonly arm?: readonly string[]
  readonly seeds?: number | readonly number[]
  readonly set?: Readonly<Record<string, string>>
  readonly quick?: boolean
  readonly profile?: string
}

/** `5` is a number of seeds; `0,3,7` are the seeds themselves, and so is `3,` alone. */
export function parseSeeds(text: string): number | readonly number[] {
  const list = text.split(",").map((part) => part.trim())
  const single = list.length === 2 && list[1] === ""
  const parts = single ? list.slice(0, 1) : list
  if (!parts.every((part) => /^\d+$/.test(part))) {
    throw new InvalidArgumentError("Give a number of seeds (5) or the seeds themselves (0,3,7; one alone as 3,).")
  }
  if (single || parts.length > 1) return parts.map(Number)
  if (Number(text) < 1) throw new InvalidArgumentError("At least one seed is needed.")
  return Number(text)
}

const parseAssignment = (text: string, soFar: Readonly<Record<string, string>> = {}) => {
  const at = text.indexOf("=")
  if (at < 1) throw new InvalidArgumentError("Write it as path=value, for example --set tuner.rank=4.")
  return { ...soFar, [text.slice(0, at).trim()]: text.slice(at + 1) }
}

/** Names, one an argument or several with commas. */
const parseNames = (text: string, soFar: readonly string[] = []): readonly string[] => [
  ...soFar,
  ...text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== ""),
]

/** Adds --arm, --seeds, --set, --quick and --profile to a command. */
export function addPlanOptions(command: Command): Command {
  return command
    .option("--arm <name...>", "only these arms: --arm lora snell, or --arm lora,snell", parseNames)
    .option("--seeds <seeds>", "number of seeds, or the seeds themselves: 5 or 0,3,7 (or 3,)", parseSeeds)
    .option("--set <path=value>", "override a config field, repeatable: --set tuner.rank=4", parseAssignment)
    .option("--quick", "the experiment's quick profile (the same as --profile quick)")
    .option("--profile <name>", "a declared profile of the experiment")
}

/** The profile that the options name. */
export const profileOf = (options: PlanOptions): string | undefined =>
  options.profile ?? (options.quick === true ? "quick" : undefined)
