import type { Artifacts } from "./artifacts.ts"
import type { Connection } from "./connection.ts"

export interface Checkpoint {
  readonly trialId: string
  readonly runId: number | null
  readonly step: number
  readonly hash: string
  readonly createdAt: number
}

/** Which artifact a trial resumes from. */
export class Checkpoints {
  readonly #connection: Connection
  readonly #artifacts: Artifacts

  constructor(connection: Connection, artifacts: Artifacts) {
    this.#connection = connection
    this.#artifacts = artifacts
  }

  /**
   * Records a checkpoint (its bytes are an artifact already) and drops all but the `keep` latest of the trial, with
   * their files.
   */
  save(checkpoint: {
    readonly trialId: string
    readonly runId?: number | undefined
    readonly step: number
    readonly hash: string
    readonly keep?: number | undefined
  }): void {
    const { trialId, runId, step, hash, keep = 2 } = checkpoint
    this.#connection.write(() => {
      const replaced = this.#connection
        .sql<{ hash: string }>("SELECT hash FROM checkpoints WHERE trial_id = ? AND step = ?")
        .get(trialId, step)
      this.#connection
        .sql(
          `INSERT INTO checkpoints (trial_id, run_id, step, hash, created_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (trial_id, step) DO UPDATE SET run_id = excluded.run_id, hash = excluded.hash,
             created_at = excluded.created_at`,
        )
        .run(trialId, runId ?? null, step, hash, Date.now())
      const old = this.#connection
        .sql<{ hash: string }>(
          `DELETE FROM checkpoints WHERE trial_id = ? AND step < (
             SELECT min(step) FROM (SELECT step FROM checkpoints WHERE trial_id = ? ORDER BY step DESC LIMIT ?)
           ) RETURNING hash`,
        )
        .all(trialId, trialId, Math.max(1, keep))
      const hashes = new Set([...old, ...(replaced === undefined ? [] : [replaced])].map((row) => row.hash))
      for (const each of hashes) this.#artifacts.release(each)
    })
  }

  /** The checkpoint of the highest step. */
  latest(trialId: string): Checkpoint | undefined {
    return this.#connection
      .sql<Checkpoint>(
        "SELECT trial_id, run_id, step, hash, created_at FROM checkpoints WHERE trial_id = ? ORDER BY step DESC LIMIT 1",
      )
      .get(trialId)
  }

  /** Forgets the checkpoints of a trial, with their files: it then starts anew. */
  clear(trialId: string): void {
    this.#connection.write(() => {
      const old = this.#connection
        .sql<{ hash: string }>("DELETE FROM checkpoints WHERE trial_id = ? RETURNING hash")
        .all(trialId)
      for (const hash of new Set(old.map((row) => row.hash))) this.#artifacts.release(hash)
    })
  }
}
