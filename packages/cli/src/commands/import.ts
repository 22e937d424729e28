import { type Command, Option } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp import` accepts. */
export interface ImportOptions {
  readonly format?: "csv" | "jsonl" | "parquet" | "lm-eval" | "helm"
  readonly goal?: "max" | "min"
  readonly strict?: boolean
}

/** `exp import`: results and votes of others into the database, for `exp rank`. */
export function register(program: Command): void {
  program
    .command("import")
    .description("import sample results or pairwise votes, for exp rank")
    .argument(
      "<path...>",
      "CSV, JSON lines, Parquet; per-sample logs of lm-evaluation-harness or HELM, or directories of them",
    )
    .addOption(
      new Option("--format <format>", "format of the files (default: by name)").choices([
        "csv",
        "jsonl",
        "parquet",
        "lm-eval",
        "helm",
      ]),
    )
    .addOption(new Option("--goal <goal>", "direction of imported metrics that have none yet").choices(["max", "min"]))
    .option("--strict", "import nothing of a file that has a bad row")
    .addHelpText(
      "after",
      `
Results: competitor,sample,metric,value and optionally dataset, tags (key=value;key=value) and text.
Votes:   left,right,winner with winner left, right or tie.
The same file twice changes nothing. Bad rows are reported with their line and left out.`,
    )
    .action(async (paths: string[], options: ImportOptions, command: Command) => {
      const { importCommand } = await import("../import-command.ts")
      await importCommand(paths, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
