/**
 * Engine: what a no-op trial costs with everything persisted, resuming a thousand finished trials, memory of the
 * coordinator at ten thousand. Beside Optuna with SQLite storage where a Python has it, alternating in one run.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../../", import.meta.url))
const coordinator = join(root, "test/faults/coordinator.ts")
const noop = join(root, "packages/engine/test/fixtures/noop.ts")
const folder = mkdtempSync(join(tmpdir(), "exp-bench-"))
const rounds = 3

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

/**
 * Processor time in ms of all ended children and their ended descendants: the coordinators and their workers. From
 * Linux's /proc/self/stat (cutime and cstime, in hundredths of a second); NaN elsewhere.
 */
function cpuOfChildren(): number {
  try {
    const stat = readFileSync("/proc/self/stat", "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return (Number(fields[13]) + Number(fields[14])) * 10
  } catch {
    return Number.NaN
  }
}

interface Measured {
  readonly wallMs: number
  readonly cpuMs: number
  readonly peakBytes: number
  /** From process start to the event, in ms. */
  readonly at: (type: string, last?: boolean) => number
}

/** Runs a coordinator process and notes when each kind of event came. */
async function run(options: Readonly<Record<string, unknown>>): Promise<Measured> {
  const begun = performance.now()
  const before = cpuOfChildren()
  const child = spawn(process.execPath, [coordinator, JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const first = new Map<string, number>()
  const last = new Map<string, number>()
  let peakBytes = 0
  let rest = ""
  child.stdout.on("data", (chunk: Buffer) => {
    const now = performance.now() - begun
    const lines = (rest + chunk).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      const type = /^\{"type":"([a-z-]+)"/.exec(line)?.[1] ?? ""
      if (!first.has(type)) first.set(type, now)
      last.set(type, now)
      if (type === "report") peakBytes = (JSON.parse(line) as { peakBytes: number }).peakBytes
    }
  })
  const code = await new Promise((resolve) => child.once("close", resolve))
  if (code !== 0) throw new Error(`the coordinator ended with ${String(code)}`)
  return {
    wallMs: performance.now() - begun,
    cpuMs: cpuOfChildren() - before,
    peakBytes,
    at: (type, want) => (want ? last : first).get(type) ?? Number.NaN,
  }
}

const print = (row: Readonly<Record<string, unknown>>) => console.log(JSON.stringify(row))

/** A Python with Optuna: the first one on the path, or the system's own. */
const python = ["python3", "/usr/bin/python3"].find(
  (name) => spawnSync(name, ["-c", "import optuna"], { stdio: "ignore" }).status === 0,
)
const peerScript = join(folder, "peer.py")
writeFileSync(
  peerScript,
  `import sys, time, optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study(storage="sqlite:///" + sys.argv[1], sampler=optuna.samplers.RandomSampler(0))
begun = time.perf_counter()
study.optimize(lambda trial: trial.suggest_float("a", 0, 1), n_trials=int(sys.argv[2]))
print((time.perf_counter() - begun) * 1000)
`,
)

try {
  let n = 0
  const fresh = () => join(folder, `runs-${n++}.db`)
  const trials = 500
  const ours: number[] = []
  const cpu: number[] = []
  const peers: number[] = []
  await run({ file: noop, db: fresh(), seeds: 2, workers: 2 })
  for (let round = 0; round < rounds; round++) {
    const measured = await run({ file: noop, db: fresh(), seeds: trials / 2, workers: 2 })
    ours.push((measured.at("trial-finished", true) - measured.at("trial-started")) / trials)
    cpu.push(measured.cpuMs / trials)
    if (python !== undefined) {
      const text = execFileSync(python, [peerScript, join(folder, `optuna-${round}.db`), String(trials)]).toString()
      peers.push(Number(text) / trials)
    }
  }
  const peer = peers.length > 0 ? median(peers) : null
  print({
    name: "engine/no-op trial, 500 trials, 2 workers",
    unit: "ms/trial",
    ours: median(ours),
    cpu: median(cpu),
    peer,
    peerName: peer === null ? null : "optuna + SQLite, in one process",
    ratio: peer === null ? null : median(ours) / peer,
    limit: 10,
    rounds,
  })

  const db = fresh()
  await run({ file: noop, db, seeds: 500, workers: 2 })
  const resumes: number[] = []
  for (let round = 0; round < rounds; round++) {
    // One more seed: a thousand and some finished trials, then two new ones.
    const measured = await run({ file: noop, db, seeds: 501 + round, workers: 2 })
    resumes.push(measured.at("trial-started"))
  }
  print({
    name: "engine/resume 1,000 finished trials to the next running one",
    unit: "ms",
    ours: median(resumes),
    limit: 1000,
    rounds,
  })

  if (process.env["EXP_BENCH_LONG"] === "1") {
    const measured = await run({ file: noop, db: fresh(), seeds: 5000, workers: 2 })
    print({
      name: "engine/peak memory of the coordinator, 10,000 trials",
      unit: "MB",
      ours: measured.peakBytes / 1e6,
      limit: 300,
      rounds: 1,
    })
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
