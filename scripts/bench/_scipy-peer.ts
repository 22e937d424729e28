/** The scipy peer of the ranking benchmarks: a Python process that loads the data once and times runs on request. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"

/** Whether python3 with numpy and scipy is here. */
export const hasScipy = spawnSync("python3", ["-c", "import numpy, scipy.optimize"], { stdio: "ignore" }).status === 0

export interface Peer {
  /** Wall milliseconds of one run. */
  run(job: string): Promise<number>
  close(): void
}

/** Starts the peer on one data set, one thread; undefined without scipy. */
export function scipyPeer(
  kind: "binary" | "sparse" | "votes",
  parts: readonly NodeJS.TypedArray[],
  m: number,
  n: number,
): Peer | undefined {
  if (!hasScipy) return undefined
  const folder = mkdtempSync(join(tmpdir(), "ranking-bench-"))
  const file = join(folder, "data")
  writeFileSync(file, Buffer.concat(parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength))))
  const one = { OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", MKL_NUM_THREADS: "1" }
  const child: ChildProcessWithoutNullStreams = spawn(
    "python3",
    [join(import.meta.dirname, "_scipy_ranking.py"), kind, file, String(m), String(n)],
    {
      env: { ...process.env, ...one },
    },
  )
  child.stderr.pipe(process.stderr)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  return {
    async run(job) {
      child.stdin.write(`${job}\n`)
      const { value, done } = await lines.next()
      if (done) throw new Error("the scipy peer ended")
      return Number(String(value).split(" ")[0])
    },
    close() {
      child.stdin.end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Alternates ours and the peer and prints one line of the benchmark format, medians of `rounds`. */
export async function compare(
  name: string,
  ours: () => void,
  peer: Peer | undefined,
  job: string,
  rounds: number,
  limitMs: number,
): Promise<void> {
  const mine: number[] = []
  const theirs: number[] = []
  const cpu: number[] = []
  for (let r = 0; r < rounds; r++) {
    const before = process.cpuUsage()
    const start = performance.now()
    ours()
    mine.push(performance.now() - start)
    const used = process.cpuUsage(before)
    cpu.push((used.user + used.system) / 1e3)
    if (peer !== undefined) theirs.push(await peer.run(job))
  }
  const median = (x: number[]) => [...x].sort((a, b) => a - b)[x.length >> 1]!
  const found = peer === undefined ? null : median(theirs)
  const row = {
    name,
    unit: "ms",
    ours: median(mine),
    cpu: median(cpu),
    peer: found,
    peerName: "numpy counts + scipy L-BFGS, 1 thread",
    ratio: found === null ? null : median(mine) / found,
    rounds,
    limit: limitMs,
    peakMemoryMB: Math.round(process.resourceUsage().maxRSS / 1024),
  }
  process.stdout.write(`${JSON.stringify(row)}\n`)
}
