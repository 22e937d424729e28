/**
 * Runs the benchmarks beside this file, one process after the other, and prints one JSON object a line:
 *
 *   { name, unit, ours, peer, peerName, ratio, rounds, machine, … }      ratio = ours / peer
 *
 *   npm run bench                          all, as a table
 *   npm run bench -- --filter store        those whose file or name contains "store"
 *   npm run bench -- --json                JSON lines
 *
 * A benchmark is a file of this folder that prints such lines. Pairs alternate within one process, figures are medians.
 */
import { spawn } from "node:child_process"
import { readdirSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"

const { values } = parseArgs({
  options: { filter: { type: "string" }, json: { type: "boolean", default: false } },
})

const folder = import.meta.dirname
const all = readdirSync(folder)
  .filter((name) => name.endsWith(".ts") && name !== "run.ts" && !name.startsWith("_"))
  .sort()
const named = all.filter((name) => values.filter === undefined || name.includes(values.filter))
const files = named.length > 0 ? named : all

const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  cores: cpus().length,
  memoryGB: Math.round(totalmem() / 1e9),
  node: process.version,
  platform: `${process.platform}-${process.arch}`,
}

const number = (x: unknown) =>
  typeof x === "number"
    ? Math.abs(x) >= 1000
      ? Math.round(x).toLocaleString("en-US")
      : String(+x.toPrecision(4))
    : "–"

let failed = 0
for (const file of files) {
  const child = spawn(process.execPath, ["--expose-gc", join(folder, file)], { stdio: ["ignore", "pipe", "inherit"] })
  const ended = new Promise<number>((done) => child.once("exit", (code) => done(code ?? 1)))
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("{")) {
      process.stderr.write(`${line}\n`)
      continue
    }
    const row = { ...JSON.parse(line), machine }
    if (named.length === 0 && values.filter !== undefined && !String(row.name).includes(values.filter)) continue
    if (values.json) process.stdout.write(`${JSON.stringify(row)}\n`)
    else {
      const peer = row.peer === undefined || row.peer === null ? "" : `${number(row.peer)} ${row.peerName ?? "peer"}`
      const ratio = row.ratio === undefined || row.ratio === null ? "" : `×${number(row.ratio)}`
      process.stdout.write(
        `${String(row.name).padEnd(44)} ${number(row.ours).padStart(12)} ${String(row.unit).padEnd(10)} ${peer.padEnd(36)} ${ratio}\n`,
      )
    }
  }
  const code = await ended
  if (code !== 0) {
    failed++
    process.stderr.write(`${file} failed with exit code ${code}\n`)
  }
}
process.exitCode = failed > 0 ? 1 : 0
