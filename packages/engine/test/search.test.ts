/** Adaptive search and early stopping with real workers: what they find, and that nothing can disturb it. */
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { openStore, type Store } from "@exp/store"
import { curveOf } from "@exp/store/claims"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import type { Report, RunEvent, RunOptions, TrialReport } from "../src/engine.ts"
import { runExperiment } from "../src/engine.ts"

const here = dirname(fileURLToPath(import.meta.url))
const file = join(here, "fixtures/searched.ts")
const coordinator = join(here, "../../../test/faults/coordinator.ts")

let folder = ""
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-search-"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const events: RunEvent[] = []
const run = (db: string, options: Partial<RunOptions> = {}): Promise<Report> => {
  events.length = 0
  return runExperiment({ file, db: join(folder, db), workers: 2, onEvent: (event) => events.push(event), ...options })
}
const inStore = <A>(db: string, look: (store: Store) => A): A => {
  const store = openStore(join(folder, db), { mode: "read" })
  try {
    return look(store)
  } finally {
    store.close()
  }
}

/** All that a search decides: every trial, how it came out, and every value that it logged. */
const story = (report: Report) =>
  report.trials.map((trial) => ({
    id: trial.trialId,
    phase: trial.phase,
    status: trial.status === "reused" ? "completed" : trial.status,
    stop: trial.stop,
    metrics: trial.metrics,
    curve: inStore(report.db.slice(folder.length + 1), (store) =>
      curveOf(store.connection, Number(trial.runId), "val/loss"),
    ),
  }))

let undisturbed: Report
beforeAll(async () => {
  undisturbed = await run("undisturbed.db")
})

const tuning = (report: Report): TrialReport[] => report.trials.filter((trial) => trial.phase === "tune")

describe("a search with early stopping", () => {
  it("tries as many candidates as declared, stops hopeless ones, and compares the best", () => {
    expect(undisturbed).toMatchObject({ status: "completed", exitCode: 0 })
    const tried = tuning(undisturbed)
    expect(tried).toHaveLength(28)
    const stopped = tried.filter((trial) => trial.status === "stopped")
    expect(stopped.length).toBeGreaterThan(4)
    expect(undisturbed.counts).toMatchObject({ stopped: stopped.length, completed: 32 - stopped.length })
    for (const { arm, method, stopped, candidates, chosen } of undisturbed.selections) {
      expect(method).toBe("TPE")
      expect(candidates).toHaveLength(14)
      const own = tried.filter((trial) => trial.arm === arm)
      expect(stopped).toEqual({ rule: "ASHA", candidates: own.filter((trial) => trial.status === "stopped").length })
      const finished = own.filter((trial) => trial.status === "completed")
      const best = finished.reduce((a, b) => (b.metrics["val/loss"]! < a.metrics["val/loss"]! ? b : a))
      expect(best.config).toMatchObject(chosen)
      // What was found is better than chance: the best of the opening is not the best of all.
      expect(own.indexOf(best)).toBeGreaterThan(5)
    }
  })

  it("records a stopped trial as cancelled, with the reason, its values up to the stop and none after", () => {
    const stopped = tuning(undisturbed).filter((trial) => trial.status === "stopped")
    inStore("undisturbed.db", (store) => {
      for (const { runId, stop } of stopped) {
        const row = store.runs.get(Number(runId))!
        expect(row.status).toBe("cancelled")
        expect(row.error).toMatchObject({ kind: "StoppedEarly", rule: "ASHA", metric: "val/loss", rung: stop!.rung })
        const curve = curveOf(store.connection, Number(runId), "val/loss")
        expect(curve.at(-1)).toEqual([stop!.step, stop!.value])
        expect(stop!.value).toBeGreaterThan(stop!.threshold)
        expect(curve).toHaveLength(stop!.step)
      }
      // The public views count finished results only.
      const counted = store.connection
        .sql<{ runId: number }>("SELECT DISTINCT run_id FROM final_metrics WHERE counts")
        .all()
        .map((row) => String(row.runId))
      const finished = undisturbed.trials.filter((trial) => trial.status === "completed").map((trial) => trial.runId!)
      expect(new Set(counted)).toEqual(new Set(finished))
    })
    // The first round knows nothing to hold a trial against.
    expect(stopped.every((trial) => trial.index >= 6)).toBe(true)
  })

  it("is used again as it is: nothing runs twice", async () => {
    const again = await run("undisturbed.db")
    expect(events.filter((event) => event.type === "trial-started")).toEqual([])
    expect(again).toMatchObject({ exitCode: 0, counts: { completed: 0, stopped: undisturbed.counts.stopped } })
    expect(story(again)).toEqual(story(undisturbed))
    expect(again.selections).toEqual(undisturbed.selections)
  })

  it("comes out the same with another number of workers", async () => {
    const alone = await run("alone.db", { workers: 1 })
    expect(story(alone)).toEqual(story(undisturbed))
  })
})

describe("a search that is killed", () => {
  it("ends as if nothing had happened, and finishes no trial twice", async () => {
    const db = join(folder, "killed.db")
    const options = { file, db, workers: 2 }
    let kills = 0
    for (const trials of [3, 14]) {
      const child = spawn(process.execPath, [coordinator, JSON.stringify(options)], {
        stdio: ["ignore", "pipe", "inherit"],
      })
      let text = ""
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk
        const ended = text.match(/"type":"trial-(finished|stopped)"/g)?.length ?? 0
        const started = text.match(/"type":"trial-started"/g)?.length ?? 0
        // In the middle of a trial, when some have come out in this process.
        if (ended >= trials - kills * 6 && started > ended) child.kill("SIGKILL")
      })
      const signal = await new Promise((resolve) => child.once("exit", (_, by) => resolve(by)))
      if (signal === "SIGKILL") kills++
      await sleep(100)
    }
    expect(kills).toBe(2)
    const resumed = await run("killed.db")
    expect(resumed.exitCode).toBe(0)
    expect(story(resumed)).toEqual(story(undisturbed))
    expect(resumed.selections).toEqual(undisturbed.selections)
    inStore("killed.db", (store) => {
      const twice = store.connection
        .sql<{ n: number }>(
          `SELECT count(*) AS n FROM (SELECT trial_id FROM runs WHERE status IN ('completed', 'cancelled') GROUP BY trial_id
           HAVING count(*) > 1)`,
        )
        .get()!
      expect(twice.n).toBe(0)
    })
  })
})

describe("candidates that fail", () => {
  it("count as the worst; the search goes elsewhere and ends", async () => {
    const report = await run("failing.db", { set: { breaksAbove: "0.05" }, arms: ["sgd"] })
    expect(report).toMatchObject({ exitCode: 1, status: "failed" })
    const tried = tuning(report)
    expect(tried).toHaveLength(14)
    const failed = tried.filter((trial) => trial.status === "failed")
    expect(failed.length).toBeGreaterThan(0)
    expect(report.selections[0]!.candidates.filter(({ score }) => Number.isNaN(score)).length).toBe(
      failed.length + report.counts.stopped,
    )
    expect(report.trials.filter((trial) => trial.phase === "compare").every((t) => t.status === "completed")).toBe(true)
  })
})

describe("what a rule has stopped", () => {
  it("is run in full where it is compared, or where no rule is declared", async () => {
    const before = tuning(undisturbed).find((trial) => trial.status === "stopped" && trial.arm === "adam")!
    const rate = String(before.config["rate"])
    // The rate is given, so nothing is tuned: the very trial that was stopped is now one of those compared.
    const full = await run("undisturbed.db", { set: { rate }, arms: ["adam"], seeds: 1 })
    expect(full.trials.map((trial) => [trial.trialId, trial.status])).toEqual([[before.trialId, "completed"]])
    // It went on from its checkpoint, in a run of its own.
    expect(full.trials[0]!.runId).not.toBe(before.runId)
    const curve = inStore("undisturbed.db", (s) => curveOf(s.connection, Number(full.trials[0]!.runId), "val/loss"))
    expect(curve.map(([step]) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    // And the search is what it was, though the database now holds more than it would have seen.
    const again = await run("undisturbed.db")
    expect(events.filter((event) => event.type === "trial-started")).toEqual([])
    const ids = (report: Report) => report.trials.map((trial) => [trial.trialId, trial.stop])
    expect(ids(again)).toEqual(ids(undisturbed))
  })
})

describe("a grid of a program's configs under the median rule", () => {
  it("is tried in rounds; the program is stopped at the step that misses the limit", async () => {
    const program = join(here, "fixtures/searched-program.ts")
    const report = await run("program.db", { file: program })
    expect(report.exitCode).toBe(0)
    expect(tuning(report).map(({ status, stop }) => [status, stop?.rule, stop?.step])).toEqual([
      ["completed", undefined, undefined],
      ["completed", undefined, undefined],
      ["stopped", "median rule", 2],
      ["stopped", "median rule", 2],
      ["stopped", "median rule", 2],
    ])
    for (const { runId } of tuning(report).slice(2))
      expect(inStore("program.db", (s) => curveOf(s.connection, Number(runId), "val/loss"))).toHaveLength(2)
    expect(report.selections[0]).toMatchObject({
      chosen: { level: 1 },
      stopped: { rule: "median rule", candidates: 3 },
    })
    const again = await run("program.db", { file: program })
    expect(again.counts).toMatchObject({ completed: 0, stopped: 3 })
  })
})
