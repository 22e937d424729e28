import type { LogLine } from "@exp/store"
import { cellWidth, fit, truncate, wrap } from "../cells.ts"
import { beside, type Colour, cutLine, emptyLine, heading, type Line, type Span, s } from "../line.ts"
import type { MachineState } from "../machine.ts"
import { shortBytes, shortDuration, shortNumber } from "../safe-text.ts"
import type { RunDetail } from "../watcher.ts"
import { type ChartState, chartLines } from "./chart.ts"
import { wholeDuration } from "./overview.ts"
import { progressBar, secondsLeftOf, secondsOf, shareOf, sign, statusOf, titleOf } from "./run-line.ts"

const curveColours: readonly Colour[] = ["cyan", "magenta", "yellow", "green", "blue", "red"]

/** What the view of a run is set to. */
export interface DetailState extends ChartState {
  readonly logs: boolean
  /** Lines above the end at which the log stands; 0 follows it. */
  readonly scroll: number
  readonly filter: string
  readonly firstChart: number
  readonly now: number
}

/** How charts are laid out in a body of `width` × `height`. */
export function chartGrid(
  width: number,
  height: number,
): { readonly across: number; readonly down: number; readonly columns: number } {
  const across = width >= 200 ? 3 : width >= 90 ? 2 : 1
  const down = height >= 44 ? 2 : 1
  return { across, down, columns: Math.floor(width / across) - 10 }
}

/** The log lines that the filter keeps. */
export const filteredLogs = (logs: readonly LogLine[], filter: string): readonly LogLine[] => {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean)
  return words.length === 0
    ? logs
    : logs.filter((line) => words.every((word) => `${line.level} ${line.message}`.toLowerCase().includes(word)))
}

/** One run: state, resources, config, curves, current values, and its log. */
export function runDetailView(
  detail: RunDetail | undefined,
  state: DetailState,
  machine: MachineState | undefined,
  width: number,
  height: number,
): Line[] {
  if (detail === undefined) return [[s("this run is not in the database", { dim: true })]]
  const head = headLines(detail, state, machine, width, height)
  const left = height - head.length
  if (state.logs) return [...head, ...logLines(detail.logs, state, width, left)]
  const { summaries, curves } = detail
  const across = Math.max(1, Math.min(3, Math.floor(width / 52)))
  const valueRows = Math.min(Math.ceil(summaries.length / across), Math.max(1, Math.floor(left / 4)))
  const logRows = left >= 22 ? Math.min(Math.max(detail.logs.length, 0), Math.floor(left / 5)) : 0
  const chartRows = left - valueRows - (logRows > 0 ? logRows + 1 : 0) - (left >= 16 ? 1 : 0)
  const lines = [...head]
  if (curves.length > 0 && chartRows >= 4) lines.push(...charts(detail, state, width, chartRows))
  else if (curves.length === 0) lines.push([s("no curve yet", { dim: true })])
  if (left >= 16)
    lines.push(
      heading(
        detail.curved > curves.length
          ? `values  (← → show other curves: ${state.firstChart + 1}–${state.firstChart + curves.length} of ${detail.curved})`
          : "values",
      ),
    )
  lines.push(...values(detail, across, valueRows, width))
  if (logRows > 0) lines.push(heading("log"), ...detail.logs.slice(-logRows).map((line) => logLine(line, width)))
  return lines
}

function headLines(
  detail: RunDetail,
  state: DetailState,
  machine: MachineState | undefined,
  width: number,
  height: number,
): Line[] {
  const { run, config } = detail
  const status = statusOf(run)
  const left = secondsLeftOf(run, state.now)
  const head: Line = [
    s(`run ${run.id}  `, { bold: true }),
    sign(status),
    s(` ${status}  `),
    s(titleOf(run), { bold: true, color: "cyan" }),
    s(`  ${shortDuration(secondsOf(run, state.now))}  `),
    ...(status === "running" && !Number.isNaN(shareOf(run)) ? progressBar(shareOf(run), width >= 90 ? 16 : 8) : []),
    s(Number.isNaN(left) ? "" : `  ${wholeDuration(left)} left`, { color: "cyan" }),
  ]
  const here =
    machine !== undefined && run.host === machine.host && run.pid !== null ? machine.processes.get(run.pid) : undefined
  const busy = here === undefined || Number.isNaN(here.busy) ? "" : `${Math.round(here.busy * 100)} % of a core`
  const places = [
    run.device ?? "",
    run.host === null ? "" : `on ${run.host}`,
    run.pid === null || status !== "running" ? "" : `process ${run.pid}`,
    busy,
    here === undefined ? "" : shortBytes(here.bytes),
    `attempt ${run.attempt}`,
    run.startedAt === null ? "" : `started ${new Date(run.startedAt).toTimeString().slice(0, 8)}`,
    run.experiment === null ? "" : `${run.experiment}${run.profile === "default" ? "" : ` (${run.profile})`}`,
  ].filter(Boolean)
  const lines: Line[] = [cutLine(head, width)]
  if (height >= 12) lines.push([s(truncate(places.join(" · "), width), { dim: true })])
  lines.push(...configLines(config, width, height >= 40 ? 4 : height >= 22 ? 2 : 1))
  if (run.error !== null && status !== "completed") {
    lines.push(
      ...wrap(run.error.replaceAll(/\s+/g, " "), width, height >= 22 ? 3 : 1).map(
        (text): Line => [s(text, { color: "red" })],
      ),
    )
  }
  if (height >= 22) lines.push(emptyLine)
  return lines
}

/** Config values in running text: dim names, plain values. */
function configLines(config: RunDetail["config"], width: number, rows: number): Line[] {
  const lines: Span[][] = [[]]
  let used = 0
  for (const [i, [path, value]] of config.entries()) {
    const cells = cellWidth(path) + cellWidth(value) + 3
    if (used > 0 && used + cells > width) {
      if (lines.length === rows) {
        lines.at(-1)!.push(s(`… ${config.length - i} more`, { dim: true }))
        break
      }
      lines.push([])
      used = 0
    }
    lines.at(-1)!.push(s(`${path} `, { dim: true }), s(`${value}  `))
    used += cells
  }
  return lines.map((line) => cutLine(line, width))
}

function charts(detail: RunDetail, state: DetailState, width: number, height: number): Line[] {
  const grid = chartGrid(width, height + 8)
  const { curves } = detail
  const across = Math.min(grid.across, curves.length)
  const down = Math.min(Math.ceil(curves.length / across), height >= 24 ? grid.down : 1)
  const cells = Math.floor((width - 2 * (across - 1)) / across)
  const rows = Math.floor(height / down)
  return Array.from({ length: down }, (_, row) =>
    beside(
      curves.slice(row * across, (row + 1) * across).map((curve, i) => ({
        width: cells,
        lines: chartLines(
          curve,
          state,
          curveColours[(state.firstChart + row * across + i) % curveColours.length]!,
          cells,
          rows,
        ),
      })),
      2,
    ),
  ).flat()
}

function values(detail: RunDetail, across: number, rows: number, width: number): Line[] {
  const { summaries } = detail
  const shown = summaries.slice(0, across * rows)
  const cells = Math.floor((width - 2 * (across - 1)) / across)
  const name = Math.max(10, Math.min(26, cells - 40))
  const blocks = Array.from({ length: across }, (_, i) => ({
    width: cells,
    lines: shown
      .slice(i * rows, (i + 1) * rows)
      .map(
        (each): Line => [
          s(fit(each.metric, name), { dim: true }),
          s(shortNumber(each.last).padStart(10), { bold: true }),
          s(each.count > 1 ? `  min ${shortNumber(each.min)}  max ${shortNumber(each.max)}` : "", { dim: true }),
          s(each.nanCount > 0 ? `  ${each.nanCount} NaN` : "", { color: "red" }),
        ],
      ),
  }))
  return beside(blocks, 2)
}

const levelColours: Readonly<Record<string, Colour>> = { error: "red", stderr: "red", warn: "yellow" }

function logLine(line: LogLine, width: number): Line {
  const fields = line.fields === undefined ? "" : ` ${JSON.stringify(line.fields)}`
  return cutLine(
    [
      s(`${new Date(line.time).toTimeString().slice(0, 8)} `, { dim: true }),
      s(line.level.padEnd(7), { color: levelColours[line.level], dim: levelColours[line.level] === undefined }),
      s(line.message, { color: levelColours[line.level] }),
      s(fields, { dim: true }),
    ],
    width,
  )
}

function logLines(logs: readonly LogLine[], state: DetailState, width: number, height: number): Line[] {
  const kept = filteredLogs(logs, state.filter)
  const rows = Math.max(1, height - 1)
  const end = Math.max(Math.min(rows, kept.length), kept.length - state.scroll)
  const where =
    state.scroll > 0 ? `${Math.max(0, kept.length - end)} newer lines below, G follows again` : "follows the end"
  return [
    [s(`log  ${kept.length} lines`, { bold: true, color: "blue" }), s(`  ${where}`, { dim: true })],
    ...kept.slice(Math.max(0, end - rows), end).map((line) => logLine(line, width)),
    ...(kept.length === 0 ? [[s(logs.length === 0 ? "no log lines yet" : "no line matches", { dim: true })]] : []),
  ]
}
