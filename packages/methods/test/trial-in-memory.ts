import { createHash } from "node:crypto"
import type { ConfigSchema, Metrics, Stage, StageContext, TrialContext } from "@exp/spec"
import { contentHash, declaredMetric, type Task } from "@exp/spec"
import * as Schema from "effect/Schema"

/** What a trial that runs inside a test leaves behind. */
export interface TrialRecord {
  /** Every value logged: metric → [step, value] in order. */
  readonly logged: Map<string, [step: number, value: number][]>
  readonly samples: {
    readonly dataset: string
    readonly key: string
    readonly values: Record<string, number>
    readonly tags: Record<string, string | number | boolean>
  }[]
  readonly artifacts: Map<string, Uint8Array>
  readonly stages: string[]
  checkpoint: { step: number; state: Uint8Array } | undefined
}

/** The last value of a metric. */
export const last = (record: TrialRecord, metric: string): number => {
  const values = record.logged.get(metric)
  if (values === undefined) throw new Error(`nothing was logged as ${metric}`)
  return values.at(-1)![1]
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Runs a task in this process and keeps what it reports. Stages are kept in `stageCache` by content. */
export async function runTrial<Name extends string, S extends ConfigSchema, M extends Metrics>(
  task: Task<Name, S, M>,
  config: S["Encoded"],
  options: {
    readonly seed?: number
    readonly device?: string
    readonly signal?: AbortSignal
    readonly checkpoint?: TrialRecord["checkpoint"]
    readonly stageCache?: Map<string, Uint8Array>
    readonly onProgress?: (done: number) => void
  } = {},
): Promise<TrialRecord> {
  const record: TrialRecord = {
    logged: new Map(),
    samples: [],
    artifacts: new Map(),
    stages: [],
    checkpoint: options.checkpoint,
  }
  const declared = (name: string) => {
    if (declaredMetric(task.metrics, name) === undefined) throw new Error(`${name} is not declared`)
  }
  const cache = options.stageCache ?? new Map<string, Uint8Array>()
  const signal = options.signal ?? new AbortController().signal
  const device = options.device ?? "js"
  const trial: TrialContext = {
    trialId: "trial",
    runId: "run",
    seed: options.seed ?? 0,
    device,
    signal,
    log(step, values) {
      for (const [name, value] of Object.entries(values)) {
        if (value === undefined) continue
        declared(name)
        const list = record.logged.get(name)
        if (list === undefined) record.logged.set(name, [[step, value]])
        else list.push([step, value])
      }
    },
    progress: (done) => options.onProgress?.(done),
    samples: {
      record(dataset, key, values, tags = {}) {
        const kept: Record<string, number> = {}
        for (const [name, value] of Object.entries(values)) {
          if (value === undefined) continue
          declared(name)
          kept[name] = value
        }
        record.samples.push({ dataset, key, values: kept, tags: { ...tags } })
      },
    },
    async artifact(name, bytes) {
      record.artifacts.set(name, bytes.slice())
      return contentHash(bytes)
    },
    checkpoint: {
      async save(step, state) {
        record.checkpoint = { step, state: state.slice() }
      },
      restore: async () => record.checkpoint,
    },
    async stage<C extends ConfigSchema>(stage: Stage<C>, encoded: C["Encoded"]) {
      const decoded = Schema.decodeUnknownSync(stage.config)(encoded)
      const id = createHash("sha256")
        .update(JSON.stringify([stage.name, stage.version, decoded]))
        .digest("hex")
      record.stages.push(stage.name)
      const held = cache.get(id)
      if (held !== undefined) return held
      let saved: TrialRecord["checkpoint"]
      const context: StageContext = {
        signal,
        device,
        progress: () => {},
        logger: silent,
        checkpoint: {
          async save(step, state) {
            saved = { step, state }
          },
          restore: async () => saved,
        },
      }
      const bytes = await stage.run(decoded, context)
      cache.set(id, bytes)
      return bytes
    },
    logger: silent,
  }
  await task.run(Schema.decodeUnknownSync(task.config)(config) as S["Type"], trial as never)
  return record
}
