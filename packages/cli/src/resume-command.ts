import { relative } from "node:path"
import { lastCommand } from "@exp/engine"
import type { RunCommandOptions } from "./commands/run.ts"
import { runCommand } from "./run-command.ts"
import { runCommandLine } from "./run-command-line.ts"

/**
 * Runs the recorded command again. Finished trials are reused, so for an experiment that is complete it only prints the
 * comparison. `--force` is dropped for a finished command: it would run everything once more.
 *
 * @returns the exit code of `exp run`
 * @throws NothingToResume, and what `exp run` throws
 */
export async function resumeCommand(
  experiment: string | undefined,
  options: { readonly plain?: boolean },
  output: { db: string; json: boolean },
): Promise<number> {
  const { command, finished } = await lastCommand(output.db, experiment)
  const { file, profile, arms, force, ...rest } = command
  const again: RunCommandOptions = {
    ...Object.fromEntries(Object.entries(rest).filter(([name]) => name !== "memoryLimit")),
    ...(profile === undefined ? {} : { profile }),
    ...(arms === undefined ? {} : { arm: arms }),
    ...(force === true && !finished ? { force } : {}),
    ...(options.plain === true ? { plain: true } : {}),
  }
  process.stderr.write(`${runCommandLine({ file: relative(process.cwd(), file), ...again, db: output.db })}\n`)
  return runCommand(file, again, output)
}
