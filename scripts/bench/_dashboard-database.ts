/** The database that the cost of the dashboard is measured on, and a writer that keeps it changing. */
import { setTimeout as sleep } from "node:timers/promises"
import { openStore, type Store } from "@exp/store"

/** How large it is. */
export interface Size {
  readonly trials: number
  /** Logged values of all runs together. */
  readonly points: number
  /** Runs that are live. */
  readonly running: number
}

const arms = ["full", "lora", "snell", "snella", "adapter", "mask", "bitfit", "linear"]
const metrics = ["train/loss", "train/accuracy", "val/accuracy", "time/step"]
const owner = "bench"

const wave = (run: number, metric: number, step: number) =>
  Math.exp(-step / 800) + 0.05 * Math.sin(step / 7 + run) + 0.1 * metric + (run % arms.length) * 0.01

/** Builds a finished experiment with the last `running` trials under way. Returns the live runs. */
export function build(path: string, size: Size): readonly number[] {
  using store = openStore(path, { mode: "write" })
  store.experiments.register({
    name: "bench.dashboard",
    question: "What does watching cost?",
    task: "bench",
    taskVersion: 1,
    compare: ["test/accuracy"],
    metrics: { "test/accuracy": { goal: "max", unit: "ratio" }, "train/loss": { goal: "min" } },
  })
  const trials = Array.from({ length: size.trials }, (_, i) => ({
    id: i.toString(16).padStart(32, "0"),
    taskName: "bench",
    taskVersion: 1,
    config: {
      tuner: { kind: arms[i % arms.length]!, rank: 8, sparsity: 0.5 },
      learningRate: 10 ** -(1 + (i % 4)),
      epochs: 12,
      batchSize: 32,
      target: "inv-1k",
    },
    seed: Math.floor(i / arms.length),
    arm: arms[i % arms.length]!,
    condition: arms[i % arms.length]!,
  }))
  store.experiments.addTrials("bench.dashboard", "compare", trials)
  const steps = Math.ceil(size.points / (size.trials * metrics.length))
  const live: number[] = []
  for (const [i, trial] of trials.entries()) {
    const runId = start(store, trial.id)
    const writer = store.metricWriter(runId)
    for (let step = 0; step < steps; step++) {
      writer.logMany(step, Object.fromEntries(metrics.map((name, m) => [name, wave(i, m, step)])))
    }
    writer.logMany(steps, { "test/accuracy": 0.7 + 0.02 * (i % arms.length) + 0.01 * Math.sin(i) })
    writer.close()
    for (let line = 0; line < 20; line++)
      store.logs.append(runId, "info", `epoch ${line}: loss ${wave(i, 0, line * 100)}`)
    for (let sample = 0; sample < 100; sample++) {
      const right = Math.sin(i * 12.9898 + sample * 78.233) * 0.5 + 0.5 < 0.7 + 0.02 * (i % arms.length)
      store.samples.record(runId, "bench", String(sample), { "test/accuracy": Number(right) })
    }
    if (i < size.trials - size.running) store.runs.transition(runId, "completed", { owner })
    else live.push(runId)
  }
  store.flush()
  return live
}

function start(store: Store, trialId: string): number {
  return store.runs.start({
    trialId,
    owner,
    device: "cpu",
    host: "bench",
    pid: process.pid,
    codeHash: "c",
    leaseMs: 3e6,
  })
}

/** Logs to the live runs, in one transaction each tenth of a second, and moves their progress on, until aborted. */
export async function keepWriting(path: string, live: readonly number[], signal: AbortSignal): Promise<void> {
  using store = openStore(path, { mode: "write" })
  const writers = live.map((runId) => store.metricWriter(runId))
  for (let step = 1_000_000; !signal.aborted; step++) {
    store.connection.write(() => {
      for (const [k, runId] of live.entries()) {
        const progress = { done: (step + 7 * k) % 1000, total: 1000 }
        store.runs.heartbeat(runId, { owner, progress, leaseMs: 3e6 })
      }
    })
    for (const [k, writer] of writers.entries()) {
      writer.logMany(step, Object.fromEntries(metrics.map((name, m) => [name, wave(k, m, step)])))
      store.logs.append(live[k]!, "info", `step ${step}`)
    }
    store.flush()
    await sleep(100, undefined, { signal }).catch(() => {})
  }
  for (const writer of writers) writer.close()
}
