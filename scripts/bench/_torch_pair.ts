/**
 * One training step on the cpu device and the same step in PyTorch, one thread each.
 *
 * The peer reads the same initial parameters and the same batch, and both losses are compared after the first steps: a
 * peer that computes something else is no peer. Then rounds alternate; figures are medians of wall and of CPU
 * milliseconds a step (a peer that quietly uses two threads shows in the latter).
 */
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { type Device, encodeSafetensors, type HostTensors, profileStep, type Step } from "@exp/tensor"

const one = { OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", MKL_NUM_THREADS: "1" }

/** A Python that has PyTorch, else undefined. */
export const python = ["python3", "/usr/bin/python3"].find((p) => spawnSync(p, ["-c", "import torch"]).status === 0)

/** The middle value. */
export const median = (xs: readonly number[]) => [...xs].sort((a, b) => a - b)[xs.length >> 1]!

/** What to compare. */
export interface Pair {
  readonly name: string
  /** A script beside this file, and what it takes after the data file. Several variants: the fastest is the peer. */
  readonly peer: string
  readonly variants?: readonly (readonly string[])[]
  readonly step: Step
  /** The whole state before the first step; the peer gets what is under "params.". */
  readonly start: HostTensors
  readonly batch: HostTensors
  readonly rounds?: number
  /** Steps of one timed call. Default 10. */
  readonly stepsPerCall?: number
  /** Largest relative difference of the losses. Default 1e-3: Adam turns rounding of small gradients into steps. */
  readonly tolerance?: number
}

/** Steps whose losses are compared. */
const compared = 5

/** A running peer: each request is a number of steps. */
class Peer {
  readonly #process
  readonly #answers
  constructor(script: string, file: string, args: readonly string[]) {
    this.#process = spawn(python!, [join(import.meta.dirname, script), file, ...args], {
      env: { ...process.env, ...one },
      stdio: ["pipe", "pipe", "inherit"],
    })
    this.#answers = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]()
  }
  /** Wall and CPU milliseconds of one step, and the losses. */
  async steps(n: number): Promise<{ wall: number; cpu: number; losses: readonly number[] }> {
    this.#process.stdin.write(`${n}\n`)
    const { value, done } = await this.#answers.next()
    if (done) throw new Error("the PyTorch peer ended early")
    const [wall, cpu, ...losses] = String(value).split(" ").map(Number)
    return { wall: wall!, cpu: cpu!, losses }
  }
  end(): void {
    this.#process.stdin.end()
  }
}

/** Runs the comparison and prints its row. With PROFILE=1, the time by operator of one step goes to standard error. */
export async function comparePair(device: Device, pair: Pair): Promise<void> {
  const { name, rounds = 5, stepsPerCall = 10, tolerance = 1e-3, variants = [[]] } = pair
  const { start } = pair
  if (process.env["PROFILE"]) {
    for (const { op, count, milliseconds } of profileStep(pair.step, start, pair.batch, 5))
      console.error(`${milliseconds.toFixed(2).padStart(9)} ms ${String(count).padStart(6)} ${op}`)
  }
  const program = device.compile(pair.step)
  program.load(start)
  const run = async (steps: number, at: number) => {
    const [from, used] = [performance.now(), process.cpuUsage()]
    const metrics = await program.runMany(new Array<HostTensors>(steps).fill(pair.batch), { seed: 0, step: at })
    const wall = (performance.now() - from) / steps
    const { user, system } = process.cpuUsage(used)
    return { wall, cpu: (user + system) / 1000 / steps, losses: metrics.map((m) => m["loss"]!.data[0]!) }
  }
  const folder = mkdtempSync(join(tmpdir(), "exp-bench-"))
  const peers: Peer[] = []
  try {
    const first = await run(compared, 0)
    let difference: number | undefined
    if (python) {
      const file = join(folder, "start.safetensors")
      const batch = Object.fromEntries(Object.entries(pair.batch).map(([key, t]) => [`batch.${key}`, t]))
      const params = Object.fromEntries(Object.entries(start).filter(([key]) => key.startsWith("params.")))
      writeFileSync(file, encodeSafetensors({ ...params, ...batch }))
      for (const variant of variants) {
        const peer = new Peer(pair.peer, file, variant)
        peers.push(peer)
        const { losses } = await peer.steps(compared)
        difference = Math.max(
          difference ?? 0,
          ...losses.map((loss, i) => Math.abs(loss - first.losses[i]!) / Math.abs(loss)),
        )
        if (!(difference <= tolerance))
          throw new Error(
            `${name}: the losses of the first steps differ: ${first.losses.join(" ")}, in PyTorch ${losses.join(" ")}`,
          )
      }
    }
    await run(stepsPerCall, compared)
    const ours: { wall: number; cpu: number }[] = []
    const theirs: { wall: number; cpu: number }[][] = peers.map(() => [])
    for (let round = 0; round < rounds; round++) {
      ours.push(await run(stepsPerCall, compared + stepsPerCall * (round + 1)))
      for (const [i, peer] of peers.entries()) theirs[i]!.push(await peer.steps(stepsPerCall))
    }
    const cost = program.graph!()!.cost
    const wall = (rows: readonly { wall: number }[]) => median(rows.map((r) => r.wall))
    const best = [...theirs].sort((a, b) => wall(a) - wall(b))[0]
    const ratio = best && wall(ours) / wall(best)
    console.log(
      JSON.stringify({
        name,
        unit: "ms/step",
        ours: wall(ours),
        ...(best ? { peer: wall(best), peerName: "PyTorch", ratio } : { peer: null }),
        rounds,
        oursCpu: median(ours.map((r) => r.cpu)),
        ...(best ? { peerCpu: median(best.map((r) => r.cpu)), lossDifference: difference } : {}),
        ...(theirs.length > 1 ? { peers: theirs.map(wall) } : {}),
        nodes: cost.nodes,
        gflop: cost.flops / 1e9,
        peakMiB: cost.peakBytes / 2 ** 20,
      }),
    )
  } finally {
    for (const peer of peers) peer.end()
    program.dispose()
    rmSync(folder, { recursive: true, force: true })
  }
}
