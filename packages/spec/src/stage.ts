import type { ConfigSchema, TrialLogger } from "./task.ts"

/** What a running stage is offered. */
export interface StageContext {
  readonly signal: AbortSignal
  readonly device: string
  progress(done: number, total: number): void
  readonly logger: TrialLogger
  readonly checkpoint: {
    save(step: number, state: Uint8Array): Promise<void>
    restore(): Promise<{ readonly step: number; readonly state: Uint8Array } | undefined>
  }
}

/**
 * A memoised computation that trials share, such as pre-training. Its result is kept under the hash of
 * (name, version, config), so everything that it depends on has to be in the config, a seed included.
 */
export interface Stage<S extends ConfigSchema> {
  readonly [StageTypeId]: true
  readonly name: string
  readonly version: number
  readonly config: S
  run(config: S["Type"], context: StageContext): Promise<Uint8Array>
}

export const StageTypeId: unique symbol = Symbol.for("@exp/spec/Stage")

export const Stage = {
  /** Declares a stage. `run` returns the bytes that all trials get. */
  make<S extends ConfigSchema>(
    name: string,
    definition: {
      readonly version: number
      readonly config: S
      readonly run: (config: S["Type"], context: StageContext) => Promise<Uint8Array>
    },
  ): Stage<S> {
    return { ...definition, [StageTypeId]: true, name }
  },
}
