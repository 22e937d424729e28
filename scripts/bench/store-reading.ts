/**
 * Reading: the newest 50 of 100,000 runs, filters on config, and a series of 1,000,000 points in 200 columns. The
 * yardstick of the series is plain SQL (GROUP BY over the rows) on the same file in the same run.
 */
import { openStore, parseWhere } from "@exp/store"
import { type Measurement, measurement, openBench, plantTrials, withDirectory } from "./_store-fixtures.ts"

function times(rounds: number, work: () => unknown): number[] {
  return Array.from({ length: rounds }, () => {
    const began = performance.now()
    work()
    return performance.now() - began
  })
}

export async function run(rounds = 7): Promise<Measurement[]> {
  return await withDirectory((directory) => {
    const writing = openBench(directory)
    const trials = plantTrials(writing, 100_000, (seed) => ({
      model: { name: "tinyvit", width: 64 + (seed % 8), depth: 6 },
      tuner: { kind: ["lora", "snella", "full"][seed % 3]!, rank: 1 + (seed % 64), sparsity: (seed % 10) / 10 },
      source: "fashion-mnist",
      target: "inv-1k",
      learningRate: 10 ** -(1 + (seed % 4)),
      weightDecay: 0.01,
      epochs: 12,
      batchSize: 32,
    }))
    writing.connection.write(() => {
      for (const trialId of trials) {
        const runId = writing.runs.start({ trialId, device: "cpu", host: "here", codeHash: "c" })
        writing.runs.transition(runId, runId % 50 === 0 ? "failed" : "completed")
        const name = runId % 2 === 0 ? "test/accuracy" : "val/accuracy"
        writing.connection.sql("INSERT OR IGNORE INTO metric_names (name) VALUES (?)").run(name)
        writing.connection
          .sql(
            `INSERT INTO metric_summaries VALUES (?, (SELECT id FROM metric_names WHERE name = ?), 1, 0, 0, ?, 0, ?, ?, ?, NULL)`,
          )
          .run(runId, name, runId / 1e5, runId / 1e5, runId / 1e5, runId / 1e5)
      }
    })
    const long = writing.metricWriter(1)
    for (let step = 0; step < 1_000_000; step++) long.log(step, "train/loss", Math.sin(step / 1000))
    long.close()
    writing.close()

    const store = openStore(`${directory}/runs.db`, { mode: "read" })
    const where = (filter: string) => times(rounds, () => store.queries.runs({ where: parseWhere(filter) }))
    const plain = store.connection.sqlite.prepare(
      `SELECT step / 5000, min(value), max(value), avg(value), max(step) FROM metrics
       WHERE run_id = 1 AND metric_id = (SELECT id FROM metric_names WHERE name = 'train/loss') GROUP BY step / 5000`,
    )
    store.queries.runs()
    const results = [
      measurement(
        "store-newest-50-of-100k",
        "ms",
        times(rounds, () => store.queries.runs()),
        undefined,
        undefined,
        { target: "< 5" },
      ),
      measurement(
        "store-page-of-experiment-and-status",
        "ms",
        times(rounds, () =>
          store.queries.runs({ experiment: "bench", arm: "arm3", status: ["failed"], before: 50_000 }),
        ),
        undefined,
        undefined,
        { target: "< 50" },
      ),
      measurement("store-filter-config-half", "ms", where("tuner.rank > 32"), undefined, undefined, {
        target: "< 150",
      }),
      measurement(
        "store-filter-config-few",
        "ms",
        where("tuner.rank = 7 and model.width = 70 and learningRate < 0.001"),
        undefined,
        undefined,
        { target: "< 150" },
      ),
      measurement("store-filter-config-all", "ms", where("epochs = 12"), undefined, undefined, { target: "< 150" }),
      measurement("store-filter-config-none", "ms", where("epochs > 12"), undefined, undefined, { target: "< 150" }),
      measurement("store-filter-config-text", "ms", where("tuner.kind like 'sn%'"), undefined, undefined, {
        target: "< 150",
      }),
      measurement("store-filter-metric-none", "ms", where("test/accuracy > 2"), undefined, undefined, {
        target: "< 150",
      }),
      measurement(
        "store-series-1m-to-200",
        "ms",
        times(rounds, () => store.metrics.series(1, "train/loss", 200)),
        times(3, () => plain.all()),
        "SQL GROUP BY over the rows",
        { target: "< 60" },
      ),
      measurement(
        "store-series-zoomed-50k-to-200",
        "ms",
        times(rounds, () => store.metrics.series(1, "train/loss", 200, { fromStep: 400_000, toStep: 450_000 })),
        undefined,
        undefined,
        { target: "< 60" },
      ),
    ]
    store.close()
    return results
  })
}

if (import.meta.main) {
  for (const each of await run(Number(process.argv[2] ?? 7))) console.log(JSON.stringify(each))
}
