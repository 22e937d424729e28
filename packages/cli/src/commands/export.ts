import { type Command, Option } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp export` accepts. */
export interface ExportOptions {
  readonly to: "csv" | "jsonl" | "parquet" | "tensorboard" | "mlflow"
  readonly out: string
  readonly table?: "runs" | "metrics" | "results"
  readonly overwrite?: boolean
  readonly status?: string
  readonly arm?: string
  readonly where?: readonly string[]
  readonly tag?: string
  readonly since?: string
}

/** `exp export`: runs for other programs. */
export function register(program: Command): void {
  program
    .command("export")
    .description("write runs as CSV, JSON lines, Parquet, TensorBoard event files or an MLflow file store")
    .argument("[what...]", "experiments, run numbers, names or trial ids (default: every run)")
    .addOption(
      new Option("--to <format>", "what to write")
        .choices(["csv", "jsonl", "parquet", "tensorboard", "mlflow"])
        .makeOptionMandatory(),
    )
    .requiredOption("--out <path>", "folder to write to; a file, with its ending, for one table")
    .addOption(
      new Option("--table <name>", "the one table to write (default: all into a folder, runs into a file)").choices([
        "runs",
        "metrics",
        "results",
      ]),
    )
    .option("--overwrite", "replace files and runs that are there")
    .option("--status <status>", "only runs in this state")
    .option("--arm <name>", "only runs of this arm")
    .option("--where <condition...>", 'conditions on config and metrics: --where "learningRate >= 0.01"')
    .option("--tag <tag>", "only runs with this tag")
    .option("--since <when>", "only runs started since: 2h, 3d or a date")
    .addHelpText(
      "after",
      `
  exp export snella.vit --to csv --out results.csv                one row a run: config and last values
  exp export snella.vit --to parquet --out results                runs, metrics and results, a file each
  exp export --to tensorboard --out logs && tensorboard --logdir logs
  exp export --to mlflow --out mlruns && mlflow ui --backend-store-uri mlruns
  exp --db other.db import mlruns                                  and back, exactly

Nothing that exists is replaced unless --overwrite is given.`,
    )
    .action(async (what: string[], options: ExportOptions, command: Command) => {
      const { exportCommand } = await import("../export-command.ts")
      await exportCommand(what, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
