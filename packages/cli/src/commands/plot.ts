import { type Command, InvalidArgumentError, Option } from "commander"
import { databasePath, wantsJson } from "../database-path.ts"

/** What `exp plot` accepts. */
export interface PlotOptions {
  readonly kind?: "curves" | "bars" | "scatter" | "heat" | "parallel"
  readonly metric?: string
  readonly x?: string
  readonly y?: string
  readonly arm?: readonly string[]
  readonly profile?: string
  readonly quick?: boolean
  readonly tuning?: boolean
  readonly log?: boolean
  readonly logX?: boolean
  readonly smooth?: number
  readonly out?: string
  readonly width?: number
  readonly height?: number
}

const size = (text: string): number => {
  const n = Number(text)
  if (!Number.isInteger(n) || n < 8 || n > 10_000)
    throw new InvalidArgumentError("Give a whole number from 8 to 10000.")
  return n
}

const weight = (text: string): number => {
  const x = Number(text)
  if (!(x >= 0 && x < 1)) throw new InvalidArgumentError("Give a number from 0 to below 1.")
  return x
}

/** `exp plot`: pictures of an experiment, in the terminal or in a file. */
export function register(program: Command): void {
  program
    .command("plot")
    .description("plot an experiment in the terminal, or to an SVG, PNG or HTML file")
    .argument("<experiment>", "name of the experiment")
    .addOption(
      new Option("--kind <kind>", "what to draw (default: curves where there are series, else bars)").choices([
        "curves",
        "bars",
        "scatter",
        "heat",
        "parallel",
      ]),
    )
    .option("--metric <name>", "metric (default: the one compared; for curves a recorded series)")
    .option(
      "--x <column>",
      'scatter, heat: metric, config path, "seed" or "seconds"; curves: a metric instead of the step',
    )
    .option("--y <column>", "scatter, heat: the other axis")
    .option("--arm <name...>", "only these arms")
    .option("--profile <name>", "profile of the experiment (default: default, or the only one)")
    .option("--quick", "the same as --profile quick")
    .option("--tuning", "the trials of the tuning search instead of the compared ones")
    .option("--log", "logarithmic value axis")
    .option("--log-x", "curves: logarithmic axis of steps, or of the metric there")
    .option("--smooth <weight>", "smooth curves with this weight of the past", weight)
    .option("--out <file>", "write .svg, .png or .html (self-contained) instead of drawing in the terminal")
    .option("--width <n>", "cells, or pixels of a file", size)
    .option("--height <n>", "cells, or pixels of a file", size)
    .action(async (experiment: string, options: PlotOptions, command: Command) => {
      const { plotCommand } = await import("../plot-command.ts")
      await plotCommand(experiment, options, { db: databasePath(command), json: wantsJson(command) })
    })
}
