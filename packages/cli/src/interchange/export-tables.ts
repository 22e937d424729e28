/** What `exp export` writes as tables: runs, their points, their results on samples. */
import type { RunListItem, Store } from "@exp/store"
import { pointBlocks } from "@exp/store/interchange"
import { flatten } from "../compare/subjects.ts"
import type { TableColumn, TableSink } from "./table-sinks.ts"

export const tables = ["runs", "metrics", "results"] as const
export type TableName = (typeof tables)[number]

/** Runs in pages, so that a list of 100,000 with their configs is never held. */
export type RunPages = () => Iterable<readonly RunListItem[]>

/** A table that can be written more than once: columns first, then rows into a sink. */
export interface ExportTable {
  readonly columns: readonly TableColumn[]
  readonly write: (sink: TableSink, onRows: (rows: number) => void) => number
}

const place: readonly TableColumn[] = [
  { name: "run", kind: "integer" },
  { name: "experiment", kind: "text" },
  { name: "arm", kind: "text" },
  { name: "condition", kind: "text" },
  { name: "seed", kind: "integer" },
]
const placeOf = (run: RunListItem) => [run.id, run.experiment, run.arm, run.condition, run.seed]

const leaf = (value: unknown) =>
  typeof value === "number" || typeof value === "string" || value === null || value === undefined
    ? value
    : JSON.stringify(value)

/** A row a run: where it belongs, how it went, its config (`config.…`) and last values (`metrics.…`). */
export function runsTable(store: Store, pages: RunPages): ExportTable {
  const paths = new Map<string, boolean>()
  const metrics = new Set<string>()
  for (const page of pages()) {
    for (const run of page) {
      for (const [path, value] of flatten(run.config)) {
        if (path === "") continue
        const numeric = typeof value === "number" || value === null
        paths.set(path, (paths.get(path) ?? true) && numeric)
      }
      for (const { metric } of store.metrics.summaries(run.id)) metrics.add(metric)
    }
  }
  const configs = [...paths].sort((a, b) => (a[0] < b[0] ? -1 : 1))
  const names = [...metrics].sort()
  const columns: TableColumn[] = [
    ...place,
    ...["profile", "phase", "status"].map((name) => ({ name, kind: "text" }) as const),
    { name: "attempt", kind: "integer" },
    ...["name", "tags", "note"].map((name) => ({ name, kind: "text" }) as const),
    ...["created", "started", "finished"].map((name) => ({ name, kind: "time" }) as const),
    ...["device", "host", "error", "trial", "task", "code_hash"].map((name) => ({ name, kind: "text" }) as const),
    ...configs.map(([path, numeric]) => ({ name: `config.${path}`, kind: numeric ? "number" : "text" }) as const),
    ...names.map((name) => ({ name: `metrics.${name}`, kind: "number" }) as const),
  ]
  return {
    columns,
    write: (sink, onRows) => {
      let rows = 0
      for (const page of pages()) {
        for (const run of page) {
          const config = flatten(run.config)
          const last = new Map(store.metrics.summaries(run.id).map((summary) => [summary.metric, summary.last]))
          const texts = (value: unknown, numeric: boolean) => {
            const plain = leaf(value)
            return numeric || typeof plain !== "number" ? plain : String(plain)
          }
          sink.row([
            ...placeOf(run),
            ...[run.profile, run.phase, run.status, run.attempt, run.name, run.tags.join(";"), run.note],
            ...[run.createdAt, run.startedAt, run.finishedAt, run.device, run.host, run.error, run.trialId, run.task],
            run.codeHash,
            ...configs.map(([path, numeric]) => texts(config.get(path), numeric)),
            ...names.map((name) => last.get(name)),
          ])
          onRows(++rows)
        }
      }
      return rows
    },
  }
}

/** A row a point. */
export function metricsTable(store: Store, pages: RunPages): ExportTable {
  return {
    columns: [
      ...place,
      { name: "metric", kind: "text" },
      { name: "step", kind: "integer" },
      { name: "value", kind: "number" },
      { name: "time", kind: "time" },
    ],
    write: (sink, onRows) => {
      let rows = 0
      for (const page of pages()) {
        for (const run of page) {
          for (const { metric, step, value, time } of pointBlocks(store, run.id)) {
            for (let i = 0; i < step.length; i++) sink.row([...placeOf(run), metric, step[i], value[i], time[i]])
            rows += step.length
            onRows(rows)
          }
        }
      }
      return rows
    },
  }
}

/** A row a result on a sample, in the form that `exp import` reads. */
export function resultsTable(store: Store, pages: RunPages): ExportTable {
  const text = (name: string) => ({ name, kind: "text" }) as const
  return {
    columns: [
      ...["competitor", "dataset", "sample", "metric"].map(text),
      { name: "value", kind: "number" },
      ...["tags", "text"].map(text),
      ...place,
    ],
    write: (sink, onRows) => {
      let rows = 0
      const find = store.connection.sqlite
        .prepare(
          `SELECT d.name, s.key, m.name, v.value, s.tags, s.text FROM competitors c
           JOIN sample_results v ON v.competitor_id = c.id JOIN metric_names m ON m.id = v.metric_id
           JOIN samples s ON s.id = v.sample_id JOIN datasets d ON d.id = s.dataset_id WHERE c.run_id = ?`,
        )
        .raw(true)
      for (const page of pages()) {
        for (const run of page) {
          const competitor = `${run.condition ?? `run ${run.id}`} seed ${run.seed}`
          for (const row of find.iterate(run.id) as IterableIterator<
            [string, string, string, number | null, string, string | null]
          >) {
            const [dataset, sample, metric, value, tags, words] = row
            const plain = Object.entries(JSON.parse(tags) as Record<string, unknown>).map(
              ([tag, of]) => `${tag}=${String(of)}`,
            )
            sink.row([
              competitor,
              dataset,
              sample,
              metric,
              value ?? Number.NaN,
              plain.join(";"),
              words,
              ...placeOf(run),
            ])
            rows++
          }
          onRows(rows)
        }
      }
      return rows
    },
  }
}
