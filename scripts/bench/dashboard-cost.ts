/**
 * What `exp watch` costs: processor time as a share of one core, over 20 s in a real terminal (tmux), in each view, while
 * another process logs to eight live runs ten times a second; then with nothing written at all. The database holds 1,000
 * trials and 10,000,000 logged values. Prints also how many frames a second were drawn.
 *
 *   node scripts/bench/dashboard-cost.ts [seconds] [columns] [rows] [database that is kept and reused]
 */
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { Worker } from "node:worker_threads"
import { openStore } from "@exp/store"
import { build } from "./_dashboard-database.ts"
import { machine, withDirectory } from "./_store-fixtures.ts"

const [seconds, columns, rows] = [2, 3, 4].map((at, i) => Number(process.argv[at] ?? [20, 110, 30][i]!)) as [
  number,
  number,
  number,
]
const socket = `exp-bench-${process.pid}`
const tmux = (...args: string[]) => execFileSync("tmux", ["-L", socket, ...args], { encoding: "utf8" })
const program = join(import.meta.dirname, "../../packages/cli/bin/exp.js")

/** Processor time of a process and its threads, in seconds. */
function used(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return (Number(fields[11]) + Number(fields[12])) / 100
}

async function measure(name: string, pid: number, capture: string): Promise<void> {
  const size = () => (existsSync(capture) ? readFileSync(capture, "latin1").split("\u001b[?2026h").length - 1 : 0)
  const [before, frames] = [used(pid), size()]
  const began = performance.now()
  await sleep(seconds * 1000)
  const elapsed = (performance.now() - began) / 1000
  console.log(
    JSON.stringify({
      name: `dashboard-cost-${name}`,
      unit: "% of core",
      ours: (100 * (used(pid) - before)) / elapsed,
      peer: null,
      peerName: null,
      ratio: null,
      rounds: 1,
      machine,
      target: name === "idle" ? "< 1" : "< 5",
      framesPerSecond: (size() - frames) / elapsed,
      columns,
      rows,
    }),
  )
}

async function run(db: string, directory: string): Promise<void> {
  if (!existsSync(db)) {
    process.stderr.write("building 1,000 trials with 10,000,000 logged values …\n")
    build(db, { trials: 1000, points: 1e7, running: 8 })
  }
  const live = (() => {
    using store = openStore(db, { mode: "read" })
    return store.runs.live().map((each) => each.id)
  })()
  const capture = join(directory, "screen")
  tmux(
    ...["new-session", "-d", "-s", "watch", "-x", String(columns), "-y", String(rows)],
    `exec env -u CI TERM=xterm-256color '${process.execPath}' '${program}' --db '${db}' watch`,
  )
  const key = (...names: string[]) => tmux("send-keys", "-t", "watch", ...names)
  try {
    tmux("pipe-pane", "-t", "watch", `cat > '${capture}'`)
    const pid = Number(tmux("display-message", "-p", "-t", "watch", "#{pane_pid}"))
    const settled = async (text: string) => {
      for (let i = 0; i < 600 && !tmux("capture-pane", "-p", "-t", "watch").includes(text); i++) await sleep(100)
      // The first reading of a view is no part of what watching costs.
      await sleep(3000)
    }
    const writer = new Worker(new URL("./_dashboard-writer.ts", import.meta.url), { workerData: { db, live } })
    await settled("running")
    await measure("overview", pid, capture)
    key("2")
    await settled("runs of")
    await measure("runs", pid, capture)
    key("Enter")
    await settled("train/loss")
    await measure("run", pid, capture)
    key("l")
    await settled("follows the end")
    await measure("log", pid, capture)
    key("3")
    await settled("comparisons")
    await measure("ranking", pid, capture)
    key("4")
    await settled("workers")
    await measure("system", pid, capture)
    key("1")
    writer.postMessage("end")
    await new Promise((done) => writer.once("exit", done))
    const ending = openStore(db, { mode: "write" })
    for (const id of live) ending.runs.transition(id, "completed")
    ending.close()
    await settled("idle")
    await measure("idle", pid, capture)
    // As it was, for the next time.
    const again = openStore(db, { mode: "write" })
    const reset = again.connection.sql(
      "UPDATE runs SET status = 'running', finished_at = NULL, lease_expires_at = ? WHERE id = ?",
    )
    for (const id of live) reset.run(Date.now() + 3e6, id)
    again.close()
  } finally {
    spawnSync("tmux", ["-L", socket, "kill-server"])
  }
}

if (spawnSync("tmux", ["-V"]).status !== 0) process.stderr.write("dashboard-cost needs tmux: nothing was measured\n")
else await withDirectory((directory) => run(process.argv[5] ?? join(directory, "runs.db"), directory))
