import { beside, heading, type Line, s } from "../line.ts"
import { sign, stateSigns } from "./run-line.ts"

const keys = [
  ["tab 1 2 3 4", "views: overview, runs, ranking, system"],
  ["↑ ↓ j k g G", "move; in a run, the one before or after"],
  ["enter", "open the experiment, the run"],
  ["esc", "back"],
  ["/", "filter by words, runs also by learningRate >= 0.01"],
  ["s", "sort runs: newest, metric, status, time; arms: plan, best"],
  ["l", "log of the run; ↑ ↓ scroll it, G follows it"],
  ["← →", "other curves of the run"],
  ["m", "smoothing of curves: off, 0.6, 0.9, 0.97"],
  ["y", "logarithmic scale of curves"],
  ["c", "cancel the run or the experiment (asks first)"],
  ["r", "retry a run that failed or was stopped (asks first)"],
  ["?", "this help"],
  ["q", "leave; trials go on, exp run shows its progress line"],
] as const

/** The keys, and what the signs mean. */
export function helpView(width: number, height: number): Line[] {
  const lines = keys.map(([key, what]): Line => [s(key.padEnd(13), { color: "cyan", bold: true }), s(what)])
  const signs = Object.keys(stateSigns).map(
    (status): Line => [sign(status), s(status === "stopped" ? " stopped early by the search" : ` ${status}`)],
  )
  signs.push([s("≈ "), s("not separated from the best by these seeds")])
  signs.push([s("best", { color: "green", bold: true }), s(" better than every other arm, p < 0.05 (Holm)")])
  if (width >= 120) {
    return beside(
      [
        { lines: [heading("keys"), ...lines], width: 76 },
        { lines: [heading("signs"), ...signs], width: width - 79 },
      ],
      3,
    )
  }
  if (height < lines.length + signs.length + 2) return lines
  return [heading("keys"), ...lines, heading("signs"), ...signs]
}
