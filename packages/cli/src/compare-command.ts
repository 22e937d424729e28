import { brailleChart } from "@exp/dashboard"
import { openStore, type Store } from "@exp/store"
import type { CompareOptions } from "./commands/compare.ts"
import { meanCurves } from "./compare/curves.ts"
import {
  compareMetric,
  declaredMetric,
  type MetricComparison,
  type PairTest,
  paretoFront,
  usualCosts,
} from "./compare/statistics.ts"
import {
  type ConfigDifference,
  comparedMetrics,
  configDifferences,
  readSubjects,
  type Subject,
} from "./compare/subjects.ts"
import { json } from "./json.ts"
import { inUnit, number } from "./numbers.ts"
import { paintChart } from "./plot/terminal.ts"
import { UsageError } from "./report-error.ts"
import { type Column, textTable } from "./table.ts"
import { plainText, style, terminalWidth } from "./terminal.ts"

/**
 * `exp compare`.
 *
 * `--json` prints `{ subjects, config: { differing, shared }, metrics: [{ metric, goal, unit, subjects, tests }], pareto:
 * [{ metric, costs, points }] }`. A test is of `a` minus `b`, paired by seed.
 *
 * @throws UsageError for names that are unknown, and for fewer than two subjects
 */
export async function compareCommand(
  names: readonly string[],
  options: CompareOptions,
  output: { readonly db: string; readonly json: boolean },
): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  const costs = options.cost ?? usualCosts
  const subjects = readSubjects(store, names, {
    profile: options.profile,
    quick: options.quick,
    experiment: options.experiment,
    metrics: [...(options.metric ?? []), ...costs],
  })
  if (subjects.length < 2) {
    throw new UsageError(
      `There is only ${subjects[0]?.label ?? "nothing"} to compare: name a second condition, experiment or run.`,
    )
  }
  const metrics = options.metric ?? metricsOf(store, subjects)
  for (const metric of metrics) {
    if (!store.metrics.names().some(({ name }) => name === metric)) {
      const known = store.metrics.names().map(({ name }) => name)
      throw new UsageError(`There is no metric ${metric} in ${store.path}. There are: ${known.join(", ") || "none"}.`)
    }
  }
  const config = configDifferences(subjects)
  const compared = metrics.map((metric) =>
    compareMetric(store, subjects, metric, { pairs: options.pairs === true, level: options.level }),
  )
  const pareto = metrics.slice(0, 1).map((metric) => paretoFront(store, subjects, metric, costs))
  if (output.json) {
    const shown = subjects.map(({ runs, ...subject }) => ({
      ...subject,
      runs: runs.map(({ id, seed, status, trialId }) => ({ runId: id, seed, status, trialId })),
    }))
    process.stdout.write(`${json({ level: options.level, subjects: shown, config, metrics: compared, pareto })}\n`)
    return
  }
  printConfig(subjects, config)
  for (const one of compared) printMetric(one, subjects, options.level)
  for (const front of pareto) printPareto(store, front)
  if (options.curves !== undefined) printCurves(store, subjects, options.curves === true ? undefined : options.curves)
}

function metricsOf(store: Store, subjects: readonly Subject[]): readonly string[] {
  const experiments = [...new Set(subjects.map((subject) => subject.experiment).filter((name) => name !== undefined))]
  const metrics = [...new Set(experiments.flatMap((name) => comparedMetrics(store, name)))]
  if (metrics.length > 0) return metrics
  throw new UsageError("None of these runs belongs to an experiment: say with --metric what to compare.")
}

const say = (text: string) => process.stdout.write(`${text}\n`)
const heading = (text: string) => say(`\n${style("bold", plainText(text), process.stdout)}`)

const valueText = (value: unknown): string =>
  typeof value === "number" ? String(value) : typeof value === "string" ? value : (JSON.stringify(value) ?? "–")

function printConfig(subjects: readonly Subject[], config: { differing: readonly ConfigDifference[]; shared: number }) {
  if (config.differing.length === 0) {
    say(`The configs are the same in all ${config.shared} fields.`)
    return
  }
  // Few subjects stand side by side; many become rows.
  const cell = (values: readonly unknown[]) => (values.length === 0 ? "–" : values.map(valueText).join(" | "))
  if (subjects.length <= 4) {
    say(
      textTable(
        [{ title: "config" }, ...subjects.map(({ label }) => ({ title: plainText(label) }))],
        config.differing.map(({ path, values }) => [path, ...values.map(cell)]),
        terminalWidth(),
      ),
    )
  } else {
    say(
      textTable(
        [{ title: "config" }, { title: "differs" }],
        subjects.map(({ label }, i) => [
          label,
          config.differing
            .filter(({ values }) => values[i]!.length > 0)
            .map(({ path, values }) => `${path}=${cell(values[i]!)}`)
            .join(" "),
        ]),
        terminalWidth(),
      ),
    )
  }
  say(style("dim", `${config.shared} other fields are the same`, process.stdout))
}

const probability = (p: number): string => (Number.isNaN(p) ? "–" : p < 0.001 ? "<0.001" : p.toFixed(3))
const signed = (x: number): string => `${x > 0 ? "+" : ""}${number(x)}`
const range = (low: number, high: number): string => `${signed(low)} … ${signed(high)}`

/** Seeds as people read them. */
const seedsText = (n: number): string =>
  Number.isNaN(n) ? "–" : Number.isFinite(n) ? n.toLocaleString("en-US") : "never"

function printMetric(compared: MetricComparison, subjects: readonly Subject[], level: number): void {
  const { metric, goal, unit } = compared
  heading(`${metric} (${goal === "max" ? "more" : "less"} is better)`)
  const percent = `${Math.round(level * 1000) / 10}%`
  say(
    textTable(
      [
        { title: "" },
        { title: "mean", align: "right" },
        { title: `${percent} interval`, align: "right" },
        { title: "sd", align: "right" },
        { title: "n", align: "right" },
      ],
      compared.subjects.map(({ label, interval, values }, i) => [
        label,
        interval === undefined ? "–" : inUnit(interval.mean, unit),
        interval === undefined || interval.n < 2 ? "–" : `${number(interval.low)} … ${number(interval.high)}`,
        interval === undefined || interval.n < 2 ? "–" : number(interval.sd),
        subjects[i]!.planned > values.length ? `${values.length} of ${subjects[i]!.planned}` : String(values.length),
      ]),
      terminalWidth(),
    ),
  )
  const tested = compared.tests.filter(({ result }) => result !== undefined)
  if (tested.length === 0) {
    say("No two of them share two finished seeds: there is nothing to test yet.")
    return
  }
  const single = new Set(tested.map(({ b }) => b)).size === 1
  const wide = terminalWidth() >= 118
  const columns: Column[] = [
    { title: single ? `− ${plainText(tested[0]!.b)}` : "difference" },
    { title: "difference", align: "right" },
    { title: `${percent} t interval`, align: "right" },
    ...(wide ? [{ title: "bootstrap", align: "right" } as const] : []),
    { title: "p t", align: "right" },
    { title: "p Wilcoxon", align: "right" },
    { title: "effect g", align: "right" },
    { title: "seeds needed", align: "right" },
    { title: "", align: "right" },
  ]
  const row = (test: PairTest): string[] => {
    const result = test.result!
    return [
      single ? test.a : `${test.a} − ${test.b}`,
      signed(result.difference),
      range(result.low, result.high),
      ...(wide ? [result.bootstrap === undefined ? "–" : range(result.bootstrap.low, result.bootstrap.high)] : []),
      probability(test.correctedT),
      probability(test.correctedWilcoxon),
      Number.isNaN(result.effect.hedges) ? "–" : signed(result.effect.hedges),
      seedsText(result.seedsNeeded),
      test.better === undefined ? "" : test.better === test.a ? "better" : "worse",
    ]
  }
  say(`\n${textTable(columns, tested.map(row), terminalWidth())}`)
  const pairs = Math.min(...tested.map(({ seeds }) => seeds.length))
  say(
    style(
      "dim",
      `paired by seed; p after Holm's correction over ${tested.length} ${tested.length === 1 ? "test" : "tests"}; seeds needed for 80% power at this effect${
        pairs < 6 ? `; with ${pairs} pairs Wilcoxon's p cannot fall below ${(2 / 2 ** pairs).toPrecision(2)}` : ""
      }`,
      process.stdout,
    ),
  )
}

function printPareto(store: Store, front: ReturnType<typeof paretoFront>): void {
  if (front.costs.length === 0 || front.points.length < 2) return
  heading(`${front.metric} against cost`)
  const unit = declaredMetric(store, front.metric).unit
  const mark = (on: boolean) => (on ? " ◆" : "  ")
  say(
    textTable(
      [
        { title: "" },
        { title: front.metric, align: "right" },
        ...front.costs.map((cost) => ({ title: `${cost}  `, align: "right" }) as const),
        { title: "dominated by" },
      ],
      front.points.map((point) => [
        point.label,
        inUnit(point.value, unit),
        ...front.costs.map((cost) =>
          Number.isFinite(point.costs[cost])
            ? inUnit(point.costs[cost]!, declaredMetric(store, cost).unit) + mark(point.frontOf.includes(cost))
            : "–  ",
        ),
        point.efficient ? "" : point.dominatedBy.join(", "),
      ]),
      terminalWidth(),
    ),
  )
  say(
    style(
      "dim",
      "◆ on the front of value against this cost, by means; dominated: another is as good in value and every cost, and better in one",
      process.stdout,
    ),
  )
}

function printCurves(store: Store, subjects: readonly Subject[], wanted: string | undefined): void {
  const curves = meanCurves(store, subjects, wanted, 400)
  if (curves === undefined) {
    say(`\nNone of these runs recorded a series${wanted === undefined ? "" : ` of ${plainText(wanted)}`}.`)
    return
  }
  heading(curves.metric)
  const width = terminalWidth()
  const chart = brailleChart(
    curves.curves.map(({ label, x, mean }) => ({ label, x, y: mean })),
    { width, height: 16, xLabel: "step" },
  )
  say(
    paintChart(
      chart,
      curves.curves.map(({ label }) => label),
      width,
    ),
  )
}
