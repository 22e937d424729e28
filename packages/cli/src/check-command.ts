import { relative } from "node:path"
import { loadExperiment } from "@exp/engine"
import { describeConfig, describeSearch, type Plan, plan, pointLabel } from "@exp/spec"
import { experimentPath } from "./experiment-path.ts"
import { type PlanOptions, profileOf } from "./plan-options.ts"
import { textTable } from "./table.ts"
import { style, terminalWidth } from "./terminal.ts"

/** The plan's options in the terms of the specification. */
export const specOptions = (options: PlanOptions) => ({
  profile: profileOf(options),
  arms: options.arm,
  seeds: options.seeds,
  set: options.set,
})

/** `12 conditions × 5 seeds`: what a plan comes to, in one line. */
export function planLine(planned: Plan): string {
  const { tune, compare } = planned.count
  const tuning = tune > 0 ? `${planned.search === undefined ? "" : "at most "}${tune} tuning trials, then ` : ""
  const conditions = planned.conditions.length
  return `${tuning}${compare} compared trials (${conditions} ${conditions === 1 ? "condition" : "conditions"} × ${planned.seeds.length} ${planned.seeds.length === 1 ? "seed" : "seeds"})`
}

/**
 * Judges an experiment file and prints what it would run. Nothing is executed besides loading the file.
 *
 * @returns the exit code
 * @throws LoadError, SpecError
 */
export async function checkFile(argument: string, options: PlanOptions, output: { json: boolean }): Promise<number> {
  const file = experimentPath(argument)
  const { experiment } = await loadExperiment(file)
  const planned = plan(experiment, specOptions(options))
  if (output.json) {
    const { conditions, count, compare, tuning, search, seeds, profile } = planned
    process.stdout.write(
      `${JSON.stringify({ experiment: experiment.name, file, profile, compare, seeds, count, search, conditions, tuning }, null, 2)}\n`,
    )
    return 0
  }
  printPlan(planned, relative(process.cwd(), file))
  return 0
}

/** Prints conditions, search spaces and the config fields of the task. */
export function printPlan(planned: Plan, file: string): void {
  const { experiment } = planned
  const say = (text: string) => process.stdout.write(`${text}\n`)
  say(`${style("bold", experiment.name, process.stdout)}  ${file}`)
  if (experiment.question !== undefined) say(experiment.question)
  say(
    `task ${experiment.task.name} v${experiment.task.version}, compares ${planned.compare.join(", ")}: ${planLine(planned)}`,
  )
  if (planned.search !== undefined) say(`tuning: ${describeSearch(planned.search, planned.tuneBy!.metric)}`)
  say("")
  say(
    textTable(
      [{ title: "condition" }, { title: "candidates", align: "right" }, { title: "searched" }],
      planned.conditions.map((condition) => [
        condition.label,
        condition.candidates.length === 0 ? "–" : String(planned.search?.candidates ?? condition.candidates.length),
        condition.candidates.length === 0
          ? ""
          : condition.space === undefined
            ? condition.candidates.map(pointLabel).join("  ")
            : Object.entries(condition.space)
                .map(([path, values]) => `${path} ${values}`)
                .join("; "),
      ]),
      terminalWidth(),
    ),
  )
  say("")
  say(
    textTable(
      [{ title: "config field" }, { title: "type" }, { title: "default" }, { title: "description" }],
      describeConfig(experiment.task.config).map((field) => [
        field.path,
        field.type,
        field.default === undefined ? "" : JSON.stringify(field.default),
        field.description ?? "",
      ]),
      terminalWidth(),
    ),
  )
  say("")
  say(style("green", "no mistakes found", process.stdout))
}
