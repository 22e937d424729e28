/** An experiment as one HTML page: question, result, curves, ranking, set-up, failures, provenance, how to repeat it. */
import { basename } from "node:path"
import { type Ranking, rank } from "@exp/ranking"
import type { RunListItem, Store } from "@exp/store"
import { seriesMetrics } from "../compare/curves.ts"
import { comparedMetrics, conditionsOf, configDifferences, flatten, type Subject } from "../compare/subjects.ts"
import { byPoint, comparisonOfStore, costMetrics, summarise } from "../comparison-table.ts"
import { errorText } from "../list-command.ts"
import { bytes, duration, number } from "../numbers.ts"
import { readFigure } from "../plot/figures.ts"
import { comparisonNotes, comparisonRows } from "../print-comparison.ts"
import { readPool } from "../rank/pool.ts"
import { UsageError } from "../report-error.ts"
import { runCommandLine } from "../run-command-line.ts"
import { figureMarkup } from "./figures.ts"
import { html, type Markup, raw, table } from "./html.ts"
import { style } from "./style.ts"

/** What the sections are written from. */
interface Source {
  readonly store: Store
  readonly experiment: string
  readonly profile: string
  readonly db: string
  readonly subjects: readonly Subject[]
}

const time = (ms: number | null): string =>
  ms === null ? "–" : `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`

const value = (x: unknown): string => (typeof x === "string" ? x : (JSON.stringify(x) ?? "–"))

/** A figure where its numbers are recorded, else nothing. */
async function figureOf(
  { store, experiment, profile }: Source,
  caption: string,
  request: Omit<Parameters<typeof readFigure>[2], "profile" | "columns">,
): Promise<Markup | undefined> {
  try {
    return await figureMarkup(readFigure(store, experiment, { ...request, profile, columns: 300 }), caption)
  } catch (error) {
    if (error instanceof UsageError) return undefined
    throw error
  }
}

async function resultSection(source: Source): Promise<Markup> {
  const { store, experiment, profile } = source
  const metrics = comparedMetrics(store, experiment)
  const parts: Markup[] = []
  for (const metric of metrics) {
    const comparison = comparisonOfStore(store, experiment, profile, metric)
    const tables = byPoint(comparison).map((part) => {
      const summary = summarise(part)
      const { columns, rows } = comparisonRows(summary)
      const verdict = metric === metrics[0] ? html`<p class="verdict">${summary.verdict}</p>` : undefined
      const notes = comparisonNotes(summary).map((note) => html`<p class="muted">${note}</p>`)
      return html`${part.point === "" ? undefined : html`<h3>${part.point}</h3>`}${verdict}${table(columns, rows)}${notes}`
    })
    const bars = await figureOf(source, `${metric} by condition`, { kind: "bars", metric })
    parts.push(html`${metrics.length > 1 ? html`<h3>${metric}</h3>` : undefined}${tables}${bars}`)
  }
  return html`<h2>Result</h2>
<p class="muted">Means over seeds with 95% t intervals. Differences are paired by seed; their p values are those of paired
t-tests after Holm's correction over the table.</p>
${parts}`
}

async function curvesSection(source: Source): Promise<Markup | undefined> {
  const series = seriesMetrics(source.store, source.subjects)
  const wanted = [
    ...series.filter((metric) => /(^|\/)loss$/.test(metric)).slice(0, 2),
    ...series.filter((metric) => /accuracy|acc$/.test(metric)).slice(0, 2),
  ]
  const shown = wanted.length > 0 ? wanted : series.slice(0, 2)
  const figures: Markup[] = []
  for (const metric of shown) {
    const figure = await figureOf(source, metric, { kind: "curves", metric })
    if (figure !== undefined) figures.push(figure)
  }
  return figures.length === 0 ? undefined : html`<h2>Curves</h2>${figures}`
}

async function costSection(source: Source): Promise<Markup | undefined> {
  const metric = comparedMetrics(source.store, source.experiment)[0]
  if (metric === undefined) return undefined
  const recorded = new Set(source.subjects.flatMap(({ runs }) => runs.flatMap((run) => Object.keys(run.metrics))))
  const costs = ["seconds", ...costMetrics.filter((cost) => recorded.has(cost))]
  const figures: Markup[] = []
  for (const x of costs) {
    const figure = await figureOf(source, `${metric} against ${x}`, { kind: "scatter", x, y: metric })
    if (figure !== undefined) figures.push(figure)
  }
  return figures.length === 0 ? undefined : html`<h2>Against its cost</h2>${figures}`
}

/** The ranking from results on single samples, where they were recorded. */
function rankingSection({ store, experiment, profile }: Source): Markup | undefined {
  let ranking: Ranking
  let metrics: readonly string[]
  try {
    const pool = readPool(store, [experiment], {
      profile,
      tie: "one-each",
      weighting: "pairs",
      seed: 0,
      voting: "borda",
    })
    ranking = rank({ names: pool.names, results: pool.results }, { tie: "one-each", weighting: "pairs", seed: 0 })
    metrics = pool.metrics
  } catch (error) {
    if (error instanceof UsageError) return undefined
    throw error
  }
  const ends = ranking.competitors.flatMap((c) => (c.score === null ? [] : [c.low ?? c.score, c.high ?? c.score]))
  const from = Math.max(-8, Math.min(...ends))
  const to = Math.min(8, Math.max(...ends))
  const at = (x: number) => Math.max(0, Math.min(100, (100 * (x - from)) / (to - from || 1)))
  const bar = (low: number | null, score: number | null, high: number | null): Markup | string => {
    if (score === null) return "–"
    const [a, b] = [at(low ?? score), at(high ?? score)]
    const interval = `left:${a.toFixed(1)}%;width:${(b - a).toFixed(1)}%`
    return html`<span class="bar"><i style="${interval}"></i><b style="left:${at(score).toFixed(1)}%"></b></span>`
  }
  const cell = (x: number | null) => (x === null ? "–" : number(x))
  return html`<h2>Ranking by single results</h2>
<p class="muted">${ranking.comparisons.toLocaleString("en-US")} comparisons on ${ranking.samples.toLocaleString("en-US")}
samples (${metrics.join(", ")}); natural-log strengths of mean 0 with 95% intervals.${ranking.identifiable ? undefined : html` <span class="bad">No global ranking: ${ranking.reason}.</span>`}</p>
${table(
  [
    { title: ranking.identifiable ? "rank" : "rank in component", align: "right" },
    { title: "arm" },
    { title: "strength", align: "right" },
    { title: "95% interval", align: "right" },
    { title: "" },
  ],
  ranking.competitors.map((c) => [
    c.componentRank === null ? "–" : String(c.componentRank),
    c.name,
    cell(c.score),
    c.low === null ? "–" : `${cell(c.low)} … ${cell(c.high)}`,
    bar(c.low, c.score, c.high),
  ]),
)}`
}

function setupSection(source: Source): Markup {
  const { store, experiment, profile, subjects } = source
  const row = store.experiments.get(experiment)!
  const filled = subjects.filter(({ runs }) => runs.length > 0)
  const { differing } = configDifferences(filled)
  const differs = new Set(differing.map(({ path }) => path))
  const shared = [...flatten(filled[0]?.runs[0]?.config ?? {})].filter(([path]) => !differs.has(path))
  const cell = (values: readonly unknown[]): string => {
    const shown = values.map(value)
    return shown.length === 0 ? "" : shown.length > 5 ? `${shown.length} values` : shown.join(", ")
  }
  const selections = store.experiments.selections(experiment, profile)
  const scores = (candidates: unknown): string =>
    (Array.isArray(candidates) ? (candidates as { point?: object; score?: unknown }[]) : [])
      .map(
        ({ point, score }) =>
          `${Object.values(point ?? {})
            .map(value)
            .join(" / ")}: ${number(Number(score ?? Number.NaN))}`,
      )
      .join("; ")
  return html`<h2>Set-up</h2>
<p>Task <code>${row.task}</code>, version ${row.taskVersion}. ${filled.length} conditions
${subjects[0] === undefined ? undefined : html`of ${Math.max(...subjects.map(({ planned }) => planned))} seeds each`}; compared with
<code>${row.baseline ?? subjects[0]?.label ?? "–"}</code>.</p>
${
  differing.length === 0
    ? undefined
    : html`<h3>What differs</h3>${table(
        [{ title: "condition" }, { title: "its own values", wrap: true }],
        filled.map((subject, i) => [
          subject.label,
          differing
            .map(({ path, values }): [string, string] => [path, cell(values[i] ?? [])])
            .filter(([, text]) => text !== "")
            .map(([path, text]) => `${path} = ${text}`)
            .join(", "),
        ]),
      )}`
}
${
  selections.length === 0
    ? undefined
    : html`<h3>What tuning chose</h3>${table(
        [{ title: "condition" }, { title: "choice" }, { title: "candidates and their scores", wrap: true }],
        selections.map(({ condition, choice, candidates, metric }) => [
          condition,
          Object.entries((choice ?? {}) as Record<string, unknown>)
            .map(([path, x]) => `${path} = ${value(x)}`)
            .join(", "),
          `${metric}: ${scores(candidates)}`,
        ]),
      )}`
}
${
  shared.length === 0
    ? undefined
    : html`<h3>What all share</h3><details><summary>${shared.length} config values</summary>${table(
        [{ title: "field" }, { title: "value", wrap: true }],
        shared.map(([path, x]) => [path, value(x)]),
      )}</details>`
}`
}

function failuresSection(runs: readonly RunListItem[]): Markup | undefined {
  const failed = runs.filter(({ status, lost }) => lost || ["failed", "cancelled", "interrupted"].includes(status))
  if (failed.length === 0) return html`<h2>Failures</h2><p>None: no run failed, was cancelled or was interrupted.</p>`
  return html`<h2>Failures</h2>
${table(
  [
    { title: "run", align: "right" },
    { title: "condition" },
    { title: "phase" },
    { title: "seed", align: "right" },
    { title: "status" },
    { title: "what was said", wrap: true },
  ],
  failed
    .slice(0, 100)
    .map((run) => [
      String(run.id),
      run.condition ?? "–",
      run.phase ?? "–",
      String(run.seed),
      run.lost ? "lost" : run.status,
      errorText(run.error).split("\n")[0]!.slice(0, 300),
    ]),
)}
${failed.length > 100 ? html`<p class="muted">${failed.length - 100} more are in the database.</p>` : undefined}`
}

function provenanceSection(source: Source, runs: readonly RunListItem[]): Markup {
  const { store, experiment, profile, db } = source
  const row = store.experiments.get(experiment)!
  const finished = runs.filter(({ status }) => status === "completed")
  const details = finished.map(({ id }) => store.runs.get(id)!)
  const different = (of: (run: (typeof details)[number]) => unknown): string => {
    const seen = [...new Set(details.map((run) => value(of(run) ?? "–")))]
    return seen.length === 0
      ? "–"
      : seen.length > 4
        ? `${seen.slice(0, 4).join(", ")} and ${seen.length - 4} more`
        : seen.join(", ")
  }
  const environment = (name: string) => (run: (typeof details)[number]) => run.environment?.[name]
  const memory = environment("memory")
  const versions = new Map<string, Set<string>>()
  for (const { packages } of details)
    for (const [name, version] of Object.entries(packages ?? {}))
      versions.set(name, (versions.get(name) ?? new Set()).add(version))
  const starts = finished.map(({ startedAt }) => startedAt ?? Number.NaN).filter(Number.isFinite)
  const ends = finished.map(({ finishedAt }) => finishedAt ?? Number.NaN).filter(Number.isFinite)
  const busy = finished.reduce((sum, run) => sum + Math.max(0, (run.finishedAt ?? 0) - (run.startedAt ?? 0)), 0)
  const command = runCommandLine({
    file: row.file === null ? "<file>" : basename(row.file),
    ...(profile === "default" ? {} : profile === "quick" ? { quick: true } : { profile }),
    db: db === "runs.db" ? undefined : basename(db),
  })
  return html`<h2>Provenance</h2>
${table(
  [{ title: "" }, { title: "" }],
  [
    [
      "run",
      starts.length === 0
        ? "–"
        : `${time(Math.min(...starts))} to ${time(Math.max(...ends))}, ${duration(busy)} of trials`,
    ],
    [
      "git commit",
      `${different((run) => run.gitCommit?.slice(0, 12))}${details.some((run) => run.gitDirty) ? ", with changes (kept as git.diff)" : ""}`,
    ],
    ["code hash", different((run) => run.codeHash?.slice(0, 12))],
    ["device", different((run) => run.device)],
    ["processor", `${different(environment("cores"))} × ${different(environment("cpu"))}`],
    ["memory", different((run) => (typeof memory(run) === "number" ? bytes(memory(run) as number) : undefined))],
    [
      "system",
      `${different(environment("platform"))} ${different(environment("release"))}, ${different(environment("arch"))}`,
    ],
    ["packages", [...versions].map(([name, all]) => `${name} ${[...all].join(" / ")}`).join(", ") || "–"],
  ],
)}
<h3>To repeat it</h3>
<pre>${command}</pre>
<p class="muted">One run alone, with its config, seed and code: <code>exp show &lt;run&gt; --repro</code>.</p>`
}

/**
 * The page, complete with styles and pictures: it fetches nothing and runs no script.
 *
 * @param profile whose trials are reported
 * @param db the path of the database, for the commands that the page names
 */
export async function reportPage(store: Store, experiment: string, profile: string, db: string): Promise<string> {
  const row = store.experiments.get(experiment)!
  const metrics = [...comparedMetrics(store, experiment), ...costMetrics]
  const subjects = conditionsOf(store, experiment, profile, metrics)
  const source: Source = { store, experiment, profile, db, subjects }
  const runs = store.queries.runs({ experiment, profile, limit: 1_000_000 })
  const { completed, total, running, failed } = store.experiments.progress(experiment, profile)
  const tags = store.tags.of("experiment", experiment)
  const first = comparedMetrics(store, experiment)[0]
  const facts: (Markup | undefined)[] = [
    html`<li><b>${completed}</b> of ${total} trials finished</li>`,
    running > 0 ? html`<li><b>${running}</b> running</li>` : undefined,
    failed > 0 ? html`<li class="bad"><b>${failed}</b> failed</li>` : undefined,
    profile === "default" ? undefined : html`<li>profile <b>${profile}</b></li>`,
    tags.length > 0 ? html`<li>tags <b>${tags.join(", ")}</b></li>` : undefined,
    first === undefined ? undefined : html`<li>compares <b>${first}</b></li>`,
  ]
  const sections = [
    await resultSection(source),
    await curvesSection(source),
    await costSection(source),
    rankingSection(source),
    setupSection(source),
    failuresSection(runs),
    provenanceSection(source, runs),
  ]
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${experiment}</title>
<style>${raw(style)}</style>
</head>
<body>
<main>
<header>
<h1>${experiment}</h1>
<p class="question">${row.question ?? ""}</p>
<ul class="facts">${facts.filter((fact) => fact !== undefined)}</ul>
${row.note === null ? undefined : html`<p>${row.note}</p>`}
</header>
${sections.filter((section) => section !== undefined)}
<footer>Written by exp on ${time(Date.now())} from what the database held then.</footer>
</main>
</body>
</html>
`.markup
}
