/** Reads MLflow's file stores; see mlflow-writer.ts for what they look like. */
import { existsSync, lstatSync, readdirSync, readFileSync, statSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import type { RunState } from "@exp/store"
import { parse } from "yaml"
import { readLines } from "../import/lines.ts"
import { type FoundRun, foreignRecord, hashFiles, parseRecord, plainValue, pythonNumber } from "./found-run.ts"
import type { MlflowNames } from "./mlflow-writer.ts"

type Json = Readonly<Record<string, unknown>>

function readMeta(folder: string): Json | string {
  const path = join(folder, "meta.yaml")
  if (!existsSync(path)) return "it has no meta.yaml"
  try {
    const value: unknown = parse(readFileSync(path, "utf8"))
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Json)
      : "its meta.yaml holds no fields"
  } catch (problem) {
    return `its meta.yaml is no YAML: ${problem instanceof Error ? problem.message.split("\n")[0] : String(problem)}`
  }
}

const folders = (path: string): string[] =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map((entry) => join(path, entry.name))
    .sort()

/** Files below a folder by their relative path; links are passed over, since they may lead anywhere. */
function filesBelow(root: string, within = ""): { readonly name: string; readonly path: string }[] {
  const folder = join(root, within)
  if (!existsSync(folder) || lstatSync(folder).isSymbolicLink()) return []
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const name = within === "" ? entry.name : `${within}/${entry.name}`
      if (entry.isDirectory()) return filesBelow(root, name)
      return entry.isFile() ? [{ name, path: join(root, name) }] : []
    })
}

const isRun = (meta: Json) => "run_id" in meta || "run_uuid" in meta
const isExperiment = (meta: Json) => "experiment_id" in meta && "name" in meta && !isRun(meta)

/** The experiments' and runs' folders that a path stands for; undefined when it is no file store. */
export function findMlflow(
  path: string,
): { readonly runs: readonly string[]; readonly problems: readonly string[] } | undefined {
  if (!statSync(path).isDirectory()) return undefined
  if (existsSync(join(path, "mlruns"))) return findMlflow(join(path, "mlruns"))
  const own = existsSync(join(path, "meta.yaml")) ? readMeta(path) : undefined
  if (own !== undefined && typeof own !== "string") {
    if (isRun(own)) return { runs: [path], problems: [] }
    if (isExperiment(own))
      return { runs: folders(path).filter((run) => existsSync(join(run, "meta.yaml"))), problems: [] }
  }
  const problems: string[] = []
  const experiments = folders(path).filter((folder) => {
    if (!existsSync(join(folder, "meta.yaml"))) return false
    const meta = readMeta(folder)
    if (typeof meta === "string") {
      problems.push(`${basename(folder)}: ${meta}: the experiment is left out`)
      return false
    }
    return isExperiment(meta)
  })
  if (experiments.length === 0) return problems.length > 0 ? { runs: [], problems } : undefined
  return {
    runs: experiments.flatMap((folder) =>
      folders(folder).filter((run) => {
        if (existsSync(join(run, "meta.yaml"))) return true
        if (existsSync(join(run, "metrics")))
          problems.push(`${basename(folder)}/${basename(run)}: it has no meta.yaml: the run is left out`)
        return false
      }),
    ),
    problems,
  }
}

const statesOf: Readonly<Record<string, RunState>> = {
  ...{ "1": "interrupted", "2": "interrupted", "3": "completed", "4": "failed", "5": "cancelled" },
  ...{ RUNNING: "interrupted", SCHEDULED: "interrupted", FINISHED: "completed", FAILED: "failed", KILLED: "cancelled" },
}

const time = (value: unknown): number | null =>
  typeof value === "number" && Number.isFinite(value) ? Math.round(value) : null

/** Why a run's folder gave nothing. */
export interface Unreadable {
  readonly path: string
  readonly problem: string
}

interface Line {
  readonly step: number
  readonly value: number
  readonly time: number
}

/** Reads one run's folder, without its points. */
export function readMlflowRun(
  folder: string,
  options: {
    readonly experiment?: string | undefined
    readonly artifacts: boolean
    readonly goal?: "max" | "min" | undefined
  },
): FoundRun | Unreadable {
  const meta = readMeta(folder)
  if (typeof meta === "string") return { path: folder, problem: meta }
  if (!isRun(meta)) return { path: folder, problem: "its meta.yaml describes no run" }
  const id = String(meta["run_id"] ?? meta["run_uuid"])
  if (meta["lifecycle_stage"] === "deleted") return { path: folder, problem: "it was deleted in MLflow: left out" }
  const problems: string[] = []
  const tagFiles = filesBelow(join(folder, "tags"))
  const tags = new Map(tagFiles.map(({ name, path }) => [name, readFileSync(path, "utf8")]))
  const metrics = filesBelow(join(folder, "metrics"))
  const params = filesBelow(join(folder, "params"))
  const hash = hashFiles([{ name: "meta.yaml", path: join(folder, "meta.yaml") }, ...params, ...tagFiles, ...metrics])
  const own = tags.has("exp.record") ? parseRecord(tags.get("exp.record")!) : undefined
  if (tags.has("exp.record") && own === undefined)
    problems.push("its tag exp.record cannot be read: it is taken for a run of MLflow")
  let names: MlflowNames = { metrics: {}, artifacts: {} }
  if (own !== undefined) {
    try {
      names = { ...names, ...(JSON.parse(tags.get("exp.names") ?? "{}") as Partial<MlflowNames>) }
    } catch {
      problems.push("its tag exp.names cannot be read: metrics and artifacts have the names of their files")
    }
  }
  const metricName = (file: string) => names.metrics[file] ?? file
  const found = {
    origin: { format: "mlflow", source: folder, id, hash },
    problems,
    points: (onPoint: (metric: string, step: number, value: number, time: number) => void) => {
      for (const { name, path } of metrics)
        readMetric(name, path, (line) => onPoint(metricName(name), line.step, line.value, line.time), problems)
    },
    artifacts: options.artifacts
      ? filesBelow(join(folder, "artifacts")).map(({ name, path }) => {
          const known = names.artifacts[name]
          return { name: known?.name ?? name, path, mediaType: known?.mediaType ?? "application/octet-stream" }
        })
      : [],
  }
  if (own !== undefined) return { ...found, record: own, foreign: false }

  const config = Object.fromEntries(
    params.map(({ name, path }) => [name, plainValue(readFileSync(path, "utf8").replace(/\r?\n$/, ""))]),
  )
  const status = statesOf[String(meta["status"])]
  if (status === undefined)
    problems.push(`its status ${JSON.stringify(meta["status"])} is unknown: taken for interrupted`)
  const startedAt = time(meta["start_time"])
  const experimentMeta = readMeta(dirname(folder))
  const experiment =
    options.experiment ??
    (typeof experimentMeta === "string" ? undefined : (experimentMeta["name"] as string | undefined)) ??
    `mlflow ${String(meta["experiment_id"] ?? "")}`.trim()
  const words = [...tags]
    .filter(([tag]) => !tag.startsWith("mlflow."))
    .map(([tag, value]) => (value === "" ? tag : `${tag}=${value.slice(0, 200)}`))
  return {
    ...found,
    foreign: true,
    record: foreignRecord({
      format: "mlflow",
      identity: id,
      experiment: String(experiment),
      name:
        typeof meta["run_name"] === "string" && meta["run_name"] !== ""
          ? meta["run_name"]
          : (tags.get("mlflow.runName") ?? null),
      config,
      status: status ?? "interrupted",
      createdAt: startedAt ?? Math.round(statSync(join(folder, "meta.yaml")).mtimeMs),
      startedAt,
      finishedAt: time(meta["end_time"]),
      note: tags.get("mlflow.note.content") ?? null,
      tags: words,
      metrics: metrics.map(({ name }) => name),
      goal: options.goal,
    }),
  }
}

/**
 * The points of one metric file. A series that was logged without steps, which MLflow keeps under step 0, is numbered in
 * its order; where a step comes again, the later line counts, as in MLflow's own latest value.
 */
function readMetric(name: string, path: string, onLine: (line: Line) => void, problems: string[]): void {
  const bad: number[] = []
  const lines = function* (): Generator<Line> {
    for (const { text, number } of readLines(path)) {
      if (text === "") continue
      const parts = text.trim().split(" ")
      const at = Number(parts[0])
      const value = parts[1] === undefined ? undefined : pythonNumber(parts[1])
      const step = parts[2] === undefined ? 0 : Number(parts[2])
      if (
        value === undefined ||
        !Number.isFinite(at) ||
        !/^-?\d+$/.test(parts[2] ?? "0") ||
        !Number.isSafeInteger(step)
      )
        bad.push(number)
      else yield { step, value, time: Math.round(at) }
    }
  }
  let all = 0
  let zero = 0
  let repeated = 0
  let last = Number.NEGATIVE_INFINITY
  for (const { step } of lines()) {
    all++
    if (step === 0) zero++
    if (step <= last) repeated++
    else last = step
  }
  const numbered = all > 1 && zero === all
  if (numbered) problems.push(`${name}: its ${all} values were logged without a step: numbered from 0`)
  else if (repeated > 0)
    problems.push(`${name}: ${repeated} lines are of a step that came before: the later line counts`)
  if (bad.length > 0) {
    problems.push(
      `${name}: line ${bad.slice(0, 5).join(", ")}${bad.length > 5 ? ` and ${bad.length - 5} more` : ""}: not "timestamp value step", left out`,
    )
  }
  let order = 0
  for (const line of lines()) onLine(numbered ? { ...line, step: order++ } : line)
}
