/** What the machine does to the database while an experiment runs: locks held for long, a full disk, a clock set back. */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import Database from "better-sqlite3"
import { afterAll, beforeAll, expect, it } from "vitest"
import { metricBits, undisturbed } from "./faults/faults.ts"

const coordinator = fileURLToPath(new URL("faults/coordinator.ts", import.meta.url))
const file = fileURLToPath(new URL("faults/walk.ts", import.meta.url))

let folder = ""
let reference: ReadonlyMap<string, string>
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "exp-database-"))
  reference = await undisturbed()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function start(db: string, flags: readonly string[] = []) {
  const child = spawn(process.execPath, [...flags, coordinator, JSON.stringify({ file, db, workers: 2 })], {
    stdio: ["ignore", "pipe", "pipe"],
  })
  let text = ""
  child.stdout.on("data", (chunk) => (text += chunk))
  child.stderr.on("data", (chunk) => (text += chunk))
  return { child, text: () => text, exited: new Promise<number | null>((resolve) => child.once("exit", resolve)) }
}

it("a lock that another program holds for ten seconds only costs time", { timeout: 240_000 }, async () => {
  const db = join(folder, "locked.db")
  const run = start(db)
  while (!run.text().includes("trial-started")) await sleep(20)
  const other = new Database(db, { timeout: 5_000 })
  other.exec("BEGIN IMMEDIATE")
  await sleep(10_000)
  expect(run.text()).not.toContain('"type":"report"')
  other.exec("ROLLBACK")
  other.close()
  expect(await run.exited, run.text().slice(-1500)).toBe(0)
  expect(run.text()).not.toContain("trial-failed")
  expect(metricBits(db)).toEqual(reference)
})

it("a clock that is set back in the middle loses nothing and holds nobody up", { timeout: 240_000 }, async () => {
  const db = join(folder, "clock.db")
  // Ten hours back, half a second after the start; monotonic time goes on as in the real thing.
  const shift = join(folder, "shift.mjs")
  writeFileSync(
    shift,
    "const now = Date.now\nconst t0 = now()\nDate.now = () => now() - (now() - t0 > 500 ? 36e6 : 0)\n",
  )
  const run = start(db, ["--import", shift])
  while (!run.text().includes("trial-finished")) await sleep(20)
  run.child.kill("SIGKILL")
  await run.exited
  // To wait for the lease of the dead one, which ends in ten hours, would be noticed.
  const again = start(db)
  expect(await again.exited, again.text().slice(-1500)).toBe(0)
  expect(metricBits(db)).toEqual(reference)
})

const small = join(tmpdir(), `exp-small-${process.pid}`)
const mounted = (() => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false
  spawnSync("mkdir", ["-p", small])
  return spawnSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", small]).status === 0
})()
afterAll(() => {
  if (mounted) spawnSync("umount", ["-l", small])
  if (existsSync(small)) rmSync(small, { recursive: true, force: true })
})

it.skipIf(!mounted)(
  "a full disk is named, and the same command goes on when there is room",
  { timeout: 240_000 },
  async () => {
    const db = join(small, "runs.db")
    const run = start(db)
    while (!run.text().includes("trial-started")) await sleep(20)
    await sleep(300)
    spawnSync("sh", ["-c", `cat /dev/zero > ${small}/filler 2>/dev/null`])
    const code = await run.exited
    expect(code).not.toBe(0)
    expect(run.text()).toMatch(/disk|full|space/i)
    rmSync(join(small, "filler"))
    const again = start(db)
    expect(await again.exited, again.text().slice(-2000)).toBe(0)
    expect(metricBits(db)).toEqual(reference)
  },
)
