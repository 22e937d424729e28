/** What the benchmarks of the store share: databases to measure on, and the JSON line each prints. */
import { mkdtempSync, rmSync } from "node:fs"
import { cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { openStore, type Store } from "@exp/store"

export interface Measurement {
  readonly name: string
  readonly unit: string
  readonly ours: number
  readonly peer: number | null
  readonly peerName: string | null
  /** ours / peer; for times lower is better, for rates higher. */
  readonly ratio: number | null
  readonly rounds: number
  readonly machine: string
  /** What the issue asks for, as a bound on `ours`. */
  readonly target?: string
  /** CPU seconds of this process per round, median. */
  readonly cpuSeconds?: number
}

export const machine = `${cpus()[0]?.model.trim() ?? "unknown"} x${cpus().length}, node ${process.versions.node}`

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function measurement(
  name: string,
  unit: string,
  ours: readonly number[],
  peer: readonly number[] | undefined,
  peerName: string | undefined,
  extra: Partial<Measurement> = {},
): Measurement {
  const mine = median(ours)
  const theirs = peer === undefined ? null : median(peer)
  return {
    name,
    unit,
    ours: mine,
    peer: theirs,
    peerName: peerName ?? null,
    ratio: theirs === null ? null : mine / theirs,
    rounds: ours.length,
    machine,
    ...extra,
  }
}

/** Runs `work` with a directory that is removed afterwards. */
export async function withDirectory<A>(work: (directory: string) => A | Promise<A>): Promise<A> {
  const directory = mkdtempSync(join(tmpdir(), "exp-bench-"))
  try {
    return await work(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** An experiment with `seeds` trials that have no runs yet; their ids. */
export function plantTrials(store: Store, seeds: number, config: (seed: number) => Record<string, unknown>): string[] {
  store.experiments.register({
    name: "bench",
    task: "bench",
    taskVersion: 1,
    compare: ["test/accuracy"],
    metrics: { "test/accuracy": { goal: "max" } },
  })
  const trials = Array.from({ length: seeds }, (_, seed) => ({
    id: seed.toString(16).padStart(32, "0"),
    taskName: "bench",
    taskVersion: 1,
    config: config(seed),
    seed,
    arm: `arm${seed % 5}`,
    condition: `arm${seed % 5}`,
  }))
  store.experiments.addTrials("bench", "compare", trials)
  return trials.map((trial) => trial.id)
}

export function openBench(directory: string): Store {
  return openStore(join(directory, "runs.db"), { mode: "write" })
}
