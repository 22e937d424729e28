/**
 * Runs experiments in full and writes what came out as text tables under experiments/results/.
 *
 *   npm run reproduce                                  all experiments
 *   npm run reproduce -- snell.vit snella.vit          some of them
 *   npm run reproduce -- --db results.db --workers 2   where the numbers go, and how many trials run at once
 *
 * Where experiments/queries/ has a .sql file of an experiment's name, its answer follows the table.
 *
 * An interrupted reproduction continues where it stopped: finished trials are in the database and are reused.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { basename, join } from "node:path"
import { parseArgs } from "node:util"

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    db: { type: "string", default: "results.db" },
    workers: { type: "string" },
    profile: { type: "string" },
  },
})

const root = join(import.meta.dirname, "..")
const program = join(root, "packages", "cli", "bin", "exp.js")
const folder = join(root, "experiments", "results")
mkdirSync(folder, { recursive: true })

const all = readdirSync(join(root, "experiments"))
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.slice(0, -3))
const wanted = positionals.length > 0 ? positionals.map((name) => basename(name, ".ts")) : all
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  process.stderr.write(`There is no experiment ${unknown.join(", ")}. There are: ${all.join(", ")}.\n`)
  process.exit(2)
}

/** What `exp` prints; its complaint, where it has one. */
const exp = (...args: string[]): string => {
  const ended = spawnSync(process.execPath, [program, ...args, "--db", values.db], { cwd: root, encoding: "utf8" })
  return ended.status === 0 ? ended.stdout : ended.stderr
}

/** The query of an experiment, what its comment says it asks, and what the database answers. */
function answer(name: string): string[] {
  const path = join(root, "experiments", "queries", `${name}.sql`)
  if (!existsSync(path)) return []
  const lines = readFileSync(path, "utf8").split("\n")
  const question = lines.filter((line) => line.startsWith("--"))
  const statement = lines.filter((line) => !line.startsWith("--")).join("\n")
  return [`experiments/queries/${name}.sql`, ...question, "", exp("sql", statement).trim(), ""]
}

/** How many trials there are by now, and their time: of all invocations, where a reproduction was interrupted. */
function trialTime(name: string): string {
  const profile = values.profile ?? "default"
  const rows = exp(
    "sql",
    `SELECT count(DISTINCT trial_id) AS trials, sum(seconds) AS seconds FROM run_overview
     WHERE experiment = '${name}' AND profile = '${profile}' AND seconds IS NOT NULL`,
    "--json",
  )
  // Where the run failed before it made a database, this is a complaint, which the table below repeats.
  if (!rows.startsWith("[")) return "no trials"
  const [{ trials, seconds }] = JSON.parse(rows) as [{ trials: number; seconds: number | null }]
  return `${trials} trials of ${Math.round(seconds ?? 0)} s together`
}

let failures = 0
for (const name of wanted) {
  const args = ["run", `${name}.ts`, "--db", values.db, "--plain"]
  if (values.workers !== undefined) args.push("--workers", values.workers)
  if (values.profile !== undefined) args.push("--profile", values.profile)
  const began = Date.now()
  const child = spawn(process.execPath, [program, ...args], { cwd: root, stdio: ["ignore", "pipe", "inherit"] })
  child.stdout.pipe(process.stdout)
  const code = await new Promise<number>((done) => child.once("exit", (c) => done(c ?? 1)))
  if (code !== 0) failures++
  const commit = spawnSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).stdout.trim()
  const suffix = values.profile === undefined ? "" : `.${values.profile}`
  writeFileSync(
    join(folder, `${name}${suffix}.txt`),
    [
      `npm run reproduce -- ${name}${values.profile === undefined ? "" : ` --profile ${values.profile}`}`,
      `commit ${commit}, Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? "unknown"}, ${new Date().toISOString().slice(0, 10)}`,
      `exit code ${code}, ${Math.round((Date.now() - began) / 1000)} s; ${trialTime(name)}`,
      "",
      exp("show", name).trim(),
      "",
      ...answer(name),
    ].join("\n"),
  )
}
process.exitCode = failures > 0 ? 1 : 0
