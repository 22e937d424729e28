import type { Command } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

interface ShowOptions {
  readonly repro?: boolean
  readonly graph?: boolean
  readonly out?: string
}

/** `exp show`: everything recorded about a run, or an experiment's comparison. */
export function register(program: Command): void {
  program
    .command("show")
    .description("show a run, or the comparison of an experiment")
    .argument("<id>", "run id, trial id (or its beginning), or experiment name")
    .option("--repro", "print the one command that repeats a run")
    .option("--graph", "write the run's compiled training step as an ONNX file and print what it costs")
    .option("--out <file>", "with --graph: the file (default: run-ID.onnx)")
    .action(async (id: string, options: ShowOptions, command: Command) => {
      if (options.graph === true) {
        const { graphCommand } = await import("../graph-command.ts")
        return graphCommand(id, { db: databasePath(command), json: wantsJson(command), out: options.out })
      }
      if (options.repro === true) {
        const { reproCommand } = await import("../repro-command.ts")
        return reproCommand(id, { db: databasePath(command), json: wantsJson(command) })
      }
      const { showCommand } = await import("../show-command.ts")
      await showCommand(id, { db: databasePath(command), json: wantsJson(command) })
    })
}
