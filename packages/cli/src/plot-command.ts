import { openStore } from "@exp/store"
import type { PlotOptions } from "./commands/plot.ts"
import { profileOfExperiment, requireExperiment } from "./compare/subjects.ts"
import { json } from "./json.ts"
import { readFigure } from "./plot/figures.ts"
import { drawFigure } from "./plot/terminal.ts"
import { plainText, style, terminalWidth } from "./terminal.ts"

/**
 * `exp plot`: draws in the terminal, or writes a file. `--json` prints the data of the figure.
 *
 * @throws UsageError for unknown experiments, metrics, columns, and endings of files
 */
export async function plotCommand(
  experiment: string,
  options: PlotOptions,
  output: { readonly db: string; readonly json: boolean },
): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  requireExperiment(store, experiment)
  const width = options.width ?? terminalWidth()
  const figure = readFigure(store, experiment, {
    ...options,
    arms: options.arm,
    profile: profileOfExperiment(store, experiment, options),
    columns: options.out === undefined ? 2 * width : 400,
  })
  const smoothing = options.smooth ?? 0
  if (output.json) process.stdout.write(`${json(figure)}\n`)
  if (options.out !== undefined) {
    const { writeFigure } = await import("./plot/files.ts")
    await writeFigure(options.out, figure, { width: options.width, height: options.height, smoothing })
    process.stderr.write(`Picture written to ${plainText(options.out)}\n`)
    return
  }
  if (output.json) return
  const title = `${figure.title}: ${figure.metric}${figure.log ? " (log)" : ""}`
  process.stdout.write(
    `${style("bold", plainText(title), process.stdout)}\n${drawFigure(figure, { width, height: options.height ?? 18, smoothing })}\n`,
  )
}
