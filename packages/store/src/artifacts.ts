import { createHash, randomBytes } from "node:crypto"
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs"
import { resolve } from "node:path"
import type { Connection } from "./connection.ts"
import { ArtifactDamaged, toStoreError, UnknownRow } from "./errors.ts"

export interface ArtifactInfo {
  readonly hash: string
  readonly size: number
  readonly mediaType: string
  readonly createdAt: number
}

/** Another process cleared the file away between our look and our lock: write it again. */
class Removed extends Error {}

const hashPattern = /^[0-9a-f]{64}$/

/**
 * Bytes kept in files beside the database (`<db>-artifacts/ab/cdef…`), addressed by their SHA-256. Names and media
 * types are columns, never parts of a path.
 */
export class Artifacts {
  readonly #connection: Connection
  readonly #root: string

  constructor(connection: Connection) {
    this.#connection = connection
    this.#root = `${connection.path}-artifacts`
  }

  /**
   * Keeps bytes and returns their hash. With `runId` they are also listed under that run, by `name`. The file is
   * complete and synced before its row is committed. Throws `DiskFull`, `DatabaseReadOnly`.
   */
  put(bytes: Uint8Array, mediaType = "application/octet-stream", name?: string, runId?: number): string {
    const hash = createHash("sha256").update(bytes).digest("hex")
    const target = this.#file(hash)
    const temporary = `${this.#root}/tmp-${process.pid}-${randomBytes(6).toString("hex")}`
    try {
      const there = existsSync(target)
      if (!there) {
        mkdirSync(`${this.#root}/${hash.slice(0, 2)}`, { recursive: true })
        const file = openSync(temporary, "wx")
        try {
          for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
          fsyncSync(file)
        } finally {
          closeSync(file)
        }
      }
      this.#connection.write(() => {
        // Under the write lock, because removal of unused files happens under it too.
        if (!there) renameSync(temporary, target)
        else if (!existsSync(target)) throw new Removed()
        this.#connection
          .sql(
            `INSERT INTO artifacts (hash, size, media_type, created_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (hash) DO UPDATE SET created_at = excluded.created_at`,
          )
          .run(hash, bytes.length, mediaType, Date.now())
        if (runId !== undefined) this.attach(runId, name ?? hash, hash)
      })
    } catch (thrown) {
      rmSync(temporary, { force: true })
      if (thrown instanceof Removed) return this.put(bytes, mediaType, name, runId)
      throw toStoreError(this.#connection.path, thrown)
    }
    return hash
  }

  /** Lists an artifact under a run by name; the same name again points at the newer one. */
  attach(runId: number, name: string, hash: string): void {
    this.#connection
      .sql("INSERT OR REPLACE INTO run_artifacts (run_id, name, hash, created_at) VALUES (?, ?, ?, ?)")
      .run(runId, name, hash, Date.now())
  }

  /** The bytes of an artifact, checked against the hash (`ArtifactDamaged`). `UnknownRow` when there is none. */
  get(hash: string): Uint8Array {
    if (this.info(hash) === undefined) throw new UnknownRow(this.#connection.path, `artifact ${JSON.stringify(hash)}`)
    let bytes: Uint8Array
    try {
      bytes = readFileSync(this.#file(hash))
    } catch (thrown) {
      if ((thrown as { code?: string }).code !== "ENOENT") throw toStoreError(this.#connection.path, thrown)
      throw new ArtifactDamaged(this.#connection.path, hash, "its file is missing")
    }
    if (createHash("sha256").update(bytes).digest("hex") !== hash)
      throw new ArtifactDamaged(this.#connection.path, hash, "its bytes do not match the hash")
    return bytes
  }

  /** Absolute path of the file that holds an artifact's bytes. It is for reading only. */
  file(hash: string): string {
    return resolve(this.#file(hash))
  }

  info(hash: string): ArtifactInfo | undefined {
    return this.#connection
      .sql<ArtifactInfo>("SELECT hash, size, media_type, created_at FROM artifacts WHERE hash = ?")
      .get(hash)
  }

  /** What a run has listed, by name. */
  ofRun(runId: number): (ArtifactInfo & { readonly name: string })[] {
    return this.#connection
      .sql<ArtifactInfo & { name: string }>(
        `SELECT r.name, a.hash, a.size, a.media_type, r.created_at FROM run_artifacts r
         JOIN artifacts a ON a.hash = r.hash WHERE r.run_id = ? ORDER BY r.name`,
      )
      .all(runId)
  }

  /**
   * Artifacts that nothing refers to: no run that is not removed, no checkpoint, no stage; and older than `graceMs`, since
   * what was stored a moment ago may be referred to in the next.
   */
  unused(graceMs = 3_600_000): ArtifactInfo[] {
    return this.#connection
      .sql<ArtifactInfo>(
        `SELECT hash, size, media_type, created_at FROM artifacts a
         WHERE created_at < ?
           AND NOT EXISTS (SELECT 1 FROM run_artifacts r WHERE r.hash = a.hash)
           AND NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.hash = a.hash)
           AND NOT EXISTS (SELECT 1 FROM stages s WHERE s.hash = a.hash OR s.checkpoint_hash = a.hash)
         ORDER BY hash`,
      )
      .all(Date.now() - graceMs)
  }

  /** Removes {@link unused} artifacts and returns what was freed. */
  collect(graceMs = 3_600_000): { readonly count: number; readonly bytes: number } {
    return this.#connection.write(() => {
      let bytes = 0
      const gone = this.unused(graceMs)
      for (const { hash, size } of gone) {
        bytes += size
        this.#erase(hash)
      }
      return { count: gone.length, bytes }
    })
  }

  /** Removes one artifact if nothing refers to it any more. Within the transaction that dropped the reference. */
  release(hash: string): void {
    const used = this.#connection
      .sql<{ n: number }>(
        `SELECT count(*) AS n FROM (
           SELECT hash FROM run_artifacts WHERE hash = ? UNION ALL SELECT hash FROM checkpoints WHERE hash = ?
           UNION ALL SELECT hash FROM stages WHERE hash = ? OR checkpoint_hash = ?
         )`,
      )
      .get(hash, hash, hash, hash)!.n
    if (used === 0) this.#erase(hash)
  }

  #erase(hash: string): void {
    this.#connection.sql("DELETE FROM artifacts WHERE hash = ?").run(hash)
    rmSync(this.#file(hash), { force: true })
  }

  #file(hash: string): string {
    return `${this.#root}/${checked(hash).slice(0, 2)}/${hash.slice(2)}`
  }
}

function checked(hash: string): string {
  if (!hashPattern.test(hash)) throw new TypeError(`not a content hash: ${JSON.stringify(hash)}`)
  return hash
}
