/** What crosses processes: coordinators side by side, cancelling from outside, Ctrl-C. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { openStore, type Store } from "@exp/store"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { cancel, findTarget, lastCommand, NothingToResume, repairRuns } from "../src/engine.ts"
import { lastWordsMs, stopDeadlines } from "../src/pool.ts"
import { processStart } from "../src/process-identity.ts"
import { watchIntervalMs } from "../src/session.ts"

const here = dirname(fileURLToPath(import.meta.url))
const coordinator = join(here, "../../../test/faults/coordinator.ts")
let folder = ""
let db = ""
const started: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-processes-"))
  db = join(folder, "runs.db")
})
afterEach(async () => {
  for (const child of started.splice(0)) child.kill("SIGKILL")
  await sleep(50)
  rmSync(folder, { recursive: true, force: true })
})

type Line = { readonly type: string; readonly [key: string]: unknown }
function start(options: Readonly<Record<string, unknown>>) {
  const child = spawn(process.execPath, [coordinator, JSON.stringify({ db, workers: 1, ...options })], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  started.push(child)
  const lines: Line[] = []
  let rest = ""
  child.stdout.on("data", (chunk: Buffer) => {
    rest += chunk
    const parts = rest.split("\n")
    rest = parts.pop() ?? ""
    for (const part of parts) lines.push(JSON.parse(part) as Line)
  })
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once("exit", (code, signal) => resolve(code ?? signal)),
  )
  const seen = async (type: string, count = 1) => {
    for (const until = performance.now() + 60_000; performance.now() < until; ) {
      const found = lines.filter((line) => line.type === type)
      if (found.length >= count) return found
      await sleep(10)
    }
    throw new Error(`no ${type} within a minute: ${JSON.stringify(lines.slice(-5))}`)
  }
  return { child, lines, exited, seen }
}
const withStore = async <A>(use: (store: Store) => Promise<A> | A): Promise<A> => {
  const store = openStore(db, { mode: "write" })
  try {
    return await use(store)
  } finally {
    store.close()
  }
}
const misbehaving = join(here, "fixtures/misbehaving.ts")
const walk = join(here, "../../../test/faults/walk.ts")

describe("two coordinators on one database", () => {
  it("share the work, and do no trial twice", async () => {
    const a = start({ file: walk, set: { sleepMs: "20" } })
    await a.seen("trial-started")
    // Until the second one is there, so that it finds something to do however long it takes to come.
    a.child.kill("SIGSTOP")
    const b = start({ file: walk, set: { sleepMs: "20" } })
    await b.seen("trial-started")
    a.child.kill("SIGCONT")
    expect(await a.exited).toBe(0)
    expect(await b.exited).toBe(0)
    const finished = (lines: readonly Line[]) =>
      lines.filter((line) => line.type === "trial-finished").map((line) => line["runId"])
    const mine = finished(a.lines)
    const theirs = finished(b.lines)
    expect(mine.length).toBeGreaterThan(0)
    expect(theirs.length).toBeGreaterThan(0)
    expect(new Set([...mine, ...theirs]).size).toBe(6)
    expect(mine.length + theirs.length).toBe(6)
  })

  it("take over from each other when one is killed, with the same run", async () => {
    const options = { file: misbehaving, seeds: 2, workers: 2, set: { mode: "sleeps" } }
    const a = start({ ...options, workers: 1 })
    const [first] = await a.seen("trial-started")
    const b = start(options)
    // One trial is left for the second coordinator; for the other it waits.
    await b.seen("trial-started")
    expect(b.lines.filter((line) => line.type === "trial-started").map((line) => line["runId"])).not.toContain(
      first!["runId"],
    )
    a.child.kill("SIGKILL")
    const [, taken] = await b.seen("trial-started", 2)
    expect(taken).toMatchObject({ runId: first!["runId"], attempt: 1 })
  })
})

describe("cancelling", () => {
  it("has deadlines that come to less than two seconds", () => {
    const { graceMs, termMs } = stopDeadlines.cancel
    // The request is found, the trial is asked, told and killed, and what it printed is read.
    expect(watchIntervalMs + graceMs + termMs + lastWordsMs).toBeLessThanOrEqual(2_000)
  })

  it.each(["sleeps", "spins"])("stops a trial that %s and says cancelled", async (mode) => {
    const run = start({ file: misbehaving, set: { mode } })
    const [begun] = await run.seen("trial-started")
    await sleep(100)
    await withStore(async (store) => {
      const result = await cancel(store, findTarget(store, String(begun!["runId"])), 60_000)
      expect(result.stopped).toEqual([Number(begun!["runId"])])
      expect(store.runs.get(Number(begun!["runId"]))?.status).toBe("cancelled")
    })
    expect(await run.exited).toBe(1)
  })

  it("drops a trial that waits for its turn, and only that one; the next command runs it", async () => {
    const options = { file: walk, set: { sleepMs: "10" } }
    const run = start(options)
    await run.seen("trial-started")
    const waiting = await withStore(async (store) => {
      const trial = store.experiments.trials("walk").at(-1)!.trialId
      const result = await cancel(store, findTarget(store, trial), 60_000)
      expect(result).toMatchObject({ asked: [], dropped: [expect.any(Number)] })
      expect(store.runs.ofTrial(trial)).toMatchObject([{ status: "cancelled", startedAt: null }])
      return trial
    })
    expect(await run.exited).toBe(1)
    const [report] = await run.seen("report")
    expect(report!["counts"]).toMatchObject({ completed: 7, cancelled: 1 })
    // Nothing is under way any more: there is nothing to cancel.
    await withStore(async (store) =>
      expect(await cancel(store, findTarget(store, waiting))).toMatchObject({ asked: [], dropped: [] }),
    )
    const again = start(options)
    expect(await again.exited).toBe(0)
    await withStore((store) => expect(store.runs.ofTrial(waiting).at(-1)?.status).toBe("completed"))
  })

  it("an experiment starts no more trials", async () => {
    const run = start({ file: misbehaving, seeds: 5, set: { mode: "sleeps" } })
    await run.seen("trial-started")
    await withStore((store) => cancel(store, findTarget(store, "misbehaving"), 60_000))
    expect(await run.exited).toBe(1)
    const [report] = await run.seen("report")
    expect(report!["counts"]).toMatchObject({ cancelled: 5, failed: 0, pending: 0 })
  })
})

describe("the command that was given last", () => {
  it("is found again by the experiment's name, an unfinished one first", async () => {
    await expect(lastCommand(db)).rejects.toBeInstanceOf(NothingToResume)
    const cut = start({ file: misbehaving, seeds: 2, set: { mode: "sleeps" } })
    await cut.seen("trial-started")
    cut.child.kill("SIGINT")
    expect(await cut.exited).toBe(130)
    const whole = start({ file: walk, arms: ["slow"], seeds: [3] })
    expect(await whole.exited).toBe(0)
    expect(await lastCommand(db)).toMatchObject({
      experiment: "misbehaving",
      finished: false,
      command: { file: misbehaving, seeds: 2, set: { mode: "sleeps" } },
    })
    expect(await lastCommand(db, "walk")).toMatchObject({ finished: true, command: { arms: ["slow"], seeds: [3] } })
    await expect(lastCommand(db, "elsewhere")).rejects.toThrow("misbehaving, walk")
  })
})

describe("signals", () => {
  it.each(["SIGINT", "SIGTERM"] as const)(
    "%s saves a checkpoint, marks interrupted, exits 130; the same command goes on",
    async (signal) => {
      const run = start({ file: walk, set: { sleepMs: "20", every: "1000" } })
      await run.seen("trial-progress", 5)
      run.child.kill(signal)
      expect(await run.exited).toBe(130)
      const interrupted = await withStore((store) =>
        store.connection
          .sql<{ id: number; trialId: string }>("SELECT id, trial_id FROM runs WHERE status = 'interrupted'")
          .all(),
      )
      expect(interrupted).toHaveLength(1)
      const checkpoint = await withStore((store) => store.checkpoints.latest(interrupted[0]!.trialId))
      expect(checkpoint?.step).toBeGreaterThan(3)

      const again = start({ file: walk, set: { sleepMs: "20", every: "1000" } })
      expect(await again.exited).toBe(0)
      const lines = again.lines.filter((line) => line.type === "log").map((line) => String(line["line"]))
      expect(lines).toContain(`continues from step ${checkpoint?.step}`)
      const status = await withStore((store) => store.runs.get(interrupted[0]!.id)?.status)
      expect(status).toBe("completed")
    },
  )

  it("twice ends at once, whatever the trial does", async () => {
    const run = start({ file: misbehaving, set: { mode: "spins" } })
    await run.seen("trial-started")
    await sleep(100)
    const begun = performance.now()
    run.child.kill("SIGINT")
    await sleep(100)
    run.child.kill("SIGINT")
    expect(await run.exited).toBe(130)
    // One that is asked only once has ten seconds to save a checkpoint, and two more to end.
    expect(performance.now() - begun).toBeLessThan(11_000)
    await withStore((store) => {
      repairRuns(store)
      expect(store.runs.live()).toEqual([])
    })
  })
})

it("a worker that is busy for good does not outlive its coordinator", async () => {
  const run = start({ file: misbehaving, set: { mode: "spins" } })
  await run.seen("trial-started")
  const pid = await withStore((store) => store.runs.live()[0]!.pid!)
  run.child.kill("SIGKILL")
  await run.exited
  // A zombie that nobody has collected yet is gone as well.
  const alive = () => processStart(pid) !== undefined
  for (const until = performance.now() + 60_000; alive() && performance.now() < until; ) await sleep(10)
  expect(alive()).toBe(false)
})
