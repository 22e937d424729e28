import { type Ranking, type RankOptions, rank, selectSamples } from "@exp/ranking"
import { openStore } from "@exp/store"
import type { RankCommandOptions } from "./commands/rank.ts"
import { json } from "./json.ts"
import { type Pool, readPool } from "./rank/pool.ts"
import { type Selection, selectFrom } from "./rank/selection.ts"
import { type MissingReport, missingReport } from "./rank/suggestions.ts"
import { UsageError } from "./report-error.ts"
import { type Column, textTable } from "./table.ts"
import { plainText, style, terminalWidth } from "./terminal.ts"

/** The ranking of the samples that carry one value of the `--by` tag. */
interface Part {
  readonly value: string
  readonly ranking: Ranking
}

/**
 * `exp rank`.
 *
 * `--json` prints `{ identifiable, reason, components, comparisons, samples, competitors: [{ name, rank, score, se, low,
 * high, component, … }], … }`. Scores are natural-log strengths of mean 0. Where the comparisons do not determine one
 * ranking, `rank` is null throughout and `componentRank` holds inside each component.
 */
export async function rankCommand(
  experiments: readonly string[],
  options: RankCommandOptions,
  context: { readonly db: string; readonly json: boolean },
): Promise<void> {
  using store = openStore(context.db, { mode: "read" })
  if (options.fair !== undefined && options.select === undefined)
    throw new UsageError("--fair needs --select: it is a guarantee for a selection.")
  const pool = readPool(store, experiments, options)
  const settings: RankOptions = {
    tie: options.tie,
    weighting: options.weighting,
    seed: options.seed,
    ...(options.tolerance === undefined ? {} : { tolerance: options.tolerance }),
    ...(options.level === undefined ? {} : { level: options.level }),
    ...(options.bootstrap === undefined ? {} : { bootstrap: options.bootstrap === true ? 200 : options.bootstrap }),
  }
  const ranking = rank(
    { names: pool.names, results: pool.results, ...(pool.votes === undefined ? {} : { votes: pool.votes }) },
    settings,
  )
  const parts =
    options.by === undefined
      ? undefined
      : rankBy(
          pool,
          store.samples.tagValues(
            options.by,
            Int32Array.from(pool.samples, (s) => s.id),
          ),
          settings,
        )
  if (parts !== undefined && parts.length === 0) {
    const tags = store.samples.tagNames().map(({ tag }) => tag)
    throw new UsageError(
      `No sample of these carries the tag ${options.by}. Tags in use: ${tags.slice(0, 12).join(", ") || "none"}.`,
    )
  }
  const missing = options.missing === true ? missingReport(store, pool, ranking) : undefined
  const selection =
    options.select === undefined
      ? undefined
      : selectFrom(
          pool,
          parts?.map((part) => part.ranking),
          { k: options.select, voting: options.voting, fair: options.fair, seed: options.seed },
        )
  if (pool.nan > 0) process.stderr.write(`${style("yellow", "note: ")}${pool.nan} measurements are NaN and left out\n`)
  if (options.out !== undefined) {
    const { writePicture } = await import("./rank/pictures.ts")
    await writePicture(options.out, ranking, pool, titleOf(pool, options))
    process.stderr.write(`Picture written to ${plainText(options.out)}\n`)
  }
  if (context.json) {
    process.stdout.write(
      `${json({
        ...ranking,
        metrics: pool.metrics,
        ...(parts === undefined ? {} : { by: { tag: options.by, values: parts } }),
        ...(missing === undefined ? {} : { missing }),
        ...(selection === undefined ? {} : { selection }),
      })}\n`,
    )
    return
  }
  if (options.csv === true) {
    process.stdout.write(csv(ranking, parts))
    return
  }
  printRanking(ranking, pool, options)
  if (parts !== undefined) printParts(parts, options.by!)
  if (missing !== undefined) printMissing(missing)
  if (selection !== undefined) printSelection(selection)
}

function titleOf(pool: Pool, options: RankCommandOptions): string {
  const what = pool.experiments.length > 0 ? pool.experiments.join(", ") : "Imported results"
  return options.about === undefined ? what : `${what}: ${options.about}`
}

function rankBy(pool: Pool, values: readonly (string | number | undefined)[], settings: RankOptions): Part[] {
  const present = [...new Set(values.filter((value) => value !== undefined))]
  present.sort((a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : 1))
  return present.map((value) => ({
    value: String(value),
    ranking: rank({ names: pool.names, results: selectSamples(pool.results, (s) => values[s] === value) }, settings),
  }))
}

const digits = (x: number | null, places = 4): string =>
  x === null ? "–" : Number.isFinite(x) ? x.toFixed(places) : String(x)

/** An interval as a bar of 24 cells on a shared scale, the score a dot. */
function bar(low: number | null, score: number | null, high: number | null, from: number, to: number): string {
  const cells = 24
  if (score === null) return ""
  const at = (x: number): number =>
    Math.max(0, Math.min(cells - 1, Math.round(((x - from) / (to - from || 1)) * (cells - 1))))
  const line = new Array<string>(cells).fill(" ")
  if (low !== null && high !== null) for (let k = at(low); k <= at(high); k++) line[k] = "─"
  line[at(score)] = "●"
  return line.join("")
}

function printRanking(ranking: Ranking, pool: Pool, options: RankCommandOptions): void {
  const say = (text: string) => process.stdout.write(`${text}\n`)
  say(style("bold", plainText(titleOf(pool, options)), process.stdout))
  const count = (n: number) => n.toLocaleString("en-US")
  say(
    `${count(ranking.comparisons)} comparisons (${count(ranking.ties)} ties, rule ${ranking.tie}) on ${count(ranking.samples)} samples${pool.metrics.length > 0 ? `; ${plainText(pool.metrics.join(", "))}` : ""}`,
  )
  if (!ranking.identifiable) say(style("yellow", `No global ranking: ${plainText(ranking.reason)}.`, process.stdout))
  const scored = ranking.competitors.flatMap((c) => (c.score === null ? [] : [c.low ?? c.score, c.high ?? c.score]))
  const middle = 0
  // The bars are cut, never the numbers: near-perfect competitors have strengths without measure.
  const from = Math.max(middle - 8, Math.min(...scored))
  const to = Math.min(middle + 8, Math.max(...scored))
  const columns: Column[] = [
    { title: ranking.identifiable ? "rank" : "rank in component", align: "right" },
    { title: "competitor" },
    { title: "score", align: "right" },
    { title: "se", align: "right" },
    { title: `${Math.round(ranking.interval.level * 1000) / 10} % interval`, align: "right" },
    { title: "" },
    { title: "ranks", align: "right" },
    ...(ranking.identifiable ? [] : [{ title: "component", align: "right" as const }]),
  ]
  const rows = ranking.competitors.map((c) => [
    c.componentRank === null ? "–" : String(c.componentRank),
    c.name,
    digits(c.score),
    digits(c.se),
    c.low === null ? "–" : `${digits(c.low)} … ${digits(c.high)}`,
    bar(c.low, c.score, c.high, from, to),
    c.rankLow === null ? "–" : c.rankLow === c.rankHigh ? String(c.rankLow) : `${c.rankLow}–${c.rankHigh}`,
    ...(ranking.identifiable ? [] : [c.component === null ? "–" : String(c.component + 1)]),
  ])
  say(`\n${textTable(columns, rows, terminalWidth())}\n`)
  if (!ranking.identifiable && ranking.order.length > 0) {
    const shown = ranking.order.slice(0, 20).map(([better, worse]) => `${better + 1} > ${worse + 1}`)
    say(`Known order between components: ${shown.join(", ")}${ranking.order.length > 20 ? ", …" : ""}`)
  }
  if (ranking.identifiable) {
    const groups = tiedGroups(ranking)
    if (groups.length > 0) say(`Not told apart: ${groups.map((group) => plainText(group.join(" ~ "))).join("; ")}`)
  }
  const { method } = ranking.interval
  if (method !== "none") {
    say(
      `Score: natural-log strength, mean 0. Intervals: ${method === "sandwich" ? "sandwich covariance over samples" : `bootstrap over samples, ${ranking.bootstrap!.replicates} replicates${ranking.bootstrap!.unidentifiable > 0 ? `, of which ${ranking.bootstrap!.unidentifiable} did not determine a ranking and are left out` : ""}`}.`,
    )
  }
}

/** Maximal runs of neighbours in the ranking that are all tied with each other. */
function tiedGroups(ranking: Ranking): string[][] {
  const all = ranking.competitors.filter((c) => c.rank !== null)
  const groups: string[][] = []
  let reached = 0
  for (let from = 0; from < all.length; from++) {
    let to = from + 1
    while (to < all.length && all.slice(from, to).every((c) => c.tiedWith.includes(all[to]!.name))) to++
    if (to - from > 1 && to > reached) {
      groups.push(all.slice(from, to).map((c) => c.name))
      reached = to
    }
  }
  return groups
}

function printParts(parts: readonly Part[], tag: string): void {
  const names = parts[0]!.ranking.competitors.map((c) => c.name).sort()
  const cell = (part: Part, name: string): string => {
    const c = part.ranking.competitors.find((other) => other.name === name)
    if (c === undefined || c.score === null) return "–"
    return part.ranking.identifiable ? `${c.rank}. ${digits(c.score, 3)}` : `(${c.componentRank}) ${digits(c.score, 3)}`
  }
  process.stdout.write(
    `\nBy ${plainText(tag)}: rank and score; (rank) inside a component where there is no global ranking\n\n${textTable(
      [{ title: "competitor" }, ...parts.map((part) => ({ title: plainText(part.value), align: "right" as const }))],
      names.map((name) => [name, ...parts.map((part) => cell(part, name))]),
    )}\n`,
  )
}

function printMissing(report: MissingReport): void {
  const rows = report.coverage.map(({ name, measured, of }) => [
    name,
    String(measured),
    String(of - measured),
    of === 0 ? "–" : `${((100 * measured) / of).toFixed(1)} %`,
  ])
  process.stdout.write(
    `\n${textTable([{ title: "competitor" }, { title: "measured", align: "right" }, { title: "missing", align: "right" }, { title: "share", align: "right" }], rows, terminalWidth())}\n`,
  )
  if (report.next.length === 0) process.stdout.write("\nNothing is missing.\n")
  else {
    process.stdout.write("\nWhat would say most, in nats of information:\n")
    for (const { competitor, what, gain, command } of report.next) {
      process.stdout.write(
        `  ${gain === null ? "connects" : gain.toPrecision(3)}  ${plainText(competitor)}: ${plainText(what)}\n`,
      )
      if (command !== null) process.stdout.write(`      ${plainText(command)}\n`)
    }
  }
}

function printSelection(selection: Selection): void {
  const { chosen, group, ratio, voters, incomplete, voting, method, k } = selection
  process.stdout.write(
    `\nSelection of ${k} by ${voting} (${method}) from ${voters} rankings${incomplete > 0 ? `; ${incomplete} do not rank everyone and are left out` : ""}:\n`,
  )
  for (const name of chosen) process.stdout.write(`  ${plainText(name)}\n`)
  if (group !== undefined) {
    process.stdout.write(
      `${group.chosen} of them from ${plainText(group.pattern)} (${group.members} competitors, at least ${group.atLeast} wanted); score ${(100 * ratio).toFixed(2)} % of the best without that wish: ${plainText(selection.free.join(", "))}\n`,
    )
  }
}

const csvField = (value: string | number | null): string => {
  const text = value === null ? "" : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function csv(ranking: Ranking, parts: readonly Part[] | undefined): string {
  const columns = [
    "name",
    "rank",
    "score",
    "se",
    "low",
    "high",
    "component",
    "componentRank",
    "rankLow",
    "rankHigh",
  ] as const
  const table = (one: Ranking, lead: readonly string[]) =>
    one.competitors.map((c) => [...lead, ...columns.map((column) => c[column])].map(csvField).join(","))
  const lines =
    parts === undefined
      ? [columns.join(","), ...table(ranking, [])]
      : [["by", ...columns].join(","), ...parts.flatMap((part) => table(part.ranking, [part.value]))]
  return `${lines.join("\n")}\n`
}
