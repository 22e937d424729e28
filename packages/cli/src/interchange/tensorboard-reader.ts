/** Reads TensorBoard's log folders: every folder with event files is a run. */
import { readdirSync, statSync } from "node:fs"
import { basename, dirname, join, relative, resolve } from "node:path"
import { EventReader, type FoundEvent, type HParam } from "./event-files.ts"
import { type FoundRun, foreignRecord, hashFiles, parseRecord } from "./found-run.ts"
import { MalformedMessage } from "./protobuf.ts"
import { readRecords } from "./tfrecord.ts"

/** Whether a file is an event file, by its name. */
export const isEventFile = (path: string): boolean => basename(path).includes("tfevents")

/** A run before it is read: its files, and its name below the log folder. */
export interface EventRun {
  readonly name: string
  readonly experiment: string
  readonly files: readonly string[]
}

/** The runs in a log folder (or the one of an event file); undefined when there is none. */
export function findEventRuns(path: string): EventRun[] | undefined {
  const full = resolve(path)
  if (!statSync(full).isDirectory()) {
    if (!isEventFile(full)) return undefined
    const folder = dirname(full)
    return [{ name: basename(folder), experiment: basename(dirname(folder)) || "tensorboard", files: [full] }]
  }
  const found = new Map<string, string[]>()
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const inside = join(folder, entry.name)
      if (entry.isDirectory()) walk(inside)
      else if (entry.isFile() && isEventFile(inside)) found.set(folder, [...(found.get(folder) ?? []), inside])
    }
  }
  walk(full)
  if (found.size === 0) return undefined
  // PyTorch's add_hparams writes into a folder of its own, named by the time, below that of the run.
  for (const [folder, files] of [...found]) {
    const above = found.get(dirname(folder))
    if (above === undefined || !/^\d{9,}\.\d+$/.test(basename(folder))) continue
    above.push(...files)
    found.delete(folder)
  }
  return [...found]
    .map(([folder, files]) => ({
      name: relative(full, folder).replaceAll("\\", "/") || basename(full),
      experiment: basename(full),
      files: files.sort(),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Every event of a run's files in their order, with what cannot be read. */
function* events(run: EventRun, onProblem: (problem: string) => void): Generator<FoundEvent> {
  const reader = new EventReader()
  for (const path of run.files) {
    const say = (problem: string) => onProblem(`${basename(path)}: ${problem}`)
    if (statSync(path).size === 0) {
      say("it is empty")
      continue
    }
    let number = 0
    let bad = 0
    let first = ""
    for (const record of readRecords(path, say)) {
      number++
      try {
        yield* reader.read(record)
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error
        bad++
        if (bad === 1) first = `record ${number}: ${error.message}`
      }
    }
    if (bad > 0) say(`${first}${bad > 1 ? `, and ${bad - 1} more records` : ""}: left out`)
  }
}

/** Reads a run but for its points. Undefined when nothing in its files can be used. */
export function readEventRun(
  run: EventRun,
  options: { readonly experiment?: string | undefined; readonly goal?: "max" | "min" | undefined },
): FoundRun | { readonly path: string; readonly problem: string } {
  const problems: string[] = []
  const config: Record<string, HParam> = {}
  const last = new Map<string, number>()
  const others = new Map<string, number>()
  let repeated = 0
  let firstTime = Number.NaN
  let began = Number.NaN
  let lastTime = Number.NaN
  let failed = false
  let own: ReturnType<typeof parseRecord>
  for (const event of events(run, (problem) => problems.push(problem))) {
    if (event.kind === "start") {
      if (Number.isNaN(began)) began = event.time
    } else if (event.kind === "scalar") {
      const before = last.get(event.tag)
      if (before !== undefined && event.step <= before) repeated++
      last.set(event.tag, Math.max(before ?? event.step, event.step))
      if (!(event.time >= firstTime)) firstTime = event.time
      if (!(event.time <= lastTime)) lastTime = event.time
    } else if (event.kind === "hparams") Object.assign(config, event.values)
    else if (event.kind === "end") failed = event.failed
    else if (event.kind === "record") own = parseRecord(event.text)
    else others.set(event.what, (others.get(event.what) ?? 0) + 1)
  }
  const folder = dirname(run.files[0]!)
  if (own === undefined && last.size === 0) {
    const why = problems.length > 0 ? problems.join("; ") : "it holds no scalars"
    return { path: folder, problem: why }
  }
  if (repeated > 0) problems.push(`${repeated} points are of a step that came before: the later one counts`)
  if (others.size > 0) {
    const list = [...others].map(([what, count]) => `${count} ${what}`)
    problems.push(`not scalars, left out: ${list.join(", ")}`)
  }
  const start = Number.isNaN(began) ? firstTime : began
  const experiment = options.experiment ?? run.experiment
  return {
    record:
      own ??
      foreignRecord({
        format: "tensorboard",
        // The time in the first event tells runs of one name in different folders apart, and stays when a file grows.
        identity: `${experiment}\n${run.name}\n${start}`,
        experiment,
        name: run.name,
        config,
        status: failed ? "failed" : "completed",
        createdAt: start,
        startedAt: start,
        finishedAt: Number.isNaN(lastTime) ? start : lastTime,
        metrics: [...last.keys()],
        goal: options.goal,
      }),
    origin: {
      format: "tensorboard",
      source: folder,
      id: `${experiment}/${run.name}`,
      hash: hashFiles(run.files.map((path) => ({ name: basename(path), path }))),
    },
    foreign: own === undefined,
    problems,
    points: (onPoint) => {
      for (const event of events(run, () => {}))
        if (event.kind === "scalar") onPoint(event.tag, event.step, event.value, event.time)
    },
    artifacts: [],
  }
}
