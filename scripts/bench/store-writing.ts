/**
 * Writing metrics: points per second from one process (durable: until the flush returned), from eight on one file, the longest
 * any of the eight went without a commit, and what `log` costs its caller. The yardstick is a bare loop over one prepared INSERT in transactions of the same size,
 * into the same table, in the same run, alternating.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Buffered } from "@exp/store/flusher"
import Sqlite from "better-sqlite3"
import { type Measurement, measurement, openBench, plantTrials, withDirectory } from "./_store-fixtures.ts"

const names = ["train/loss", "train/accuracy", "time/step_ms", "mem/peak_bytes"] as const

function ours(directory: string, points: number): { readonly rate: number; readonly cpu: number } {
  const store = openBench(directory)
  const [trialId] = plantTrials(store, 1, () => ({}))
  const writer = store.metricWriter(store.runs.start({ trialId: trialId! }))
  const cpu = process.cpuUsage()
  const began = performance.now()
  for (let step = 0; step * names.length < points; step++) {
    for (const name of names) writer.log(step, name, step * 0.5)
  }
  writer.close()
  const seconds = (performance.now() - began) / 1000
  const used = process.cpuUsage(cpu)
  store.close()
  return { rate: points / seconds, cpu: (used.user + used.system) / 1e6 }
}

function bare(directory: string, points: number): number {
  const path = openBench(directory)
  const file = path.path
  path.close()
  const sqlite = new Sqlite(file)
  sqlite.pragma("synchronous = NORMAL")
  sqlite.pragma("wal_autocheckpoint = 4000")
  const insert = sqlite.prepare("INSERT INTO metrics VALUES (?, ?, ?, ?, ?)")
  const began = performance.now()
  for (let step = 0; step * names.length < points; ) {
    sqlite.exec("BEGIN IMMEDIATE")
    for (let i = 0; i < 8192 && step * names.length < points; i += names.length, step++) {
      for (let m = 0; m < names.length; m++) insert.run(1, m + 1, step, step * 0.5, Date.now())
    }
    sqlite.exec("COMMIT")
  }
  const seconds = (performance.now() - began) / 1000
  sqlite.close()
  return points / seconds
}

/** Nanoseconds per value that `log` takes from its caller while nothing is being written. */
function logCost(directory: string): number {
  const store = openBench(directory)
  const [trialId] = plantTrials(store, 1, () => ({}))
  const writer = store.metricWriter(store.runs.start({ trialId: trialId! }))
  const costs: number[] = []
  for (let round = 0; round < 200; round++) {
    const began = performance.now()
    for (let step = 0; step < 1000; step++) for (const name of names) writer.log(round * 1000 + step, name, step)
    costs.push(((performance.now() - began) * 1e6) / (1000 * names.length))
    writer.flush()
  }
  store.close()
  costs.sort((a, b) => a - b)
  return costs[Math.floor(costs.length * 0.5)]!
}

interface Child {
  readonly began: number
  readonly ended: number
  readonly longest: number
}

async function eight(
  directory: string,
  pointsEach: number,
): Promise<{ readonly rate: number; readonly longest: number }> {
  const store = openBench(directory)
  const trials = plantTrials(store, 8, () => ({}))
  const runs = trials.map((trialId) => store.runs.start({ trialId }))
  store.close()
  const start = Date.now() + 2500
  const children = await Promise.all(
    runs.map(
      (runId) =>
        new Promise<Child>((done, fail) => {
          const child = spawn(
            process.execPath,
            [fileURLToPath(import.meta.url), "--child", directory, String(runId), String(pointsEach), String(start)],
            { stdio: ["ignore", "pipe", "inherit"] },
          )
          let text = ""
          child.stdout.on("data", (chunk) => {
            text += String(chunk)
          })
          child.on("close", (code) =>
            code === 0 ? done(JSON.parse(text) as Child) : fail(new Error(`child ended with ${code}`)),
          )
        }),
    ),
  )
  const seconds = (Math.max(...children.map((c) => c.ended)) - Math.min(...children.map((c) => c.began))) / 1000
  return { rate: (pointsEach * 8) / seconds, longest: Math.max(...children.map((c) => c.longest)) }
}

function child(directory: string, runId: number, points: number, start: number): void {
  const store = openBench(directory)
  const writer = store.metricWriter(runId)
  const cell = new Int32Array(new SharedArrayBuffer(4))
  while (Date.now() < start) Atomics.wait(cell, 0, 0, 1)
  const began = Date.now()
  // The longest this writer went without a commit while it had rows to write, the transactions of its last flush included.
  let longest = 0
  let committed = performance.now()
  const buffered = writer as typeof writer & Buffered
  const settled = buffered.settled.bind(buffered)
  buffered.settled = (done) => {
    settled(done)
    if (!done) return
    const now = performance.now()
    longest = Math.max(longest, now - committed)
    committed = now
  }
  for (let step = 0; step * names.length < points; step++) {
    for (const name of names) writer.log(step, name, step * 0.5)
  }
  writer.close()
  console.log(JSON.stringify({ began, ended: Date.now(), longest } satisfies Child))
  store.close()
}

export async function run(rounds = 3): Promise<Measurement[]> {
  const points = 1_000_000
  const mine: number[] = []
  const cpu: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const one = await withDirectory((directory) => ours(directory, points))
    mine.push(one.rate)
    cpu.push(one.cpu)
    theirs.push(await withDirectory((directory) => bare(directory, points)))
  }
  const many: number[] = []
  const waits: number[] = []
  for (let round = 0; round < rounds; round++) {
    const found = await withDirectory((directory) => eight(directory, 250_000))
    many.push(found.rate)
    waits.push(found.longest)
  }
  const cost: number[] = []
  for (let round = 0; round < rounds; round++) cost.push(await withDirectory(logCost))
  const yardstick = "bare prepared-statement loop, one process"
  return [
    measurement("store-write-one", "points/s", mine, theirs, yardstick, {
      target: ">= 500000",
      cpuSeconds: cpu.toSorted((a, b) => a - b)[cpu.length >> 1]!,
    }),
    measurement("store-write-eight", "points/s", many, theirs, yardstick, { target: ">= 150000" }),
    measurement("store-write-eight-longest-gap", "ms", waits, undefined, undefined, { target: "< 1000" }),
    measurement("store-log-cost", "ns/value", cost, undefined, undefined, { target: "<= 1000" }),
  ]
}

if (process.argv[2] === "--child") {
  const [, , , directory = "", runId, points, start] = process.argv
  child(directory, Number(runId), Number(points), Number(start))
} else if (import.meta.main) {
  for (const each of await run(Number(process.argv[2] ?? 3))) console.log(JSON.stringify(each))
}
