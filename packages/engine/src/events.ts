/**
 * What a running experiment tells its observers: one typed, append-only stream. Everything here is also on disk in
 * runs.db before, or at the latest 250 ms after, it is announced; an observer that misses an event loses nothing.
 */

import type { EarlyStop } from "@exp/spec"

/** Where a trial stands in its experiment; repeated in each event so that an observer needs no look-up table. */
export interface TrialRef {
  /** Content hash of (task, version, config, seed). */
  readonly trialId: string
  readonly arm: string
  /** Label of the compared condition: the arm, and the sweep point where there is one. */
  readonly condition: string
  readonly seed: number
  readonly phase: "tune" | "compare"
  /** Position in its phase, from 0. */
  readonly index: number
}

/** A failure as data: what happened, and what the process printed last. */
export interface Failure {
  /** `TaskFailed`, `WorkerExited`, `OutOfMemory`, `TimedOut`, `SpecError`, `StoreError`, … */
  readonly kind: string
  readonly message: string
  /** The last lines that the attempt wrote to stdout, stderr and the logger, oldest first. */
  readonly lastLines: readonly string[]
  readonly stack?: string
  readonly exitCode?: number
  readonly signal?: string
  /** Whether the retry policy may run the trial again. A spec error may not. */
  readonly retriable: boolean
}

/** How one arm's tuned values were chosen. */
export interface Selection {
  readonly condition: string
  readonly arm: string
  /** The metric that decided, e.g. `val/accuracy`. */
  readonly by: string
  readonly goal: "max" | "min"
  /** The winning point of the search space: field path → value. */
  readonly chosen: Readonly<Record<string, unknown>>
  /** Every candidate with its score (mean over the tuning seeds; NaN where all its trials failed), in planned order. */
  readonly candidates: readonly { readonly point: Readonly<Record<string, unknown>>; readonly score: number }[]
  /** The winner sits on the border of a numeric range: a wider search might find better. */
  readonly atBorder: boolean
  /** `TPE`, where the candidates were searched for. */
  readonly method?: string | undefined
  /** What stopped candidates early, and how many of them. */
  readonly stopped?: { readonly rule: string; readonly candidates: number } | undefined
}

export type RunEvent =
  | {
      readonly type: "planned"
      readonly experiment: string
      readonly question?: string | undefined
      readonly conditions: readonly { readonly arm: string; readonly label: string }[]
      /** Trials of the tuning phase, and of the compared phase (whose configs depend on the selection). */
      readonly tuning: number
      readonly compared: number
      /** How candidates are searched for and stopped, in one line; then `tuning` is the most that there will be. */
      readonly search?: string | undefined
      readonly workers: number
      readonly device: string
      readonly db: string
    }
  | {
      readonly type: "phase-started"
      readonly phase: "tune" | "compare"
      readonly trials: number
      readonly reused: number
      /** The round, from 1, of a tuning that goes in rounds. */
      readonly round?: { readonly number: number; readonly of: number } | undefined
    }
  | { readonly type: "trial-reused"; readonly trial: TrialRef; readonly runId: string; readonly stale: boolean }
  | {
      readonly type: "trial-started"
      readonly trial: TrialRef
      readonly runId: string
      readonly attempt: number
      readonly worker: number
      /** Step of the checkpoint that the attempt may continue from, when there is one. */
      readonly resumedFrom?: number | undefined
    }
  | {
      readonly type: "trial-progress"
      readonly trial: TrialRef
      readonly runId: string
      readonly done: number
      readonly total: number
      /** The last value of each metric logged so far. */
      readonly latest: Readonly<Record<string, number>>
    }
  | {
      readonly type: "trial-finished"
      readonly trial: TrialRef
      readonly runId: string
      readonly durationMs: number
      readonly metrics: Readonly<Record<string, number>>
    }
  | {
      readonly type: "trial-failed"
      readonly trial: TrialRef
      readonly runId: string
      readonly attempt: number
      readonly failure: Failure
      readonly willRetry: boolean
    }
  | {
      readonly type: "trial-retried"
      readonly trial: TrialRef
      /** The attempt about to start, from 2. */
      readonly attempt: number
      readonly delayMs: number
    }
  | {
      readonly type: "trial-stopped"
      readonly trial: TrialRef
      readonly runId: string
      /** `stopped`: by a stopping rule, as `stop` says. */
      readonly status: "cancelled" | "interrupted" | "stopped"
      readonly stop?: EarlyStop | undefined
    }
  | { readonly type: "selected"; readonly selection: Selection }
  | {
      readonly type: "stage"
      readonly trial: TrialRef
      readonly stage: string
      readonly key: string
      readonly state: "computing" | "waiting" | "finished" | "reused"
      readonly durationMs?: number | undefined
    }
  | {
      readonly type: "log"
      readonly trial?: TrialRef | undefined
      readonly runId?: string | undefined
      readonly level: "debug" | "info" | "warn" | "error"
      /** `logger` for the trial's logger, `stdout`/`stderr` for what the process printed, `engine` for the coordinator. */
      readonly source: "logger" | "stdout" | "stderr" | "engine"
      readonly line: string
    }
  | { readonly type: "interrupting"; readonly reason: string }
  | { readonly type: "finished"; readonly report: Report }

/** One trial in the final report. */
export interface TrialReport extends TrialRef {
  /** `stopped`: ended by a stopping rule, now or earlier. `pending`: never started (its turn did not come). */
  readonly status: "completed" | "reused" | "stopped" | "failed" | "cancelled" | "interrupted" | "pending"
  readonly config: Readonly<Record<string, unknown>>
  readonly runId?: string | undefined
  /** Attempts made so far, those of earlier invocations included. */
  readonly attempts: number
  readonly durationMs?: number | undefined
  /** The last value of every metric. NaN and infinities included. */
  readonly metrics: Readonly<Record<string, number>>
  readonly failure?: Failure | undefined
  /** Why and where a stopping rule ended it. */
  readonly stop?: EarlyStop | undefined
  /** The reused result comes from other code than the present one. */
  readonly stale: boolean
}

/** What a run of an experiment came to. */
export interface Report {
  readonly experiment: string
  readonly file: string
  readonly db: string
  readonly status: "completed" | "failed" | "interrupted"
  /** 0 all completed, 1 some trials failed or were cancelled, 130 interrupted. */
  readonly exitCode: 0 | 1 | 130
  /** Why trials are still pending, where some are: what interrupted, cancelled or stopped the experiment. */
  readonly reason?: string | undefined
  /** Compared metrics with their goals; the first is the one that ranks. */
  readonly compare: readonly {
    readonly metric: string
    readonly goal: "max" | "min"
    readonly unit?: string | undefined
  }[]
  readonly conditions: readonly {
    readonly arm: string
    readonly label: string
    readonly point: Readonly<Record<string, unknown>>
  }[]
  readonly baseline?: string | undefined
  readonly selections: readonly Selection[]
  /** In planned order, tuning trials first. */
  readonly trials: readonly TrialReport[]
  readonly counts: Readonly<Record<TrialReport["status"], number>>
  readonly durationMs: number
}
