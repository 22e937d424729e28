import { Box, Text } from "ink"
import { bar, intervalBar } from "../braille-chart.ts"
import { h } from "../element.ts"
import { safeText, shortDuration, shortNumber } from "../safe-text.ts"
import type { ExperimentLine, Snapshot } from "../snapshot.ts"
import { runLine } from "./run-line.ts"

const barWidth = 24

const fullName = (line: ExperimentLine): string =>
  safeText(line.profile === "default" ? line.name : `${line.name} (${line.profile})`)

/** One experiment: name, progress bar, counts, time left. */
export function experimentLine(line: ExperimentLine, selected: boolean, width: number, nameWidth: number) {
  const share = line.total === 0 ? 0 : line.completed / line.total
  const name = fullName(line)
  const shown = name.length > nameWidth ? `${name.slice(0, nameWidth - 1)}…` : name.padEnd(nameWidth)
  const counts = [
    `${line.completed}/${line.total}`,
    line.running > 0 ? `${line.running} running` : "",
    line.failed > 0 ? `${line.failed} failed` : "",
    line.lost > 0 ? `${line.lost} lost` : "",
    Number.isFinite(line.secondsLeft) ? `~${shortDuration(line.secondsLeft)} left` : "",
  ].filter(Boolean)
  const cells = Math.min(barWidth, Math.max(8, Math.floor(width / 5)))
  return h(
    Box,
    { key: `${line.name} ${line.profile}` },
    h(
      Text,
      { color: selected ? "cyan" : undefined, bold: selected, wrap: "truncate" },
      `${selected ? "❯ " : "  "}${shown}  `,
    ),
    h(Text, { color: line.failed > 0 ? "yellow" : "green" }, bar(share, cells).padEnd(cells, "░")),
    h(Text, { wrap: "truncate" }, `  ${counts.join("  ")}`),
  )
}

/** The arms of the selected experiment with their intervals on a common scale. */
export function armTable(snapshot: Snapshot, width: number, rows: number) {
  const { overview, selected } = snapshot
  if (overview === undefined || selected === undefined) return []
  const arms = overview.arms.slice(0, Math.max(1, rows))
  const finite = arms.flatMap((arm) => [arm.low, arm.high, arm.mean]).filter(Number.isFinite)
  const [from, to] = [Math.min(...finite), Math.max(...finite)]
  const labelWidth = Math.min(28, Math.max(6, ...arms.map((arm) => arm.label.length)))
  const scaleWidth = Math.max(0, Math.min(48, width - labelWidth - 34))
  const title = `${"arm".padEnd(labelWidth)}  ${"n".padStart(7)}  ${safeText(selected.metric).slice(0, 14).padStart(14)}`
  return [
    h(Text, { key: "title", dimColor: true, wrap: "truncate" }, title),
    ...arms.map((arm) => {
      const label = safeText(arm.label)
      const shown = label.length > labelWidth ? `${label.slice(0, labelWidth - 1)}…` : label.padEnd(labelWidth)
      const scale = scaleWidth > 8 ? intervalBar(arm.low, arm.mean, arm.high, from, to, scaleWidth) : ""
      return h(
        Box,
        { key: arm.label },
        h(Text, { bold: arm.supported, color: arm.supported ? "green" : undefined }, shown),
        h(Text, { dimColor: true }, `  ${`${arm.n}/${arm.planned}`.padStart(7)}`),
        h(Text, { bold: arm.supported }, `  ${(arm.n > 0 ? shortNumber(arm.mean) : "–").padStart(14)}`),
        h(Text, { color: "cyan", wrap: "truncate" }, `  ${scale}`),
        arm.supported ? h(Text, { color: "green" }, " best") : null,
      )
    }),
    ...(overview.arms.length > arms.length
      ? [h(Text, { key: "more", dimColor: true }, `… and ${overview.arms.length - arms.length} more arms`)]
      : []),
  ]
}

/** Experiments, arms, what runs now and what ended last, fitted to `width` × `height`. */
export function overviewView(snapshot: Snapshot, width: number, height: number) {
  const { experiments, selected, overview } = snapshot
  const shown = experiments.slice(0, Math.max(1, Math.min(experiments.length, Math.floor(height / 4))))
  if (selected !== undefined && !shown.includes(selected)) shown[shown.length - 1] = selected
  const nameWidth = Math.min(Math.floor(width / 3), Math.max(...shown.map((line) => fullName(line).length)))
  const left = height - shown.length - 2
  const running = (overview?.running ?? []).slice(0, Math.max(0, Math.min(4, Math.floor(left / 4))))
  const armRows = Math.max(1, Math.min((overview?.arms.length ?? 0) + 1, left - running.length - 3))
  const recentRows = Math.max(0, left - armRows - running.length - 3)
  return h(
    Box,
    { flexDirection: "column" },
    ...shown.map((line) => experimentLine(line, line === selected, width, nameWidth)),
    selected?.question
      ? h(Text, { key: "question", italic: true, wrap: "truncate" }, safeText(selected.question))
      : null,
    ...armTable(snapshot, width, armRows),
    running.length > 0 ? h(Text, { key: "running", dimColor: true }, "running") : null,
    ...running.map((run) => runLine(run, { width, selected: false, metric: selected?.metric ?? "" })),
    recentRows > 1 ? h(Text, { key: "recent", dimColor: true }, "ended last") : null,
    ...(overview?.recent ?? [])
      .slice(0, Math.max(0, recentRows - 1))
      .map((run) => runLine(run, { width, selected: false, metric: selected?.metric ?? "" })),
  )
}
