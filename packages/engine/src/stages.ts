/**
 * Stages: computations that trials share, computed once for all processes. Whoever asks first computes; the others wait,
 * and one of them takes over when the first dies. The result is kept by content hash.
 */
import { setTimeout as sleep } from "node:timers/promises"
import { type ConfigSchema, type Stage, type StageContext, stageKey, type TrialLogger } from "@exp/spec"
import type { Store } from "@exp/store"
import { forgetStage } from "@exp/store/claims"
import * as Schema from "effect/Schema"
import { isGone } from "./ownership.ts"
import { formatIdentity, thisProcess } from "./process-identity.ts"

/** The trial that asks for a stage, and who wants to know. */
export interface StageRequest {
  readonly runId: number
  readonly device: string
  readonly signal: AbortSignal
  readonly logger: TrialLogger
  readonly progress: (done: number, total: number) => void
  readonly onState: (key: string, state: "computing" | "waiting" | "finished" | "reused", durationMs?: number) => void
}

const longestNapMs = 250

/** Stages under way in this process: two requests of one trial share a computation too. */
const underWay = new Map<string, Promise<Uint8Array>>()

/**
 * The bytes of a stage for a config (encoded form; defaults are filled in before it is hashed).
 *
 * @throws SchemaError when the config does not fit the stage, and whatever the stage itself throws
 */
export function runStage<S extends ConfigSchema>(
  store: Store,
  stage: Stage<S>,
  config: S["Encoded"],
  request: StageRequest,
): Promise<Uint8Array> {
  const decoded = Schema.decodeUnknownSync(stage.config)(config, { errors: "all", onExcessProperty: "error" })
  const encoded = Schema.encodeUnknownSync(stage.config)(decoded)
  const key = stageKey({ stage: stage.name, version: stage.version, config: encoded })
  const known = underWay.get(key)
  if (known !== undefined) return known
  const work = obtain(store, stage, decoded, encoded, key, request).finally(() => underWay.delete(key))
  underWay.set(key, work)
  return work
}

async function obtain<S extends ConfigSchema>(
  store: Store,
  stage: Stage<S>,
  config: S["Type"],
  encoded: unknown,
  key: string,
  request: StageRequest,
): Promise<Uint8Array> {
  const owner = formatIdentity(thisProcess())
  let waited = false
  for (let nap = 10; ; nap = Math.min(longestNapMs, nap * 1.5)) {
    request.signal.throwIfAborted()
    const claim = store.stages.begin({ key, name: stage.name, version: stage.version, config: encoded, owner, isGone })
    if (claim.type === "done") {
      try {
        store.stages.use(request.runId, key)
        const bytes = new Uint8Array(store.artifacts.get(claim.hash))
        request.onState(key, "reused")
        return bytes
      } catch (error) {
        // The file is lost or damaged: what can be computed can be computed again.
        request.logger.warn(`the result of stage ${stage.name} cannot be read and is computed again`, {
          reason: error instanceof Error ? error.message : String(error),
        })
        forgetStage(store.connection, key)
        continue
      }
    }
    if (claim.type === "busy") {
      if (!waited) request.onState(key, "waiting")
      waited = true
      await sleep(nap, undefined, { signal: request.signal }).catch(() => {})
      continue
    }
    request.onState(key, "computing")
    const begun = performance.now()
    const context: StageContext = {
      signal: request.signal,
      device: request.device,
      progress: request.progress,
      logger: request.logger,
      checkpoint: {
        save: async (step, state) => {
          const hash = store.artifacts.put(state, "application/octet-stream")
          store.stages.checkpoint(key, owner, step, hash)
          request.signal.throwIfAborted()
        },
        restore: async () =>
          claim.checkpoint === undefined
            ? undefined
            : { step: claim.checkpoint.step, state: new Uint8Array(store.artifacts.get(claim.checkpoint.hash)) },
      },
    }
    try {
      const bytes = await stage.run(config, context)
      // A stage that saw the abort may have returned half of its work.
      request.signal.throwIfAborted()
      store.stages.finish(key, owner, store.artifacts.put(bytes, "application/octet-stream"))
      store.stages.use(request.runId, key)
      request.onState(key, "finished", performance.now() - begun)
      return bytes
    } catch (cause) {
      try {
        store.stages.fail(key, owner, { message: cause instanceof Error ? cause.message : String(cause) })
      } catch {
        // Taken over meanwhile: then it is no longer ours to say how it went.
      }
      throw cause
    }
  }
}
