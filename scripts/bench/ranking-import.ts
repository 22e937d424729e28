/** `exp import`: ten million rows of CSV into an empty database, as the command does it. Limits: 60 s and 1 GB. */
import { spawnSync } from "node:child_process"
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fillBits, key } from "@exp/random"

const folder = mkdtempSync(join(tmpdir(), "import-bench-"))
try {
  const [competitors, samples] = [100, 100_000]
  const file = join(folder, "results.csv")
  const out = openSync(file, "w")
  writeSync(out, "competitor,sample,metric,value\n")
  const words = new Uint32Array(competitors)
  for (let s = 0; s < samples; s++) {
    fillBits(key(1, s), words)
    let text = ""
    for (let c = 0; c < competitors; c++) text += `model-${c},question-${s},accuracy,${words[c]! & 1}\n`
    writeSync(out, text)
  }
  closeSync(out)
  const command = join(import.meta.dirname, "..", "..", "packages", "cli", "bin", "exp.js")
  // The child reports its own peak memory when it ends.
  const probe = `data:text/javascript,process.on("exit",()=>process.stderr.write("\\npeak "+process.resourceUsage().maxRSS+" cpu "+process.cpuUsage().user/1000+"\\n"))`
  const began = performance.now()
  const done = spawnSync(
    process.execPath,
    ["--import", probe, command, "import", file, "--db", join(folder, "runs.db")],
    { encoding: "utf8" },
  )
  const ms = performance.now() - began
  if (done.status !== 0) throw new Error(done.stderr)
  const [, peak, cpu] = /peak (\d+) cpu ([\d.]+)/.exec(done.stderr)!
  const row = {
    name: "ranking/import-csv-1e7",
    unit: "ms",
    ours: ms,
    cpu: Number(cpu),
    peer: null,
    ratio: null,
    rounds: 1,
    limit: 60_000,
  }
  process.stdout.write(
    `${JSON.stringify({ ...row, peakMemoryMB: Math.round(Number(peak) / 1024), limitMemoryMB: 1000 })}\n`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}
