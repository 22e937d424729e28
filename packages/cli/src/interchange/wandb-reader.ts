/**
 * Reads what Weights & Biases exports as CSV:
 *
 * - a chart: a column for the step, then `<run> - <metric>` (and `…__MIN`, `…__MAX`) for each run;
 * - the table of runs: `Name`, `State`, `Created`, `Tags`, `Notes`, … and a column for each config field and each summary;
 * - the history of one run (`run.history().to_csv()`): `_step`, `_timestamp`, and a column for each metric.
 */
import { basename, extname } from "node:path"
import { knownGoal } from "@exp/ranking"
import type { RunState } from "@exp/store"
import { readLines } from "../import/lines.ts"
import { splitCsv } from "../import/tables.ts"
import { type FoundRun, foreignRecord, hashFiles, type OnPoint, plainValue, pythonNumber } from "./found-run.ts"

/** Which of the exports a header belongs to; undefined for another file. */
export function wandbKind(header: readonly string[]): "chart" | "runs" | "history" | undefined {
  const names = header.map((name) => name.trim())
  const series = names.slice(1).filter((name) => name.includes(" - "))
  if (names.length > 1 && series.length === names.length - 1) return "chart"
  if (names.includes("_step")) return names.includes("Name") ? "runs" : "history"
  if (names.includes("Name") && ["State", "Created", "Runtime", "Sweep", "User"].some((name) => names.includes(name)))
    return "runs"
  return undefined
}

/** The first line of a CSV file, split. */
export function csvHeader(path: string): readonly string[] {
  const first = readLines(path, { quoted: true }).next()
  return first.done === true ? [] : splitCsv(first.value.text)
}

interface Options {
  readonly experiment?: string | undefined
  readonly goal?: "max" | "min" | undefined
  /** Columns of a table of runs that are metrics, where their names do not tell. */
  readonly metrics?: readonly string[] | undefined
}

/** Columns that W&B adds by itself. */
const bookkeeping = new Set(
  "ID,Name,State,Notes,User,Tags,Created,Updated,Runtime,Sweep,Group,Job Type,Commit,Host,Hostname,GPU Type,GPU Count,Start Time,End Time,GitHub,Agent,Project,Username".split(
    ",",
  ),
)
const states: Readonly<Record<string, RunState>> = {
  ...{ finished: "completed", failed: "failed", crashed: "failed", killed: "cancelled", running: "interrupted" },
  preempted: "interrupted",
}

/** The runs of one exported file. */
export function readWandb(
  path: string,
  options: Options,
): { readonly runs: readonly FoundRun[]; readonly notes: readonly string[] } {
  const header = csvHeader(path).map((name) => name.trim())
  const kind = wandbKind(header)!
  const hash = hashFiles([{ name: basename(path), path }])
  const experiment = options.experiment ?? "wandb"
  const now = Date.now()
  const make = (
    name: string,
    metrics: readonly string[],
    points: (onPoint: OnPoint) => void,
    problems: readonly string[],
    extra: Partial<Parameters<typeof foreignRecord>[0]> = {},
  ): FoundRun => ({
    record: foreignRecord({
      ...{ format: "wandb", identity: `${experiment}\n${name}`, experiment, name, config: {}, status: "completed" },
      ...{ createdAt: now, startedAt: null, finishedAt: null, metrics, goal: options.goal },
      ...extra,
    }),
    origin: { format: "wandb", source: path, id: `${experiment}/${name}`, hash },
    foreign: true,
    partial: kind !== "runs",
    problems,
    points,
    artifacts: [],
  })
  const rows = function* (): Generator<{ readonly fields: readonly string[]; readonly line: number }> {
    let first = true
    for (const { text, number } of readLines(path, { quoted: true })) {
      if (first) first = false
      else if (text !== "") yield { fields: splitCsv(text), line: number }
    }
  }
  const badText = (lines: readonly number[], what: string): string[] =>
    lines.length === 0
      ? []
      : [`line ${lines.slice(0, 5).join(", ")}${lines.length > 5 ? ` and ${lines.length - 5} more` : ""}: ${what}`]

  if (kind === "runs") {
    const nameAt = header.indexOf("Name")
    const numeric = (at: number) => {
      let seen = false
      for (const { fields } of rows()) {
        const text = fields[at] ?? ""
        if (text === "") continue
        if (pythonNumber(text) === undefined) return false
        seen = true
      }
      return seen
    }
    const wanted = options.metrics
    const isMetric = (name: string, at: number) =>
      wanted === undefined
        ? (knownGoal(name) !== undefined || /^(train|val|valid|validation|eval|test)[/_]/i.test(name)) && numeric(at)
        : wanted.includes(name)
    const roles = header.map((name, at) =>
      bookkeeping.has(name) || name.startsWith("_") || name === "" ? "book" : isMetric(name, at) ? "metric" : "config",
    )
    const metrics = header.filter((_, at) => roles[at] === "metric")
    const config = header.filter((_, at) => roles[at] === "config")
    const runs: FoundRun[] = []
    const seen = new Set<string>()
    const notes: string[] = []
    for (const { fields, line } of rows()) {
      const cell = (name: string) => fields[header.indexOf(name)] ?? ""
      const name = fields[nameAt]?.trim()
      if (name === undefined || name === "") {
        notes.push(`line ${line}: the run has no name, left out`)
        continue
      }
      if (seen.has(name)) {
        notes.push(`line ${line}: another run is called ${name}: left out, since charts could not tell them apart`)
        continue
      }
      seen.add(name)
      const created = Date.parse(cell("Created"))
      const at = Number.isNaN(created) ? now : created
      const seconds = Number(cell("Runtime"))
      const step = Number(cell("_step")) || 0
      const state = cell("State")
      runs.push(
        make(
          name,
          metrics.filter((metric) => cell(metric) !== ""),
          (onPoint) => {
            for (const metric of metrics) {
              const value = pythonNumber(cell(metric))
              if (value !== undefined) onPoint(metric, step, value, at)
            }
          },
          state !== "" && states[state.toLowerCase()] === undefined
            ? [`its state ${state} is unknown: taken for finished`]
            : [],
          {
            createdAt: at,
            startedAt: at,
            finishedAt: Number.isFinite(seconds) && cell("Runtime") !== "" ? at + Math.round(seconds * 1000) : null,
            status: states[state.toLowerCase()] ?? "completed",
            note: cell("Notes") === "" || cell("Notes") === "-" ? null : cell("Notes"),
            tags: cell("Tags")
              .split(",")
              .map((tag) => tag.trim())
              .filter((tag) => tag !== ""),
            config: Object.fromEntries(
              config.filter((field) => cell(field) !== "").map((field) => [field, plainValue(cell(field))]),
            ),
          },
        ),
      )
    }
    notes.push(
      `taken for metrics: ${metrics.join(", ") || "none"}; for config: ${config.join(", ") || "none"} (--metrics says otherwise)`,
    )
    return { runs, notes }
  }

  const stepAt = kind === "history" ? header.indexOf("_step") : 0
  const timeAt = kind === "history" ? header.indexOf("_timestamp") : -1
  const columns =
    kind === "history"
      ? header
          .map((metric, at) => ({ run: basename(path, extname(path)), metric, at }))
          .filter(({ metric }) => metric !== "" && !metric.startsWith("_"))
      : header
          .map((name, at) => {
            const cut = name.lastIndexOf(" - ")
            return { run: name.slice(0, cut), metric: name.slice(cut + 3), at }
          })
          .filter(({ at, metric }) => at > 0 && !/__(MIN|MAX)$/.test(metric))
  const badSteps: number[] = []
  const badCells: number[] = []
  for (const { fields, line } of rows()) {
    const step = fields[stepAt] ?? ""
    if (!/^-?\d+(\.0+)?$/.test(step) || !Number.isSafeInteger(Number(step))) badSteps.push(line)
    if (columns.some(({ at }) => (fields[at] ?? "") !== "" && pythonNumber(fields[at]!) === undefined))
      badCells.push(line)
  }
  const notes = [
    ...badText(badSteps, `${header[stepAt]} is no whole number, the row is left out`),
    ...badText(badCells, "a cell is no number, it is left out"),
  ]
  const names = [...new Set(columns.map(({ run }) => run))]
  const runs = names.map((name) => {
    const own = columns.filter(({ run }) => run === name)
    return make(
      name,
      own.map(({ metric }) => metric),
      (onPoint) => {
        for (const { fields } of rows()) {
          const text = fields[stepAt] ?? ""
          const step = Number(text)
          if (!/^-?\d+(\.0+)?$/.test(text) || !Number.isSafeInteger(step)) continue
          const seconds = timeAt < 0 ? Number.NaN : Number(fields[timeAt])
          for (const { metric, at } of own) {
            const value = pythonNumber(fields[at] ?? "")
            if (value !== undefined)
              onPoint(
                metric,
                step,
                value,
                Number.isFinite(seconds) && fields[timeAt] !== "" ? Math.round(seconds * 1000) : 0,
              )
          }
        }
      },
      [],
    )
  })
  return { runs, notes }
}
