import { existsSync, statSync } from "node:fs"
import { statfs } from "node:fs/promises"
import { availableParallelism, freemem, totalmem } from "node:os"
import { dirname, resolve } from "node:path"
import { cacheDirectory, listDatasets } from "@exp/data"
import { openStore } from "@exp/store"
import { openDevice } from "@exp/tensor"
import { ExitCode } from "./exit-code.ts"
import { json } from "./json.ts"
import { bytes } from "./numbers.ts"
import { plainText, style } from "./terminal.ts"

interface Finding {
  readonly what: string
  readonly state: "ok" | "note" | "problem"
  readonly detail: string
  /** What to do about it. */
  readonly advice?: string
}

/**
 * Examines the machine, the installation, the cache and the database. Changes nothing.
 *
 * @returns the exit code: 1 when something prevents running experiments
 */
export async function examine(request: { db: string; json: boolean }): Promise<number> {
  const findings = [
    node(),
    memory(),
    await device("cpu"),
    await device("wasm"),
    ...(await cache()),
    database(request.db),
    await disk(request.db),
  ]
  if (request.json) process.stdout.write(`${json(findings)}\n`)
  else {
    for (const { what, state, detail, advice } of findings) {
      const mark =
        state === "ok"
          ? style("green", "ok     ", process.stdout)
          : state === "note"
            ? style("yellow", "note   ", process.stdout)
            : style("red", "problem", process.stdout)
      process.stdout.write(`${mark}  ${what.padEnd(10)}  ${plainText(detail)}\n`)
      if (advice !== undefined) process.stdout.write(`${" ".repeat(21)}${plainText(advice)}\n`)
    }
  }
  return findings.some((finding) => finding.state === "problem") ? ExitCode.trialsFailed : ExitCode.ok
}

const node = (): Finding => ({
  what: "node",
  state: "ok",
  detail: `${process.version} ${process.platform}-${process.arch}`,
})

const memory = (): Finding => ({
  what: "machine",
  state: freemem() < 1e9 ? "note" : "ok",
  detail: `${availableParallelism()} cores, ${bytes(totalmem())} memory, ${bytes(freemem())} free`,
  ...(freemem() < 1e9 ? { advice: "Less than 1 GB is free: run fewer trials at a time with --workers 1." } : {}),
})

async function device(name: "cpu" | "wasm"): Promise<Finding> {
  try {
    const opened = await openDevice(name)
    const detail = opened.describe()
    opened.dispose()
    return { what: name, state: "ok", detail }
  } catch (error) {
    return {
      what: name,
      state: name === "cpu" ? "note" : "problem",
      detail: error instanceof Error ? error.message : String(error),
      advice:
        name === "cpu"
          ? "Experiments run on wasm instead, many times slower. Install the native package with: npm install onnxruntime-node"
          : "Reinstall the project's packages with: npm ci",
    }
  }
}

async function cache(): Promise<Finding[]> {
  const rows = await listDatasets()
  const cached = rows.filter((row) => row.state === "cached").map((row) => row.name)
  const damaged = rows.filter((row) => row.state === "damaged").map((row) => row.name)
  const where = `in ${cacheDirectory()}`
  const found: Finding = {
    what: "data",
    state: cached.length > 0 ? "ok" : "note",
    detail: cached.length > 0 ? `${cached.join(", ")} ${where}` : `nothing is cached ${where}`,
    ...(cached.length > 0
      ? {}
      : { advice: "The first run downloads what it needs. Ahead of time: exp data get fashion-mnist mnist" }),
  }
  return damaged.length === 0
    ? [found]
    : [
        found,
        {
          what: "data",
          state: "note",
          detail: `damaged: ${damaged.join(", ")}`,
          advice: "It is fetched again at its next use.",
        },
      ]
}

function database(path: string): Finding {
  if (!existsSync(path))
    return { what: "database", state: "note", detail: `${path} does not exist yet; exp run creates it` }
  try {
    using store = openStore(path, { mode: "read" })
    const problems = store.verify()
    const runs = store.queries.count()
    return problems.length === 0
      ? { what: "database", state: "ok", detail: `${path}, ${bytes(statSync(path).size)}, ${runs} runs, sound` }
      : {
          what: "database",
          state: "problem",
          detail: problems.slice(0, 3).join("; "),
          advice: "Restore a back-up copy that lies beside it.",
        }
  } catch (error) {
    return { what: "database", state: "problem", detail: error instanceof Error ? error.message : String(error) }
  }
}

async function disk(path: string): Promise<Finding> {
  let folder = dirname(resolve(path))
  while (!existsSync(folder)) folder = dirname(folder)
  const { bavail, bsize } = await statfs(folder)
  const free = bavail * bsize
  return {
    what: "disk",
    state: free < 1e9 ? "note" : "ok",
    detail: `${bytes(free)} free in ${folder}`,
    ...(free < 1e9 ? { advice: "Less than 1 GB is free; data sets, checkpoints and artifacts need room." } : {}),
  }
}
