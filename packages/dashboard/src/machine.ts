/** The machine that the dashboard runs on: processors, memory, disk, graphics processors, and single processes. */
import { execFile } from "node:child_process"
import { readFileSync, statfsSync, statSync } from "node:fs"
import { availableParallelism, cpus, freemem, hostname, loadavg, totalmem } from "node:os"
import { dirname, resolve } from "node:path"

/** One graphics processor. Shares from 0 to 1, memory in bytes; NaN where the driver does not say. */
export interface GpuState {
  readonly name: string
  readonly busy: number
  readonly usedBytes: number
  readonly totalBytes: number
}

/** What a process uses: share of one core since the last look (NaN at the first), resident bytes. */
export interface ProcessState {
  readonly busy: number
  readonly bytes: number
}

export interface MachineState {
  /** Name of this machine; runs of other machines have another `host`. */
  readonly host: string
  readonly cores: number
  /** Share of all cores since the last look, 0 to 1; NaN at the first. */
  readonly busy: number
  readonly load: number
  readonly usedBytes: number
  readonly totalBytes: number
  /** Of the file system that holds the database; NaN where the system does not say. */
  readonly diskFree: number
  readonly diskTotal: number
  /** The database file with its write-ahead log. */
  readonly databaseBytes: number
  /** undefined: not asked yet; empty: none is known. */
  readonly gpus: readonly GpuState[] | undefined
  readonly processes: ReadonlyMap<number, ProcessState>
}

const gpuEveryMs = 2000

/** Reads the state of the machine again and again; what is measured between two looks needs both. */
export class MachineReader {
  readonly #db: string
  #ticks: { readonly busy: number; readonly all: number } | undefined
  #processes = new Map<number, { readonly seconds: number; readonly at: number }>()
  #gpus: readonly GpuState[] | undefined
  #gpuAt = Number.NEGATIVE_INFINITY
  #gpuAsking = false
  #gpuAbsent = false

  constructor(db: string) {
    this.#db = resolve(db)
  }

  /** @param pids processes of this machine to look at */
  read(pids: readonly number[]): MachineState {
    const now = performance.now()
    this.#askGpu(now)
    const ticks = { busy: 0, all: 0 }
    for (const { times } of cpus()) {
      const sum = times.user + times.nice + times.sys + times.idle + times.irq
      ticks.all += sum
      ticks.busy += sum - times.idle
    }
    const before = this.#ticks
    this.#ticks = ticks
    const busy =
      before === undefined || ticks.all <= before.all
        ? Number.NaN
        : (ticks.busy - before.busy) / (ticks.all - before.all)
    const processes = new Map<number, ProcessState>()
    const seen = new Map<number, { readonly seconds: number; readonly at: number }>()
    for (const pid of pids) {
      const found = processUse(pid)
      if (found === undefined) continue
      const last = this.#processes.get(pid)
      seen.set(pid, { seconds: found.seconds, at: now })
      const share =
        last === undefined ? Number.NaN : (found.seconds - last.seconds) / Math.max(1e-3, (now - last.at) / 1000)
      processes.set(pid, { busy: share, bytes: found.bytes })
    }
    this.#processes = seen
    const disk = diskOf(dirname(this.#db))
    return {
      host: hostname(),
      cores: availableParallelism(),
      busy,
      load: loadavg()[0] ?? Number.NaN,
      usedBytes: totalmem() - freemem(),
      totalBytes: totalmem(),
      diskFree: disk.free,
      diskTotal: disk.total,
      databaseBytes: sizeOf(this.#db) + sizeOf(`${this.#db}-wal`),
      gpus: this.#gpuAbsent ? [] : this.#gpus,
      processes,
    }
  }

  #askGpu(now: number): void {
    if (this.#gpuAbsent || this.#gpuAsking || now - this.#gpuAt < gpuEveryMs) return
    this.#gpuAsking = true
    this.#gpuAt = now
    const query = ["--query-gpu=name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"]
    execFile("nvidia-smi", query, { timeout: 5000 }, (error, stdout) => {
      this.#gpuAsking = false
      if (error !== null) {
        // No such program, or no driver: neither comes while the dashboard is open.
        this.#gpuAbsent = this.#gpus === undefined
        return
      }
      this.#gpus = readGpus(stdout)
    })
  }
}

/** The lines of nvidia-smi: name, per cent, MiB, MiB. `[N/A]` becomes NaN. */
export function readGpus(csv: string): GpuState[] {
  return csv
    .split("\n")
    .map((line) => line.split(",").map((field) => field.trim()))
    .filter((fields) => fields.length === 4)
    .map(([name, busy, used, total]) => ({
      name: name!,
      busy: Number.parseFloat(busy!) / 100,
      usedBytes: Number.parseFloat(used!) * 2 ** 20,
      totalBytes: Number.parseFloat(total!) * 2 ** 20,
    }))
}

/** Seconds of processor time and resident bytes of a process, where the system keeps them under /proc. */
export function processUse(pid: number): { readonly seconds: number; readonly bytes: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    // The name stands in parentheses and may hold anything; the fields behind it are numbers. The kernel counts
    // hundredths of a second for user space on every platform, and pages of 4 kB on those that Node runs on most.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return { seconds: (Number(fields[11]) + Number(fields[12])) / 100, bytes: Number(fields[21]) * 4096 }
  } catch {
    return undefined
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}

function diskOf(folder: string): { readonly free: number; readonly total: number } {
  try {
    const { bavail, blocks, bsize } = statfsSync(folder)
    return { free: bavail * bsize, total: blocks * bsize }
  } catch {
    return { free: Number.NaN, total: Number.NaN }
  }
}
