import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, expect, it } from "vitest"
import { lastCommand, runExperiment } from "../src/engine.ts"
import { findJournalGarbage, freeJournalGarbage } from "../src/journal-garbage.ts"

const counter = join(import.meta.dirname, "fixtures", "counter.ts")
let folder = ""
let db = ""
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "exp-journal-garbage-"))
  db = join(folder, "runs.db")
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

it("of ended commands goes, that of a command that was cut off stays and is gone on with", async () => {
  expect(findJournalGarbage(db, 0)).toEqual({ count: 0, bytes: 0 })
  const options = { file: counter, db, workers: 1 }
  const set = { steps: "3" }
  expect((await runExperiment({ ...options, set, seeds: 2 })).exitCode).toBe(0)
  expect((await runExperiment({ ...options, set, seeds: 3 })).exitCode).toBe(0)
  // Cut off after its first trial.
  const abort = new AbortController()
  const slow = { steps: "4", sleepMs: "30" }
  const cut = await runExperiment({
    ...options,
    set: slow,
    seeds: 1,
    signal: abort.signal,
    onEvent: (event) => event.type === "trial-finished" && abort.abort(),
  })
  expect(cut.exitCode).toBe(130)
  const kept = cut.counts.completed
  expect(kept).toBeGreaterThan(0)

  // What has only just ended is left alone.
  expect(findJournalGarbage(db)).toEqual({ count: 0, bytes: 0 })
  // Six trials (a tuned one is compared as it is) and two more, and one execution for each of the two commands.
  const would = findJournalGarbage(db, 0)
  expect(would.count).toBe(10)
  expect(would.bytes).toBeGreaterThan(1_000)
  expect(findJournalGarbage(db, 0)).toEqual(would)
  const size = statSync(`${db}-engine`).size
  expect(freeJournalGarbage(db, 0)).toEqual(would)
  expect(statSync(`${db}-engine`).size).toBeLessThanOrEqual(size)
  expect(findJournalGarbage(db, 0)).toEqual({ count: 0, bytes: 0 })

  expect(await lastCommand(db)).toMatchObject({ finished: false, command: { set: slow } })
  const again = await runExperiment({ ...options, set: slow, seeds: 1 })
  expect(again.exitCode).toBe(0)
  expect(again.counts.reused).toBeGreaterThanOrEqual(kept)
  // The command itself can still be given again.
  freeJournalGarbage(db, 0)
  expect(await lastCommand(db)).toMatchObject({ command: { set: slow } })
})
