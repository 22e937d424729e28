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
   * @throws UndeclaredMetric for a name that the task does not declare; TrialStopped when a declared stopping rule ends
   * the trial at this value: let it pass, or catch it only to clean up
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

/** An array in host memory, as steps take and give it. */
export interface StepTensor {
  readonly data: Float32Array | Int32Array | Uint8Array
  readonly shape: readonly number[]
  readonly dtype: "float32" | "int32" | "bool"
}

/** The training step of a trial, and what goes into it. */
export interface TaskStep {
  /** What the step trains, in a few words. */
  readonly name: string
  /** A `Step` of @exp/tensor, which this package carries without knowing tensors. */
  readonly step: (...given: never[]) => unknown
  /** State at the start. Shapes are those of the trial; values may stand for those that only a run knows. */
  readonly state: Readonly<Record<string, StepTensor>>
  /** One batch, with the same liberty. */
  readonly batch: Readonly<Record<string, StepTensor>>
}

/** A stage that a trial asks for, and the data sets that it reads where its result is not at hand. */
export interface NeededStage {
  readonly stage: Stage<ConfigSchema>
  /** In the encoded form; defaults may be left out. */
  readonly config: unknown
  readonly datasets: readonly string[]
}

/** What a trial reads beside its config. */
export interface TrialNeeds {
  /** Names of data sets, such as "mnist". */
  readonly datasets?: readonly string[]
  readonly stages?: readonly NeededStage[]
}

/** What a task can say about a trial without running it. */
export interface TaskOutlook<Config> {
  /**
   * The training step of a trial, for showing its graph and its cost; undefined where a config trains nothing. It must
   * not need data sets or results of stages.
   */
  trainingStep?(config: Config, seed: number): TaskStep | undefined | Promise<TaskStep | undefined>
  /** Data sets and stages of a trial, for machines without a network. A task without this needs none. */
  needs?(config: Config, seed: number): TrialNeeds
}

/** A test bed that can be run: typed config, declared metrics, a `run` function. Make one with {@link Task.make}. */
export interface Task<Name extends string, S extends ConfigSchema, M extends Metrics> extends TaskOutlook<S["Type"]> {
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
   * @param definition `config` is a Schema whose fields carry descriptions and defaults; `run` gets the decoded config.
   *   `trainingStep` and `needs` may say what a trial computes and reads ({@link TaskOutlook})
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
    } & TaskOutlook<S["Type"]>,
  ): Task<Name, S, M> {
    return { ...definition, [TaskTypeId]: true, name }
  },
  /** Whether a value was made by {@link Task.make}. */
  is: (value: unknown): value is AnyTask => typeof value === "object" && value !== null && TaskTypeId in value,
}
