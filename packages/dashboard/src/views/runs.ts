import type { WatchedRun } from "@exp/store/watching"
import { fit } from "../cells.ts"
import { emptyLine, type Line, type Span, s } from "../line.ts"
import { shortDuration, shortNumber } from "../safe-text.ts"
import type { Snapshot, Sort } from "../watcher.ts"
import { experimentName, windowOf } from "./overview.ts"
import { progressBar, secondsOf, shareOf, sign, statusOf } from "./run-line.ts"

interface Column {
  readonly title: string
  readonly width: number
  readonly right?: boolean
  readonly cell: (run: WatchedRun) => string | readonly Span[]
}

/** The columns that fit, the more telling ones first. */
function columnsFor(width: number, metric: string, now: number): Column[] {
  const progress = width >= 100 ? 16 : 8
  const all: (Column & { readonly from: number })[] = [
    { from: 0, title: "run", width: 6, right: true, cell: (run) => String(run.id) },
    { from: 0, title: "state", width: 13, cell: (run) => [sign(statusOf(run)), s(` ${statusOf(run).padEnd(11)}`)] },
    { from: 0, title: "condition", width: 0, cell: (run) => run.name ?? run.condition ?? run.trialId.slice(0, 8) },
    { from: 0, title: "seed", width: 4, right: true, cell: (run) => String(run.seed) },
    { from: 92, title: "phase", width: 7, cell: (run) => run.phase ?? "" },
    { from: 120, title: "try", width: 3, right: true, cell: (run) => String(run.attempt) },
    { from: 0, title: "took", width: 7, right: true, cell: (run) => shortDuration(secondsOf(run, now)) },
    {
      from: 130,
      title: "started",
      width: 8,
      cell: (run) => (run.startedAt === null ? "" : new Date(run.startedAt).toTimeString().slice(0, 8)),
    },
    { from: 140, title: "device", width: 8, cell: (run) => run.device ?? "" },
    {
      from: 0,
      title: metric,
      width: width >= 80 ? Math.max(9, Math.min(16, metric.length)) : 9,
      right: true,
      cell: (run) => (Number.isNaN(run.value) ? "" : shortNumber(run.value)),
    },
    {
      from: 66,
      title: "progress",
      width: progress + 5,
      cell: (run) => (statusOf(run) === "running" ? progressBar(shareOf(run), progress) : ""),
    },
    { from: 160, title: "reason", width: 60, cell: (run) => (run.status === "completed" ? "" : (run.error ?? "")) },
  ]
  const kept = all.filter((column) => width >= column.from)
  const fixed = kept.reduce((sum, column) => sum + column.width + 2, 2)
  const flexible = Math.max(8, Math.min(60, width - fixed))
  return kept.map((column) => (column.title === "condition" ? { ...column, width: flexible } : column))
}

/** The runs of the selected experiment, with the chosen one in view. */
export function runsView(
  snapshot: Snapshot,
  state: { readonly cursor: number; readonly sort: Sort; readonly filter: string; readonly now: number },
  width: number,
  height: number,
): Line[] {
  const { selected, runs, allRuns, filterProblem } = snapshot
  if (selected === undefined) return [emptyLine, [s("  No experiments yet.", { dim: true })]]
  const columns = columnsFor(width, selected.metric, state.now)
  const found = runs.length === allRuns ? `${allRuns} runs` : `${runs.length} of ${allRuns} runs`
  const title: Line = [
    s(`${found} of ${experimentName(selected)}`, { bold: true }),
    s(`  sorted by ${state.sort === "metric" ? selected.metric : state.sort}`, { dim: true }),
  ]
  const head: Line = columns.flatMap((column, i) => [
    s(i === 0 ? "  " : "  "),
    s(fit(column.title, column.width, column.right === true ? "right" : "left"), { dim: true }),
  ])
  const problem: Line[] = filterProblem === undefined ? [] : [[s(filterProblem, { color: "yellow" })]]
  const { first, shown } = windowOf(runs, state.cursor, Math.max(1, height - 2 - problem.length))
  const lines = shown.map((run, i): Line => {
    const chosen = first + i === state.cursor
    return columns.flatMap((column, at): Span[] => {
      const cell = column.cell(run)
      const lead = s(at === 0 && chosen ? "❯ " : "  ", { color: "cyan", bold: true })
      if (typeof cell !== "string") {
        const used = cell.reduce((sum, span) => sum + span.text.length, 0)
        return [lead, ...cell, s(" ".repeat(Math.max(0, column.width - used)))]
      }
      const dim = column.title === "run" || column.title === "took" || column.title === "started"
      return [
        lead,
        s(fit(cell, column.width, column.right === true ? "right" : "left"), {
          bold: chosen,
          dim: dim && !chosen,
          color: column.title === "reason" ? "red" : undefined,
        }),
      ]
    })
  })
  const none: Line[] =
    runs.length === 0 ? [[s(allRuns === 0 ? "  no runs yet" : "  no run matches", { dim: true })]] : []
  return [title, ...problem, head, ...lines, ...none]
}
