/**
 * What the coordinator and a worker say to each other, as JSON over the IPC channel of the child process. Numbers that
 * JSON cannot hold travel as strings. Results do not travel here: the worker writes them into runs.db itself.
 */
import type { EarlyStop, Judgement } from "@exp/spec"
import type { Failure } from "./events.ts"

/** One trial to run. */
export interface Job {
  readonly runId: string
  readonly trialId: string
  /** Encoded config, as it is hashed. */
  readonly config: unknown
  readonly seed: number
  readonly device: string
  /** By what the trial is stopped early. */
  readonly judgement?: Judgement | undefined
}

/** Why a trial is told to stop. */
export type StopReason = "interrupt" | "cancel" | "timeout"

export type ToWorker =
  | { readonly type: "run"; readonly job: Job }
  | { readonly type: "stop"; readonly runId: string; readonly reason: StopReason }
  | { readonly type: "exit" }

/** NaN and infinities as words. */
export type WireNumber = number | "NaN" | "Infinity" | "-Infinity"

export type FromWorker =
  /** The experiment is loaded; jobs are welcome. */
  | { readonly type: "ready" }
  /** The worker cannot load the experiment or open the database. */
  | { readonly type: "unusable"; readonly failure: Omit<Failure, "lastLines"> }
  | { readonly type: "restored"; readonly runId: string; readonly step: number }
  | {
      readonly type: "progress"
      readonly runId: string
      readonly done: number
      readonly total: number
      readonly latest: Readonly<Record<string, WireNumber>>
    }
  | {
      readonly type: "log"
      readonly runId: string
      readonly level: "debug" | "info" | "warn" | "error"
      readonly line: string
    }
  | {
      readonly type: "stage"
      readonly runId: string
      readonly stage: string
      readonly key: string
      readonly state: "computing" | "waiting" | "finished" | "reused"
      readonly durationMs?: number
    }
  | {
      readonly type: "finished"
      readonly runId: string
      readonly durationMs: number
      readonly metrics: Readonly<Record<string, WireNumber>>
    }
  | { readonly type: "stopped"; readonly runId: string; readonly reason: StopReason }
  /** A stopping rule ended the trial; its run is settled. */
  | { readonly type: "stopped-early"; readonly runId: string; readonly stop: EarlyStop }
  | {
      readonly type: "failed"
      readonly runId: string
      readonly failure: Omit<Failure, "lastLines">
      /** The process ends after this word. */
      readonly last?: boolean
    }

export const toWire = (value: number): WireNumber =>
  Number.isFinite(value) ? value : (String(value) as "NaN" | "Infinity" | "-Infinity")

export const fromWire = (value: WireNumber): number => Number(value)

/** All values of a record, for the wire and back. */
export const recordToWire = (record: Readonly<Record<string, number>>): Record<string, WireNumber> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, toWire(value)]))
export const recordFromWire = (record: Readonly<Record<string, WireNumber>>): Record<string, number> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, fromWire(value)]))

/** A stop as it comes out of JSON, or of a run's error, where a value that is not finite has become null. */
export const earlyStopFrom = ({ rule, metric, rung, step, value, threshold }: EarlyStop): EarlyStop => ({
  rule,
  metric,
  rung,
  step,
  value: value ?? Number.NaN,
  threshold,
})

/**
 * The line that a worker writes to stdout and stderr when a run begins: from here on, what the process prints belongs
 * to that run. Being in the same pipe as the output itself, it cannot arrive too early or too late.
 */
export const outputMark = (runId: string): string => `\u001eexp-run ${runId}\u001e\n`
export const parseOutputMark = (line: string): string | undefined =>
  line.startsWith("\u001eexp-run ") && line.endsWith("\u001e") ? line.slice(9, -1) : undefined
