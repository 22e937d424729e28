import type { Command } from "commander"
import { wantsJson } from "../database-path.ts"
import { addPlanOptions, type PlanOptions } from "../plan-options.ts"

/** `exp check`: judges an experiment file without running anything. */
export function register(program: Command): void {
  addPlanOptions(
    program
      .command("check")
      .description("report every mistake in an experiment file, without running it")
      .argument("<experiment>", "experiment file, for example snella.vit.ts"),
  ).action(async (file: string, options: PlanOptions, command: Command) => {
    const { checkFile } = await import("../check-command.ts")
    process.exitCode = await checkFile(file, options, { json: wantsJson(command) })
  })
}
