import { openStore, type Run, type Store } from "@exp/store"
import { type CurveDifference, curveDifferences } from "@exp/store/curve-differences"
import { findRun } from "./find-run.ts"
import { json } from "./json.ts"
import { inUnit } from "./numbers.ts"
import { textTable } from "./table.ts"
import { plainText, style, terminalWidth } from "./terminal.ts"

type Flat = Readonly<Record<string, string>>

/** One thing that is not the same. */
interface Difference {
  readonly name: string
  readonly a: string | undefined
  readonly b: string | undefined
}

const sections = ["spec", "code", "data", "environment", "hardware"] as const
type Section = (typeof sections)[number]

/** Leaves of nested data by dotted path. */
function flat(value: unknown, path = ""): Flat {
  if (value === undefined) return {}
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return { [path]: typeof value === "string" ? value : JSON.stringify(value) }
  return Object.assign(
    {},
    ...Object.entries(value).map(([key, inner]) => flat(inner, path === "" ? key : `${path}.${key}`)),
  ) as Flat
}

function differences(a: Flat, b: Flat): Difference[] {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])]
  return names.filter((name) => a[name] !== b[name]).map((name) => ({ name, a: a[name], b: b[name] }))
}

/** Everything known about where a run came from, by section. */
function facts(store: Store, run: Run): Record<Section, Flat> {
  const trial = store.trials.get(run.trialId)!
  const environment = (run.environment ?? {}) as Readonly<Record<string, unknown>>
  const { cpu, cores, memory, arch, platform, release, env, files, device: _device, ...other } = environment
  const diff = store.artifacts.ofRun(run.id).find((artifact) => artifact.name === "git.diff")
  const stages = store.connection
    .sql<{ name: string; key: string; hash: string | null }>(
      `SELECT s.name, s.key, s.hash FROM run_stages u JOIN stages s ON s.key = u.stage_key
       WHERE u.run_id = ? ORDER BY s.name, s.key`,
    )
    .all(run.id)
  const measured = store.connection
    .sql<{ name: string; n: number }>(
      `SELECT d.name, count(DISTINCT r.sample_id) AS n FROM competitors c
       JOIN sample_results r ON r.competitor_id = c.id JOIN samples s ON s.id = r.sample_id
       JOIN datasets d ON d.id = s.dataset_id WHERE c.run_id = ? GROUP BY d.name`,
    )
    .all(run.id)
  return {
    spec: { task: `${trial.task} v${trial.taskVersion}`, seed: String(trial.seed), ...flat(trial.config) },
    code: flat({
      hash: run.codeHash?.slice(0, 16),
      commit: run.gitCommit?.slice(0, 12),
      changes: diff === undefined ? "none" : `git.diff ${diff.hash.slice(0, 16)}`,
      files,
    }),
    data: Object.fromEntries([
      ...stages.map(({ name, key, hash }) => [`stage ${name} ${key.slice(0, 8)}`, hash?.slice(0, 16) ?? "lost"]),
      ...measured.map(({ name, n }) => [`samples of ${name}`, String(n)]),
    ]) as Flat,
    environment: flat({ packages: run.packages, env, ...other }),
    hardware: flat({
      device: run.device ?? undefined,
      host: run.host ?? undefined,
      platform,
      release,
      arch,
      cpu,
      cores,
      memory,
    }),
  }
}

/** Clocks differ in every run and say nothing about why results do. */
const isTiming = ({ metric, unit }: CurveDifference) =>
  metric.startsWith("time/") || unit === "ms" || unit === "s" || unit === "steps/s" || unit === "samples/s"

/**
 * Explains how two runs differ: what they were asked to do, with which code, data, environment and machine, and the
 * first step at which the values that they logged are not the same bits.
 *
 * @throws UsageError when a name is no run
 */
export async function diffCommand(a: string, b: string, output: { db: string; json: boolean }): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  const runs = [findRun(store, a), findRun(store, b)] as const
  const [mine, theirs] = [facts(store, runs[0]), facts(store, runs[1])]
  const found = sections.map((section) => [section, differences(mine[section], theirs[section])] as const)
  const curves = curveDifferences(store.connection, runs[0].id, runs[1].id)
  const telling = curves.filter((curve) => !isTiming(curve))
  const first = telling.find((curve) => curve.step !== null)
  if (output.json) {
    process.stdout.write(
      `${json({ a: runs[0].id, b: runs[1].id, ...Object.fromEntries(found), curves, firstDifference: first ?? null })}\n`,
    )
    return
  }
  const say = (text: string) => process.stdout.write(`${text}\n`)
  const columns = [{ title: "" }, { title: `run ${runs[0].id}` }, { title: `run ${runs[1].id}` }]
  for (const [section, list] of found) {
    if (list.length === 0) {
      say(`${section}: the same`)
      continue
    }
    say(style("bold", section, process.stdout))
    say(
      textTable(
        columns,
        list.map((one) => [one.name, one.a ?? "–", one.b ?? "–"]),
        terminalWidth(),
      ),
    )
  }
  if (telling.length === 0) {
    say("curves: neither run has logged anything")
    return
  }
  if (first === undefined) {
    say(
      `curves: the same bits in all of ${telling.length} metrics (${telling.reduce((n, c) => n + c.common, 0)} values)`,
    )
    return
  }
  const value = (x: number | undefined, unit: string | null) =>
    x === undefined ? "no value" : inUnit(x, unit ?? undefined)
  say(
    `${style("bold", "curves", process.stdout)}  part first at step ${first.step} in ${plainText(first.metric)}: ${value(first.a, first.unit)} and ${value(first.b, first.unit)}`,
  )
  say(
    textTable(
      [
        { title: "metric" },
        { title: "part at step", align: "right" },
        { title: `run ${runs[0].id}`, align: "right" },
        { title: `run ${runs[1].id}`, align: "right" },
        { title: "steps in both", align: "right" },
      ],
      telling.map((curve) =>
        curve.step === null
          ? [curve.metric, "never", "", "", String(curve.common)]
          : [curve.metric, String(curve.step), exact(curve.a), exact(curve.b), String(curve.common)],
      ),
      terminalWidth(),
    ),
  )
}

/** All digits: the difference may be in the last. */
const exact = (x: number | undefined): string => (x === undefined ? "–" : String(x))
