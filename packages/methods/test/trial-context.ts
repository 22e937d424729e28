/** A trial in this process, for tests and measurements: it keeps what a task reports. */
import type { ConfigSchema, Stage, TrialContext } from "@exp/spec"
import { canonicalJson, declaredMetric, type Metrics } from "@exp/spec"
import * as Schema from "effect/Schema"

/** What was recorded of one sample. */
export interface RecordedSample {
  readonly dataset: string
  readonly key: string
  readonly values: Readonly<Record<string, number | undefined>>
  readonly tags: Readonly<Record<string, string | number | boolean>>
}

/** A trial context whose records can be read. */
export interface RecordedTrial extends TrialContext {
  readonly metrics: Map<string, { readonly step: number; readonly value: number }[]>
  readonly recorded: RecordedSample[]
  /** The last value of a metric; throws when there is none. */
  last(name: string): number
  checkpointed: { readonly step: number; readonly state: Uint8Array } | undefined
}

const stages = new Map<string, Promise<Uint8Array>>()

/** Makes a trial; names that `metrics` does not declare are an error, as in the engine. */
export function recordedTrial(
  metrics: Metrics,
  options: {
    readonly seed?: number
    readonly device?: string
    readonly signal?: AbortSignal
    readonly checkpoint?: { readonly step: number; readonly state: Uint8Array } | undefined
    readonly stage?: (name: string, key: string, compute: () => Promise<Uint8Array>) => Promise<Uint8Array>
  } = {},
): RecordedTrial {
  const { seed = 0, device = "js", signal = new AbortController().signal } = options
  const logger = {
    debug() {},
    info() {},
    warn: (message: string) => console.warn(message),
    error: (message: string) => console.error(message),
  }
  const logged: RecordedTrial["metrics"] = new Map()
  const recorded: RecordedSample[] = []
  const trial: RecordedTrial = {
    trialId: "trial",
    runId: "run",
    seed,
    device,
    signal,
    logger,
    metrics: logged,
    recorded,
    checkpointed: options.checkpoint,
    last(name) {
      const value = logged.get(name)?.at(-1)?.value
      if (value === undefined) throw new Error(`${name} was not logged`)
      return value
    },
    log(step, values) {
      for (const [name, value] of Object.entries(values)) {
        if (value === undefined) continue
        if (!declaredMetric(metrics, name)) throw new Error(`undeclared metric ${name}`)
        const series = logged.get(name) ?? []
        series.push({ step, value })
        logged.set(name, series)
      }
    },
    progress() {},
    samples: {
      record(dataset, key, values, tags = {}) {
        recorded.push({ dataset, key, values, tags })
      },
    },
    artifact: async () => "hash",
    checkpoint: {
      async save(step, state) {
        trial.checkpointed = { step, state }
      },
      restore: async () => trial.checkpointed,
    },
    async stage<S extends ConfigSchema>(stage: Stage<S>, config: S["Encoded"]) {
      const decoded = Schema.decodeUnknownSync(stage.config)(config, { onExcessProperty: "error" })
      const key = canonicalJson({ name: stage.name, version: stage.version, config: decoded as never })
      const compute = () =>
        stage.run(decoded, {
          signal,
          device,
          progress() {},
          logger,
          checkpoint: { save: async () => {}, restore: async () => undefined },
        })
      const keyed = `${device} ${key}`
      const pending = stages.get(keyed) ?? (options.stage ? options.stage(stage.name, keyed, compute) : compute())
      stages.set(keyed, pending)
      return pending
    },
  }
  return trial
}
