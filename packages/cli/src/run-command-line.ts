import type { RunCommandOptions } from "./commands/run.ts"

const quote = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** The text of an `exp run`, as it is typed into a shell. */
export function runCommandLine(
  command: RunCommandOptions & { readonly file: string; readonly db?: string | undefined },
): string {
  const words = ["exp", "run", command.file]
  const option = (name: string, ...values: readonly (string | number)[]) =>
    words.push(`--${name}`, ...values.map(String))
  if (command.profile !== undefined) option("profile", command.profile)
  if (command.quick === true) option("quick")
  if (command.arm !== undefined) option("arm", ...command.arm)
  const { seeds } = command
  // The comma makes a list of a single seed: `--seeds 3` would be three of them.
  if (typeof seeds === "number") option("seeds", seeds)
  else if (seeds !== undefined) option("seeds", seeds.length === 1 ? `${seeds[0]},` : seeds.join(","))
  for (const [path, value] of Object.entries(command.set ?? {})) option("set", `${path}=${value}`)
  if (command.device !== undefined) option("device", command.device)
  if (command.workers !== undefined) option("workers", command.workers)
  if (command.stale !== undefined) option("stale", command.stale)
  if (command.priority !== undefined) option("priority", command.priority)
  if (command.maxFailures !== undefined) option("max-failures", command.maxFailures)
  if (command.force === true) option("force")
  if (command.db !== undefined && command.db !== "runs.db") option("db", command.db)
  return words.map(quote).join(" ")
}
