/** A real database for the tests: two experiments, one with results by sample, in the middle of being run. */
import { mkdtempSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { openStore, type Store } from "@exp/store"

export const owner = "test"
export const arms = ["plain", "sparse", "dense"] as const

/** What would clear the screen, set the title and reverse the writing, were it written as it is. */
export const hostile = "\u001b[2J\u001b]0;owned\u0007\u202eevil"

export const emptyFolder = (): string => mkdtempSync(join(tmpdir(), "exp-dashboard-"))

/** Registers trials `arm × seed` and returns a function that gives the id of each. */
export function plan(store: Store, name: string, seeds: number, question = "Which one?") {
  store.experiments.register({
    name,
    question,
    task: "test",
    taskVersion: 1,
    compare: ["test/accuracy"],
    metrics: { "test/accuracy": { goal: "max" }, "train/loss": { goal: "min" } },
  })
  const id = (arm: number, seed: number) => `${name.length}${arm}${seed}`.padEnd(32, "0")
  const trials = arms.flatMap((arm, a) =>
    Array.from({ length: seeds }, (_, seed) => ({
      id: id(a, seed),
      taskName: "test",
      taskVersion: 1,
      config: { learningRate: 10 ** -(a + 1), tuner: { kind: arm, rank: 8 }, seed },
      seed,
      arm,
      condition: arm,
    })),
  )
  store.experiments.addTrials(name, "compare", trials)
  return id
}

/** Runs one trial to its end; the accuracy rises from arm to arm. */
export function complete(store: Store, trialId: string, arm: number, seed: number, samples: boolean): number {
  const runId = store.runs.start({ trialId, owner, device: "cpu", host: "elsewhere", pid: 1 })
  const writer = store.metricWriter(runId)
  for (let step = 0; step < 50; step++) {
    writer.logMany(step, { "train/loss": 2 * Math.exp(-step / 10), "val/accuracy": 1 - Math.exp(-step / 20) })
  }
  writer.logMany(50, { "test/accuracy": 0.7 + 0.1 * arm + 0.002 * seed + 0.001 * ((2 * (seed + arm)) % 5) })
  writer.close()
  for (let line = 0; line < 30; line++)
    store.logs.append(runId, line === 7 ? "warn" : "info", `line ${line} of run ${runId}`)
  if (samples) {
    for (let key = 0; key < 40; key++) {
      const right = (key * 7 + seed * 3 + arm) % 10 < 4 + 2 * arm
      store.samples.record(runId, "set", String(key), { "test/accuracy": Number(right) })
    }
  }
  store.flush()
  store.runs.transition(runId, "completed", { owner })
  return runId
}

export interface Planted {
  readonly path: string
  readonly running: number
  readonly failed: number
}

/** `ranked`: 3 arms × 3 seeds, one failed, one running, one waiting; `means` (first in the list): all done, no samples. */
export function plant(): Planted {
  const path = join(emptyFolder(), "runs.db")
  using store = openStore(path, { mode: "write" })
  const ranked = plan(store, "ranked", 3, `${hostile} which?`)
  for (let arm = 0; arm < 3; arm++)
    for (let seed = 0; seed < 2; seed++) complete(store, ranked(arm, seed), arm, seed, true)
  const failed = store.runs.start({ trialId: ranked(0, 2), owner, device: "cpu" })
  store.runs.transition(failed, "failed", { owner, error: { kind: "TaskFailed", message: `it broke ${hostile}` } })
  const running = store.runs.start({
    trialId: ranked(1, 2),
    owner,
    device: "cpu",
    host: hostname(),
    pid: process.pid,
    leaseMs: 1e7,
  })
  store.runs.heartbeat(running, { owner, progress: { done: 25, total: 100 }, leaseMs: 1e7 })
  const writer = store.metricWriter(running)
  for (let step = 0; step < 25; step++) writer.logMany(step, { "train/loss": 1 / (1 + step) })
  writer.close()
  const means = plan(store, "means-only", 5)
  for (let arm = 0; arm < 3; arm++)
    for (let seed = 0; seed < 5; seed++) complete(store, means(arm, seed), arm, seed, false)
  return { path, running, failed }
}
