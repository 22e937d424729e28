import type { RunEvent } from "./events.ts"
import type { PreparedRun } from "./prepare.ts"

/** What `exp run` asks of the engine. Everything but the file has a default. */
export interface RunOptions {
  /** Path of the experiment file, absolute or relative to the working directory. */
  readonly file: string
  /** A declared profile of the experiment: `quick`, `paper`, … */
  readonly profile?: string | undefined
  /** Only these arms. */
  readonly arms?: readonly string[] | undefined
  /** Number of seeds, or the seeds themselves. */
  readonly seeds?: number | readonly number[] | undefined
  /** Overrides of config fields: `{ "epochs": "3", "tuner.rank": "8" }`. */
  readonly set?: Readonly<Record<string, string>> | undefined
  /** The database, default `runs.db`. */
  readonly db?: string | undefined
  /** Trials at the same time; default: one per core for CPU devices, one per GPU. */
  readonly workers?: number | undefined
  /** Device name handed to the trials, default: the experiment's, else `auto`. */
  readonly device?: string | undefined
  /** Run trials that are already finished once more. */
  readonly force?: boolean | undefined
  /** Finished results made by other code than today's: `use` them (marked stale) or `rerun` them. Default `use`. */
  readonly stale?: "use" | "rerun" | undefined
  /** Among experiments that run on the same database; default: the experiment's, else 0. The higher goes first. */
  readonly priority?: number | undefined
  /** Give up after so many failed trials. */
  readonly maxFailures?: number | undefined
  /** Resident memory in bytes at which a worker is stopped and its trial fails; default: its share of the machine. */
  readonly memoryLimit?: number | undefined
  /** What {@link prepareRun} has begun for the same file and database already. The run ends its workers. */
  readonly prepared?: PreparedRun | undefined
  /** Receives every event, in order, on the caller's event loop. It must not throw. */
  readonly onEvent?: ((event: RunEvent) => void) | undefined
  /** Abort once: trials checkpoint, become `interrupted`, and the report comes with exit code 130. */
  readonly signal?: AbortSignal | undefined
  /** Abort: workers are killed at once. */
  readonly killSignal?: AbortSignal | undefined
}
