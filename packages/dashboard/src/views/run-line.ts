import type { RunListItem } from "@exp/store"
import { Box, Text } from "ink"
import { bar } from "../braille-chart.ts"
import { h } from "../element.ts"
import { safeText, shortDuration, shortNumber } from "../safe-text.ts"

const colours: Readonly<Record<string, string>> = {
  running: "cyan",
  completed: "green",
  failed: "red",
  cancelled: "yellow",
  interrupted: "yellow",
  lost: "red",
  queued: "gray",
}

/** What state a run is in, as people say it. */
export const statusOf = (run: RunListItem): string => (run.lost ? "lost" : run.status)

/** Seconds that a run took, or has taken so far. */
export function secondsOf(run: RunListItem, now = Date.now()): number {
  if (run.startedAt === null) return Number.NaN
  const end = run.finishedAt ?? (run.lost ? (run.heartbeatAt ?? run.startedAt) : now)
  return (end - run.startedAt) / 1000
}

/** One run in one line. */
export function runLine(run: RunListItem, options: { width: number; selected: boolean; metric: string }) {
  const status = statusOf(run)
  const value = run.metrics[options.metric]
  const total = run.progressTotal ?? 0
  const share = total > 0 ? (run.progressDone ?? 0) / total : 0
  const name = safeText(
    `${run.condition ?? run.trialId.slice(0, 8)} seed ${run.seed}${run.phase === "tune" ? " (tuning)" : ""}`,
  )
  const width = Math.max(12, Math.min(44, options.width - 44))
  const right =
    status === "running" && total > 0
      ? `${bar(share, 12).padEnd(12, "░")} ${String(Math.floor(share * 100)).padStart(3)}%`
      : value === undefined
        ? ""
        : shortNumber(value).padStart(10)
  return h(
    Box,
    { key: run.id },
    h(Text, { color: options.selected ? "cyan" : undefined }, options.selected ? "❯" : " "),
    h(Text, { dimColor: true }, `${String(run.id).padStart(6)} `),
    h(Text, { color: colours[status] }, status.padEnd(12)),
    h(Text, { bold: options.selected }, name.length > width ? `${name.slice(0, width - 1)}…` : name.padEnd(width)),
    h(Text, { dimColor: true }, shortDuration(secondsOf(run)).padStart(8)),
    h(Text, { wrap: "truncate" }, `  ${right}`),
  )
}
