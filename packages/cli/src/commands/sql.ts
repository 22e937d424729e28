import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp sql`: queries on the database, read-only; a conversation in a terminal. */
export function register(program: Command): void {
  program
    .command("sql")
    .description("query the database (read-only unless --write)")
    .argument("[query]", "SQL statements, - to read them; without any, a prompt with history and completion")
    .option("--format <format>", "table, json, csv or markdown", "table")
    .option("--write", "allow statements that change the database")
    .action(async (query: string | undefined, options: { format: string; write?: boolean }, command: Command) => {
      const { runSql } = await import("../sql-shell.ts")
      await runSql({
        db: databasePath(command),
        query,
        format: wantsJson(command) ? "json" : options.format,
        write: options.write === true,
      })
    })
}
