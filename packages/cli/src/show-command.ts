import { openStore, type Store } from "@exp/store"
import { comparedMetrics } from "./compare/subjects.ts"
import { byPoint, comparisonOfStore, summarise } from "./comparison-table.ts"
import { runNamed } from "./find-run.ts"
import { json } from "./json.ts"
import { errorText } from "./list-command.ts"
import { bytes, duration, inUnit, number } from "./numbers.ts"
import { printComparisons } from "./print-comparison.ts"
import { UsageError } from "./report-error.ts"
import { textTable } from "./table.ts"
import { plainText, style, terminalWidth } from "./terminal.ts"

/**
 * Shows a run (by its number, or its trial's id), or an experiment.
 *
 * @throws UsageError when nothing, or more than one thing, has that name
 */
export async function showCommand(id: string, output: { db: string; json: boolean }): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  if (store.experiments.get(id) !== undefined) return showExperiment(store, id, output)
  const run = runNamed(store, id)
  if (run !== undefined) return showRun(store, run.id, output)
  const names = store.experiments.list().map((row) => row.name)
  throw new UsageError(
    `Nothing in ${store.path} is called ${id}. Give an experiment (${names.join(", ") || "there are none yet"}), a run number, a run's name or the beginning of a trial id; \`exp ls --runs\` lists runs.`,
  )
}

function showExperiment(store: Store, name: string, output: { json: boolean }): void {
  if (comparedMetrics(store, name).length === 0) {
    // Imported runs whose metrics have no known direction.
    if (output.json)
      process.stdout.write(
        `${json({ experiment: store.experiments.get(name), tags: store.tags.of("experiment", name), profiles: [] })}\n`,
      )
    else
      process.stdout.write(
        `${plainText(name)} compares no metric, so there is no table of it; exp ls ${plainText(JSON.stringify(name))} lists its runs, exp compare --metric compares them.\n`,
      )
    return
  }
  const profiles = store.experiments.profiles(name)
  const summaries = profiles.map((profile) => ({
    profile,
    progress: store.experiments.progress(name, profile),
    comparison: comparisonOfStore(store, name, profile),
    selections: store.experiments.selections(name, profile),
  }))
  const row = store.experiments.get(name)!
  if (output.json) {
    const profiles = summaries.map(({ comparison, ...rest }) => ({
      ...rest,
      summary: byPoint(comparison).map((part) => ({ point: part.point, ...summarise(part) })),
    }))
    process.stdout.write(`${json({ experiment: row, tags: store.tags.of("experiment", name), profiles })}\n`)
    return
  }
  const say = (text: string) => process.stdout.write(`${text}\n`)
  say(`${style("bold", plainText(name), process.stdout)}  ${plainText(row.question ?? "")}`)
  const tags = store.tags.of("experiment", name)
  if (row.deletedAt !== null) say(`removed; exp rm --undo ${plainText(name)} brings it back`)
  if (tags.length > 0) say(`tags: ${plainText(tags.join(", "))}`)
  if (row.note !== null) say(`note: ${plainText(row.note)}`)
  for (const { profile, progress, comparison, selections } of summaries) {
    const summary = summarise(comparison)
    const { completed, total, running, failed, stopped } = progress
    say(
      `\n${profile === "default" ? "" : `profile ${profile}: `}${completed} of ${total} trials finished${running > 0 ? `, ${running} running` : ""}${stopped > 0 ? `, ${stopped} stopped early` : ""}${failed > 0 ? `, ${failed} failed` : ""}\n`,
    )
    printComparisons(comparison, process.stdout)
    say("")
    const seeds = [...new Set(summary.conditions.flatMap((c) => c.values.map(({ seed }) => seed)))].sort(
      (a, b) => a - b,
    )
    say(
      textTable(
        [
          { title: summary.metric },
          ...seeds.map((seed) => ({ title: `seed ${seed}`, align: "right" }) as const),
          { title: "tuned" },
        ],
        summary.conditions.map((condition) => [
          condition.label,
          ...seeds.map((seed) => {
            const found = condition.values.find((value) => value.seed === seed)
            return found === undefined ? "–" : inUnit(found.value, summary.unit)
          }),
          tuned(selections.find((selection) => selection.condition === condition.label)),
        ]),
        terminalWidth(),
      ),
    )
  }
}

/** More candidates than this are counted, not listed. */
const mostListed = 8

/** `learningRate=0.01 of 0.001:0.71 0.01:0.83 …`: the choice, and the score of every candidate. */
function tuned(selection: ReturnType<Store["experiments"]["selections"]>[number] | undefined): string {
  if (selection === undefined) return ""
  const point = (value: unknown) =>
    Object.entries((value ?? {}) as Record<string, unknown>)
      .map(([path, x]) => `${path}=${typeof x === "object" ? JSON.stringify(x) : String(x)}`)
      .join(" ")
  const candidates = Array.isArray(selection.candidates) ? selection.candidates : []
  const scores = candidates.map((candidate: { point?: unknown; score?: unknown }) => {
    const values = Object.values((candidate.point ?? {}) as Record<string, unknown>)
    const score = Number(candidate.score ?? Number.NaN)
    return `${values.map((x) => (typeof x === "object" ? JSON.stringify(x) : String(x))).join("/")}:${number(score)}`
  })
  if (candidates.length > mostListed) {
    const best = candidates.findIndex((candidate) => point(candidate.point) === point(selection.choice))
    const stopped = candidates.filter((candidate: { stopped?: unknown }) => candidate.stopped !== undefined).length
    const early = stopped === 0 ? "" : `, ${stopped} stopped early`
    const score = Number(candidates[best]?.score ?? Number.NaN)
    return `${point(selection.choice)}  (${selection.metric} ${number(score)}, best of ${candidates.length}${early})`
  }
  return `${point(selection.choice)}  (${selection.metric} ${scores.join(" ")})`
}

function showRun(store: Store, runId: number, output: { json: boolean }): void {
  const run = store.runs.get(runId)!
  const trial = store.trials.get(run.trialId)!
  const summaries = store.metrics.summaries(runId)
  const artifacts = store.artifacts.ofRun(runId)
  const lines = store.logs.tail(runId, { limit: 10 })
  const tags = store.queries
    .runs({ trial: run.trialId, removed: true, limit: 1000 })
    .find(({ id }) => id === runId)?.tags
  if (output.json) {
    process.stdout.write(`${json({ run, tags, trial, metrics: summaries, artifacts, logs: lines })}\n`)
    return
  }
  const say = (text: string) => process.stdout.write(`${plainText(text)}\n`)
  const time = (ms: number | null) => (ms === null ? "–" : new Date(ms).toISOString().slice(0, 19).replace("T", " "))
  const facts: (readonly [string, string])[] = [
    ["status", `${run.lost ? "lost (its process no longer reports)" : run.status}, attempt ${run.attempt}`],
    ["trial", `${trial.id}  ${trial.task} v${trial.taskVersion}, seed ${trial.seed}`],
    ["started", time(run.startedAt)],
    ["finished", time(run.finishedAt)],
    ["took", run.startedAt === null || run.finishedAt === null ? "–" : duration(run.finishedAt - run.startedAt)],
    ["where", `${run.device ?? "?"} on ${run.host ?? "?"}, process ${run.pid ?? "?"}`],
    [
      "code",
      `${run.codeHash?.slice(0, 12) ?? "?"}, commit ${run.gitCommit?.slice(0, 12) ?? "none"}${run.gitDirty ? " with changes" : ""}`,
    ],
  ]
  if (run.error !== null && run.error !== undefined) facts.push(["error", errorText(run.error)])
  if (tags !== undefined && tags.length > 0) facts.push(["tags", tags.join(", ")])
  if (run.note !== null) facts.push(["note", run.note])
  if (run.deletedAt !== null) facts.push(["removed", `exp rm --undo ${runId} brings it back`])
  say(`run ${runId}${run.name === null ? "" : `  ${run.name}`}`)
  for (const [name, value] of facts) say(`  ${name.padEnd(9)} ${value}`)
  say("config")
  for (const line of JSON.stringify(trial.config, null, 2).split("\n").slice(1, -1)) say(line)
  if (summaries.length > 0) {
    process.stdout.write(
      `${textTable(
        [
          { title: "metric" },
          { title: "last", align: "right" },
          { title: "min", align: "right" },
          { title: "max", align: "right" },
          { title: "points", align: "right" },
        ],
        summaries.map((s) => [
          s.metric,
          ...[s.last, s.min, s.max].map((x) => inUnit(x, s.unit ?? undefined)),
          String(s.count),
        ]),
        terminalWidth(),
      )}\n`,
    )
  }
  for (const artifact of artifacts) {
    say(`artifact ${artifact.name}  ${bytes(artifact.size)}  ${artifact.mediaType}  ${artifact.hash.slice(0, 16)}`)
  }
  if (lines.length > 0)
    say(`last log lines\n${lines.map((line) => `  ${line.level.padEnd(6)} ${line.message}`).join("\n")}`)
}
