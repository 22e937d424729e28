import { Box, Text } from "ink"
import { brailleChart } from "../braille-chart.ts"
import { h } from "../element.ts"
import { safeText, shortDuration, shortNumber } from "../safe-text.ts"
import type { RunDetail } from "../snapshot.ts"
import { secondsOf, statusOf } from "./run-line.ts"

const curveColours = ["cyan", "magenta", "yellow", "green"]

/** What the detail view is set to. */
export interface DetailState {
  readonly logs: boolean
  readonly smoothing: number
  readonly logScale: boolean
}

/** The message of a recorded error. */
export function errorMessage(error: string | null): string {
  if (error === null) return ""
  try {
    const parsed: unknown = JSON.parse(error)
    if (typeof parsed === "object" && parsed !== null && "message" in parsed) return String(parsed.message)
  } catch {
    // It is plain text.
  }
  return error
}

/** One run: state, config, curves, current values, and its log on demand. */
export function runDetailView(detail: RunDetail | undefined, state: DetailState, width: number, height: number) {
  if (detail === undefined) return h(Text, { dimColor: true }, "this run is not in the database")
  const { run, summaries, logs, curves } = detail
  const config = safeText(JSON.stringify(run.config))
  const head = [
    h(
      Text,
      { key: "head", wrap: "truncate" },
      `run ${run.id}  ${safeText(run.condition ?? "")} seed ${run.seed}  ${statusOf(run)}  ${shortDuration(secondsOf(run))}  ${run.device ?? ""}  attempt ${run.attempt}`,
    ),
    h(Text, { key: "config", dimColor: true, wrap: "truncate" }, config),
    run.error === null
      ? null
      : h(Text, { key: "error", color: "red", wrap: "truncate" }, safeText(errorMessage(run.error))),
  ]
  const left = height - 3
  if (state.logs) {
    const lines = logs.slice(-Math.max(1, left))
    return h(
      Box,
      { flexDirection: "column" },
      ...head,
      ...lines.map((line) =>
        h(
          Text,
          {
            key: line.id,
            wrap: "truncate",
            color:
              line.level === "error" || line.level === "stderr" ? "red" : line.level === "warn" ? "yellow" : undefined,
          },
          `${new Date(line.time).toISOString().slice(11, 19)} ${line.level.padEnd(6)} ${safeText(line.message)}`,
        ),
      ),
      lines.length === 0 ? h(Text, { key: "none", dimColor: true }, "no log lines") : null,
    )
  }
  const valueRows = Math.max(1, Math.min(summaries.length, Math.floor(left / 3)))
  const chartHeight = Math.max(4, left - valueRows - 2)
  const charts = curves.slice(0, width >= 100 ? 2 : 1)
  const chartWidth = Math.floor(width / Math.max(1, charts.length)) - 2
  return h(
    Box,
    { flexDirection: "column" },
    ...head,
    h(
      Box,
      { key: "charts" },
      ...charts.map((curve, i) => {
        const chart = brailleChart([{ label: curve.metric, x: curve.x, y: curve.y }], {
          width: chartWidth,
          height: chartHeight,
          logY: state.logScale,
          smoothing: state.smoothing,
          xLabel: "step",
        })
        return h(
          Box,
          { key: curve.metric, flexDirection: "column", width: chartWidth + 2 },
          h(
            Text,
            { bold: true, wrap: "truncate" },
            `${safeText(curve.metric)}${state.logScale ? " (log)" : ""}${state.smoothing > 0 ? ` (smoothed ${state.smoothing})` : ""}`,
          ),
          ...chart.lines.map((line, row) =>
            h(
              Box,
              { key: row },
              h(Text, { dimColor: true }, line.slice(0, chart.plotLeft)),
              h(
                Text,
                {
                  color: row < chart.lines.length - 2 ? curveColours[i] : undefined,
                  dimColor: row >= chart.lines.length - 2,
                  wrap: "truncate",
                },
                line.slice(chart.plotLeft),
              ),
            ),
          ),
        )
      }),
    ),
    ...summaries
      .slice(0, valueRows)
      .map((s) =>
        h(
          Text,
          { key: s.metric, wrap: "truncate" },
          `${safeText(s.metric).padEnd(30)} ${shortNumber(s.last).padStart(11)}  min ${shortNumber(s.min)}  max ${shortNumber(s.max)}  ${s.count} points`,
        ),
      ),
  )
}
