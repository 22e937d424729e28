/**
 * Fault injection: a real small experiment is run by real coordinator and worker processes that are killed, stopped and
 * interrupted at random moments; then the same command has to bring it to its end with the numbers of an undisturbed
 * run, to the last bit.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { integer, key } from "@exp/random"
import Database from "better-sqlite3"

const root = fileURLToPath(new URL("../../", import.meta.url))
const coordinatorFile = join(root, "test/faults/coordinator.ts")
const experimentFile = join(root, "test/faults/walk.ts")

export interface RoundResult {
  readonly round: number
  readonly faults: readonly string[]
  readonly problems: readonly string[]
  /** How long runs of a killed coordinator were still said to be its own while a second one was at work. */
  readonly takeoverMs: readonly number[]
  readonly seconds: number
}

interface Running {
  readonly process: ChildProcess
  readonly exited: Promise<number | string>
  readonly text: () => string
}

function start(db: string, preload?: string): Running {
  const options = { file: experimentFile, db, workers: 2 }
  const child = spawn(process.execPath, [coordinatorFile, JSON.stringify(options)], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    // The workers inherit it.
    env: preload === undefined ? process.env : { ...process.env, NODE_OPTIONS: `--import ${preload}` },
  })
  let text = ""
  child.stdout?.on("data", (chunk) => (text += chunk))
  child.stderr?.on("data", (chunk) => (text += chunk))
  const exited = new Promise<number | string>((resolve) =>
    child.once("exit", (code, signal) => resolve(code ?? signal ?? "gone")),
  )
  return { process: child, exited, text: () => text }
}

/** Pids of the worker processes on a database. */
export function workersOf(db: string): number[] {
  const found: number[] = []
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0")
      const state = readFileSync(`/proc/${name}/stat`, "utf8")
      if (words.includes(db) && words.some((w) => w.endsWith("/worker.ts")) && !/\) Z /.test(state))
        found.push(Number(name))
    } catch {
      // Gone meanwhile.
    }
  }
  return found
}

const tail = (run: Running): string => run.text().slice(-600)

/** Every metric value of every completed run, by trial, metric and step, as the bits of the double. */
export function metricBits(db: string): Map<string, string> {
  const sqlite = new Database(db, { readonly: true })
  try {
    const rows = sqlite
      .prepare(
        `SELECT r.trial_id AS trial, n.name AS name, m.step AS step, m.value AS value
         FROM metrics m JOIN runs r ON r.id = m.run_id JOIN metric_names n ON n.id = m.metric_id
         WHERE r.status = 'completed' ORDER BY 1, 2, 3`,
      )
      .all() as { trial: string; name: string; step: number; value: number | null }[]
    const bits = new Map<string, string>()
    const view = new DataView(new ArrayBuffer(8))
    for (const { trial, name, step, value } of rows) {
      if (value !== null) view.setFloat64(0, value)
      const at = `${trial} ${name} ${step}`
      bits.set(at, `${bits.has(at) ? "twice " : ""}${value === null ? "NaN" : view.getBigUint64(0).toString(16)}`)
    }
    return bits
  } finally {
    sqlite.close()
  }
}

/** What must hold once the experiment has come to its end. */
function inspect(db: string, reference: ReadonlyMap<string, string>): string[] {
  const problems: string[] = []
  const bits = metricBits(db)
  let missing = 0
  let different = 0
  for (const [at, value] of reference) {
    const mine = bits.get(at)
    if (mine === undefined) missing++
    else if (mine !== value) different++
  }
  const extra = [...bits.keys()].filter((at) => !reference.has(at)).length
  if (missing + different + extra > 0) {
    problems.push(`metrics: ${missing} missing, ${different} different, ${extra} unexpected of ${reference.size}`)
  }
  const sqlite = new Database(db, { readonly: true })
  try {
    const twice = sqlite
      .prepare("SELECT trial_id AS id, count(*) AS n FROM runs WHERE status = 'completed' GROUP BY 1 HAVING n > 1")
      .all() as { id: string; n: number }[]
    for (const { id, n } of twice) problems.push(`trial ${id} was run ${n} times to completion`)
    const live = sqlite.prepare("SELECT count(*) AS n FROM runs WHERE status IN ('queued', 'running')").get() as {
      n: number
    }
    if (live.n > 0) problems.push(`${live.n} runs are said to be running when none is`)
    const summaries = sqlite
      .prepare(
        `SELECT count(*) AS n FROM metric_summaries s JOIN runs r ON r.id = s.run_id AND r.status = 'completed'
         JOIN (SELECT run_id, metric_id, count(*) AS n, max(step) AS last FROM metrics GROUP BY 1, 2) m
           ON m.run_id = s.run_id AND m.metric_id = s.metric_id
         WHERE m.n <> s.count OR m.last <> s.last_step`,
      )
      .get() as { n: number }
    if (summaries.n > 0) problems.push(`${summaries.n} metric summaries disagree with their series`)
    if (sqlite.pragma("integrity_check", { simple: true }) !== "ok") problems.push("the database is damaged")
  } finally {
    sqlite.close()
  }
  return problems
}

/** Runs undisturbed and returns the metric bits that every disturbed run has to reproduce. */
export async function undisturbed(): Promise<ReadonlyMap<string, string>> {
  const folder = mkdtempSync(join(tmpdir(), "exp-faults-"))
  try {
    const db = join(folder, "runs.db")
    const run = start(db)
    const code = await run.exited
    if (code !== 0) throw new Error(`the undisturbed run ended with ${code}:\n${run.text().slice(-2000)}`)
    const bits = metricBits(db)
    if (bits.size === 0) throw new Error("the undisturbed run has no metrics")
    return bits
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const kinds = [
  "coordinator",
  "worker",
  "both",
  "everything",
  "SIGTERM",
  "SIGINT",
  "stop",
  "second",
  "lock",
  "clock",
  "disk",
] as const

/** A file system of a few megabytes that can be filled up; undefined where none can be mounted. */
function mountSmall(folder: string): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return undefined
  const path = join(folder, "small")
  mkdirSync(path)
  return spawnSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", path]).status === 0 ? path : undefined
}

/** Waits until no live run belongs to a process any more; how long that took, up to 20 s. */
async function untilTakenOver(db: string, pid: number): Promise<number> {
  const begun = performance.now()
  const sqlite = new Database(db, { readonly: true })
  try {
    const owned = sqlite.prepare(
      "SELECT count(*) AS n FROM runs WHERE status IN ('queued', 'running') AND owner LIKE '%/' || ? || '/%'",
    )
    while ((owned.get(String(pid)) as { n: number }).n > 0 && performance.now() - begun < 20_000) await sleep(20)
    return performance.now() - begun
  } finally {
    sqlite.close()
  }
}

/** One round: some faults, then the end. The same seed and round give the same faults at the same moments. */
export async function faultRound(
  seed: number,
  round: number,
  reference: ReadonlyMap<string, string>,
): Promise<RoundResult> {
  const begun = performance.now()
  const folder = mkdtempSync(join(tmpdir(), "exp-faults-"))
  const problems: string[] = []
  const faults: string[] = []
  const takeoverMs: number[] = []
  const stream = key(seed, "faults", round)
  let draws = 0
  const draw = (below: number) => integer(stream, below, draws++)
  const kill = (pid: number | undefined, signal: NodeJS.Signals) => {
    try {
      if (pid !== undefined) process.kill(pid, signal)
    } catch {
      // It was faster.
    }
  }
  const onSmall = draw(6) === 0
  const small = onSmall ? mountSmall(folder) : undefined
  const db = join(small ?? folder, "runs.db")
  // Hours back, half a second after the start; monotonic time goes on, as in the real thing.
  const clock = join(folder, "clock.mjs")
  writeFileSync(clock, "const now = Date.now, t0 = now()\nDate.now = () => now() - (now() - t0 > 500 ? 36e6 : 0)\n")
  try {
    const times = 1 + draw(3)
    for (let i = 0; i < times; i++) {
      const drawn = kinds[draw(kinds.length)]!
      const kind = drawn === "disk" && small === undefined ? "everything" : drawn
      // From the start, or from the first trial on: machines differ in how long they take until there is one.
      const fromTrial = draw(3) > 0
      const after = fromTrial ? draw(1200) : 150 + draw(1600)
      faults.push(`${kind} ${after} ms after the ${fromTrial ? "first trial" : "start"}`)
      const run = start(db, kind === "clock" ? clock : undefined)
      const second = kind === "second" ? start(db) : undefined
      let over = false
      void run.exited.then(() => {
        over = true
      })
      while (fromTrial && !over && !run.text().includes('"trial-started"')) await sleep(10)
      const early = await Promise.race([run.exited, sleep(after, undefined)])
      const workers = workersOf(db)
      const chosen = workers.length > 0 ? workers[draw(workers.length)] : undefined
      if (early === undefined) {
        if (kind === "worker") {
          kill(chosen, "SIGKILL")
          const code = await run.exited
          if (code !== 0) problems.push(`one dead worker made the command end with ${code}: ${tail(run)}`)
        } else if (kind === "stop") {
          kill(run.process.pid, "SIGSTOP")
          await sleep(700)
          kill(run.process.pid, "SIGCONT")
          const code = await run.exited
          if (code !== 0) problems.push(`a stopped and continued coordinator ended with ${code}: ${tail(run)}`)
        } else if (kind === "SIGTERM" || kind === "SIGINT") {
          kill(run.process.pid, kind)
          const code = await run.exited
          // Before the listener is there, the signal itself ends the process.
          if (code !== 130 && code !== 0 && code !== kind)
            problems.push(`${kind} made the command end with ${code}: ${tail(run)}`)
        } else if (kind === "lock") {
          const other = new Database(db, { timeout: 5_000 })
          try {
            other.exec("BEGIN IMMEDIATE")
            await sleep(10_000)
            other.exec("ROLLBACK")
          } catch {
            // Not yet a database.
          } finally {
            other.close()
          }
          const code = await run.exited
          if (code !== 0) problems.push(`a lock of ten seconds made the command end with ${code}: ${tail(run)}`)
          if (run.text().includes('"trial-failed"')) problems.push("a lock of ten seconds made a trial fail")
        } else if (kind === "disk" && small !== undefined) {
          spawnSync("sh", ["-c", `cat /dev/zero > ${small}/filler 2>/dev/null`])
          const code = await run.exited
          if (code !== 0 && !/disk|full|space/i.test(run.text()))
            problems.push(`a full disk made the command end with ${code} and is not named: ${tail(run)}`)
          rmSync(join(small, "filler"), { force: true })
        } else {
          if (kind === "both") kill(chosen, "SIGKILL")
          if (kind === "everything") for (const pid of workers) kill(pid, "SIGKILL")
          // A second coordinator that is at work has to notice.
          const atWork = second?.text().includes('"planned"') === true
          kill(run.process.pid, "SIGKILL")
          if (atWork && run.process.pid !== undefined) {
            const took = await untilTakenOver(db, run.process.pid)
            takeoverMs.push(took)
            if (took > 10_000) problems.push(`a killed coordinator's runs were its own for another ${took} ms`)
          }
        }
      }
      await run.exited
      if (second !== undefined) {
        const code = await second.exited
        if (code !== 0) problems.push(`the second coordinator ended with ${code}: ${tail(second)}`)
      }
      const patience = performance.now() + 20_000
      while (workersOf(db).length > 0 && performance.now() < patience) await sleep(50)
      const orphans = workersOf(db)
      if (orphans.length > 0) problems.push(`${orphans.length} workers outlived their coordinator by 20 s`)
      for (const pid of orphans) kill(pid, "SIGKILL")
    }
    const last = start(db)
    const code = await last.exited
    if (code !== 0) problems.push(`the last run ended with ${code}: ${last.text().slice(-1000)}`)
    problems.push(...inspect(db, reference))
  } finally {
    if (small !== undefined) spawnSync("umount", ["-l", small])
    rmSync(folder, { recursive: true, force: true })
  }
  return { round, faults, problems, takeoverMs, seconds: (performance.now() - begun) / 1000 }
}
