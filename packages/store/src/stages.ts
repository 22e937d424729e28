import type { Artifacts } from "./artifacts.ts"
import type { Connection } from "./connection.ts"
import { LeaseLost } from "./errors.ts"
import { defaultLeaseMs } from "./runs.ts"
import type { StageState } from "./states.ts"

export interface StageBegin {
  /** Content hash of name, version and config. */
  readonly key: string
  readonly name: string
  readonly version: number
  readonly config: unknown
  readonly owner: string
  readonly leaseMs?: number | undefined
  /** Whether the present owner is known to be gone, lease or not; the lease alone decides when absent. */
  readonly isGone?: ((owner: string | null, leaseExpiresAt: number | null) => boolean) | undefined
}

export type StageClaim =
  /** The caller computes it, from the checkpoint when there is one. */
  | { readonly type: "mine"; readonly checkpoint: { readonly step: number; readonly hash: string } | undefined }
  | { readonly type: "done"; readonly hash: string }
  /** Somebody else is at it: ask again later. */
  | { readonly type: "busy"; readonly owner: string | null; readonly leaseExpiresAt: number | null }

export interface StageRow {
  readonly key: string
  readonly name: string
  readonly version: number
  readonly config: string
  readonly status: StageState
  readonly owner: string | null
  readonly leaseExpiresAt: number | null
  readonly hash: string | null
  readonly checkpointStep: number | null
  readonly checkpointHash: string | null
  readonly error: string | null
  readonly startedAt: number
  readonly finishedAt: number | null
}

/** Memoised computations: whoever begins first computes, everyone else waits for the result. */
export class Stages {
  readonly #connection: Connection
  readonly #artifacts: Artifacts

  constructor(connection: Connection, artifacts: Artifacts) {
    this.#connection = connection
    this.#artifacts = artifacts
  }

  /** Takes a stage, or says that it is done or in whose hands it is. A failed one may be tried again by anyone. */
  begin(stage: StageBegin): StageClaim {
    return this.#connection.write(() => {
      const now = Date.now()
      const found = this.get(stage.key)
      if (found?.status === "completed" && found.hash !== null) return { type: "done", hash: found.hash }
      if (found?.status === "running" && found.owner !== stage.owner) {
        const gone =
          stage.isGone?.(found.owner, found.leaseExpiresAt) ??
          (found.leaseExpiresAt === null || found.leaseExpiresAt < now)
        if (!gone) return { type: "busy", owner: found.owner, leaseExpiresAt: found.leaseExpiresAt }
      }
      this.#connection
        .sql(
          `INSERT INTO stages (key, name, version, config, status, owner, lease_expires_at, started_at)
           VALUES (?, ?, ?, ?, 'running', ?, ?, ?)
           ON CONFLICT (key) DO UPDATE SET status = 'running', owner = excluded.owner,
             lease_expires_at = excluded.lease_expires_at, error = NULL, finished_at = NULL`,
        )
        .run(
          stage.key,
          stage.name,
          stage.version,
          JSON.stringify(stage.config),
          stage.owner,
          now + (stage.leaseMs ?? defaultLeaseMs),
          now,
        )
      const hash = found?.checkpointHash ?? null
      return { type: "mine", checkpoint: hash === null ? undefined : { step: found?.checkpointStep ?? 0, hash } }
    })
  }

  /** Renews the lease (`LeaseLost` when it was taken over). */
  renew(key: string, owner: string, leaseMs = defaultLeaseMs): void {
    this.#mine(key, owner, () =>
      this.#connection.sql("UPDATE stages SET lease_expires_at = ? WHERE key = ?").run(Date.now() + leaseMs, key),
    )
  }

  /** Records how far the computation is, to go on from after a crash. */
  checkpoint(key: string, owner: string, step: number, hash: string): void {
    this.#mine(key, owner, () => {
      const before = this.get(key)?.checkpointHash
      this.#connection
        .sql("UPDATE stages SET checkpoint_step = ?, checkpoint_hash = ? WHERE key = ?")
        .run(step, hash, key)
      if (before && before !== hash) this.#artifacts.release(before)
    })
  }

  /** Records the result; its checkpoint is no longer needed. */
  finish(key: string, owner: string, hash: string): void {
    this.#mine(key, owner, () => {
      const before = this.get(key)?.checkpointHash
      this.#connection
        .sql(
          `UPDATE stages SET status = 'completed', hash = ?, lease_expires_at = NULL, checkpoint_step = NULL,
             checkpoint_hash = NULL, finished_at = ? WHERE key = ?`,
        )
        .run(hash, Date.now(), key)
      if (before && before !== hash) this.#artifacts.release(before)
    })
  }

  fail(key: string, owner: string, error: unknown): void {
    this.#mine(key, owner, () =>
      this.#connection
        .sql("UPDATE stages SET status = 'failed', error = ?, lease_expires_at = NULL, finished_at = ? WHERE key = ?")
        .run(JSON.stringify(error), Date.now(), key),
    )
  }

  get(key: string): StageRow | undefined {
    return this.#connection.sql<StageRow>("SELECT * FROM stages WHERE key = ?").get(key)
  }

  /** Notes that a run uses a stage, so that its result is not cleared away. */
  use(runId: number, key: string): void {
    this.#connection.sql("INSERT OR IGNORE INTO run_stages (run_id, stage_key) VALUES (?, ?)").run(runId, key)
  }

  #mine(key: string, owner: string, work: () => unknown): void {
    this.#connection.write(() => {
      const found = this.get(key)
      if (found?.status !== "running" || found.owner !== owner)
        throw new LeaseLost(this.#connection.path, `Stage ${found?.name ?? key}`, found?.owner ?? null)
      work()
    })
  }
}
