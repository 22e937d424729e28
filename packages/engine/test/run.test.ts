import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { openStore, type Store } from "@exp/store"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import type { Report, RunEvent, RunOptions } from "../src/engine.ts"
import { runExperiment } from "../src/engine.ts"

const fixtures = join(dirname(fileURLToPath(import.meta.url)), "fixtures")
const misbehaving = join(fixtures, "misbehaving.ts")
const counter = join(fixtures, "counter.ts")

let folder = ""
let db = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-engine-"))
  db = join(folder, "runs.db")
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const events: RunEvent[] = []
async function run(options: Partial<RunOptions> & { readonly mode?: string } = {}): Promise<Report> {
  const { mode, ...rest } = options
  events.length = 0
  return runExperiment({
    file: misbehaving,
    db,
    workers: 1,
    onEvent: (event) => events.push(event),
    ...(mode === undefined ? rest : { ...rest, set: { mode, ...rest.set } }),
  })
}
const inStore = <A>(look: (store: Store) => A): A => {
  const store = openStore(db, { mode: "read" })
  try {
    return look(store)
  } finally {
    store.close()
  }
}
const of = <T extends RunEvent["type"]>(type: T) =>
  events.filter((event): event is Extract<RunEvent, { readonly type: T }> => event.type === type)

describe("an experiment", () => {
  it("tunes, chooses, compares, and uses finished trials again", async () => {
    const first = await run({ file: counter, workers: 2 })
    expect(first.exitCode).toBe(0)
    expect(first.counts).toMatchObject({ completed: 10, failed: 0 })
    expect(first.trials.filter((t) => t.phase === "compare").map((t) => [t.arm, t.seed])).toEqual([
      ["slow", 0],
      ["fast", 0],
      ["slow", 1],
      ["fast", 1],
      ["slow", 2],
      ["fast", 2],
    ])
    expect(first.selections.map((s) => [s.arm, s.by, s.candidates.length])).toEqual([
      ["slow", "val/accuracy", 2],
      ["fast", "val/accuracy", 2],
    ])
    expect(inStore((store) => store.experiments.selections("counter").map((s) => s.arm))).toEqual(["fast", "slow"])

    const second = await run({ file: counter, workers: 2 })
    expect(second.counts).toMatchObject({ completed: 0, reused: 10 })
    expect(of("trial-started")).toEqual([])
    expect(second.trials.map((t) => t.metrics)).toEqual(first.trials.map((t) => t.metrics))
    // The loss is that of the last step, and what JSON cannot hold is kept.
    const series = inStore((store) =>
      store.connection
        .sql<{ value: number | null }>(
          "SELECT value FROM metrics m JOIN metric_names n ON n.id = m.metric_id WHERE run_id = ? AND n.name = 'train/loss' ORDER BY step",
        )
        .all(Number(first.trials[0]!.runId)),
    )
    expect(series).toHaveLength(40)
    expect(series[6]!.value).toBeNull()
    expect(series[39]!.value).toBe(first.trials[0]!.metrics["train/loss"])

    const forced = await run({ file: counter, workers: 2, force: true })
    expect(forced.counts).toMatchObject({ completed: 10, reused: 0 })
    expect(forced.trials.map((t) => t.metrics)).toEqual(first.trials.map((t) => t.metrics))
    expect(forced.trials.every((t) => t.attempts === 2)).toBe(true)
  })

  it("marks results of other code as stale, and makes them again on demand", async () => {
    const file = join(fixtures, `../stale-${process.pid}.ts`)
    const write = (comment: string) =>
      writeFileSync(
        file,
        `// ${comment}\n${readFileSync(join(fixtures, "noop.ts"), "utf8").replace("seeds: 250", "seeds: 1")}`,
      )
    try {
      write("one")
      const first = await run({ file })
      expect(first.trials.map((t) => t.stale)).toEqual([false, false])
      write("two")
      const second = await run({ file })
      expect(second.trials.map((t) => [t.status, t.stale])).toEqual([
        ["reused", true],
        ["reused", true],
      ])
      const third = await run({ file, stale: "rerun" })
      expect(third.counts).toMatchObject({ completed: 2, reused: 0 })
      expect((await run({ file, stale: "rerun" })).counts).toMatchObject({ completed: 0, reused: 2 })
      expect((await run({ file })).trials.map((t) => t.stale)).toEqual([false, false])
    } finally {
      rmSync(file, { force: true })
    }
  })
})

describe("a trial", () => {
  it("leaves metrics, samples, artifacts and everything it prints in runs.db", async () => {
    const report = await run({ mode: "fine" })
    expect(report.exitCode).toBe(0)
    const trial = report.trials[0]!
    expect(trial.metrics["value"]).toBeNaN()
    expect(trial.metrics["layer/3"]).toBe(Number.POSITIVE_INFINITY)
    inStore((store) => {
      const runId = Number(trial.runId)
      const lines = store.logs.tail(runId).map((line) => [line.level, line.message])
      expect(lines).toContainEqual(["stdout", "hello from stdout"])
      expect(lines).toContainEqual(["stderr", "hello from stderr"])
      expect(lines).toContainEqual(["warn", "hello from the logger"])
      const [artifact] = store.artifacts.ofRun(runId).filter((a) => a.name === "note.txt")
      expect(new TextDecoder().decode(store.artifacts.get(artifact!.hash))).toBe("an artifact")
      expect(store.connection.sql<{ n: number }>("SELECT count(*) AS n FROM sample_results").get()?.n).toBe(1)
      const run = store.runs.get(runId)!
      expect(run).toMatchObject({ status: "completed", attempt: 1, device: "auto" })
      expect(run.codeHash).toMatch(/^[0-9a-f]{64}$/)
      expect(run.packages).toMatchObject({ node: process.versions.node })
    })
  })

  it("may be an Effect", async () => {
    expect((await run({ mode: "effect" })).trials[0]!.metrics).toEqual({ value: 42 })
    const failed = await run({ mode: "effect-fails" })
    expect(failed.trials[0]!.failure).toMatchObject({ kind: "TaggedTrouble", message: "as data" })
  })

  it.each([
    ["throws", { kind: "TaskFailed", message: "this trial throws" }, 2],
    ["throws-later", { kind: "TaskFailed", message: "thrown from a timer" }, 2],
    ["rejects-aside", { kind: "TaskFailed", message: "nobody awaits this" }, 2],
    ["exits", { kind: "WorkerExited", exitCode: 7 }, 2],
    ["aborts", { kind: "WorkerExited", signal: "SIGABRT" }, 2],
    ["killed", { kind: "WorkerExited", signal: "SIGKILL" }, 2],
    ["undeclared", { kind: "UndeclaredMetric", retriable: false }, 1],
    ["not-a-number", { kind: "TypeError" }, 2],
  ])("that %s fails alone, with its reason and its last lines", async (mode, failure, attempts) => {
    const report = await run({ mode })
    expect(report.exitCode).toBe(1)
    const trial = report.trials[0]!
    expect(trial).toMatchObject({ status: "failed", attempts, failure })
    expect(of("trial-failed").map((event) => event.willRetry)).toEqual(attempts === 2 ? [true, false] : [false])
    if (mode === "throws") expect(trial.failure!.lastLines).toContain("about to throw")
    if (mode === "exits") expect(trial.failure!.lastLines).toContain("bye")
    inStore((store) => {
      const runs = store.runs.ofTrial(trial.trialId)
      expect(runs.map((r) => r.status)).toEqual(Array(attempts).fill("failed"))
      expect(runs.at(-1)!.error).toMatchObject(failure)
      // What was logged before is kept, but for the last moment before a death without warning.
      if (mode !== "aborts" && mode !== "killed") expect(trial.metrics["value"]).toBe(0)
    })
    // The pool is as good as new.
    expect((await run({ mode: "fine" })).exitCode).toBe(0)
  })

  it("goes on from its checkpoint at the next attempt, with the whole series", async () => {
    const report = await run({ mode: "recovers" })
    expect(report.trials[0]).toMatchObject({ status: "completed", attempts: 2, metrics: { value: 2 } })
    inStore((store) => {
      const steps = store.connection
        .sql<{ step: number; value: number }>("SELECT step, value FROM metrics WHERE run_id = ? ORDER BY step")
        .all(Number(report.trials[0]!.runId))
      expect(steps).toEqual([
        { step: 0, value: 0 },
        { step: 1, value: 1 },
        { step: 2, value: 2 },
      ])
      // What was measured before the checkpoint is not measured again, and must not be lost.
      const measured = store.connection
        .sql<{ key: string; value: number }>(
          `SELECT s.key, r.value FROM sample_results r JOIN samples s ON s.id = r.sample_id
           JOIN competitors c ON c.id = r.competitor_id WHERE c.run_id = ? ORDER BY s.key`,
        )
        .all(Number(report.trials[0]!.runId))
      expect(measured).toEqual([
        { key: "felix", value: 2 },
        { key: "tom", value: 1 },
      ])
    })
  })

  it("counts as a failure when it has failed for good; after so many nothing is begun any more", async () => {
    const report = await run({ mode: "undeclared", seeds: 5, maxFailures: 2 })
    expect(report).toMatchObject({ exitCode: 1, status: "failed", counts: { failed: 2, pending: 3 } })
    expect(report.reason).toContain("2 failed")
    // The same command goes on with the others.
    expect((await run({ mode: "undeclared", seeds: 5 })).counts).toMatchObject({ failed: 5, pending: 0 })
    const stopped = await run({ file: join(fixtures, "gives-up.ts"), mode: "undeclared", seeds: 3 })
    expect(stopped).toMatchObject({ exitCode: 1, counts: { failed: 1, pending: 2 } })
  })

  it("that ends its process takes no other trial with it", async () => {
    const report = await run({ mode: "rejects-aside", seeds: 3 })
    expect(report.counts.failed).toBe(3)
    // The next one in the queue is not given to a process that is about to end.
    expect(of("trial-failed").map((event) => event.failure.kind)).toEqual(Array.from({ length: 6 }, () => "TaskFailed"))
  })

  it("over its memory limit is stopped, not the machine", async () => {
    const report = await run({ mode: "hoards", memoryLimit: 600 * 2 ** 20 })
    expect(report.trials[0]!.failure).toMatchObject({ kind: "OutOfMemory", retriable: false })
  })

  it.each(["sleeps", "spins"])("that %s is stopped when asked, and its run says interrupted", async (mode) => {
    const abort = new AbortController()
    const kill = new AbortController()
    const running = run({ mode, signal: abort.signal, killSignal: kill.signal })
    while (of("trial-started").length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    abort.abort()
    // The second Ctrl-C: a task that does not listen would keep its ten seconds.
    setTimeout(() => kill.abort(), 100)
    const report = await running
    expect(report).toMatchObject({ exitCode: 130, status: "interrupted", counts: { interrupted: 1 } })
    expect(inStore((store) => store.runs.ofTrial(report.trials[0]!.trialId).map((r) => r.status))).toEqual([
      "interrupted",
    ])
  })
})

describe("a stage", () => {
  it("is computed once for all trials that ask", async () => {
    const note = join(folder, "note")
    const report = await run({ mode: "stage", seeds: 4, workers: 2, set: { note } })
    expect(report.trials.map((t) => t.metrics["value"])).toEqual([9, 9, 9, 9])
    expect(readFileSync(note, "utf8")).toBe("stage computed\n")
    expect(of("stage").filter((event) => event.state === "computing")).toHaveLength(1)
  })

  it("is taken over with its checkpoint when the process that computes it dies", async () => {
    const note = join(folder, "note")
    const report = await run({ mode: "stage-dies", seeds: 2, workers: 2, set: { note } })
    expect(report.trials.map((t) => t.metrics["value"])).toEqual([9, 9])
    expect(readFileSync(note, "utf8")).toBe("stage computed\nstage computed\nstage continued from 1\n")
  })
})
