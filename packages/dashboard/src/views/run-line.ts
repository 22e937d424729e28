import type { WatchedRun } from "@exp/store/watching"
import { bar } from "../braille-chart.ts"
import { fit } from "../cells.ts"
import { type Colour, type Line, type Span, s } from "../line.ts"
import { shortDuration, shortNumber } from "../safe-text.ts"

/** Sign and colour of each state; the help explains them. */
export const stateSigns: Readonly<Record<string, readonly [sign: string, colour: Colour | undefined]>> = {
  running: ["●", "cyan"],
  queued: ["○", undefined],
  completed: ["✓", "green"],
  failed: ["✗", "red"],
  stopped: ["▪", undefined],
  cancelled: ["■", "yellow"],
  interrupted: ["‖", "yellow"],
  lost: ["?", "red"],
}

/** What state a run is in, as people say it. */
export const statusOf = (run: WatchedRun): string => (run.lost ? "lost" : run.stopped ? "stopped" : run.status)

/** Seconds that a run took, or has taken so far; NaN before its start. */
export function secondsOf(run: WatchedRun, now: number): number {
  if (run.startedAt === null) return Number.NaN
  const end = run.finishedAt ?? (run.lost ? (run.heartbeatAt ?? run.startedAt) : now)
  return (end - run.startedAt) / 1000
}

/** Share of a run that is done, 0 to 1; NaN where it does not say. */
export const shareOf = (run: WatchedRun): number =>
  run.progressTotal ? Math.min(1, (run.progressDone ?? 0) / run.progressTotal) : Number.NaN

/** Seconds that a running run needs still, at its own pace; NaN before anything can be said. */
export function secondsLeftOf(run: WatchedRun, now: number): number {
  const share = shareOf(run)
  return run.status === "running" && !run.lost && share > 0.02
    ? (secondsOf(run, now) * (1 - share)) / share
    : Number.NaN
}

/** What a run is called in a list: its name, or its condition and seed. */
export const titleOf = (run: WatchedRun): string =>
  `${run.name ?? run.condition ?? run.trialId.slice(0, 8)} seed ${run.seed}${run.phase === "tune" ? " (tuning)" : ""}`

/** The sign of a state in its colour. */
export function sign(status: string): Span {
  const [text, color] = stateSigns[status] ?? ["·", undefined]
  return s(text, { color, dim: status === "queued" })
}

/** A progress bar with its share in per cent, in `cells` + 5 cells. */
export function progressBar(share: number, cells: number, color: Colour = "cyan"): Span[] {
  if (Number.isNaN(share)) return [s(" ".repeat(cells + 5))]
  const full = bar(share, cells)
  return [
    s(full, { color }),
    s("░".repeat(cells - full.length), { dim: true }),
    s(`${Math.floor(share * 100)}%`.padStart(5)),
  ]
}

/** One run in one line of `width` cells: number, state, what it is, how long, and progress or result or reason. */
export function runLine(run: WatchedRun, width: number, now: number): Line {
  const status = statusOf(run)
  const share = shareOf(run)
  const right = width >= 56 ? 17 : 0
  const name = Math.max(10, Math.min(40, width - 8 - 10 - right))
  const end: Line =
    right === 0
      ? []
      : status === "running" && !Number.isNaN(share)
        ? progressBar(share, right - 5)
        : run.error !== null && status !== "completed" && status !== "stopped"
          ? [s(fit(run.error, Math.max(right, width - 8 - 10 - name)), { color: "red", dim: true })]
          : [
              s(Number.isNaN(run.value) ? "" : shortNumber(run.value).padStart(right), {
                bold: status === "completed",
                dim: status !== "completed",
              }),
            ]
  return [
    s(String(run.id).padStart(5), { dim: true }),
    s(" "),
    sign(status),
    s(" "),
    s(fit(titleOf(run), name)),
    s(shortDuration(secondsOf(run, now)).padStart(8), { dim: true }),
    s("  "),
    ...end,
  ]
}
