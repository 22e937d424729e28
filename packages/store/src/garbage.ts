/**
 * What takes room and is of no more use: checkpoints of finished trials, results of stages that no run has used,
 * artifacts that nothing refers to, and files that a crash has left. Nothing that a run refers to is among them, a run
 * that was removed from the lists included, since it may be restored; and nothing younger than the time of grace, since
 * what was stored a moment ago may be referred to in the next.
 */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs"
import type { Connection } from "./connection.ts"
import type { Store } from "./open-store.ts"

export interface Heap {
  readonly count: number
  readonly bytes: number
}

/** By kind; the bytes of an artifact count once, under the first kind that let go of it. */
export interface Garbage {
  readonly checkpoints: Heap
  readonly stages: Heap
  readonly artifacts: Heap
  /** Half-written files, and files that the database does not know. */
  readonly files: Heap
}

/** A trial is finished when its newest run is completed: until then that run may continue from the checkpoint. */
const finishedCheckpoints = `SELECT c.id FROM checkpoints c WHERE c.created_at < @before AND 'completed' =
  (SELECT r.status FROM runs r WHERE r.trial_id = c.trial_id ORDER BY r.id DESC LIMIT 1)`

/** A stage under way, or one that failed with a checkpoint, will be gone on with. */
const unusedStages = `SELECT s.key FROM stages s WHERE s.status = 'completed' AND s.finished_at < @before
  AND NOT EXISTS (SELECT 1 FROM run_stages u WHERE u.stage_key = s.key)`

const looseArtifacts = `SELECT a.hash, a.size,
    CASE WHEN EXISTS (SELECT 1 FROM checkpoints c WHERE c.hash = a.hash) THEN 'checkpoints'
      WHEN EXISTS (SELECT 1 FROM stages s WHERE s.hash = a.hash) THEN 'stages' ELSE 'artifacts' END AS kind
  FROM artifacts a WHERE a.created_at < @before
    AND NOT EXISTS (SELECT 1 FROM run_artifacts r WHERE r.hash = a.hash)
    AND NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.hash = a.hash AND c.id NOT IN (${finishedCheckpoints}))
    AND NOT EXISTS (SELECT 1 FROM stages s WHERE (s.hash = a.hash OR s.checkpoint_hash = a.hash)
      AND s.key NOT IN (${unusedStages}))`

interface Found {
  readonly garbage: Garbage
  readonly checkpoints: readonly number[]
  readonly stages: readonly string[]
  readonly artifacts: readonly string[]
  readonly files: readonly string[]
}

function look(connection: Connection, before: number): Found {
  // Parameters here are positional; the one value is the same everywhere.
  const all = <Row>(text: string): Row[] => {
    const parts = text.split("@before")
    return connection.sql<Row>(parts.join("?")).all(...Array.from({ length: parts.length - 1 }, () => before))
  }
  const checkpoints = all<{ id: number }>(finishedCheckpoints).map((row) => row.id)
  const stages = all<{ key: string }>(unusedStages).map((row) => row.key)
  const loose = all<{ hash: string; size: number; kind: "checkpoints" | "stages" | "artifacts" }>(looseArtifacts)
  const bytes = (kind: string) => loose.filter((row) => row.kind === kind).reduce((sum, row) => sum + row.size, 0)
  const files = strayFiles(connection, before)
  return {
    garbage: {
      checkpoints: { count: checkpoints.length, bytes: bytes("checkpoints") },
      stages: { count: stages.length, bytes: bytes("stages") },
      artifacts: { count: loose.filter((row) => row.kind === "artifacts").length, bytes: bytes("artifacts") },
      files: { count: files.length, bytes: files.reduce((sum, file) => sum + file.bytes, 0) },
    },
    checkpoints,
    stages,
    artifacts: loose.map((row) => row.hash),
    files: files.map((file) => file.path),
  }
}

function strayFiles(connection: Connection, before: number): { readonly path: string; readonly bytes: number }[] {
  const root = `${connection.path}-artifacts`
  if (!existsSync(root)) return []
  const known = connection.sql<{ hash: string }>("SELECT hash FROM artifacts WHERE hash = ?")
  const strays: { path: string; bytes: number }[] = []
  const judge = (path: string, hash: string | undefined) => {
    if (hash !== undefined && known.get(hash) !== undefined) return
    const { size, mtimeMs } = statSync(path)
    if (mtimeMs < before) strays.push({ path, bytes: size })
  }
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    const path = `${root}/${entry.name}`
    // Only what has the form of our own files: anything else somebody has put there himself.
    if (entry.isFile() && /^tmp-\d+-[0-9a-f]{12}$/.test(entry.name)) judge(path, undefined)
    if (!entry.isDirectory() || !/^[0-9a-f]{2}$/.test(entry.name)) continue
    for (const name of readdirSync(path)) {
      if (/^[0-9a-f]{62}$/.test(name)) judge(`${path}/${name}`, entry.name + name)
    }
  }
  return strays
}

/** What {@link freeGarbage} would free now. Changes nothing. */
export function findGarbage(store: Store, graceMs = 3_600_000): Garbage {
  return look(store.connection, Date.now() - graceMs).garbage
}

/** Frees it, and says what that was. Runs beside experiments under way. */
export function freeGarbage(store: Store, graceMs = 3_600_000): Garbage {
  const { connection } = store
  // Files too under the write lock: whoever stores an artifact looks for its file under that lock.
  return connection.write(() => {
    const found = look(connection, Date.now() - graceMs)
    const list = (values: readonly (number | string)[]) => JSON.stringify(values)
    connection.sql("DELETE FROM checkpoints WHERE id IN (SELECT value FROM json_each(?))").run(list(found.checkpoints))
    connection.sql("DELETE FROM stages WHERE key IN (SELECT value FROM json_each(?))").run(list(found.stages))
    for (const hash of found.artifacts) store.artifacts.release(hash)
    for (const file of found.files) rmSync(file, { force: true })
    return found.garbage
  })
}
