import { statSync, writeFileSync } from "node:fs"
import { resolve } from "node:path"
import { openStore } from "@exp/store"
import type { ReportOptions } from "./commands/report.ts"
import { profileOfExperiment, requireExperiment } from "./compare/subjects.ts"
import { json } from "./json.ts"
import { bytes } from "./numbers.ts"
import { reportPage } from "./report/page.ts"
import { UsageError } from "./report-error.ts"
import { plainText } from "./terminal.ts"

/**
 * `exp report`: writes an experiment as one HTML page that fetches nothing. `--json` prints where it is.
 *
 * @throws UsageError for unknown experiments and profiles, and where the page cannot be written
 */
export async function reportCommand(
  experiment: string,
  options: ReportOptions,
  output: { readonly db: string; readonly json: boolean },
): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  requireExperiment(store, experiment)
  const profile = profileOfExperiment(store, experiment, options)
  const out = options.out ?? `${experiment}.html`
  if (!/\.html?$/i.test(out)) throw new UsageError(`--out takes a file that ends in .html, not ${out}.`)
  const page = await reportPage(store, experiment, profile, output.db)
  try {
    writeFileSync(out, page)
  } catch (error) {
    throw new UsageError(`${out} cannot be written: ${error instanceof Error ? error.message : error}`)
  }
  const size = statSync(out).size
  if (output.json) process.stdout.write(`${json({ file: resolve(out), bytes: size, experiment, profile })}\n`)
  else process.stdout.write(`Report written to ${plainText(out)} (${bytes(size)}).\n`)
}
