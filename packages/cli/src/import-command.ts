import { createHash } from "node:crypto"
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs"
import { extname } from "node:path"
import { knownGoal } from "@exp/ranking"
import { type ImportedResult, type ImportedVote, openStore, type Store } from "@exp/store"
import type { ImportOptions } from "./commands/import.ts"
import {
  evaluationLog,
  findEvaluationLogs,
  harnessGoals,
  readHarnessLog,
  readHelmRun,
} from "./import/evaluation-logs.ts"
import type { Numbered, OnProblem, RowProblem, Rows } from "./import/rows.ts"
import { SeenCells } from "./import/seen-cells.ts"
import { readCsv, readJsonLines, readParquet } from "./import/tables.ts"
import { importRuns, type RunFormat, runFormat } from "./import-runs-command.ts"
import { UsageError } from "./report-error.ts"
import { plainText, style } from "./terminal.ts"

type Format = Exclude<NonNullable<ImportOptions["format"]>, RunFormat>

interface ImportReport {
  readonly path: string
  readonly format: Format
  readonly kind: "results" | "votes"
  /** Rows that are in the database now. */
  readonly imported: number
  /** Votes only: this very file was imported before. */
  readonly known: boolean
  readonly rejected: number
  readonly problems: readonly RowProblem[]
}

const shownProblems = 20
const keptProblems = 1000

/** `exp import`. Exit code 2 with `--strict` and a bad row, or when nothing could be imported at all. */
export async function importCommand(
  paths: readonly string[],
  options: ImportOptions,
  context: { readonly db: string; readonly json: boolean },
): Promise<void> {
  const named = options.format
  const isRuns = named === "mlflow" || named === "tensorboard" || named === "wandb"
  const found = paths.map((path) => {
    if (!existsSync(path)) throw new UsageError(`${path} does not exist.`)
    const format = isRuns ? named : named === undefined ? runFormat(path, statSync(path).isFile()) : undefined
    return { path, format }
  })
  const runs = found.flatMap(({ path, format }) => (format === undefined ? [] : [{ path, format }]))
  if (runs.length > 0) {
    if (runs.length < found.length)
      throw new UsageError("Import runs and sample results one after the other: they are read by different rules.")
    return importRuns(runs, options, context)
  }
  const files = paths.flatMap((path) => filesOf(path, isRuns ? undefined : named))
  using store = openStore(context.db, { mode: "write" })
  const reports: ImportReport[] = []
  for (const { path, format } of files) {
    const report = await importFile(store, path, format, options)
    reports.push(report)
    explain(report)
  }
  if (context.json) process.stdout.write(`${JSON.stringify({ files: reports })}\n`)
  if (reports.every((report) => report.imported === 0 && !report.known && report.rejected > 0)) process.exitCode = 2
}

function filesOf(path: string, format: Format | undefined): { path: string; format: Format }[] {
  if (!existsSync(path)) throw new UsageError(`${path} does not exist.`)
  if (statSync(path).isDirectory()) {
    const logs = findEvaluationLogs(path)
    if (logs.length === 0) {
      throw new UsageError(
        `${path} holds no runs (MLflow's mlruns, TensorBoard's event files) and no per-sample logs (samples_<task>_<date>.jsonl of lm-evaluation-harness, per_instance_stats.json of HELM).`,
      )
    }
    return logs.map((log) => ({ path: log, format: evaluationLog(log)! }))
  }
  if (format !== undefined) return [{ path, format }]
  const log = evaluationLog(path)
  if (log !== undefined) return [{ path, format: log }]
  const byEnding: Readonly<Record<string, Format>> = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
  }
  const known = byEnding[extname(path).toLowerCase()]
  if (known === undefined)
    throw new UsageError(
      `${path}: the name does not tell the format; say it with --format csv, jsonl, parquet, lm-eval, helm, mlflow, tensorboard or wandb.`,
    )
  return [{ path, format: known }]
}

function open(path: string, format: Format, onProblem: OnProblem): Rows | Promise<Rows> {
  switch (format) {
    case "csv":
      return readCsv(path, onProblem)
    case "jsonl":
      return readJsonLines(path, onProblem)
    case "parquet":
      return readParquet(path, onProblem)
    case "lm-eval":
      return readHarnessLog(path, onProblem)
    case "helm":
      return readHelmRun(path, onProblem)
  }
}

async function importFile(store: Store, path: string, format: Format, options: ImportOptions): Promise<ImportReport> {
  let rejected = 0
  let problems: RowProblem[] = []
  const onProblem: OnProblem = (problem) => {
    rejected++
    if (problems.length < keptProblems) problems.push(problem)
  }
  if (options.strict === true) {
    // A reading without writing, so that a bad row at the end leaves no trace.
    const rows = await open(path, format, onProblem)
    const seen = new SeenCells()
    for await (const batch of rows.rows) {
      if (rows.kind === "results")
        for (const entry of batch as Numbered<ImportedResult>[]) contradiction(seen, entry, onProblem)
      if (rejected > 0) break
    }
    if (rejected > 0) {
      throw new UsageError(
        `${path}, line ${problems[0]!.line}: ${problems[0]!.problem}. Nothing of this file was imported (--strict).`,
      )
    }
    rejected = 0
    problems = []
  }
  const rows = await open(path, format, onProblem)
  const done = (imported: number, known = false): ImportReport => ({
    path,
    format,
    kind: rows.kind,
    imported,
    known,
    rejected,
    problems,
  })
  const tell = progress()
  let imported = 0
  if (rows.kind === "votes") {
    const hash = await fileHash(path)
    const source = { hash, name: path }
    if (isSync(rows.rows)) imported = store.samples.importVotes(source, flat(rows.rows), tell)
    else {
      const all: ImportedVote[] = []
      for await (const batch of rows.rows) for (const { row } of batch) all.push(row)
      imported = store.samples.importVotes(source, all, tell)
    }
    tell(imported, true)
    // Nothing imported and nothing rejected: the store has this content already.
    return done(imported, imported === 0 && rejected === 0)
  }
  const seen = new SeenCells()
  const metrics = new Set<string>()
  const accept = function* (batches: Iterable<readonly Numbered<ImportedResult>[]>): Generator<ImportedResult> {
    for (const batch of batches) {
      for (const entry of batch) {
        if (contradiction(seen, entry, onProblem)) continue
        metrics.add(entry.row.metric)
        yield entry.row
      }
    }
  }
  if (isSync(rows.rows)) imported = store.samples.importResults(accept(rows.rows), tell)
  else {
    for await (const batch of rows.rows) {
      imported += store.samples.importResults(accept([batch]))
      tell(imported)
    }
  }
  tell(imported, true)
  declareGoals(store, metrics, options.goal, format === "lm-eval" ? harnessGoals(path) : new Map())
  return done(imported)
}

/** Reports a second, different value of one cell; the first one stays. A repeated equal row is no problem. */
function contradiction(seen: SeenCells, { line, row }: Numbered<ImportedResult>, onProblem: OnProblem): boolean {
  const before = seen.add(row.competitor, row.dataset, row.sample, row.metric, row.value)
  if (before === undefined || before === row.value) return false
  onProblem({
    line,
    problem: `contradicts an earlier row: ${row.competitor} on ${row.dataset}/${row.sample} has ${row.metric} = ${before} and ${row.value}; the first is kept`,
  })
  return true
}

/** Gives metrics without a goal one: the log's own, the user's, or that of a well-known name. */
function declareGoals(
  store: Store,
  metrics: ReadonlySet<string>,
  given: "max" | "min" | undefined,
  own: ReadonlyMap<string, "max" | "min">,
): void {
  const declared = new Map(store.metrics.names().map((metric) => [metric.name, metric.goal]))
  const wanted: Record<string, { goal: "max" | "min" }> = {}
  for (const name of metrics) {
    if (declared.get(name)) continue
    const goal = own.get(name) ?? own.get(name.split(",")[0]!) ?? given ?? knownGoal(name)
    if (goal !== undefined) wanted[name] = { goal }
    else
      process.stderr.write(
        `${style("yellow", "note: ")}${plainText(name)} has no direction yet: say --goal max or --goal min when ranking.\n`,
      )
  }
  if (Object.keys(wanted).length > 0) store.metrics.declare(wanted)
}

const isSync = <A>(rows: Iterable<A> | AsyncIterable<A>): rows is Iterable<A> => Symbol.iterator in rows

function* flat<Row>(batches: Iterable<readonly Numbered<Row>[]>): Generator<Row> {
  for (const batch of batches) for (const { row } of batch) yield row
}

async function fileHash(path: string): Promise<string> {
  const hash = createHash("sha256")
  const file = openSync(path, "r")
  try {
    const buffer = Buffer.allocUnsafe(1 << 20)
    for (let size = readSync(file, buffer); size > 0; size = readSync(file, buffer))
      hash.update(buffer.subarray(0, size))
  } finally {
    closeSync(file)
  }
  return hash.digest("hex")
}

/** A counter on stderr for long imports, on a terminal only. */
function progress(): (rows: number, last?: boolean) => void {
  let shown = Date.now()
  let visible = false
  return (rows, last = false) => {
    if (!process.stderr.isTTY) return
    if (last) {
      if (visible) process.stderr.write("\r\u001b[K")
      return
    }
    if (Date.now() - shown < 500) return
    shown = Date.now()
    visible = true
    process.stderr.write(`\r${rows.toLocaleString("en-US")} rows`)
  }
}

function explain(report: ImportReport): void {
  const path = plainText(report.path)
  const summary = report.known
    ? `${path}: these votes are in the database already`
    : `${path}: ${report.imported.toLocaleString("en-US")} ${report.kind} imported`
  process.stderr.write(
    `${summary}${report.rejected > 0 ? `, ${report.rejected.toLocaleString("en-US")} rows left out` : ""}\n`,
  )
  for (const { line, problem } of report.problems.slice(0, shownProblems)) {
    process.stderr.write(`${style("yellow", `  line ${line}: `)}${plainText(problem)}\n`)
  }
  if (report.rejected > shownProblems)
    process.stderr.write(`  and ${(report.rejected - shownProblems).toLocaleString("en-US")} more\n`)
}
