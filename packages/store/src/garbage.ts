/**
 * What takes room and is of no more use: runs and experiments that were removed, checkpoints of finished trials, results
 * of stages that no run has used, artifacts that nothing refers to, and files that a crash has left. Nothing that a run
 * refers to is among them unless that run goes too; and nothing younger than the time of grace: what was stored a moment
 * ago may be referred to in the next, and who removed a run a moment ago may want it back.
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
  /** Removed runs, with all that was recorded of them; bytes are those of their artifacts alone. */
  readonly runs: Heap
  /** Removed experiments. */
  readonly experiments: Heap
  readonly checkpoints: Heap
  readonly stages: Heap
  readonly artifacts: Heap
  /** Half-written files, and files that the database does not know. */
  readonly files: Heap
}

/** Removed runs, and the runs of trials that belong to removed experiments and to no other; never a live one. */
const doomedRuns = `SELECT r.id FROM runs r WHERE r.status NOT IN ('queued', 'running') AND (r.deleted_at < @before OR (
  EXISTS (SELECT 1 FROM experiments g WHERE g.deleted_at < @before)
  AND EXISTS (SELECT 1 FROM experiment_trials x WHERE x.trial_id = r.trial_id)
  AND NOT EXISTS (SELECT 1 FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
    WHERE x.trial_id = r.trial_id AND (e.deleted_at IS NULL OR e.deleted_at >= @before))))`

/** A removed experiment stays as long as a run of it lives. */
const doomedExperiments = `SELECT e.id FROM experiments e WHERE e.deleted_at < @before AND NOT EXISTS (
  SELECT 1 FROM experiment_trials x JOIN runs r ON r.trial_id = x.trial_id
  WHERE x.experiment_id = e.id AND r.status IN ('queued', 'running'))`

/** A trial is finished when its newest run is completed: until then that run may continue from the checkpoint. */
const finishedCheckpoints = `SELECT c.id FROM checkpoints c WHERE c.created_at < @before AND ('completed' =
  (SELECT r.status FROM runs r WHERE r.trial_id = c.trial_id ORDER BY r.id DESC LIMIT 1)
  OR (EXISTS (SELECT 1 FROM runs r WHERE r.trial_id = c.trial_id)
    AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.trial_id = c.trial_id AND r.id NOT IN (${doomedRuns}))))`

/** A stage under way, or one that failed with a checkpoint, will be gone on with. */
const unusedStages = `SELECT s.key FROM stages s WHERE s.status = 'completed' AND s.finished_at < @before
  AND NOT EXISTS (SELECT 1 FROM run_stages u WHERE u.stage_key = s.key AND u.run_id NOT IN (${doomedRuns}))`

const looseArtifacts = `SELECT a.hash, a.size,
    CASE WHEN EXISTS (SELECT 1 FROM checkpoints c WHERE c.hash = a.hash) THEN 'checkpoints'
      WHEN EXISTS (SELECT 1 FROM stages s WHERE s.hash = a.hash) THEN 'stages'
      WHEN EXISTS (SELECT 1 FROM run_artifacts r WHERE r.hash = a.hash) THEN 'runs' ELSE 'artifacts' END AS kind
  FROM artifacts a WHERE a.created_at < @before
    AND NOT EXISTS (SELECT 1 FROM run_artifacts r WHERE r.hash = a.hash AND r.run_id NOT IN (${doomedRuns}))
    AND NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.hash = a.hash AND c.id NOT IN (${finishedCheckpoints}))
    AND NOT EXISTS (SELECT 1 FROM stages s WHERE (s.hash = a.hash OR s.checkpoint_hash = a.hash)
      AND s.key NOT IN (${unusedStages}))`

interface Found {
  readonly garbage: Garbage
  readonly runs: readonly number[]
  readonly experiments: readonly number[]
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
  const runs = all<{ id: number }>(doomedRuns).map((row) => row.id)
  const experiments = all<{ id: number }>(doomedExperiments).map((row) => row.id)
  const checkpoints = all<{ id: number }>(finishedCheckpoints).map((row) => row.id)
  const stages = all<{ key: string }>(unusedStages).map((row) => row.key)
  const loose = all<{ hash: string; size: number; kind: "checkpoints" | "stages" | "runs" | "artifacts" }>(
    looseArtifacts,
  )
  const bytes = (kind: string) => loose.filter((row) => row.kind === kind).reduce((sum, row) => sum + row.size, 0)
  const files = strayFiles(connection, before)
  return {
    garbage: {
      runs: { count: runs.length, bytes: bytes("runs") },
      experiments: { count: experiments.length, bytes: 0 },
      checkpoints: { count: checkpoints.length, bytes: bytes("checkpoints") },
      stages: { count: stages.length, bytes: bytes("stages") },
      artifacts: { count: loose.filter((row) => row.kind === "artifacts").length, bytes: bytes("artifacts") },
      files: { count: files.length, bytes: files.reduce((sum, file) => sum + file.bytes, 0) },
    },
    runs,
    experiments,
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

/** Everything that is recorded of a run; what refers to it by a foreign key goes with it. */
function eraseRun(connection: Connection, runId: number): void {
  connection.sql("DELETE FROM metrics WHERE run_id = ?").run(runId)
  connection.sql("DELETE FROM metric_blocks WHERE run_id = ?").run(runId)
  connection
    .sql("DELETE FROM sample_results WHERE competitor_id IN (SELECT id FROM competitors WHERE run_id = ?)")
    .run(runId)
  connection.sql("DELETE FROM tags WHERE kind = 'run' AND target = ?").run(String(runId))
  connection.sql("DELETE FROM runs WHERE id = ?").run(runId)
}

/** Trials that no experiment and no run has any more. */
function eraseLonelyTrials(connection: Connection): void {
  const lonely = `SELECT t.id FROM trials t WHERE NOT EXISTS (SELECT 1 FROM experiment_trials x WHERE x.trial_id = t.id)
    AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.trial_id = t.id)
    AND NOT EXISTS (SELECT 1 FROM checkpoints c WHERE c.trial_id = t.id)`
  connection.sql(`DELETE FROM tags WHERE kind = 'trial' AND target IN (${lonely})`).run()
  connection.sql(`DELETE FROM trials WHERE id IN (${lonely})`).run()
}

/** Frees it, and says what that was. Runs beside experiments under way. */
export function freeGarbage(store: Store, graceMs = 3_600_000): Garbage {
  const { connection } = store
  const before = Date.now() - graceMs
  const list = (values: readonly (number | string)[]) => JSON.stringify(values)
  // Files too under the write lock: whoever stores an artifact looks for its file under that lock.
  return connection.write(() => {
    const found = look(connection, before)
    for (const runId of found.runs) eraseRun(connection, runId)
    connection
      .sql(
        `DELETE FROM tags WHERE kind = 'experiment' AND target IN
           (SELECT name FROM experiments WHERE id IN (SELECT value FROM json_each(?)))`,
      )
      .run(list(found.experiments))
    connection.sql("DELETE FROM experiments WHERE id IN (SELECT value FROM json_each(?))").run(list(found.experiments))
    connection.sql("DELETE FROM checkpoints WHERE id IN (SELECT value FROM json_each(?))").run(list(found.checkpoints))
    connection.sql("DELETE FROM stages WHERE key IN (SELECT value FROM json_each(?))").run(list(found.stages))
    if (found.experiments.length > 0) eraseLonelyTrials(connection)
    for (const hash of found.artifacts) store.artifacts.release(hash)
    for (const file of found.files) rmSync(file, { force: true })
    return found.garbage
  })
}
