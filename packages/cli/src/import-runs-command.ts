/** `exp import` of runs that other programs recorded: MLflow, TensorBoard, Weights & Biases. */
import { readFileSync } from "node:fs"
import { openStore, type Store } from "@exp/store"
import { adoptRun, membersOf, metricsOf, regroup, settle } from "@exp/store/interchange"
import type { ImportOptions } from "./commands/import.ts"
import { type FoundRun, isSeed, seedOf } from "./interchange/found-run.ts"
import { findMlflow, readMlflowRun } from "./interchange/mlflow-reader.ts"
import { findEventRuns, readEventRun } from "./interchange/tensorboard-reader.ts"
import { csvHeader, readWandb, wandbKind } from "./interchange/wandb-reader.ts"
import { json } from "./json.ts"
import { UsageError } from "./report-error.ts"
import { plainText, style } from "./terminal.ts"

/** Formats that hold runs. */
export type RunFormat = "mlflow" | "tensorboard" | "wandb"

/** The format of a path that holds runs of another program; undefined for anything else. */
export function runFormat(path: string, isFile: boolean): RunFormat | undefined {
  if (isFile && /\.csv$/i.test(path)) return wandbKind(csvHeader(path)) === undefined ? undefined : "wandb"
  if (findMlflow(path) !== undefined) return "mlflow"
  return findEventRuns(path) === undefined ? undefined : "tensorboard"
}

interface RunReport {
  readonly source: string
  readonly format: RunFormat
  /** Number in this database; undefined for what could not be read at all. */
  readonly run: number | undefined
  readonly name: string | null
  readonly experiment: string | null
  readonly state: "imported" | "updated" | "known" | "own" | "unreadable"
  readonly points: number
  readonly problems: readonly string[]
}

/** Imports runs. Exit code 2 when nothing at all could be read. */
export async function importRuns(
  sources: readonly { readonly path: string; readonly format: RunFormat }[],
  options: ImportOptions,
  output: { readonly db: string; readonly json: boolean },
): Promise<void> {
  using store = openStore(output.db, { mode: "write" })
  const reports: RunReport[] = []
  const touched = new Set<string>()
  const own = new Set<string>()
  for (const { path, format } of sources) {
    const notes: string[] = []
    for (const found of read(path, format, options, notes)) {
      if ("problem" in found) {
        const report = { run: undefined, name: null, experiment: null, points: 0, problems: [found.problem] }
        reports.push({ source: found.path, format, state: "unreadable", ...report })
        continue
      }
      const run = found.foreign ? apart(store, found) : found
      const experiment = run.record.places[0]?.experiment.name ?? null
      const report = bring(store, run, format)
      reports.push(report)
      const changed = report.state === "imported" || report.state === "updated" || options.compare !== undefined
      if (experiment !== null && run.foreign && changed) touched.add(experiment)
      if (experiment !== null) own.add(experiment)
    }
    for (const note of notes) process.stderr.write(`${style("yellow", `  ${plainText(path)}: `)}${plainText(note)}\n`)
  }
  for (const experiment of touched) arrange(store, experiment, options)
  if (output.json) process.stdout.write(`${json({ runs: reports })}\n`)
  explain(reports, own)
  if (reports.length === 0 || reports.every((report) => report.state === "unreadable")) process.exitCode = 2
}

type Found = FoundRun | { readonly path: string; readonly problem: string }

function* read(path: string, format: RunFormat, options: ImportOptions, notes: string[]): Generator<Found> {
  const { experiment, goal } = options
  if (format === "mlflow") {
    const found = findMlflow(path)
    if (found === undefined)
      throw new UsageError(`${path} is no file store of MLflow: no folder in it has a meta.yaml.`)
    notes.push(...found.problems)
    for (const run of found.runs) yield readMlflowRun(run, { experiment, goal, artifacts: options.artifacts !== false })
  } else if (format === "tensorboard") {
    const found = findEventRuns(path)
    if (found === undefined) throw new UsageError(`${path} holds no event files of TensorBoard (*tfevents*).`)
    for (const run of found) yield readEventRun(run, { experiment, goal })
  } else {
    const header = csvHeader(path)
    if (wandbKind(header) === undefined)
      throw new UsageError(
        `${path} is no CSV export of Weights & Biases that is known: a chart (Step, "run - metric", …), a table of runs (Name, State, …) or a history (_step, …). Its columns: ${header.slice(0, 12).join(", ") || "none"}.`,
      )
    const { runs, notes: told } = readWandb(path, { experiment, goal, metrics: options.metrics })
    notes.push(...told)
    yield* runs
  }
}

/** A foreign run never joins an experiment that was declared here, only one of imported runs. */
function apart(store: Store, found: FoundRun): FoundRun {
  const [place] = found.record.places
  const row = place === undefined ? undefined : store.experiments.get(place.experiment.name)
  if (place === undefined || row === undefined || importedFrom(row.spec) === found.origin.format) return found
  const experiment = { ...place.experiment, name: `${place.experiment.name} (${found.origin.format})` }
  return { ...found, record: { ...found.record, places: [{ ...place, experiment }] } }
}

const importedFrom = (spec: unknown): unknown => {
  const value = typeof spec === "string" ? (JSON.parse(spec) as unknown) : spec
  return typeof value === "object" && value !== null && "imported" in value ? value.imported : undefined
}

function bring(store: Store, found: FoundRun, format: RunFormat): RunReport {
  const { record, origin, problems } = found
  const { runId, state } = adoptRun(store, record, origin, found)
  const about = {
    source: origin.source,
    format,
    run: runId,
    name: record.run.name ?? found.origin.id,
    experiment: record.places[0]?.experiment.name ?? null,
  }
  if (state === "same" || state === "own")
    return { ...about, state: state === "own" ? "own" : "known", points: 0, problems: [] }
  let points = 0
  const writer = store.metricWriter(runId)
  try {
    found.points((metric, step, value, time) => {
      writer.log(step, metric, value, time)
      points++
    })
  } finally {
    writer.close()
  }
  for (const { name, path, mediaType } of found.artifacts) {
    try {
      store.artifacts.put(readFileSync(path), mediaType, name, runId)
    } catch (error) {
      if ((error as { code?: string }).code === undefined) throw error
      ;(problems as string[]).push(`artifact ${name}: ${(error as Error).message}`)
    }
  }
  settle(store, runId, origin)
  return { ...about, state: state === "new" ? "imported" : "updated", points, problems }
}

const longestLabel = 80

/**
 * Groups the runs of an imported experiment into arms by the config fields in which they differ, the seed apart; runs
 * that name no seed are numbered within their arm. What is compared is the metric that most runs have among those whose
 * direction is known, results on test data before others.
 */
function arrange(store: Store, experiment: string, { compare, goal }: ImportOptions): void {
  const members = membersOf(store, experiment)
  const value = (config: Readonly<Record<string, unknown>>, path: string) => JSON.stringify(config[path])
  const paths = [...new Set(members.flatMap((member) => Object.keys(member.config)))]
    .filter((path) => !isSeed(path))
    .sort()
  const differing = paths.filter((path) => new Set(members.map(({ config }) => value(config, path))).size > 1)
  const labelOf = ({ config, name, runId }: (typeof members)[number]) => {
    if (paths.length === 0) return name ?? `run ${runId}`
    const parts = differing
      .filter((path) => config[path] !== undefined)
      .map((path) => `${path}=${String(config[path])}`)
    const label = parts.join(" ") || "all"
    // Long labels would need their end to be told apart.
    return label.length <= longestLabel ? label : `${label.slice(0, longestLabel)}… ${name ?? `run ${runId}`}`
  }
  const counts = new Map<string, number>()
  const places = members.map((member) => {
    const arm = labelOf(member)
    const index = counts.get(arm) ?? 0
    counts.set(arm, index + 1)
    return { trialId: member.trialId, arm, seed: seedOf(member.config) ?? index }
  })
  const rank = ({ name, goal, runs }: ReturnType<typeof metricsOf>[number]) => {
    const kind = /test/i.test(name) ? 0 : /val|eval|dev/i.test(name) ? 1 : /train/i.test(name) ? 3 : 2
    return goal === null ? Number.POSITIVE_INFINITY : kind * 1e9 - runs
  }
  const metrics = metricsOf(store, experiment)
  if (compare !== undefined && !metrics.some(({ name }) => name === compare))
    throw new UsageError(
      `${experiment} has no metric ${compare}; it has ${metrics.map(({ name }) => name).join(", ")}.`,
    )
  // An earlier import may have known no direction of it.
  if (
    compare !== undefined &&
    goal !== undefined &&
    metrics.some((metric) => metric.name === compare && metric.goal === null)
  )
    store.metrics.declare({ [compare]: { goal } })
  const best = metrics.filter(({ goal }) => goal !== null).sort((a, b) => rank(a) - rank(b))[0]?.name
  const chosen = compare ?? best
  regroup(store, experiment, places, chosen === undefined ? [] : [chosen])
  if (chosen === undefined)
    process.stderr.write(
      `${style("yellow", "note: ")}no metric of ${plainText(experiment)} has a known direction: import again with --compare METRIC --goal max|min to have it compared.\n`,
    )
}

const shown = 40

function explain(reports: readonly RunReport[], experiments: ReadonlySet<string>): void {
  const say = (text: string) => process.stderr.write(`${text}\n`)
  for (const { source, name, run, problems, state } of reports
    .filter((report) => report.problems.length > 0)
    .slice(0, shown)) {
    const what = run === undefined ? plainText(source) : `run ${run} (${plainText(name ?? "")})`
    say(
      `${style(state === "unreadable" ? "red" : "yellow", `  ${what}: `)}${problems.slice(0, 10).map(plainText).join("; ")}`,
    )
  }
  const count = (state: RunReport["state"]) => reports.filter((report) => report.state === state).length
  const points = reports.reduce((sum, report) => sum + report.points, 0)
  const parts = [
    [count("imported"), "imported"],
    [count("updated"), "brought up to date"],
    [count("known"), "here already"],
    [count("own"), "recorded here, left alone"],
    [count("unreadable"), "left out"],
  ] as const
  const text = parts.filter(([n]) => n > 0).map(([n, words]) => `${n} ${words}`)
  say(`${reports.length} runs: ${text.join(", ") || "none"}; ${points.toLocaleString("en-US")} points`)
  const [first] = experiments
  if (count("imported") > 0 && first !== undefined) say(`exp ls ${plainText(JSON.stringify(first))} lists them.`)
}
