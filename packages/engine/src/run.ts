import { ExperimentFileMissing } from "./errors.ts"
import type { Report } from "./events.ts"
import type { RunOptions } from "./options.ts"

/**
 * Plans an experiment, carries its trials out in child processes, and reports.
 *
 * @throws LoadError when the file is no experiment; SpecError with all issues when a config is invalid; a store error
 * when runs.db cannot be used. A trial that fails is no error here: it is in the report.
 */
export async function runExperiment(options: RunOptions): Promise<Report> {
  throw new ExperimentFileMissing({ file: options.file, similar: [] })
}
