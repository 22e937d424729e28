import { type Command, InvalidArgumentError } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

const hours = (text: string): number => {
  const n = Number(text)
  if (text.trim() === "" || !Number.isFinite(n) || n < 0) throw new InvalidArgumentError("Give a number of hours.")
  return n
}

/** `exp gc`: says what takes room for nothing, and frees it when told to. */
export function register(program: Command): void {
  program
    .command("gc")
    .description("say what could be freed: old checkpoints, unused stages and artifacts; --yes frees it")
    .option("--yes", "free it")
    .option("--older-than <hours>", "leave alone what is younger", hours, 1)
    .action(async (options: { readonly yes?: boolean; readonly olderThan: number }, command: Command) => {
      const { gcCommand } = await import("../gc-command.ts")
      await gcCommand(options, { db: databasePath(command), json: wantsJson(command) })
    })
}
