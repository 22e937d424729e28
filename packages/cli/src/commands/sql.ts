import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** `exp sql`: a query on the database, read-only. */
export function register(program: Command): void {
  program
    .command("sql")
    .description("query the database (read-only unless --write)")
    .argument("[query]", "one SQL statement; without it the tables and views are listed")
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
