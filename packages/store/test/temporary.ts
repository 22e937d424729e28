import { type ChildProcess, spawn } from "node:child_process"
import { chmodSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { onTestFinished } from "vitest"
import { openStore, type Store, type StoreOptions } from "../src/store.ts"

/** A directory that is gone after the test. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "store-"))
  onTestFinished(() => {
    chmodSync(directory, 0o755)
    rmSync(directory, { recursive: true, force: true })
  })
  return directory
}

export function temporaryStore(options: Partial<StoreOptions> = {}): Store {
  const store = openStore(join(temporaryDirectory(), "runs.db"), { mode: "write", ...options })
  onTestFinished(() => {
    try {
      store.close()
    } catch {
      store.connection.close()
    }
  })
  return store
}

/** Registers experiment `name` with arms × seeds, and returns the trial ids. */
export function plant(
  store: Store,
  options: { readonly name?: string; readonly arms?: readonly string[]; readonly seeds?: number } = {},
): string[] {
  const { name = "e", arms = ["a"], seeds = 1 } = options
  store.experiments.register({
    name,
    task: "t",
    taskVersion: 1,
    compare: ["test/accuracy"],
    metrics: { "test/accuracy": { goal: "max", unit: "ratio" }, "layer/sparsity/*": { goal: "max" } },
  })
  const trials = arms.flatMap((arm) =>
    Array.from({ length: seeds }, (_, seed) => ({
      id: `${name}-${arm}-${seed}`,
      taskName: "t",
      taskVersion: 1,
      config: { arm, tuner: { rank: 8, bias: seed % 2 === 0 } },
      seed,
      arm,
      condition: arm,
      point: {},
    })),
  )
  store.experiments.addTrials(name, "compare", trials)
  return trials.map((trial) => trial.id)
}

/** Starts one of test/programs as a process of its own. */
export function program(name: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url)), ...args], {
    stdio: ["pipe", "pipe", "pipe"],
  })
}

/** Waits for a program's end. */
export function ended(
  child: ChildProcess,
): Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }> {
  let stdout = ""
  let stderr = ""
  child.stdout?.on("data", (chunk) => {
    stdout += String(chunk)
  })
  child.stderr?.on("data", (chunk) => {
    stderr += String(chunk)
  })
  return new Promise((done) => child.on("close", (code, signal) => done({ code, signal, stdout, stderr })))
}

/** Waits for a line that the program prints. */
export function line(child: ChildProcess, wanted: string): Promise<void> {
  return new Promise((done, fail) => {
    let text = ""
    child.stdout?.on("data", (chunk) => {
      text += String(chunk)
      if (text.includes(wanted)) done()
    })
    child.on("close", () => fail(new Error(`ended without printing ${wanted}`)))
  })
}
