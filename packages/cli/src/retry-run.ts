import { spawn } from "node:child_process"
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { stripVTControlCharacters } from "node:util"
import { lastCommand } from "@exp/engine"
import { openStore, type Store } from "@exp/store"
import { UsageError } from "./report-error.ts"

interface Place {
  readonly trialId: string
  readonly experiment: string
  readonly file: string | null
  readonly profile: string
  readonly arm: string
  readonly condition: string
  readonly seed: number
}

/** How long a new attempt may take to begin, in ms: the experiment is loaded, earlier trials may have to go first. */
const patienceMs = 120_000

/**
 * Tries the trial of a run again: the recorded `exp run` of its experiment, for its arm only, as a process of its own
 * that outlives this one. What is finished is reused, so only what failed or was stopped in that arm runs.
 *
 * @returns what to tell the user, as soon as the new attempt runs
 * @throws UsageError when the run has no experiment with a file, or no attempt began
 */
export async function retryRun(db: string, runId: number): Promise<string> {
  using store = openStore(db, { mode: "read" })
  const place = store.connection
    .sql<Place>(
      `SELECT r.trial_id, e.name AS experiment, e.file, x.profile, x.arm, x.condition, t.seed FROM runs r
       JOIN trials t ON t.id = r.trial_id JOIN experiment_trials x ON x.trial_id = r.trial_id
       JOIN experiments e ON e.id = x.experiment_id
       WHERE r.id = ? ORDER BY x.current DESC, e.file IS NULL, e.updated_at DESC LIMIT 1`,
    )
    .get(runId)
  if (place?.file == null) throw new UsageError(`Run ${runId} belongs to no experiment that has a file.`)
  const before = newestAttempt(store, place.trialId)
  const folder = mkdtempSync(join(tmpdir(), "exp-retry-"))
  const path = join(folder, "stderr")
  const errors = openSync(path, "w")
  try {
    const child = spawn(process.execPath, [process.argv[1]!, ...(await commandFor(db, place))], {
      detached: true,
      stdio: ["ignore", "ignore", errors],
      env: { ...process.env, NO_COLOR: "1" },
    })
    child.unref()
    let code: number | null | undefined
    let problem = ""
    child.once("error", (error) => {
      problem = error.message
      code = 1
    })
    child.once("exit", (status) => {
      code = status
    })
    for (const until = performance.now() + patienceMs; performance.now() < until; ) {
      // The end is looked at before the database, so that an attempt that was short is not missed.
      const ended = code !== undefined
      const attempt = newestAttempt(store, place.trialId)
      if (attempt !== undefined && attempt !== before)
        return `run ${Number.parseInt(attempt, 10)} tries ${place.condition} seed ${place.seed} again; it goes on when this is closed`
      if (ended) {
        const last = stripVTControlCharacters(readFileSync(path, "utf8")).trim().split("\n").at(-1) ?? ""
        throw new UsageError(`The trial was not tried again: ${problem || last || `exp run ended with code ${code}`}`)
      }
      await sleep(200)
    }
    return "the new attempt has not begun yet; it will be in the list when it does"
  } finally {
    closeSync(errors)
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The newest attempt at a trial that has begun, as a text that differs between attempts and after a resume. */
function newestAttempt(store: Store, trialId: string): string | undefined {
  const run = store.runs.ofTrial(trialId).at(-1)
  if (run === undefined) return undefined
  // An interrupted run goes on under its old number.
  return run.status === "interrupted" || run.status === "failed" || run.status === "cancelled"
    ? `${run.id} ${run.finishedAt}`
    : String(run.id)
}

/** The words of the `exp run` that comes to the trial: as it was given last, as far as that is on record. */
async function commandFor(db: string, place: Place): Promise<string[]> {
  const words = ["run", place.file!, "--arm", place.arm, "--plain", "--db", db]
  if (place.profile !== "default") words.push("--profile", place.profile)
  const recorded = await lastCommand(db, place.experiment).catch(() => undefined)
  if (recorded === undefined || (recorded.command.profile ?? "default") !== place.profile) return words
  const { seeds, set, workers, device, memoryLimit: _, ...rest } = recorded.command
  if (typeof seeds === "number") words.push("--seeds", String(seeds))
  // The comma makes a list of a single seed.
  else if (seeds !== undefined) words.push("--seeds", seeds.length === 1 ? `${seeds[0]},` : seeds.join(","))
  for (const [path, value] of Object.entries(set ?? {})) words.push("--set", `${path}=${value}`)
  if (workers !== undefined) words.push("--workers", String(workers))
  if (device !== undefined) words.push("--device", device)
  if (rest.stale !== undefined) words.push("--stale", rest.stale)
  return words
}
