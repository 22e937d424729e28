import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { integer, key, uniform } from "@exp/random"
import { describe, expect, it } from "vitest"
import { ArtifactDamaged, BadFilter, LeaseLost, openStore, parseWhere, UnknownRow } from "../src/store.ts"
import { plant, temporaryStore } from "./temporary.ts"

const filesOf = (path: string) =>
  existsSync(`${path}-artifacts`)
    ? readdirSync(`${path}-artifacts`, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    : []

describe("artifacts", () => {
  it("come back as they were, once however often they are stored", () => {
    const store = temporaryStore()
    const runId = store.runs.start({ trialId: plant(store)[0]! })
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => i % 251)
    const hash = store.artifacts.put(bytes, "application/x-test", "../../weights", runId)
    expect(store.artifacts.put(bytes)).toBe(hash)
    expect(Buffer.from(store.artifacts.get(hash)).equals(Buffer.from(bytes))).toBe(true)
    expect(store.artifacts.ofRun(runId)).toMatchObject([{ name: "../../weights", hash, size: 100_000 }])
    expect(filesOf(store.path)).toHaveLength(1)
  })

  it("are never found by anything but a hash that is on record", () => {
    const store = temporaryStore()
    for (const hash of ["../../etc/passwd", "", "AB", "a".repeat(63), `${"a".repeat(62)}/x`, "b".repeat(64)])
      expect(() => store.artifacts.get(hash)).toThrow(UnknownRow)
  })

  it("that were changed or lost on disk are reported, not returned", () => {
    const store = temporaryStore()
    const hash = store.artifacts.put(Buffer.from("hello"))
    const file = `${store.path}-artifacts/${hash.slice(0, 2)}/${hash.slice(2)}`
    writeFileSync(file, "hullo")
    expect(() => store.artifacts.get(hash)).toThrow(ArtifactDamaged)
    rmSync(file)
    expect(() => store.artifacts.get(hash)).toThrow(/missing/)
    expect(store.artifacts.put(Buffer.from("hello"))).toBe(hash)
    expect(Buffer.from(store.artifacts.get(hash)).toString()).toBe("hello")
  })

  it("are collected only when nothing refers to them and they are not new", () => {
    const store = temporaryStore()
    const [trialId] = plant(store)
    const runId = store.runs.start({ trialId: trialId! })
    const used = store.artifacts.put(Buffer.from("used"), "text/plain", "x", runId)
    const checkpoint = store.artifacts.put(Buffer.from("checkpoint"))
    store.checkpoints.save({ trialId: trialId!, runId, step: 1, hash: checkpoint })
    const orphan = store.artifacts.put(Buffer.from("orphan"))
    expect(store.artifacts.collect()).toEqual({ count: 0, bytes: 0 })
    expect(store.artifacts.unused(-1000).map((each) => each.hash)).toEqual([orphan])
    expect(store.artifacts.collect(-1000)).toEqual({ count: 1, bytes: 6 })
    expect(() => store.artifacts.get(orphan)).toThrow(UnknownRow)
    for (const hash of [used, checkpoint]) store.artifacts.get(hash)
    expect(filesOf(store.path)).toHaveLength(2)
  })
})

describe("checkpoints", () => {
  it("keep the latest two with their files, and nothing else", () => {
    const store = temporaryStore()
    const [trialId] = plant(store)
    expect(store.checkpoints.latest(trialId!)).toBeUndefined()
    for (const step of [10, 20, 30, 40]) {
      const hash = store.artifacts.put(Buffer.from(`state ${step}`))
      store.checkpoints.save({ trialId: trialId!, step, hash })
    }
    expect(store.checkpoints.latest(trialId!)).toMatchObject({ step: 40 })
    expect(filesOf(store.path)).toHaveLength(2)
    const again = store.artifacts.put(Buffer.from("state 40 again"))
    store.checkpoints.save({ trialId: trialId!, step: 40, hash: again })
    expect(store.checkpoints.latest(trialId!)!.hash).toBe(again)
    expect(filesOf(store.path)).toHaveLength(2)
    store.checkpoints.clear(trialId!)
    expect(filesOf(store.path)).toHaveLength(0)
  })
})

describe("stages", () => {
  const stage = { key: "k", name: "pretrain", version: 1, config: { epochs: 2 } }

  it("are computed by one and waited for by the others", () => {
    const store = temporaryStore()
    expect(store.stages.begin({ ...stage, owner: "a" })).toEqual({ type: "mine", checkpoint: undefined })
    expect(store.stages.begin({ ...stage, owner: "b" })).toMatchObject({ type: "busy", owner: "a" })
    const hash = store.artifacts.put(Buffer.from("weights"))
    store.stages.finish("k", "a", hash)
    expect(store.stages.begin({ ...stage, owner: "b" })).toEqual({ type: "done", hash })
  })

  it("pass, with their checkpoint, to another when the lease runs out, and the first may no longer finish", () => {
    const store = temporaryStore()
    store.stages.begin({ ...stage, owner: "a", leaseMs: -1 })
    const state = store.artifacts.put(Buffer.from("half"))
    store.stages.checkpoint("k", "a", 5, state)
    expect(store.stages.begin({ ...stage, owner: "b" })).toEqual({ type: "mine", checkpoint: { step: 5, hash: state } })
    const hash = store.artifacts.put(Buffer.from("weights"))
    expect(() => store.stages.finish("k", "a", hash)).toThrow(LeaseLost)
    store.stages.finish("k", "b", hash)
    expect(() => store.artifacts.get(state)).toThrow(UnknownRow)
  })

  it("may be tried again after a failure", () => {
    const store = temporaryStore()
    store.stages.begin({ ...stage, owner: "a" })
    store.stages.fail("k", "a", { message: "boom" })
    expect(store.stages.begin({ ...stage, owner: "b" })).toMatchObject({ type: "mine" })
  })
})

describe("runs", () => {
  it("are alive while their owner says so; another owner, or nobody, may not", () => {
    const store = temporaryStore()
    const [trialId] = plant(store)
    const runId = store.runs.start({ trialId: trialId!, owner: "me", leaseMs: -1 })
    expect(store.runs.lost().map((run) => run.id)).toEqual([runId])
    expect(store.experiments.progress("e")).toMatchObject({ lost: 1, running: 0 })
    expect(store.queries.runs({ status: ["lost"] })).toMatchObject([{ id: runId, lost: true, status: "running" }])
    expect(store.sql("SELECT lost FROM run_overview").rows).toEqual([[1]])
    // A lost lease is a hint: the owner comes back.
    expect(store.runs.heartbeat(runId, { owner: "me", progress: { done: 3, total: 10 } })).toEqual({
      cancelRequested: false,
    })
    expect(store.runs.lost()).toEqual([])
    expect(store.runs.get(runId)).toMatchObject({ progressDone: 3, progressTotal: 10, lost: false })
    expect(() => store.runs.heartbeat(runId, { owner: "you" })).toThrow(LeaseLost)
    expect(() => store.runs.transition(runId, "completed", { owner: "you" })).toThrow(LeaseLost)
    store.runs.transition(runId, "failed", { owner: "me", error: { message: "boom", stack: "…" } })
    expect(() => store.runs.heartbeat(runId, { owner: "me" })).toThrow(LeaseLost)
    expect(store.queries.runs()).toMatchObject([{ status: "failed", error: "boom" }])
    expect(() => store.runs.transition(99, "completed")).toThrow(UnknownRow)
  })

  it("are removed from lists and views, and come back", () => {
    const store = temporaryStore()
    const [trialId] = plant(store)
    const runId = store.runs.start({ trialId: trialId! })
    expect(store.runs.remove(runId)).toBe(false)
    store.runs.transition(runId, "completed")
    expect(store.runs.remove(runId)).toBe(true)
    expect(store.queries.runs()).toEqual([])
    expect(store.sql("SELECT * FROM run_overview").rows).toEqual([])
    store.runs.restore(runId)
    expect(store.queries.runs()).toHaveLength(1)
    store.experiments.remove("e")
    expect(store.sql("SELECT * FROM run_overview").rows).toEqual([])
    expect(store.experiments.list()).toEqual([])
    store.experiments.restore("e")
    expect(store.experiments.list()).toHaveLength(1)
  })
})

describe("logs", () => {
  it("are paged by the last line seen and filtered by level", () => {
    const store = temporaryStore()
    const runId = store.runs.start({ trialId: plant(store)[0]! })
    for (let i = 0; i < 10; i++) store.logs.append(runId, i % 2 === 0 ? "info" : "stderr", `line ${i}`, { i })
    store.logs.flush()
    const first = store.logs.page(runId, { limit: 4 })
    expect(first.map((line) => line.message)).toEqual(["line 0", "line 1", "line 2", "line 3"])
    const next = store.logs.page(runId, { after: first.at(-1)!.id, levels: ["stderr"] })
    expect(next.map((line) => line.fields)).toEqual([{ i: 5 }, { i: 7 }, { i: 9 }])
    expect(store.logs.tail(runId, { limit: 2 }).map((line) => line.message)).toEqual(["line 8", "line 9"])
  })
})

describe("experiments", () => {
  it("count only the trials of the present plan, and keep the others on record", () => {
    const store = temporaryStore()
    const finish = (trialId: string, value: number) => {
      const runId = store.runs.start({ trialId })
      const writer = store.metricWriter(runId)
      writer.log(0, "test/accuracy", value)
      writer.close()
      store.runs.transition(runId, "completed")
      return runId
    }
    const trials = plant(store, { arms: ["a", "b"], seeds: 3 })
    for (const [i, id] of trials.entries()) finish(id, i / 10)
    expect(store.queries.armSummaries("e", { metric: "test/accuracy" }).map((arm) => arm.n)).toEqual([3, 3])
    plant(store, { arms: ["a"], seeds: 2 })
    expect(store.queries.armSummaries("e", { metric: "test/accuracy" }).map((arm) => arm.n)).toEqual([2, 3])
    expect(store.experiments.progress("e")).toMatchObject({ total: 5, completed: 5 })
    expect(store.queries.count({ experiment: "e" })).toBe(6)
    // A rerun replaces the older result of its trial.
    const rerun = finish(trials[0]!, 0.9)
    expect(store.queries.finalValues("e", "test/accuracy")[0]).toMatchObject({ seed: 0, value: 0.9, runId: rerun })
    expect(store.queries.armSummaries("e", { metric: "test/accuracy" })[0]).toMatchObject({ n: 2, mean: 0.5 })
  })

  it("have a t interval over seeds, leave out what diverged and say so, and rank by the goal", () => {
    const store = temporaryStore()
    const trials = plant(store, { arms: ["a", "b", "c"], seeds: 4 })
    const values = [
      0.1,
      0.2,
      0.4,
      Number.NaN,
      0.5,
      0.5,
      0.5,
      0.5,
      Number.POSITIVE_INFINITY,
      Number.NaN,
      0.3,
      Number.NaN,
    ]
    for (const [i, trialId] of trials.entries()) {
      const runId = store.runs.start({ trialId })
      const writer = store.metricWriter(runId)
      writer.log(0, "test/accuracy", values[i]!)
      writer.close()
      store.runs.transition(runId, "completed")
    }
    const [a, b, c] = store.queries.armSummaries("e")
    expect(a).toMatchObject({ n: 3, diverged: 1, min: 0.1, max: 0.4 })
    expect(a!.mean).toBeCloseTo(0.7 / 3, 12)
    expect(a!.sd).toBeCloseTo(0.152752523165, 10)
    // mean ± t(0.975, 2) · sd / √3, t = 4.30265
    expect(a!.low).toBeCloseTo(0.7 / 3 - (4.302652729911275 * 0.152752523165) / Math.sqrt(3), 8)
    expect(a!.high).toBeCloseTo(0.7 / 3 + (4.302652729911275 * 0.152752523165) / Math.sqrt(3), 8)
    expect(b).toMatchObject({ n: 4, sd: 0, low: 0.5, high: 0.5, diverged: 0 })
    expect(c).toMatchObject({ n: 1, sd: null, low: null, high: null, diverged: 3 })
    expect(store.sql("SELECT rank, arm FROM leaderboard ORDER BY rank").rows).toEqual([
      [1, "b"],
      [2, "c"],
      [3, "a"],
    ])
  })

  it("remember what tuning chose", () => {
    const store = temporaryStore()
    plant(store)
    const candidates = [{ point: { lr: 0.1 }, score: 0.5 }]
    store.experiments.select({
      experiment: "e",
      arm: "a",
      condition: "a",
      metric: "val/accuracy",
      choice: { lr: 0.1 },
      candidates,
    })
    expect(store.experiments.selections("e")).toEqual([
      { arm: "a", condition: "a", metric: "val/accuracy", choice: { lr: 0.1 }, candidates },
    ])
  })
})

describe("lists", () => {
  it("filter by every column, config path, metric, tag and time, and page without gaps", () => {
    const store = temporaryStore()
    const trials = plant(store, { arms: ["a", "b"], seeds: 20 })
    for (const trialId of trials) {
      const runId = store.runs.start({ trialId, device: runId0(trialId) ? "cpu" : "wasm" })
      const writer = store.metricWriter(runId)
      writer.log(0, "val/loss", runId / 10)
      writer.close()
      if (runId % 4 === 0) store.runs.transition(runId, "failed")
    }
    const ids = (filter: Parameters<typeof store.queries.runs>[0]) =>
      store.queries.runs({ limit: 100, ...filter }).map((run) => run.id)
    const newest = Array.from({ length: 40 }, (_, i) => 40 - i)
    expect(ids({})).toEqual(newest)
    const pages: number[] = []
    for (let before: number | undefined; ; before = pages.at(-1)) {
      const page = store.queries.runs({ limit: 7, before })
      if (page.length === 0) break
      pages.push(...page.map((run) => run.id))
    }
    expect(pages).toEqual(newest)
    expect(ids({ arm: "b" })).toEqual(newest.slice(0, 20))
    expect(ids({ status: ["failed"] })).toEqual(newest.filter((id) => id % 4 === 0))
    expect(ids({ where: parseWhere("val/loss >= 3.8 and arm = b") })).toEqual([40, 39, 38])
    expect(ids({ where: parseWhere("tuner.bias = true and seed < 3") })).toEqual([23, 21, 3, 1])
    expect(ids({ where: parseWhere("config.arm like 'A' and metric.val/loss < 0.3") })).toEqual([2, 1])
    expect(ids({ where: parseWhere("device = wasm") })).toHaveLength(20)
    expect(() => ids({ where: parseWhere("nothing = 1") })).toThrow(BadFilter)
    store.tags.add("run", 5, "keep")
    store.tags.add("trial", trials[6]!, "keep")
    expect(ids({ tag: "keep" })).toEqual([7, 5])
    store.tags.add("experiment", "e", "all")
    expect(ids({ tag: "all" })).toHaveLength(40)
    expect(ids({ since: Date.now() + 1000 })).toEqual([])
    expect(store.queries.runs({ limit: 1, metrics: ["val/loss"] })[0]).toMatchObject({
      id: 40,
      arm: "b",
      metrics: { "val/loss": 4 },
    })
  })

  it("find the same by filters whether few or many match", () => {
    const store = temporaryStore()
    const trials = plant(store, { seeds: 5000 })
    store.connection.write(() => {
      for (const trialId of trials) store.runs.transition(store.runs.start({ trialId }), "completed")
    })
    expect(store.queries.count({ where: parseWhere("tuner.bias = 1") })).toBe(2500)
    expect(store.queries.count({ where: parseWhere("tuner.bias = 1 and seed < 10") })).toBe(5)
    expect(store.queries.count({ where: parseWhere("tuner.rank != 8") })).toBe(0)
  })
})

function runId0(trialId: string): boolean {
  return trialId.startsWith("e-a")
}

describe("filters", () => {
  it("are read, with quotes, operators and words", () => {
    expect(parseWhere("a.b>=1e-3 AND 'x y' != \"it's\" and t like 'a%' and n = null and f = false")).toEqual([
      { name: "a.b", comparison: ">=", value: 0.001 },
      { name: "x y", comparison: "!=", value: "it's" },
      { name: "t", comparison: "like", value: "a%" },
      { name: "n", comparison: "=", value: null },
      { name: "f", comparison: "=", value: 0 },
    ])
  })

  it("that cannot be read say why", () => {
    for (const bad of ["", "a", "a =", "= 1", "a = 1 or b = 2", "a = 1 and", "a = 'x", "a b c"])
      expect(() => parseWhere(bad), bad).toThrow(BadFilter)
  })
})

describe("samples", () => {
  it("give a matrix of arms by samples, each seed's samples apart, filtered by tags and words", () => {
    const store = temporaryStore()
    const trials = plant(store, { arms: ["a", "b"], seeds: 2 })
    const texts = ["leather ankle boots", "a red sandal", "ankle socks"]
    for (const [t, trialId] of trials.entries()) {
      const runId = store.runs.start({ trialId })
      for (let i = 0; i < 3; i++)
        store.samples.record(
          runId,
          "shoes",
          `s${i}`,
          { correct: (t + i) % 2, margin: i === 2 ? Number.NaN : i },
          { class: i === 1 ? "sandal" : "boot", i },
          texts[i],
        )
      store.samples.flush()
      store.runs.transition(runId, "completed")
    }
    expect(store.sql("SELECT count(*) FROM samples").rows).toEqual([[3]])
    const whole = store.samples.matrix({ experiments: ["e"], metrics: ["correct"] })
    expect(whole.competitors).toEqual(["a", "b"])
    expect(whole.samples).toBe(6)
    const cells = Array.from(whole.value, (value, i) => [
      whole.competitors[whole.competitor[i]!],
      whole.sampleIds[whole.sample[i]!],
      whole.seeds[whole.sample[i]!],
      value,
    ])
    expect(cells).toHaveLength(12)
    expect(cells).toContainEqual(["b", 3, 1, 1])
    const sandals = store.samples.select({ where: parseWhere("class = sandal") })
    expect([...sandals]).toEqual([2])
    expect(store.samples.matrix({ experiments: ["e"], metrics: ["correct"], samples: sandals }).value).toHaveLength(4)
    expect([...store.samples.select({ about: "Ankle boots!" })]).toEqual([1, 3])
    expect([...store.samples.select({ about: "boot", where: parseWhere("i >= 2") })]).toEqual([3])
    expect([...store.samples.select({ about: "\"'*(" })]).toEqual([])
    expect(store.samples.get(2)).toEqual({
      id: 2,
      dataset: "shoes",
      key: "s1",
      tags: { class: "sandal", i: 1 },
      text: texts[1],
    })
    expect(store.samples.tagValues("class", Int32Array.of(1, 2))).toEqual(["boot", "sandal"])
    expect(store.samples.metricsWithResults()).toEqual(["correct", "margin"])
    const margins = store.samples.matrix({ experiments: ["e"], metrics: ["margin"] })
    expect([...margins.value].filter(Number.isNaN)).toHaveLength(4)
  })

  it("are found by new words after they change", () => {
    const store = temporaryStore()
    const row = { competitor: "m", dataset: "d", sample: "1", metric: "correct", value: 1 }
    store.samples.importResults([{ ...row, text: "old words" }])
    store.samples.importResults([{ ...row, text: "new words", tags: { kind: "x" } }])
    expect([...store.samples.select({ about: "old" })]).toEqual([])
    expect([...store.samples.select({ about: "new" })]).toEqual([1])
  })

  it("are imported again without doubling, in bounded batches", () => {
    const store = temporaryStore()
    const rows = function* () {
      for (let i = 0; i < 120_000; i++)
        yield {
          competitor: `m${i % 7}`,
          dataset: "d",
          sample: `s${Math.floor(i / 7)}`,
          metric: "correct",
          value: uniform(key(5), i),
        }
    }
    const steps: number[] = []
    expect(store.samples.importResults(rows(), (n) => steps.push(n))).toBe(120_000)
    expect(steps).toEqual([50_000, 100_000, 120_000])
    store.samples.importResults(rows())
    const matrix = store.samples.matrix({ metrics: ["correct"] })
    expect(matrix.value.length).toBe(120_000)
    expect(matrix.competitors).toHaveLength(7)
    const at = integer(key(6), 120_000)
    expect(matrix.value).toContain(uniform(key(5), at))
  })

  it("keep votes, once per source", () => {
    const store = temporaryStore()
    const votes = [
      { left: "x", right: "y", winner: "left" as const },
      { left: "z", right: "x", winner: "tie" as const, tags: { language: "en" } },
    ]
    expect(store.samples.importVotes({ hash: "h", name: "votes.csv" }, votes)).toBe(2)
    expect(store.samples.importVotes({ hash: "h", name: "votes.csv" }, votes)).toBe(0)
    const found = store.samples.votes()
    expect(found.competitors).toEqual(["x", "y", "z"])
    expect([...found.left, ...found.right, ...found.winner]).toEqual([0, 2, 1, 0, 0, 2])
  })

  it("are all there or not at all when an import breaks off, and the next one works", () => {
    const store = temporaryStore()
    const broken = function* () {
      yield { left: "x", right: "y", winner: "left" as const }
      throw new Error("line 2 is bad")
    }
    expect(() => store.samples.importVotes({ hash: "h", name: "v" }, broken())).toThrow(/line 2/)
    expect(store.samples.votes().left).toHaveLength(0)
    expect(store.samples.importVotes({ hash: "h", name: "v" }, [{ left: "x", right: "y", winner: "right" }])).toBe(1)
  })
})

describe("SQL of users", () => {
  it("gives columns and rows, cut at a limit, and only reads in a store opened to read", () => {
    const store = temporaryStore()
    plant(store, { seeds: 5 })
    const reader = openStore(store.path, { mode: "read" })
    expect(reader.sql("SELECT seed FROM trials ORDER BY seed", { limit: 2 })).toEqual({
      columns: ["seed"],
      rows: [[0], [1]],
      cut: true,
      changes: 0,
    })
    expect(() => reader.sql("UPDATE trials SET seed = 7")).toThrow()
    expect(store.sql("UPDATE trials SET seed = 7 WHERE seed = ?", { parameters: [0] }).changes).toBe(1)
    reader.close()
  })
})
