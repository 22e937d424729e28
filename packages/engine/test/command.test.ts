import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { openStore, type Store } from "@exp/store"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { parseLine } from "../src/command.ts"
import { cancel, runExperiment } from "../src/engine.ts"
import { processStart } from "../src/process-identity.ts"

const file = join(dirname(fileURLToPath(import.meta.url)), "fixtures/program.ts")
const python = (() => {
  try {
    execFileSync("python3", ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()

let folder = ""
let db = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-command-"))
  db = join(folder, "runs.db")
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))
const run = (mode: string, more: object = {}) =>
  runExperiment({ file, db, workers: 1, set: { mode, note: join(folder, "note") }, ...more })
const inStore = <A>(look: (store: Store) => A): A => {
  const store = openStore(db, { mode: "read" })
  try {
    return look(store)
  } finally {
    store.close()
  }
}

it("reads JSON lines with the words that Python writes for what JSON lacks", () => {
  expect(
    parseLine('{"step": 1, "metrics": {"a": NaN, "b": -Infinity, "c": Infinity}, "NaN": "NaN, \\" Infinity"}'),
  ).toEqual({
    step: 1,
    metrics: { a: "NaN", b: "-Infinity", c: "Infinity" },
    NaN: 'NaN, " Infinity',
  })
  for (const line of ["", "12", "[1]", "null", "{", "NaN", '{"a": nan}', "\u0000"])
    expect(parseLine(line)).toBeUndefined()
})

describe.skipIf(!python)("a program in Python", () => {
  it("gets its config and reports metrics, artifacts, samples and checkpoints", async () => {
    const report = await run("fine")
    expect(report.trials[0]!.failure).toBeUndefined()
    expect(report.trials[0]!.metrics["loss"]).toBe(0.5)
    expect(report.trials[0]!.metrics["other"]).toBeNaN()
    inStore((store) => {
      const runId = Number(report.trials[0]!.runId)
      expect(store.artifacts.ofRun(runId).map((a) => a.name)).toContain("curve.txt")
      expect(store.logs.tail(runId).map((line) => line.message)).toEqual(
        expect.arrayContaining(["plain output", "to stderr", "careful"]),
      )
      expect(store.checkpoints.latest(report.trials[0]!.trialId)?.step).toBe(2)
    })
  })

  it("fails with its exit code, and goes on from its checkpoint at the next attempt", async () => {
    const report = await run("fails-once")
    expect(report.trials[0]).toMatchObject({ status: "completed", attempts: 2 })
    const failed = await run("fails")
    expect(failed.trials[0]!.failure).toMatchObject({
      kind: "ProgramFailed",
      message: expect.stringContaining("exited with code 3"),
      lastLines: expect.arrayContaining([expect.stringContaining("RuntimeError: on purpose")]),
    })
  })

  it("may print garbage, which is reported and survived", async () => {
    const report = await run("garbage")
    expect(report.trials[0]).toMatchObject({ status: "completed", metrics: { loss: 1 } })
    const warnings = inStore((store) => store.logs.page(Number(report.trials[0]!.runId), { levels: ["warn"] }))
    expect(warnings).toHaveLength(10)
  })

  it("may flood: a million lines of metrics, none lost", { timeout: 120_000 }, async () => {
    const report = await run("flood")
    expect(report.trials[0]!.failure).toBeUndefined()
    const count = inStore(
      (store) => store.connection.sql<{ n: number }>("SELECT sum(count) AS n FROM metric_summaries").get()?.n,
    )
    expect(count).toBe(1_000_000)
  })

  it("that logs an undeclared metric is stopped, and the metric named", async () => {
    const report = await run("undeclared")
    expect(report.trials[0]!.failure).toMatchObject({
      kind: "UndeclaredMetric",
      message: expect.stringContaining("did you mean"),
    })
  })

  it("that ignores SIGTERM and has forked is gone after a cancel, children included", async () => {
    const running = run("stubborn")
    const note = join(folder, "note")
    let pids: number[] = []
    while (pids.length < 2) {
      await sleep(20)
      try {
        pids = readFileSync(note, "utf8").trim().split("\n").map(Number)
      } catch {
        // Not yet.
      }
    }
    const store = openStore(db, { mode: "write" })
    try {
      const result = await cancel(store, { kind: "experiment", experiment: "program" }, 60_000)
      expect(result.remaining).toEqual([])
    } finally {
      store.close()
    }
    expect((await running).counts.cancelled).toBe(1)
    const alive = () => pids.map(processStart).filter((start) => start !== undefined)
    for (const until = performance.now() + 60_000; alive().length > 0 && performance.now() < until; ) await sleep(20)
    expect(alive()).toEqual([])
  })
})

it("says when the program is not there", async () => {
  const report = await run("missing")
  expect(report.trials[0]).toMatchObject({ attempts: 1, failure: { kind: "ProgramNotStarted" } })
})
