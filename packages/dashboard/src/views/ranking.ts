import type { RankedCompetitor } from "@exp/ranking"
import { cellWidth, fit, wrap } from "../cells.ts"
import { emptyLine, type Line, s } from "../line.ts"
import { shortCount, shortNumber } from "../safe-text.ts"
import type { SampleRanking } from "../sample-ranking.ts"
import type { Snapshot } from "../watcher.ts"
import { experimentName } from "./overview.ts"
import { onScale, scaleOf, scaleTitle } from "./scale.ts"

export interface RankingViewState {
  readonly filter: string
  /** First line of the table that is shown. */
  readonly cursor: number
}

/** The ranking from results by sample, as `exp rank` has it; the arms by their means where there are none. */
export function rankingView(snapshot: Snapshot, state: RankingViewState, width: number, height: number): Line[] {
  const { selected, ranking } = snapshot
  const name = selected === undefined ? "imported results" : experimentName(selected)
  if (ranking === undefined) return leaderboard(snapshot, state, width, height)
  const busy = ranking.computing ? "  computing …" : ""
  if (ranking.ranking === undefined) {
    return [
      [s(`ranking of ${name}`, { bold: true }), s(busy, { color: "yellow" })],
      ...(ranking.problem === undefined
        ? []
        : wrap(ranking.problem, width, 3).map((text): Line => [s(text, { color: "yellow" })])),
    ]
  }
  return samples(ranking.ranking, name, busy, state, width, height)
}

const chosenOf = <T>(
  all: readonly T[],
  nameOf: (each: T) => string,
  state: RankingViewState,
  rows: number,
): readonly T[] => {
  const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean)
  const kept = all.filter((each) => words.every((word) => nameOf(each).toLowerCase().includes(word)))
  const first = Math.max(0, Math.min(state.cursor, kept.length - rows))
  return kept.slice(first, first + rows)
}

function samples(
  ranking: SampleRanking,
  name: string,
  busy: string,
  state: RankingViewState,
  width: number,
  height: number,
): Line[] {
  const { competitors, identifiable, reason } = ranking
  const lines: Line[] = [
    [
      s(`ranking of ${name}`, { bold: true }),
      s(ranking.metrics.length > 0 ? `  by ${ranking.metrics.join(", ")}` : ""),
      s(busy, { color: "yellow" }),
    ],
    [
      s(
        `${shortCount(ranking.comparisons)} comparisons (${shortCount(ranking.ties)} ties) on ${shortCount(ranking.samples)} samples; score: natural-log strength, mean 0`,
        { dim: true },
      ),
    ],
  ]
  if (!identifiable) {
    lines.push(...wrap(`No global ranking: ${reason}.`, width, 2).map((text): Line => [s(text, { color: "yellow" })]))
  }
  if (height >= 18) lines.push(emptyLine)
  const withInterval = width >= 80
  const fixed = 4 + 2 + 9 + (withInterval ? 22 : 0) + 2 + 8
  const label = Math.max(
    8,
    Math.min(32, width - fixed - 10, Math.max(10, ...competitors.map((each) => cellWidth(each.name)))),
  )
  // Bars are cut, never numbers: near-perfect competitors have strengths without measure.
  const cut = (x: number | null) => (x === null ? Number.NaN : Math.max(-8, Math.min(8, x)))
  const scale = scaleOf(
    competitors.flatMap((each) => [cut(each.low), cut(each.score), cut(each.high)]),
    Math.max(4, Math.min(60, width - fixed - label)),
  )
  lines.push([
    s("rank", { dim: true }),
    s(`  ${fit("competitor", label)}`, { dim: true }),
    s("score".padStart(9), { dim: true }),
    s(withInterval ? "95 % interval".padStart(22) : "", { dim: true }),
    s(`  ${scaleTitle(scale)}`, { dim: true }),
    s("  places", { dim: true }),
  ])
  const place = (each: RankedCompetitor) =>
    each.rankLow === null
      ? "–"
      : each.rankLow === each.rankHigh
        ? `${each.rankLow}`
        : `${each.rankLow}–${each.rankHigh}`
  const digits = (x: number | null) => (x === null ? "–" : Number.isFinite(x) ? x.toFixed(4) : shortNumber(x))
  for (const each of chosenOf(competitors, (one) => one.name, state, Math.max(1, height - lines.length))) {
    const first = each.componentRank === 1 && each.rankHigh === 1
    lines.push([
      s((each.componentRank === null ? "–" : String(each.componentRank)).padStart(4), { dim: true }),
      s(`  ${fit(each.name, label)}`, { bold: first, color: first ? "green" : undefined }),
      s(digits(each.score).padStart(9), { bold: each.score !== null }),
      ...(withInterval
        ? [s((each.low === null ? "" : `${digits(each.low)} … ${digits(each.high)}`).padStart(22), { dim: true })]
        : []),
      s("  "),
      ...onScale(scale, cut(each.low), cut(each.score), cut(each.high), {
        color: first ? "green" : "cyan",
        bold: true,
      }),
      s(place(each).padStart(8), { dim: true }),
    ])
  }
  return lines
}

/** Without results by sample: the arms by their means over seeds, with what separates each from the best. */
function leaderboard(snapshot: Snapshot, state: RankingViewState, width: number, height: number): Line[] {
  const { selected, arms } = snapshot
  if (selected === undefined)
    return [emptyLine, [s("  Nothing to rank: no experiment, and no imported results.", { dim: true })]]
  const sign = selected.goal === "max" ? -1 : 1
  const sorted = arms
    .filter((arm) => arm.n > 0)
    .sort((a, b) => sign * (a.mean - b.mean))
    .map((arm, i) => ({ ...arm, rank: i + 1 }))
  const all = [...sorted, ...arms.filter((arm) => arm.n === 0).map((arm) => ({ ...arm, rank: Number.NaN }))]
  const lines: Line[] = [
    [s(`leaderboard of ${experimentName(selected)}`, { bold: true }), s(`  by mean ${selected.metric} over seeds`)],
    [
      s(
        "No results by sample are recorded, so the arms are ranked by their means; p: paired t tests against the best, Holm-corrected.",
        { dim: true },
      ),
    ],
  ]
  if (height >= 18) lines.push(emptyLine)
  const withInterval = width >= 84
  const withTests = width >= 110
  const fixed = 4 + 2 + 8 + 11 + (withInterval ? 22 : 0) + (withTests ? 22 : 0) + 9
  const label = Math.max(8, Math.min(32, width - fixed - 10, Math.max(6, ...arms.map((arm) => cellWidth(arm.label)))))
  const scale = scaleOf(
    all.flatMap((arm) => [arm.low, arm.mean, arm.high]),
    Math.max(4, Math.min(60, width - fixed - label)),
  )
  lines.push([
    s("rank", { dim: true }),
    s(`  ${fit("arm", label)}`, { dim: true }),
    s("seeds".padStart(8), { dim: true }),
    s("mean".padStart(11), { dim: true }),
    s(withInterval ? "95 % interval".padStart(22) : "", { dim: true }),
    s(`  ${scaleTitle(scale)}`, { dim: true }),
    s(withTests ? "behind".padStart(12) + "p".padStart(10) : "", { dim: true }),
  ])
  for (const arm of chosenOf(all, (one) => one.label, state, Math.max(1, height - lines.length))) {
    const none = arm.n === 0
    const look = arm.supported ? ({ color: "green", bold: true } as const) : {}
    lines.push([
      s((none ? "–" : String(arm.rank)).padStart(4), { dim: true }),
      s(`  ${fit(arm.label, label)}`, { ...look, dim: none }),
      s(`${arm.n}/${arm.planned}`.padStart(8), { dim: true }),
      s((none ? "–" : shortNumber(arm.mean)).padStart(11), { ...look, bold: !none, dim: none }),
      ...(withInterval
        ? [
            s((Number.isFinite(arm.low) ? `${shortNumber(arm.low)} … ${shortNumber(arm.high)}` : "").padStart(22), {
              dim: true,
            }),
          ]
        : []),
      s("  "),
      ...onScale(scale, arm.low, arm.mean, arm.high, { color: arm.supported ? "green" : "cyan", bold: true }),
      ...(withTests
        ? [
            s((Number.isNaN(arm.behind) ? "" : shortNumber(Math.abs(arm.behind))).padStart(12), { dim: true }),
            s((Number.isNaN(arm.p) ? "" : arm.p < 0.001 ? "<0.001" : arm.p.toFixed(3)).padStart(10), { dim: true }),
          ]
        : []),
      s(arm.supported ? "  best" : arm.tied && !none ? "  ≈" : "", look),
    ])
  }
  return lines
}
