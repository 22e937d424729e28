/** The commands that were given: kept beside the journal, so that `exp resume` can give the last one again. */
import { existsSync } from "node:fs"
import * as Data from "effect/Data"
import type { RunOptions } from "./options.ts"

/** The options of {@link RunOptions} that make a command what it is; observers and signals are not among them. */
export type RecordedCommand = Pick<
  RunOptions,
  | "file"
  | "profile"
  | "arms"
  | "seeds"
  | "set"
  | "workers"
  | "device"
  | "force"
  | "stale"
  | "priority"
  | "maxFailures"
  | "memoryLimit"
>

/** No command for the experiment (or for any) is on record. */
export class NothingToResume extends Data.TaggedError("NothingToResume")<{
  readonly db: string
  readonly experiment: string | undefined
  readonly known: readonly string[]
}> {
  override get message() {
    const what = this.experiment === undefined ? "any experiment" : `the experiment ${JSON.stringify(this.experiment)}`
    const hint =
      this.known.length > 0
        ? `There are commands for ${this.known.join(", ")}.`
        : "Start one with exp run FILE, in the same folder or with the same --db."
    return `${this.db} has no record of a command for ${what}. ${hint}`
  }
}

/** The command as JSON text; the file as an absolute path. */
export function recordedCommand(options: RunOptions, file: string): string {
  const { profile, arms, seeds, set, workers, device, force, stale, priority, maxFailures, memoryLimit } = options
  const command: RecordedCommand = {
    file,
    profile,
    arms,
    seeds,
    set,
    workers,
    device,
    force,
    stale,
    priority,
    maxFailures,
    memoryLimit,
  }
  return JSON.stringify(command)
}

/**
 * The command that was given last, for one experiment or for any: an unfinished one before all finished ones.
 *
 * @param db path of runs.db
 * @throws NothingToResume
 */
export async function lastCommand(
  db: string,
  experiment?: string,
): Promise<{ readonly experiment: string; readonly finished: boolean; readonly command: RecordedCommand }> {
  const known: string[] = []
  if (existsSync(`${db}-engine`)) {
    const { default: Database } = await import("better-sqlite3")
    const sqlite = new Database(`${db}-engine`, { readonly: true })
    try {
      const has = sqlite.prepare("SELECT 1 FROM pragma_table_info('invocations') WHERE name = 'command'").get()
      if (has !== undefined) {
        const row = sqlite
          .prepare(
            `SELECT experiment, finished_at, command FROM invocations
             WHERE command IS NOT NULL AND (@experiment IS NULL OR experiment = @experiment)
             ORDER BY finished_at IS NOT NULL, started_at DESC LIMIT 1`,
          )
          .get({ experiment: experiment ?? null }) as
          | { readonly experiment: string; readonly finished_at: number | null; readonly command: string }
          | undefined
        if (row !== undefined) {
          const command = JSON.parse(row.command) as RecordedCommand
          return { experiment: row.experiment, finished: row.finished_at !== null, command }
        }
        const names = sqlite
          .prepare("SELECT DISTINCT experiment FROM invocations WHERE command IS NOT NULL ORDER BY experiment")
          .all() as { readonly experiment: string }[]
        known.push(...names.map((name) => name.experiment))
      }
    } finally {
      sqlite.close()
    }
  }
  throw new NothingToResume({ db, experiment, known })
}
