import type { Command } from "commander"

/** The database that a command works on: `--db`, else `EXP_DB`, else `runs.db` in the working directory. */
export function databasePath(command: Command): string {
  const { db } = command.optsWithGlobals<{ db?: string }>()
  return db ?? (process.env.EXP_DB || "runs.db")
}

/** Whether `--json` was asked for. */
export const wantsJson = (command: Command): boolean => command.optsWithGlobals<{ json?: boolean }>().json === true
