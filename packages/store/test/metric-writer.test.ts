import { spawnSync } from "node:child_process"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { bits, integer, key, uniform } from "@exp/random"
import { describe, expect, it, onTestFinished } from "vitest"
import { emptyFold, foldIn } from "../src/fold.ts"
import { DiskFull, openStore, type Store } from "../src/store.ts"
import { ended, line, plant, program, temporaryDirectory, temporaryStore } from "./temporary.ts"

function run(store: Store, trial = 0, arms = 1): number {
  return store.runs.start({ trialId: plant(store, { seeds: arms })[trial]! })
}

/** Summaries and blocks in the file are what the rows say. */
function expectConsistent(store: Store, runId: number): void {
  for (const summary of store.metrics.summaries(runId)) {
    const points = store.metrics.points(runId, summary.metric)
    const fold = emptyFold()
    points.step.forEach((step, i) => {
      foldIn(fold, step, points.value[i]!)
    })
    const { sum: _, ...expected } = fold
    expect(summary).toMatchObject(expected)
    const [shift] = store.sql(
      "SELECT block_shift, metric_id FROM metric_summaries s JOIN metric_names m ON m.id = s.metric_id WHERE run_id = ? AND m.name = ?",
      { parameters: [runId, summary.metric] },
    ).rows as [[number | null, number]]
    if (shift[0] === null) continue
    const blocks = store.sql(
      "SELECT block, count, nan_count, first_step, first, last_step, last, min, max, sum FROM metric_blocks WHERE run_id = ? AND metric_id = ? ORDER BY block",
      { parameters: [runId, shift[1]] },
    ).rows
    const made = new Map<number, ReturnType<typeof emptyFold>>()
    points.step.forEach((step, i) => {
      const block = Math.floor(step / 2 ** shift[0]!)
      if (!made.has(block)) made.set(block, emptyFold())
      foldIn(made.get(block)!, step, points.value[i]!)
    })
    const real = (value: number) => (Number.isNaN(value) ? null : value)
    expect(blocks.map((row) => row.slice(0, 9))).toEqual(
      [...made].map(([block, f]) => [
        block,
        f.count,
        f.nanCount,
        f.firstStep,
        real(f.first),
        f.lastStep,
        real(f.last),
        real(f.min),
        real(f.max),
      ]),
    )
    blocks.forEach((row, i) => {
      const sum = [...made.values()][i]!.sum
      if (Number.isFinite(sum)) expect(row[9]).toBeCloseTo(sum, 6)
      else expect(row[9]).toBe(real(sum))
    })
  }
}

describe("logging", () => {
  it("brings NaN and infinities back", () => {
    const store = temporaryStore()
    const runId = run(store)
    const writer = store.metricWriter(runId)
    const values = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 1e-308, 0.1]
    values.forEach((value, step) => {
      writer.log(step, "test/accuracy", value)
    })
    writer.close()
    expect([...store.metrics.points(runId, "test/accuracy").value]).toEqual(values)
    expect(store.metrics.summaries(runId)[0]).toMatchObject({
      count: 6,
      nanCount: 1,
      first: Number.NaN,
      last: 0.1,
      min: Number.NEGATIVE_INFINITY,
      max: Number.POSITIVE_INFINITY,
    })
    expectConsistent(store, runId)
  })

  it("keeps all-NaN series: minimum and maximum are NaN too", () => {
    const store = temporaryStore()
    const runId = run(store)
    const writer = store.metricWriter(runId)
    for (let step = 0; step < 5000; step++) writer.log(step, "x", Number.NaN)
    writer.close()
    expect(store.metrics.summaries(runId)[0]).toMatchObject({ min: Number.NaN, max: Number.NaN, nanCount: 5000 })
    expect(store.metrics.series(runId, "x", 10)[0]).toMatchObject({ mean: Number.NaN, last: Number.NaN })
  })

  it("replaces a value that is logged again and keeps the summary right", () => {
    const store = temporaryStore()
    const runId = run(store)
    const writer = store.metricWriter(runId)
    for (let step = 0; step < 100; step++) writer.log(step, "x", step)
    writer.flush()
    for (let step = 60; step < 90; step++) writer.log(step, "x", -step)
    writer.close()
    expect(store.metrics.summaries(runId)[0]).toMatchObject({ count: 100, min: -89, max: 99, last: 99 })
    expectConsistent(store, runId)
  })

  it("has summaries and blocks equal to what the rows say, whatever comes in whatever order", () => {
    for (let round = 0; round < 8; round++) {
      const store = temporaryStore()
      const runId = run(store)
      const writer = store.metricWriter(runId)
      const stride = [1, 1, 7, 1000][round % 4]!
      const expected = new Map<string, Map<number, number>>()
      const log = (step: number, name: string, value: number) => {
        writer.log(step, name, value)
        if (!expected.has(name)) expected.set(name, new Map())
        expected.get(name)!.set(step, value)
      }
      let end = 0
      for (let batch = 0; batch < 12; batch++) {
        const k = key(11, round, batch)
        const kind = integer(k, 4)
        const n = integer(k, 1500, 1)
        // Going on, going back to repeat, scattering, starting below zero.
        const start = kind === 1 ? integer(k, end + 1, 2) : kind === 3 ? -n : end
        for (let i = 0; i < n; i++) {
          const at = kind === 2 ? integer(derived(k, i), end + n) : start + i
          const value = bits(derived(k, i), 1) % 50 === 0 ? Number.NaN : uniform(derived(k, i), 2) - 0.5
          log(at * stride, batch % 3 === 0 ? "rare" : "often", value)
          end = Math.max(end, at + 1)
        }
        if (batch % 2 === 0) writer.flush()
      }
      writer.close()
      for (const [name, model] of expected) {
        const points = store.metrics.points(runId, name)
        const sorted = [...model].sort((a, b) => a[0] - b[0])
        expect([...points.step]).toEqual(sorted.map((point) => point[0]))
        expect([...points.value]).toEqual(sorted.map((point) => point[1]))
      }
      expectConsistent(store, runId)
      store.close()
    }
  })

  it("refuses a step that is not an integer", () => {
    const store = temporaryStore()
    const writer = store.metricWriter(run(store))
    expect(() => writer.log(0.5, "x", 1)).toThrow(RangeError)
    expect(() => writer.log(Number.NaN, "x", 1)).toThrow(RangeError)
    expect(writer.pending).toBe(0)
  })

  it("takes the goal of a declared wildcard for new names", () => {
    const store = temporaryStore()
    const writer = store.metricWriter(run(store))
    writer.log(0, "layer/sparsity/3", 0.5)
    writer.close()
    expect(store.metrics.names()).toContainEqual(expect.objectContaining({ name: "layer/sparsity/3", goal: "max" }))
  })

  it("is on disk within 250 ms, without a flush", async () => {
    const store = temporaryStore()
    const runId = run(store)
    store.metricWriter(runId).log(0, "x", 1)
    store.logs.append(runId, "info", "hello")
    await new Promise((done) => setTimeout(done, 250))
    const reader = openStore(store.path, { mode: "read" })
    expect(reader.metrics.summaries(runId)).toHaveLength(1)
    expect(reader.logs.tail(runId).map((each) => each.message)).toEqual(["hello"])
    reader.close()
  })

  it("is on disk within 250 ms of a loop that never lets a timer fire", () => {
    const store = temporaryStore()
    const runId = run(store)
    const writer = store.metricWriter(runId)
    const reader = openStore(store.path, { mode: "read" })
    const began = performance.now()
    let step = 0
    while (performance.now() - began < 600) {
      writer.log(step++, "x", 1)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
    }
    const [summary] = reader.metrics.summaries(runId)
    expect(summary!.count).toBeGreaterThan(step * 0.5)
    reader.close()
  })

  it("never waits for another writer's lock, and catches up when it is free", async () => {
    const store = temporaryStore()
    const runId = run(store)
    const writer = store.metricWriter(runId)
    const other = openStore(store.path, { mode: "write" })
    other.connection.sqlite.exec("BEGIN IMMEDIATE")
    let longest = 0
    for (let step = 0; step < 30_000; step++) {
      const before = performance.now()
      writer.log(step, "x", step)
      longest = Math.max(longest, performance.now() - before)
    }
    expect(longest).toBeLessThan(200)
    await new Promise((done) => setTimeout(done, 400))
    expect(writer.pending).toBe(30_000)
    other.connection.sqlite.exec("COMMIT")
    await expect.poll(() => writer.pending, { timeout: 20_000 }).toBe(0)
    expect(writer.pending).toBe(0)
    expect(store.metrics.summaries(runId)[0]).toMatchObject({ count: 30_000 })
    other.close()
  })
})

describe("the end of a process", () => {
  it("writes what is held at process.exit", async () => {
    const store = temporaryStore()
    const runId = run(store)
    const end = await ended(program("log-and-exit", store.path, String(runId)))
    expect(end).toMatchObject({ code: 0, stderr: "" })
    expect(store.metrics.summaries(runId).map((s) => s.metric)).toEqual(["train/loss", "val/loss"])
    expect(store.logs.tail(runId).map((each) => each.message)).toEqual(["last words"])
  })

  it("by kill -9 in the middle of writing loses nothing that was flushed and leaves a sound file", async () => {
    for (let round = 0; round < 4; round++) {
      const store = temporaryStore()
      const runId = run(store)
      const child = program("log-until-killed", store.path, String(runId))
      const end = ended(child)
      await line(child, "4999\n")
      await new Promise((done) => setTimeout(done, 20 + 45 * round))
      child.kill("SIGKILL")
      const { signal, stdout } = await end
      expect(signal).toBe("SIGKILL")
      const flushed = Number(stdout.trimEnd().split("\n").at(-1))
      const points = store.metrics.points(runId, "train/loss")
      expect(points.step.length).toBeGreaterThan(flushed)
      expect(points.step.every((step, i) => step === i && points.value[i] === i / 2)).toBe(true)
      expectConsistent(store, runId)
      expect(store.verify()).toEqual([])
      store.close()
    }
  })
})

describe("a full disk", () => {
  it("loses nothing recorded, keeps what is held, and goes on when there is space", async () => {
    const warnings: string[] = []
    const store = temporaryStore({ onWarning: (message) => warnings.push(message) })
    const runId = run(store)
    const { sqlite } = store.connection
    const writer = store.metricWriter(runId)
    writer.log(0, "x", 0)
    writer.flush()
    sqlite.pragma(`max_page_count = ${sqlite.pragma("page_count", { simple: true })}`)
    for (let step = 1; step < 5000; step++) writer.log(step, "x", step)
    expect(() => writer.flush()).toThrow(DiskFull)
    expect(() => store.flush()).toThrow(/No space left/)
    expect(writer.pending).toBe(4999)
    expect(store.metrics.summaries(runId)[0]).toMatchObject({ count: 1, last: 0 })
    await new Promise((done) => setTimeout(done, 1200))
    expect(warnings).toHaveLength(1)
    sqlite.pragma("max_page_count = 1000000")
    writer.log(5000, "x", 5000)
    await new Promise((done) => setTimeout(done, 1300))
    expect(writer.pending).toBe(0)
    expect(store.metrics.summaries(runId)[0]).toMatchObject({ count: 5001, last: 5000 })
    expectConsistent(store, runId)
  })

  const canMount = (() => {
    const at = join("/tmp", `store-mount-${process.pid}`)
    mkdirSync(at, { recursive: true })
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", at]).status === 0
    if (mounted) spawnSync("umount", [at])
    return mounted
  })()

  it.runIf(canMount)("is told from the file system itself, for rows and for artifacts", () => {
    const at = join(temporaryDirectory(), "small")
    mkdirSync(at)
    expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", at]).status).toBe(0)
    onTestFinished(() => {
      spawnSync("umount", [at])
    })
    const store = openStore(join(at, "runs.db"), { mode: "write", onWarning: () => undefined })
    const runId = run(store)
    const hash = store.artifacts.put(Buffer.alloc(500_000, 1))
    expect(() => store.artifacts.put(Buffer.alloc(5_000_000, 2))).toThrow(DiskFull)
    const writer = store.metricWriter(runId)
    let flushed = 0
    expect(() => {
      for (let step = 0; step < 400_000; step++) {
        writer.log(step, "x", step)
        if (step % 10_000 === 9999) {
          writer.flush()
          flushed = step + 1
        }
      }
    }).toThrow(DiskFull)
    expect(store.artifacts.get(hash).length).toBe(500_000)
    expect(store.metrics.summaries(runId)[0]?.count ?? 0).toBe(flushed)
    expect(store.verify()).toEqual([])
    store.connection.close()
  })
})

describe("series", () => {
  it("are reduced to columns that say exactly what their steps hold", () => {
    const store = temporaryStore()
    const runId = run(store)
    const writer = store.metricWriter(runId)
    const n = 100_000
    for (let step = 0; step < n; step++) writer.log(step, "x", uniform(key(3), step))
    writer.close()
    const points = store.metrics.points(runId, "x")
    for (const [columns, range] of [
      [200, {}],
      [50, { fromStep: 12_345, toStep: 90_000 }],
      [80, { fromStep: 500, toStep: 2500 }],
      [1, {}],
    ] as const) {
      const found = store.metrics.series(runId, "x", columns, range)
      expect(found.length).toBeLessThanOrEqual(columns)
      expect(found.length).toBeGreaterThan(columns * 0.6)
      expect(found.reduce((sum, column) => sum + column.count, 0)).toBeGreaterThanOrEqual(
        Math.min(n, (range as { toStep?: number }).toStep ?? n) - ((range as { fromStep?: number }).fromStep ?? 0),
      )
      let last = Number.NEGATIVE_INFINITY
      for (const column of found) {
        expect(column.firstStep).toBeGreaterThan(last)
        last = column.lastStep
        const inside = points.value.slice(column.firstStep, column.lastStep + 1)
        expect(column.count).toBe(inside.length)
        expect(column.min).toBe(Math.min(...inside))
        expect(column.max).toBe(Math.max(...inside))
        expect(column.last).toBe(inside.at(-1))
        expect(column.mean).toBeCloseTo(inside.reduce((a, b) => a + b, 0) / inside.length, 9)
      }
    }
  })

  it("can be taken over by a retry up to its checkpoint, and rewound", () => {
    const store = temporaryStore()
    const trials = plant(store, { seeds: 1 })
    const first = store.runs.start({ trialId: trials[0]! })
    const writer = store.metricWriter(first)
    for (let step = 0; step < 6000; step++) writer.log(step, "x", step)
    writer.close()
    store.runs.transition(first, "failed", { error: { message: "boom" } })
    const second = store.runs.start({ trialId: trials[0]! })
    store.metrics.inherit(first, second, 4999)
    expect(store.metrics.summaries(second)[0]).toMatchObject({ count: 5000, last: 4999, first: 0 })
    const more = store.metricWriter(second)
    for (let step = 5000; step < 6000; step++) more.log(step, "x", -1)
    more.close()
    expectConsistent(store, second)
    store.metrics.rewind(second, 5499)
    expectConsistent(store, second)
    expect(store.metrics.summaries(second)[0]).toMatchObject({ count: 5500, last: -1 })
    expect(store.metrics.summaries(first)[0]).toMatchObject({ count: 6000 })
  })
})

function derived(parent: ReturnType<typeof key>, i: number) {
  return { k0: (parent.k0 + i * 2_654_435_761) >>> 0, k1: parent.k1 }
}
