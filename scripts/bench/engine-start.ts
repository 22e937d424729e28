/**
 * Engine: from typing `exp run` on a trivial experiment to its first logged step, on a new database and on one that
 * exists, beside the start of a bare Node process. Every round is a real command; the task logs the time.
 */
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import Database from "better-sqlite3"

const program = join(import.meta.dirname, "../../packages/cli/bin/exp.js")
const experiment = join(import.meta.dirname, "_first-step.ts")
const folder = mkdtempSync(join(tmpdir(), "exp-bench-"))
const rounds = 9

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!

/** Milliseconds from before the process is started to the step that its trial logs. */
function firstStep(db: string, note: string): number {
  const begun = performance.timeOrigin + performance.now()
  execFileSync(process.execPath, [program, "run", experiment, "--db", db, "--set", `note=${note}`], { stdio: "ignore" })
  const sqlite = new Database(db, { readonly: true })
  try {
    const { at } = sqlite.prepare("SELECT value AS at FROM metrics ORDER BY run_id DESC LIMIT 1").get() as {
      at: number
    }
    return at - begun
  } finally {
    sqlite.close()
  }
}

function bareNode(): number {
  const begun = performance.now()
  execFileSync(process.execPath, ["-e", "0"], { stdio: "ignore" })
  return performance.now() - begun
}

try {
  const known = join(folder, "known.db")
  firstStep(known, "warm")
  const fresh: number[] = []
  const again: number[] = []
  const bare: number[] = []
  for (let round = 0; round < rounds; round++) {
    fresh.push(firstStep(join(folder, `${round}.db`), "fresh"))
    again.push(firstStep(known, `again-${round}`))
    bare.push(bareNode())
  }
  const row = { unit: "ms", peer: median(bare), peerName: "bare Node, start to end", limit: 400, rounds }
  for (const [what, times] of [["a new database", fresh] as const, ["a known database", again] as const]) {
    const ours = median(times)
    console.log(
      JSON.stringify({
        name: `engine/exp run to the first logged step, ${what}`,
        ours,
        ratio: ours / row.peer,
        best: Math.min(...times),
        ...row,
      }),
    )
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
