import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { dirname, relative } from "node:path"
import { loadExperiment } from "@exp/engine"
import { codeIdentity } from "@exp/engine/code-hash"
import { type Experiment, plan } from "@exp/spec"
import { openStore, type Run, type Store } from "@exp/store"
import { findRun } from "./find-run.ts"
import { json } from "./json.ts"
import { UsageError } from "./report-error.ts"
import { runCommandLine } from "./run-command-line.ts"

interface Place {
  readonly file: string | null
  readonly profile: string
  readonly arm: string
  readonly point: string
}

/**
 * Prints the one shell command that repeats a run: the same config, seed and device, once more. Where today's code is
 * not that of the run, the command first gets it from git. Notes go to stderr.
 *
 * @throws UsageError when the name is no run, or the run belongs to no experiment with a file
 */
export async function reproCommand(id: string, output: { db: string; json: boolean }): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  const run = findRun(store, id)
  const trial = store.trials.get(run.trialId)!
  const places = store.connection
    .sql<Place>(
      `SELECT e.file, x.profile, x.arm, x.point FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
       WHERE x.trial_id = ? AND e.file IS NOT NULL ORDER BY x.current DESC, x.phase = 'compare' DESC, e.updated_at DESC`,
    )
    .all(trial.id)
  const place = places[0]
  if (place?.file == null) throw new UsageError(`Run ${run.id} belongs to no experiment that has a file.`)
  const { file } = place
  const notes: string[] = []
  const experiment = await loaded(file, notes)
  const fields = Object.entries(trial.config as Readonly<Record<string, unknown>>)
  const shortest = experiment === undefined ? undefined : shortestSet(experiment, trial.id, trial.seed, place, fields)
  if (experiment !== undefined && shortest === undefined) {
    notes.push("the experiment as it is declared today does not give this trial; the command names every field")
  }
  const set = shortest?.set ?? text(fields)
  const command = runCommandLine({
    file: relative(process.cwd(), file),
    ...(shortest === undefined || shortest.profile === undefined ? {} : { profile: shortest.profile }),
    arm: [place.arm],
    seeds: [trial.seed],
    ...(Object.keys(set).length === 0 ? {} : { set }),
    ...(run.device === null ? {} : { device: run.device }),
    force: true,
    db: output.db,
  })
  const line = [...codeSteps(store, run, file, notes), command].join(" && ")
  if (output.json) process.stdout.write(`${json({ run: run.id, trial: trial.id, command: line, notes })}\n`)
  else {
    process.stdout.write(`${line}\n`)
    for (const note of notes) process.stderr.write(`note: ${note}\n`)
  }
}

const text = (fields: readonly (readonly [string, unknown])[]): Readonly<Record<string, string>> =>
  Object.fromEntries(fields.map(([path, value]) => [path, JSON.stringify(value)]))

async function loaded(file: string, notes: string[]): Promise<Experiment | undefined> {
  if (!existsSync(file)) {
    notes.push(`${file} is not there (any more)`)
    return undefined
  }
  try {
    return (await loadExperiment(file)).experiment
  } catch (error) {
    notes.push(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

/** The fewest overrides with which the experiment comes to this one trial: none, the point, every field. */
function shortestSet(
  experiment: Experiment,
  trialId: string,
  seed: number,
  place: Place,
  fields: readonly (readonly [string, unknown])[],
): { readonly set: Readonly<Record<string, string>>; readonly profile: string | undefined } | undefined {
  const point = Object.entries(JSON.parse(place.point) as Readonly<Record<string, unknown>>)
  for (const profile of new Set([place.profile === "default" ? undefined : place.profile, undefined])) {
    for (const set of [{}, text(point), text(fields)]) {
      try {
        const made = plan(experiment, {
          ...(profile === undefined ? {} : { profile }),
          arms: [place.arm],
          seeds: [seed],
          set,
        })
        if (made.tuning.length > 0) continue
        const trials = made.compared()
        if (trials.length === 1 && trials[0]!.id === trialId) return { set, profile }
      } catch {
        // A profile or a field that is no more.
      }
    }
  }
  return undefined
}

/** Commands that bring back the code of the run, where it is not what is there. */
function codeSteps(store: Store, run: Run, file: string, notes: string[]): string[] {
  if (run.codeHash === null) return []
  try {
    if (codeIdentity(file).hash === run.codeHash) return []
  } catch {
    // The file is gone: git may have it.
  }
  if (run.gitCommit === null) {
    notes.push("the code has changed since, and the run was not made under git: its numbers may differ")
    return []
  }
  let root: string
  try {
    root = execFileSync("git", ["-C", dirname(file), "rev-parse", "--show-toplevel"], {
      stdio: ["ignore", "pipe", "ignore"],
    })
      .toString()
      .trim()
  } catch {
    notes.push(`the run was made with commit ${run.gitCommit}, but ${dirname(file)} is not under git`)
    return []
  }
  const steps = [`git -C '${root}' checkout ${run.gitCommit}`]
  const diff = store.artifacts.ofRun(run.id).find((artifact) => artifact.name === "git.diff")
  if (diff !== undefined) steps.push(`git -C '${root}' apply '${store.artifacts.file(diff.hash)}'`)
  notes.push("the code has changed since: the command first gets that of the run; commit or stash yours before")
  return steps
}
