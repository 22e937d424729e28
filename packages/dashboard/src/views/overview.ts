import type { ArmLine } from "../arms.ts"
import { bar } from "../braille-chart.ts"
import { cellWidth, fit, wrap } from "../cells.ts"
import { beside, cutLine, emptyLine, heading, type Line, type Span, s } from "../line.ts"
import { shortDuration, shortNumber } from "../safe-text.ts"
import type { ExperimentLine, Snapshot } from "../watcher.ts"
import { runLine, sign } from "./run-line.ts"
import { onScale, scaleOf, scaleTitle } from "./scale.ts"

export const experimentName = (line: { readonly name: string; readonly profile: string }): string =>
  line.profile === "default" ? line.name : `${line.name} (${line.profile})`

/** Counts of an experiment behind its bar; with words where there is room. */
function counts(line: ExperimentLine, now: number, words: boolean): Line {
  const parts: Span[] = []
  const add = (n: number, state: string, word: string) => {
    if (n === 0) return
    parts.push(s("  "), sign(state), s(words ? ` ${n} ${word}` : ` ${n}`))
  }
  add(line.running, "running", "running")
  add(line.queued, "queued", "queued")
  add(line.failed, "failed", "failed")
  add(line.lost, "lost", "lost")
  add(line.halted, "cancelled", "cancelled or interrupted")
  const left = (line.endsAt - now) / 1000
  if (Number.isFinite(left)) parts.push(s("  "), s(`${wholeDuration(left)} left`, { color: "cyan" }))
  return parts
}

/** Seconds for a time that is only estimated: no tenths. */
export const wholeDuration = (seconds: number): string =>
  seconds < 60 ? `${Math.max(0, Math.round(seconds))}s` : shortDuration(seconds)

/** One experiment in one line: name, progress bar, counts, time left. */
function experimentLine(line: ExperimentLine, chosen: boolean, name: number, width: number, now: number): Line {
  const cells = Math.max(8, Math.min(24, Math.floor(width / 6)))
  const share = line.total === 0 ? 0 : line.completed / line.total
  const full = bar(share, cells)
  const done = `${line.completed}/${line.total}`
  const finished = line.completed === line.total && line.total > 0
  return cutLine(
    [
      s(chosen ? "❯ " : "  ", { color: "cyan", bold: true }),
      s(fit(experimentName(line), name), { bold: chosen, color: chosen ? "cyan" : undefined }),
      s("  "),
      s(full, { color: finished ? "green" : line.failed > 0 ? "yellow" : "cyan" }),
      s("░".repeat(cells - full.length), { dim: true }),
      s(done.padStart(10)),
      ...counts(line, now, width >= 96),
    ],
    width,
  )
}

/** The part of a list around its chosen entry. */
export function windowOf<T>(
  all: readonly T[],
  chosen: number,
  rows: number,
): { readonly first: number; readonly shown: readonly T[] } {
  const first = Math.max(0, Math.min(chosen - Math.floor(rows / 2), all.length - rows))
  return { first, shown: all.slice(first, first + rows) }
}

/** The arms with their means and intervals on a common scale; title first. */
export function armTable(snapshot: Snapshot, sort: "plan" | "best", width: number, rows: number): Line[] {
  const { selected, arms } = snapshot
  if (selected === undefined || arms.length === 0) return []
  const sign = selected.goal === "max" ? -1 : 1
  const order = (arm: ArmLine) => (Number.isNaN(arm.mean) ? Number.POSITIVE_INFINITY : sign * arm.mean)
  const all = sort === "best" ? [...arms].sort((a, b) => order(a) - order(b)) : arms
  const shown = all.slice(0, all.length > rows - 1 ? Math.max(1, rows - 2) : rows)
  const withInterval = width >= 84
  const withPlot = width >= 44
  const fixed = 2 + 9 + 14 + (withInterval ? 21 : 0) + 7
  const label = Math.max(6, Math.min(width - fixed - 14, 30, Math.max(3, ...arms.map((arm) => cellWidth(arm.label)))))
  const scale = scaleOf(
    shown.flatMap((arm) => [arm.low, arm.mean, arm.high]),
    withPlot ? Math.max(4, Math.min(48, width - fixed - label - 2)) : 0,
  )
  const metric = selected.metric
  const title: Line = [
    s("  "),
    s(fit("arm", label), { dim: true }),
    s("seeds".padStart(9), { dim: true }),
    s(` ${fit(metric, 13, "right")}`, { dim: true }),
    ...(withInterval ? [s("95 % interval".padStart(21), { dim: true })] : []),
    s(withPlot ? `  ${scaleTitle(scale)}` : "", { dim: true }),
  ]
  const lines = shown.map((arm): Line => {
    const look = arm.supported ? ({ color: "green", bold: true } as const) : {}
    const none = arm.n === 0
    const known = Number.isFinite(arm.low)
    return [
      s("  "),
      s(fit(arm.label, label), { ...look, dim: none }),
      s(`${arm.n}/${arm.planned}`.padStart(9), { dim: true }),
      s((none ? (arm.diverged > 0 ? "diverged" : "–") : shortNumber(arm.mean)).padStart(14), {
        bold: !none,
        color: look.color,
        dim: none,
      }),
      ...(withInterval
        ? [s((known ? `${shortNumber(arm.low)} … ${shortNumber(arm.high)}` : "").padStart(21), { dim: true })]
        : []),
      s("  "),
      ...onScale(scale, arm.low, arm.mean, arm.high, { color: arm.supported ? "green" : "cyan", bold: true }),
      s(
        arm.supported
          ? " best"
          : arm.diverged > 0 && !none
            ? ` ${arm.diverged} NaN`
            : arm.tied && arms.length > 1 && !none
              ? " ≈"
              : "",
        arm.supported ? look : { color: arm.diverged > 0 ? "red" : undefined, dim: arm.diverged === 0 },
      ),
    ]
  })
  const rest = all.length - shown.length
  return [title, ...lines, ...(rest > 0 ? [[s(`  … ${rest} more: view 3, ranking, has them all`, { dim: true })]] : [])]
}

/** Experiments, arms, what runs now and what ended last, fitted to `width` × `height`. */
export function overviewView(
  snapshot: Snapshot,
  state: { readonly now: number; readonly sort: "plan" | "best"; readonly experiments: readonly ExperimentLine[] },
  width: number,
  height: number,
): Line[] {
  const { selected, live, ended, arms } = snapshot
  const { now, experiments } = state
  if (selected === undefined) {
    return [
      emptyLine,
      [s("  No experiments yet. Start one in another terminal:  exp run snella.vit.ts --quick", { dim: true })],
    ]
  }
  const wide = width >= 150
  const left = wide ? Math.floor(width * 0.58) : width
  const most = Math.max(1, Math.min(experiments.length, wide ? Math.floor(height / 3) : Math.floor(height / 4)))
  const at = Math.max(0, experiments.indexOf(selected))
  const { shown } = windowOf(experiments, at, most)
  const name = Math.min(Math.floor(left / 3), Math.max(8, ...shown.map((line) => cellWidth(experimentName(line)))))
  const roomy = height >= 22
  const lines: Line[] = [
    ...(roomy
      ? [heading(experiments.length > shown.length ? `experiments (${experiments.length})` : "experiments")]
      : []),
    ...shown.map((line) => experimentLine(line, line === selected, name, left, now)),
  ]
  if (roomy) lines.push(emptyLine)
  if (selected.question !== null && selected.question !== "") {
    const rows = height >= 30 ? 2 : 1
    lines.push(
      ...wrap(selected.question.replaceAll(/\s+/g, " "), left - 4, rows).map(
        (text): Line => [s(`  ${text}`, { italic: true })],
      ),
    )
  }
  const own = live.filter((run) => run.experiment === selected.name && run.profile === selected.profile)
  const runningRows = wide
    ? Math.min(own.length, Math.floor(height / 2))
    : Math.min(own.length, 4, Math.floor((height - lines.length) / 4))
  const below = wide || runningRows === 0 ? 0 : runningRows + 1
  const room = height - lines.length - below - (wide ? 0 : Math.min(ended.length, 2) + 1)
  lines.push(...armTable(snapshot, state.sort, left, Math.max(2, Math.min(arms.length + 1, room))))
  const list = (title: string, runs: typeof live, rows: number, cells: number): Line[] =>
    rows < 1 || runs.length === 0
      ? []
      : [heading(title), ...runs.slice(0, rows).map((run) => cutLine(runLine(run, cells, now), cells))]
  if (wide) {
    const cells = width - left - 3
    const right = list("running", own, runningRows, cells)
    if (right.length > 0) right.push(emptyLine)
    right.push(...list("ended last", ended, height - right.length - 1, cells))
    return beside(
      [
        { lines, width: left },
        { lines: right, width: cells },
      ],
      3,
    )
  }
  if (roomy) lines.push(emptyLine)
  lines.push(...list("running", own, runningRows, width))
  lines.push(...list("ended last", ended, height - lines.length - 1, width))
  return lines
}
