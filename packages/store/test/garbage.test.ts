import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { curveDifferences } from "../src/curve-differences.ts"
import { findGarbage, freeGarbage } from "../src/garbage.ts"
import { openStore, type Store } from "../src/store.ts"

let folder = ""
let store: Store
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-garbage-"))
  store = openStore(join(folder, "runs.db"), { mode: "write" })
  store.experiments.register({
    name: "e",
    task: "t",
    taskVersion: 1,
    compare: ["loss"],
    metrics: { loss: { goal: "min" } },
  })
  const trial = (id: string, seed: number) => ({
    id,
    taskName: "t",
    taskVersion: 1,
    config: {},
    seed,
    arm: "a",
    condition: "a",
  })
  store.experiments.addTrials("e", "compare", [trial("finished", 0), trial("unfinished", 1), trial("again", 2)])
})
afterEach(() => {
  store.close()
  rmSync(folder, { recursive: true, force: true })
})

const bytes = (text: string) => new TextEncoder().encode(text)
const put = (text: string) => store.artifacts.put(bytes(text))

/** One of each: what must stay, and what may go. */
function fill() {
  const run = (trialId: string, ...states: ("completed" | "interrupted")[]) => {
    let id = 0
    for (const state of states) {
      id = store.runs.start({ trialId })
      store.runs.transition(id, state)
    }
    return id
  }
  const finished = run("finished", "completed")
  const kept = {
    named: store.artifacts.put(bytes("named"), "text/plain", "note", finished),
    unfinished: put("checkpoint of the unfinished"),
    again: put("checkpoint of the one being made again"),
    // The same bytes as a checkpoint that goes: the run's name keeps them.
    both: store.artifacts.put(bytes("both"), "text/plain", "both", finished),
    stage: put("stage in use"),
  }
  const gone = { finished: put("checkpoint of the finished"), stage: put("unused stage"), loose: put("loose") }
  store.checkpoints.save({ trialId: "finished", runId: finished, step: 1, hash: kept.both })
  store.checkpoints.save({ trialId: "finished", runId: finished, step: 2, hash: gone.finished })
  store.checkpoints.save({
    trialId: "unfinished",
    runId: run("unfinished", "interrupted"),
    step: 1,
    hash: kept.unfinished,
  })
  store.checkpoints.save({
    trialId: "again",
    runId: run("again", "completed", "interrupted"),
    step: 1,
    hash: kept.again,
  })
  for (const [key, hash] of [
    ["used", kept.stage],
    ["unused", gone.stage],
  ] as const) {
    store.stages.begin({ key, name: key, version: 1, config: {}, owner: "me" })
    store.stages.finish(key, "me", hash)
  }
  store.stages.use(finished, "used")
  // A removed run may be restored.
  store.runs.remove(finished)
  store.runs.restore(finished)
  const stray = join(`${store.path}-artifacts`, "tmp-1-0123456789ab")
  writeFileSync(stray, "half")
  return { kept, gone, stray }
}

it("finds what is of no use, touches nothing by looking, and frees that and no more", () => {
  const { kept, gone, stray } = fill()
  // Everything is younger than an hour.
  const nothing = { count: 0, bytes: 0 }
  const removed = { runs: nothing, experiments: nothing }
  expect(findGarbage(store)).toEqual({
    ...removed,
    checkpoints: nothing,
    stages: nothing,
    artifacts: nothing,
    files: nothing,
  })
  utimesSync(stray, new Date(0), new Date(0))
  const expected = {
    ...removed,
    checkpoints: { count: 2, bytes: "checkpoint of the finished".length },
    stages: { count: 1, bytes: "unused stage".length },
    artifacts: { count: 1, bytes: "loose".length },
    files: { count: 1, bytes: 4 },
  }
  expect(findGarbage(store, -1000)).toEqual(expected)
  for (const hash of Object.values(gone)) expect(store.artifacts.get(hash).length).toBeGreaterThan(0)
  expect(freeGarbage(store, -1000)).toEqual(expected)
  for (const hash of Object.values(gone)) expect(store.artifacts.info(hash)).toBeUndefined()
  for (const hash of Object.values(kept)) expect(store.artifacts.get(hash).length).toBeGreaterThan(0)
  expect(existsSync(stray)).toBe(false)
  expect(store.checkpoints.latest("finished")).toBeUndefined()
  expect(store.checkpoints.latest("unfinished")?.hash).toBe(kept.unfinished)
  expect(store.checkpoints.latest("again")?.hash).toBe(kept.again)
  expect(store.stages.get("unused")).toBeUndefined()
  expect(freeGarbage(store, -1000)).toEqual({
    ...removed,
    checkpoints: nothing,
    stages: nothing,
    artifacts: nothing,
    files: nothing,
  })
})

it("says at which step two curves part, to the last bit, NaN being equal to NaN", () => {
  const log = (trialId: string, values: readonly number[]) => {
    const runId = store.runs.start({ trialId })
    const writer = store.metricWriter(runId)
    for (const [step, value] of values.entries()) writer.log(step, "loss", value)
    writer.log(0, "same", 1)
    writer.close()
    return runId
  }
  const a = log("finished", [1, Number.NaN, 0.3, 4])
  const b = log("unfinished", [1, Number.NaN, 0.1 + 0.2, 4, 5])
  const c = log("again", [1, Number.NaN, 0.3])
  const loss = (x: number, y: number) => curveDifferences(store.connection, x, y).find((d) => d.metric === "loss")
  expect(loss(a, b)).toMatchObject({ step: 2, a: 0.3, b: 0.30000000000000004, common: 4 })
  expect(loss(a, c)).toMatchObject({ step: 3, a: 4, b: undefined, common: 3 })
  expect(loss(a, a)).toMatchObject({ step: null, common: 4 })
  expect(curveDifferences(store.connection, a, b).at(-1)).toMatchObject({ metric: "same", step: null })
})
