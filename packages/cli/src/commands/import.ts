import { type Command, Option } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp import` accepts. */
export interface ImportOptions {
  readonly format?: "csv" | "jsonl" | "parquet" | "lm-eval" | "helm" | "mlflow" | "tensorboard" | "wandb"
  readonly goal?: "max" | "min"
  readonly strict?: boolean
  /** Of runs: name of their experiment, the metric that it compares, whether to take their files. */
  readonly experiment?: string
  readonly compare?: string
  readonly artifacts?: boolean
  /** Columns of a table of runs that are metrics. */
  readonly metrics?: readonly string[]
}

/** `exp import`: results and votes of others into the database, for `exp rank`. */
export function register(program: Command): void {
  program
    .command("import")
    .description("import runs of MLflow, TensorBoard or W&B; sample results or votes for exp rank")
    .argument(
      "<path...>",
      "runs: a file store of MLflow, a log folder of TensorBoard, a CSV export of W&B; results: CSV, JSON lines, Parquet, per-sample logs of lm-evaluation-harness or HELM, or directories of them",
    )
    .addOption(
      new Option("--format <format>", "format of the files (default: by name)").choices([
        "csv",
        "jsonl",
        "parquet",
        "lm-eval",
        "helm",
        "mlflow",
        "tensorboard",
        "wandb",
      ]),
    )
    .addOption(new Option("--goal <goal>", "direction of imported metrics that have none yet").choices(["max", "min"]))
    .option("--experiment <name>", "runs: the experiment to put them in (default: what they say)")
    .option("--compare <metric>", "runs: the metric by which their experiment compares them")
    .option("--metrics <name...>", "table of runs of W&B: its columns that are metrics, not config")
    .option("--no-artifacts", "runs: leave their files where they are")
    .option("--strict", "import nothing of a file that has a bad row")
    .addHelpText(
      "after",
      `
Results: competitor,sample,metric,value and optionally dataset, tags (key=value;key=value) and text.
Votes:   left,right,winner with winner left, right or tie.
Runs come with config, metrics, tags, notes and their origin; each is a trial of its own, and runs that differ only in
a seed are one arm. Runs that exp export wrote come back as they were.
The same file twice changes nothing. Bad rows are reported with their line and left out.`,
    )
    .action(async (paths: string[], options: ImportOptions, command: Command) => {
      const { importCommand } = await import("../import-command.ts")
      await importCommand(paths, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
