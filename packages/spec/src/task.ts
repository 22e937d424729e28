import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Metric, MetricName, Metrics } from "./metric.ts"
import type { Stage } from "./stage.ts"

/** A Schema that decodes and encodes without services: what a config may be described by. */
export type ConfigSchema = Schema.ConstraintCodec<unknown, unknown, never, never>

/** Messages of a trial. They land in the run's log with the fields as JSON. */
export interface TrialLogger {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
}

/** What a running trial is offered. */
export interface TrialContext<Name extends string = string> {
  readonly trialId: string
  readonly runId: string
  /** All randomness of the trial derives from this number, a stream name and a step. */
  readonly seed: number
  /** The device that the run was given: `cpu`, `wasm`, `webgpu`, … */
  readonly device: string
  /** Aborted when the run is to stop; save a checkpoint and return. */
  readonly signal: AbortSignal
  /**
   * Records values at a step. It never blocks.
   *
   * @throws UndeclaredMetric for a name that the task does not declare
   */
  log(step: number, values: { readonly [K in Name]?: number }): void
  /** `done` of `total` units of work are done. */
  progress(done: number, total: number): void
  readonly samples: {
    /** Records this trial's measurement on one sample of a data set: the raw material of rankings. */
    record(
      dataset: string,
      sampleKey: string,
      values: { readonly [K in Name]?: number },
      tags?: Readonly<Record<string, string | number | boolean>>,
      text?: string,
    ): void
  }
  /** Keeps bytes under a name; resolves to their content hash. */
  artifact(name: string, bytes: Uint8Array, mediaType?: string): Promise<string>
  readonly checkpoint: {
    save(step: number, state: Uint8Array): Promise<void>
    /** The latest checkpoint of this trial, of whichever run; undefined when it starts afresh. */
    restore(): Promise<{ readonly step: number; readonly state: Uint8Array } | undefined>
  }
  /** The result of a stage for this config: computed once, then shared by all trials that ask for it. */
  stage<S extends ConfigSchema>(stage: Stage<S>, config: S["Encoded"]): Promise<Uint8Array>
  readonly logger: TrialLogger
}

/** A test bed that can be run: typed config, declared metrics, a `run` function. Make one with {@link Task.make}. */
export interface Task<Name extends string, S extends ConfigSchema, M extends Metrics> {
  readonly [TaskTypeId]: true
  readonly name: Name
  /** Part of every trial's identity: raise it when the same config would give other numbers. */
  readonly version: number
  readonly config: S
  readonly metrics: M
  readonly description?: string
  run(config: S["Type"], trial: TrialContext<MetricName<M>>): Promise<void> | Effect.Effect<void, unknown>
}

/** Any task, for code that carries tasks without knowing their config. */
export type AnyTask = Task<string, ConfigSchema, Metrics>

export const TaskTypeId: unique symbol = Symbol.for("@exp/spec/Task")

export const Task = {
  /**
   * Declares a task.
   *
   * @param name lower-case words joined by dashes: `vision-transfer`; part of the trial's identity
   * @param definition `config` is a Schema whose fields carry descriptions and defaults; `run` gets the decoded config
   */
  make<const Name extends string, S extends ConfigSchema, const M extends { readonly [name: string]: Metric }>(
    name: Name,
    definition: {
      readonly version: number
      readonly config: S
      readonly metrics: M
      readonly run: (
        config: S["Type"],
        trial: TrialContext<MetricName<M>>,
      ) => Promise<void> | Effect.Effect<void, unknown>
      readonly description?: string
    },
  ): Task<Name, S, M> {
    return { ...definition, [TaskTypeId]: true, name }
  },
  /** Whether a value was made by {@link Task.make}. */
  is: (value: unknown): value is AnyTask => typeof value === "object" && value !== null && TaskTypeId in value,
}
