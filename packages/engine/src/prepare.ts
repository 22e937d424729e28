/**
 * What of an experiment's run can begin before the engine is loaded: a worker process, which loads the experiment in
 * the meantime, and git. This module imports nothing heavy, so that a command may call it first thing.
 */
import { existsSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { type GitState, gitState } from "./git-state.ts"
import { WorkerPool } from "./pool.ts"

export interface PreparedRun {
  /** Absolute path of the experiment file. */
  readonly file: string
  /** Absolute path of runs.db. */
  readonly db: string
  readonly pool: WorkerPool
  readonly git: Promise<GitState>
}

/**
 * Starts a worker on the experiment file, if there is such a file, and asks git about it. Whoever does not hand the
 * result to `runExperiment` has to close its pool.
 */
export function prepareRun(options: { readonly file: string; readonly db?: string | undefined }): PreparedRun {
  const file = resolve(options.file)
  const db = resolve(options.db ?? "runs.db")
  const pool = new WorkerPool({ file, db })
  if (existsSync(file)) pool.warm()
  return { file, db, pool, git: gitState(dirname(file)) }
}
