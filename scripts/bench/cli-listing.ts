/**
 * `exp ls`, `show` and `compare` on 100,000 runs, beyond the start of the program: the functions that the commands call, in
 * this process, each opening the database anew as a command does.
 */
import { join } from "node:path"
import { compareCommand } from "../../packages/cli/src/compare-command.ts"
import { listCommand } from "../../packages/cli/src/list-command.ts"
import { showCommand } from "../../packages/cli/src/show-command.ts"
import { type Measurement, measurement, openBench, withDirectory } from "./_store-fixtures.ts"

const seeds = 5
const points = 20_000

/** An experiment with a sweep of 20,000 conditions of five seeds, and a small one beside it, with tags and names. */
function plant(directory: string): void {
  const store = openBench(directory)
  const methods = ["lora", "snella", "full", "mask", "bitfit"]
  const declare = (name: string) =>
    store.experiments.register({
      name,
      ...{ task: "bench", taskVersion: 1, compare: ["test/accuracy"], baseline: "lora" },
      metrics: {
        "test/accuracy": { goal: "max" },
        "test/loss": { goal: "min" },
        "mem/state": { goal: "min", unit: "B" },
        "flops/step": { goal: "min" },
      },
    })
  const trial = (name: string, i: number, seed: number) => ({
    id: `${name === "big" ? "b" : "c"}${(i * seeds + seed).toString(16).padStart(31, "0")}`,
    taskName: "bench",
    taskVersion: 1,
    config: {
      model: { name: "tinyvit", width: 64 + (i % 8), depth: 6 },
      tuner: { kind: methods[i % 5]!, rank: 1 + (i % 64), sparsity: (i % 10) / 10 },
      source: "fashion-mnist",
      learningRate: 10 ** -(1 + (i % 4)),
      epochs: 12,
      point: i,
    },
    seed,
    arm: methods[i % 5]!,
    condition: name === "big" ? `${methods[i % 5]} point=${i}` : methods[i % 5]!,
  })
  for (const [name, conditions] of [
    ["big", points],
    ["small", 5],
  ] as const) {
    declare(name)
    const trials = Array.from({ length: conditions * seeds }, (_, k) => trial(name, Math.floor(k / seeds), k % seeds))
    store.experiments.addTrials(name, "compare", trials)
    const summary = store.connection.sql(
      `INSERT INTO metric_summaries VALUES (?, (SELECT id FROM metric_names WHERE name = ?), 1, 0, 0, ?, 0, ?, ?, ?, NULL)`,
    )
    store.connection.write(() => {
      for (const [k, { id }] of trials.entries()) {
        const run = store.runs.start({
          trialId: id,
          device: "cpu",
          host: "here",
          codeHash: "c",
          environment: { node: "24" },
        })
        store.runs.transition(
          run,
          run % 50 === 0 ? "failed" : "completed",
          run % 50 === 0 ? { error: { message: "no" } } : {},
        )
        for (const metric of ["test/accuracy", "test/loss", "mem/state", "flops/step"]) {
          const value = 0.5 + ((k * 7919) % 1000) / 2000
          summary.run(run, metric, value, value, value, value)
        }
        if (run % 100 === 0) store.tags.add("run", run, "good")
        if (run % 1000 === 0) store.runs.rename(run, `run of ${run}`)
      }
    })
  }
  store.close()
}

/** Milliseconds of a command whose output goes nowhere. */
async function time(work: () => Promise<unknown>): Promise<number> {
  const { write } = process.stdout
  process.stdout.write = () => true
  try {
    const began = performance.now()
    await work()
    return performance.now() - began
  } finally {
    process.stdout.write = write
  }
}

export async function run(rounds = 7): Promise<Measurement[]> {
  return await withDirectory(async (directory) => {
    plant(directory)
    const output = { db: join(directory, "runs.db"), json: false }
    const results: Measurement[] = []
    const measure = async (name: string, target: string, work: () => Promise<unknown>) => {
      await time(work)
      const times: number[] = []
      for (let i = 0; i < rounds; i++) times.push(await time(work))
      results.push(measurement(`cli-${name}`, "ms", times, undefined, undefined, { target }))
    }
    const list = (name: string, target: string, options: object, experiment?: string) =>
      measure(name, target, () => listCommand(experiment, { limit: 50, ...options }, output))
    const where = (name: string, ...conditions: string[]) => list(`where-${name}`, "< 150", { where: conditions })
    const compare = (name: string, target: string, what: readonly string[], metric?: readonly string[]) =>
      measure(name, target, () => compareCommand(what, { level: 0.95, ...(metric && { metric }) }, output))
    await list("ls-page", "< 50", { runs: true })
    await list("ls-page-of-experiment", "< 50", {}, "big")
    await list("ls-status", "< 50", { status: "failed" })
    await list("ls-tag", "< 50", { tag: "good" })
    await list("ls-since", "< 50", { since: "1h" })
    await list("ls-experiments", "< 500", {})
    await where("half", "tuner.rank > 32")
    await where("few", "tuner.rank = 7 and model.width = 70 and learningRate < 0.001")
    await where("all", "epochs = 12")
    await where("none", "epochs > 12")
    await where("text", "tuner.kind like 'sn%'")
    await where("one", "point = 777")
    await where("metric", "test/accuracy > 0.99")
    await where("name", "name = 'run of 5000'")
    await measure("show-run", "< 50", () => showCommand("50000", output))
    await measure("show-small", "< 150", () => showCommand("small", output))
    await compare("compare-small", "< 150", ["small"])
    await compare("compare-runs", "< 150", ["1000", "2000"], ["test/accuracy"])
    await compare("compare-two-of-20000", "< 1000", ["big:lora point=0", "big:snella point=1"])
    return results
  })
}

if (import.meta.main) {
  for (const each of await run(Number(process.argv[2] ?? 7))) console.log(JSON.stringify(each))
}
