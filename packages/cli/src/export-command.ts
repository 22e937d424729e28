import { existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs"
import { dirname, extname, join, relative } from "node:path"
import { openStore, type RunListItem, type Store } from "@exp/store"
import { readRunRecord } from "@exp/store/interchange"
import type { ExportOptions } from "./commands/export.ts"
import { findTargets } from "./find-run.ts"
import {
  type ExportTable,
  metricsTable,
  resultsTable,
  runsTable,
  type TableName,
  tables,
} from "./interchange/export-tables.ts"
import { mlflowExperiments, mlflowFolder, writeMlflowRun } from "./interchange/mlflow-writer.ts"
import { csvSink, jsonLinesSink, parquetSink, type TableColumn } from "./interchange/table-sinks.ts"
import { eventFolder, writeEventRun } from "./interchange/tensorboard-writer.ts"
import { json } from "./json.ts"
import { filterOf } from "./list-command.ts"
import { UsageError } from "./report-error.ts"
import { plainText } from "./terminal.ts"

/** What was written. */
interface ExportReport {
  readonly to: ExportOptions["to"]
  readonly out: string
  readonly runs: number
  readonly points: number
  readonly files: readonly string[]
}

const pageSize = 500

/**
 * `exp export`.
 *
 * @throws UsageError when nothing matches, and when something is there that would be overwritten: then nothing is written
 */
export async function exportCommand(
  what: readonly string[],
  options: ExportOptions,
  output: { readonly db: string; readonly json: boolean },
): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  const ids = selected(store, what, options)
  if (ids.length === 0) throw new UsageError("No runs match: there is nothing to export.")
  const tell = counter()
  const report =
    options.to === "mlflow"
      ? exportMlflow(store, ids, options, tell)
      : options.to === "tensorboard"
        ? exportEvents(store, ids, options, tell)
        : await exportTables(store, ids, options, tell)
  tell(0, true)
  if (output.json) process.stdout.write(`${json(report)}\n`)
  else {
    const points = report.points > 0 ? `, ${report.points.toLocaleString("en-US")} points` : ""
    const shown =
      report.files.length <= 5 ? ` (${report.files.map((file) => relative(options.out, file) || file).join(", ")})` : ""
    process.stdout.write(plainText(`${report.runs.toLocaleString("en-US")} runs${points} to ${options.out}${shown}\n`))
  }
}

/** The numbers of the wanted runs, the oldest first. */
function selected(store: Store, what: readonly string[], options: ExportOptions): number[] {
  const targets = findTargets(store, what)
  const filter = filterOf(store, undefined, { ...options, limit: 1 })
  const single = targets.flatMap((target) => (target.kind === "run" ? [target.id] : []))
  const experiments = targets.flatMap((target) => (target.kind === "experiment" ? [target.name] : []))
  const ids = new Set<number>()
  const take = (experiment: string | undefined, only?: ReadonlySet<number>) => {
    for (const id of store.queries.ids({ ...filter, experiment })) if (only?.has(id) ?? true) ids.add(id)
  }
  if (what.length === 0) take(undefined)
  for (const experiment of experiments) take(experiment)
  if (single.length > 0) take(undefined, new Set(single))
  return [...ids].sort((a, b) => a - b)
}

type Tell = (points: number, last?: boolean) => void

/** A counter on stderr for long exports, on a terminal only. */
function counter(): Tell {
  let shown = Date.now()
  let visible = false
  return (points, last = false) => {
    if (!process.stderr.isTTY) return
    if (last) {
      if (visible) process.stderr.write("\r\u001b[K")
    } else if (Date.now() - shown >= 500) {
      shown = Date.now()
      visible = true
      process.stderr.write(`\r${points.toLocaleString("en-US")} rows`)
    }
  }
}

function refuse(there: readonly string[], options: ExportOptions): void {
  if (there.length === 0 || options.overwrite === true) return
  throw new UsageError(
    `${there[0]} exists${there.length > 1 ? `, and ${there.length - 1} more that would be written` : ""}: nothing was written. Choose another --out, or add --overwrite to replace ${there.length > 1 ? "them" : "it"}.`,
  )
}

/** A folder to write into. */
function folder(path: string): void {
  if (existsSync(path) && !statSync(path).isDirectory())
    throw new UsageError(`${path} is a file: --out must be a folder here.`)
  mkdirSync(path, { recursive: true })
}

function exportMlflow(store: Store, ids: readonly number[], options: ExportOptions, tell: Tell): ExportReport {
  if (existsSync(options.out)) folder(options.out)
  const known = mlflowExperiments(options.out)
  const paths = ids.map((id) => mlflowFolder(options.out, known, readRunRecord(store, id)!).path)
  refuse(
    paths.filter((path) => existsSync(path)),
    options,
  )
  folder(options.out)
  let points = 0
  for (const id of ids) points += writeMlflowRun(store, id, options.out, known, (now) => tell(points + now))
  return { to: "mlflow", out: options.out, runs: ids.length, points, files: paths }
}

function exportEvents(store: Store, ids: readonly number[], options: ExportOptions, tell: Tell): ExportReport {
  if (existsSync(options.out)) folder(options.out)
  const paths = ids.map((id) => eventFolder(options.out, readRunRecord(store, id)!, id))
  refuse(
    paths.filter((path) => existsSync(path) && readdirSync(path).length > 0),
    options,
  )
  folder(options.out)
  let points = 0
  for (const id of ids) points += writeEventRun(store, id, options.out, (now) => tell(points + now))
  return { to: "tensorboard", out: options.out, runs: ids.length, points, files: paths }
}

const endings: Readonly<Record<string, string>> = { csv: ".csv", jsonl: ".jsonl", parquet: ".parquet" }

async function exportTables(
  store: Store,
  ids: readonly number[],
  options: ExportOptions,
  tell: Tell,
): Promise<ExportReport> {
  const ending = endings[options.to]!
  const isFile =
    extname(options.out).toLowerCase() === ending || (options.to === "jsonl" && /\.ndjson$/i.test(options.out))
  const pages = function* (): Generator<readonly RunListItem[]> {
    for (let from = 0; from < ids.length; from += pageSize) {
      const page = store.queries.byIds(ids.slice(from, from + pageSize))
      yield page.toReversed()
    }
  }
  const make: Readonly<Record<TableName, () => ExportTable>> = {
    runs: () => runsTable(store, pages),
    metrics: () => metricsTable(store, pages),
    results: () => resultsTable(store, pages),
  }
  const wanted: readonly TableName[] = options.table !== undefined ? [options.table] : isFile ? ["runs"] : tables
  const files = wanted.map((name) => ({ name, path: isFile ? options.out : join(options.out, `${name}${ending}`) }))
  refuse(
    files.map(({ path }) => path).filter((path) => existsSync(path)),
    options,
  )
  folder(isFile ? dirname(options.out) : options.out)
  let points = 0
  const written: string[] = []
  for (const { name, path } of files) {
    const { columns, write } = make[name]()
    // Written aside and moved into place whole; a link fails where a rename would replace.
    const building = `${path}.tmp-${process.pid}`
    rmSync(building, { force: true })
    try {
      const sink = await open(options.to, building, columns)
      const rows = write(sink, (now) => tell(now))
      sink.close()
      if (name === "metrics") points = rows
      // Most experiments record no results on samples.
      if (rows === 0 && name === "results" && options.table === undefined) continue
      if (options.overwrite === true) renameSync(building, path)
      else linkSync(building, path)
      written.push(path)
    } finally {
      rmSync(building, { force: true })
    }
  }
  return { to: options.to, out: options.out, runs: ids.length, points, files: written }
}

function open(to: ExportOptions["to"], path: string, columns: readonly TableColumn[]) {
  return to === "csv"
    ? csvSink(path, columns)
    : to === "jsonl"
      ? jsonLinesSink(path, columns)
      : parquetSink(path, columns)
}
