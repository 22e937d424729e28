/** Whose turn it is: shares of a device, priorities, among the trials of one coordinator and among coordinators. */
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { openStore } from "@exp/store"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { defaultWorkers, type RunEvent, runExperiment } from "../src/engine.ts"
import { WorkerPool } from "../src/pool.ts"
import { formatIdentity, processStart, thisProcess } from "../src/process-identity.ts"
import { Turns } from "../src/turns.ts"

const fixtures = join(import.meta.dirname, "fixtures")
const coordinator = join(import.meta.dirname, "../../../test/faults/coordinator.ts")
let folder = ""
let db = ""
const started: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-scheduling-"))
  db = join(folder, "runs.db")
})
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

/** Another process, and its identity as an owner. */
function another(): { readonly child: ChildProcess; readonly owner: string } {
  const child = spawn("sleep", ["600"], { stdio: "ignore" })
  started.push(child)
  return { child, owner: formatIdentity({ ...thisProcess(), pid: child.pid!, started: processStart(child.pid!)! }) }
}

const gone = async (child: ChildProcess) => {
  child.kill("SIGKILL")
  while (processStart(child.pid!) !== undefined) await sleep(10)
}

describe.skipIf(process.platform === "win32")("turns of coordinators", () => {
  const turns = (owner: string, priority = 0, device = "webgpu", capacity = 1) =>
    new Turns({ file: `${db}-engine`, owner, experiment: "e", priority, device, capacity })
  const mine = () => formatIdentity(thisProcess())

  it("share a device that there is once, until the other dies", async () => {
    const { child, owner } = another()
    using here = disposable(turns(mine()))
    using there = disposable(turns(owner))
    expect(here.turns.take(0.5)).toBe(true)
    expect(there.turns.take(0.5)).toBe(true)
    expect(there.turns.take(0.5)).toBe(false)
    here.turns.give(0.5)
    expect(there.turns.take(0.5)).toBe(true)
    expect(here.turns.take(0.5)).toBe(false)
    await gone(child)
    // What needs more than there is has it alone.
    expect(here.turns.take(3)).toBe(true)
    expect(here.turns.take(0.1)).toBe(false)
  })

  it("know other devices as other devices, and have room for everyone on a CPU", () => {
    using here = disposable(turns(mine()))
    using there = disposable(turns(another().owner, 0, "cuda"))
    using cpu = disposable(turns(another().owner, 0, "cpu", Number.POSITIVE_INFINITY))
    expect(here.turns.take(1)).toBe(true)
    expect(there.turns.take(1)).toBe(true)
    for (let i = 0; i < 100; i++) expect(cpu.turns.take(1)).toBe(true)
  })

  it("go to the higher priority while trials wait there", async () => {
    const { child, owner } = another()
    using low = disposable(turns(mine(), 0, "cpu", Number.POSITIVE_INFINITY))
    using high = disposable(turns(owner, 1, "cpu", Number.POSITIVE_INFINITY))
    high.turns.waiting(2)
    low.turns.waiting(5)
    expect(high.turns.take(1)).toBe(true)
    expect(low.turns.take(1)).toBe(false)
    high.turns.waiting(0)
    expect(low.turns.take(1)).toBe(true)
    high.turns.waiting(1)
    expect(low.turns.take(1)).toBe(false)
    await gone(child)
    expect(low.turns.take(1)).toBe(true)
  })

  const disposable = (it: Turns) => ({ turns: it, [Symbol.dispose]: () => it.close() })
})

it("without --workers as many trials run as the device has room for", () => {
  expect([1, 0.5, 1 / 3, 2].map((share) => defaultWorkers("webgpu", share))).toEqual([1, 2, 3, 1])
  expect(defaultWorkers("cpu", 0.5)).toBe(2 * defaultWorkers("cpu"))
})

it("a pool gives its device to as many as fit, and overtakes nobody", { timeout: 120_000 }, async () => {
  const pool = new WorkerPool({ file: join(fixtures, "noop.ts"), db })
  const running = new Map<string, () => void>()
  const hold = (name: string, share: number, priority = 0) =>
    pool.use({ priority, rank: 0, share }, () => new Promise<void>((resolve) => running.set(name, resolve)))
  const release = async (name: string) => {
    running.get(name)!()
    running.delete(name)
  }
  const until = async (...names: string[]) => {
    while (running.size < names.length) await sleep(10)
    // Whoever else might come would have come by now: a warm worker is at hand.
    await sleep(200)
    expect([...running.keys()].sort()).toEqual(names.sort())
  }
  try {
    pool.open(3, 1, Number.POSITIVE_INFINITY)
    const all = [hold("a", 0.5), hold("b", 0.5), hold("wide", 4), hold("c", 0.5), hold("d", 0.5, 1)]
    await until("a", "b")
    await release("a")
    // The higher priority is first in the queue.
    await until("b", "d")
    await release("b")
    // Half of the device is free, but whoever needs all of it is first.
    await until("d")
    await release("d")
    await until("wide")
    await release("wide")
    await until("c")
    await release("c")
    await Promise.all(all)
  } finally {
    await pool.abandon()
  }
})

it("an arm of higher priority goes first", async () => {
  const events: RunEvent[] = []
  const report = await runExperiment({
    file: join(fixtures, "ranked.ts"),
    db,
    workers: 1,
    onEvent: (event) => events.push(event),
  })
  expect(report.exitCode).toBe(0)
  const order = events.flatMap((event) => (event.type === "trial-started" ? [event.trial.arm] : []))
  expect(order).toEqual(["first", "first", "first", "later", "later", "later"])
})

it("an experiment begins no trial while those of a higher priority wait", { timeout: 240_000 }, async () => {
  const start = (options: Readonly<Record<string, unknown>>) => {
    const child = spawn(process.execPath, [coordinator, JSON.stringify({ db, workers: 1, ...options })], {
      stdio: ["ignore", "pipe", "inherit"],
    })
    started.push(child)
    let text = ""
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk
    })
    return { text: () => text, exited: new Promise((resolve) => child.once("exit", resolve)) }
  }
  const set = { sleepMs: "10", steps: "20" }
  const low = start({ file: join(fixtures, "counter.ts"), set, seeds: 60 })
  while (!low.text().includes('"trial-finished"')) await sleep(20)
  // Other trials than those of the first: a trial that both have would be one trial.
  const high = start({ file: join(fixtures, "ranked.ts"), set: { ...set, steps: "21" }, seeds: 3, priority: 5 })
  expect(await high.exited).toBe(0)
  const store = openStore(db, { mode: "read" })
  const starts = store.connection
    .sql<{ experiment: string; at: number }>(
      `SELECT e.name AS experiment, r.started_at AS at FROM runs r JOIN experiment_trials x ON x.trial_id = r.trial_id
       JOIN experiments e ON e.id = x.experiment_id GROUP BY r.id ORDER BY r.id`,
    )
    .all()
  store.close()
  const names = starts.map(({ experiment }) => experiment)
  const between = names.slice(names.indexOf("ranked"), names.lastIndexOf("ranked"))
  expect(between.filter((name) => name === "ranked")).toHaveLength(5)
  // One may have had its turn just before.
  expect(between.filter((name) => name !== "ranked").length).toBeLessThanOrEqual(1)
  // It goes on afterwards.
  const more = () => low.text().split('"trial-finished"').length
  const seen = more()
  while (more() < seen + 2) await sleep(20)
})
