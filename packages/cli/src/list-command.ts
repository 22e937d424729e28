import { openStore, parseWhere, type RunFilter, type RunListItem, runStates, type Store } from "@exp/store"
import type { ListOptions } from "./commands/ls.ts"
import { json } from "./json.ts"
import { duration, number } from "./numbers.ts"
import { programName } from "./program-name.ts"
import { UsageError } from "./report-error.ts"
import { textTable } from "./table.ts"
import { style, terminalWidth } from "./terminal.ts"

const states = [...runStates, "lost"] as const

/** Milliseconds of `90s`, `20m`, `2h`, `3d`, `1w` ago, or of a date. */
export function parseSince(text: string, now = Date.now()): number {
  const match = /^(\d+(?:\.\d+)?)\s*([smhdw])$/.exec(text)
  if (match !== null) {
    const unit = { s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 }[match[2] as "s" | "m" | "h" | "d" | "w"]
    return now - Number(match[1]) * unit
  }
  const time = Date.parse(text)
  if (Number.isNaN(time))
    throw new UsageError(`--since takes 90s, 20m, 2h, 3d, 1w or a date such as 2026-11-01, not ${text}.`)
  return time
}

const ago = (time: number): string => {
  const s = (Date.now() - time) / 1000
  return s < 90 ? "just now" : `${duration(s * 1000)} ago`
}

/** Lists experiments, or runs. */
export async function listCommand(
  experiment: string | undefined,
  options: ListOptions,
  output: { db: string; json: boolean },
): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  const narrowed = [
    options.status,
    options.arm,
    options.where,
    options.tag,
    options.since,
    options.removed || undefined,
  ]
  const runs = experiment !== undefined || options.runs === true || narrowed.some((option) => option !== undefined)
  if (runs) listRuns(store, filterOf(store, experiment, options), output)
  else listExperiments(store, output)
}

/** The filter that the options of `exp ls` describe. */
export function filterOf(store: Store, experiment: string | undefined, options: ListOptions): RunFilter {
  if (experiment !== undefined && store.experiments.get(experiment) === undefined) {
    const known = store.experiments.list().map((row) => row.name)
    throw new UsageError(
      known.length === 0
        ? `There is no experiment ${experiment}: the database ${store.path} is empty.`
        : `There is no experiment ${experiment} in ${store.path}. There are: ${known.join(", ")}.`,
    )
  }
  const status = options.status?.split(",").map((name) => {
    const state = states.find((known) => known === name.trim())
    if (state === undefined) throw new UsageError(`--status takes ${states.join(", ")}, not ${name}.`)
    return state
  })
  return {
    experiment,
    arm: options.arm,
    status,
    tag: options.tag,
    since: options.since === undefined ? undefined : parseSince(options.since),
    where: options.where?.flatMap(parseWhere),
    removed: options.removed === true ? "only" : undefined,
    limit: options.limit,
  }
}

function listExperiments(store: Store, output: { json: boolean }): void {
  const rows = store.experiments.list().flatMap((row) =>
    store.experiments.profiles(row.name).map((profile) => ({
      experiment: row.name,
      profile,
      progress: store.experiments.progress(row.name, profile),
      task: row.task,
      updatedAt: row.updatedAt,
      question: row.question,
      tags: store.tags.of("experiment", row.name),
      note: row.note,
    })),
  )
  if (output.json) {
    process.stdout.write(`${json(rows)}\n`)
    return
  }
  if (rows.length === 0) {
    process.stdout.write(`No experiments yet. Start one with: ${programName()} run snella.vit.ts --quick\n`)
    return
  }
  const early = rows.some(({ progress }) => progress.stopped > 0)
  const tagged = rows.some(({ tags }) => tags.length > 0)
  process.stdout.write(
    `${textTable(
      [
        { title: "experiment" },
        { title: "profile" },
        { title: "done", align: "right" },
        ...(early ? [{ title: "stopped early", align: "right" } as const] : []),
        { title: "running", align: "right" },
        { title: "failed", align: "right" },
        { title: "updated" },
        ...(tagged ? [{ title: "tags" } as const] : []),
        { title: "question" },
      ],
      rows.map(({ experiment, profile, progress, updatedAt, question, tags }) => [
        experiment,
        profile,
        `${progress.completed}/${progress.total}`,
        ...(early ? [String(progress.stopped)] : []),
        String(progress.running + progress.queued),
        String(progress.failed),
        ago(Number(updatedAt)),
        ...(tagged ? [tags.join(", ")] : []),
        question ?? "",
      ]),
      terminalWidth(),
    )}\n`,
  )
}

/** Counting further would take longer than the page itself. */
const mostCounted = 1000

function listRuns(store: Store, filter: RunFilter, output: { json: boolean }): void {
  const row = filter.experiment === undefined ? undefined : store.experiments.get(filter.experiment)
  const compare =
    row === undefined ? [] : typeof row.compare === "string" ? (JSON.parse(row.compare) as string[]) : row.compare
  const runs = store.queries.runs({ ...filter, metrics: compare })
  if (output.json) {
    process.stdout.write(`${json(runs.map(({ id, ...rest }) => ({ runId: id, ...rest })))}\n`)
    return
  }
  if (runs.length === 0) {
    process.stdout.write("No runs match.\n")
    return
  }
  const elapsed = (run: RunListItem) =>
    run.startedAt === null ? "" : duration((run.finishedAt ?? run.heartbeatAt ?? run.startedAt) - run.startedAt)
  // Columns that nobody has filled take no room.
  const optional = (
    [
      ["name", (run) => run.name ?? ""],
      ["tags", (run) => run.tags.join(", ")],
      ["note", (run) => run.note?.split("\n")[0] ?? ""],
      ["error", (run) => errorText(run.error)],
    ] as readonly (readonly [string, (run: RunListItem) => string])[]
  ).filter(([, text]) => runs.some((run) => text(run) !== ""))
  process.stdout.write(
    `${textTable(
      [
        { title: "run", align: "right" },
        ...(row === undefined ? [{ title: "experiment" } as const] : []),
        { title: "condition" },
        { title: "phase" },
        { title: "seed", align: "right" },
        { title: "status" },
        { title: "time", align: "right" },
        ...compare.map((title) => ({ title, align: "right" }) as const),
        ...optional.map(([title]) => ({ title })),
      ],
      runs.map((run) => [
        String(run.id),
        ...(row === undefined ? [run.experiment ?? ""] : []),
        run.condition ?? "",
        run.phase ?? "",
        String(run.seed),
        run.lost ? "lost" : run.status,
        elapsed(run),
        ...compare.map((metric) => (run.metrics[metric] === undefined ? "" : number(run.metrics[metric]))),
        ...optional.map(([, text]) => text(run)),
      ]),
      terminalWidth(),
    )}\n`,
  )
  if (runs.length < (filter.limit ?? 0)) return
  const all = store.queries.count(filter, Date.now(), mostCounted + 1)
  if (all > runs.length) {
    const many = all > mostCounted ? `more than ${mostCounted.toLocaleString("en-US")}` : String(all)
    process.stdout.write(style("dim", `${runs.length} of ${many} runs; --limit shows more\n`, process.stdout))
  }
}

/** The message of an error as the store keeps it: JSON text, plain text, or nothing. */
export function errorText(error: unknown): string {
  if (error === null || error === undefined) return ""
  if (typeof error === "string") {
    try {
      return errorText(JSON.parse(error))
    } catch {
      return error
    }
  }
  return typeof error === "object" && "message" in error ? String(error.message) : String(error)
}
