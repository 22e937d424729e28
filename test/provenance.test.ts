import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, fixture, root } from "./exp.ts"

const db = join(emptyFolder(), "runs.db")
const rows = async <Row>(query: string): Promise<Row[]> =>
  (JSON.parse((await exp(["sql", query, "--format", "json", "--db", db])).stdout) as Row[]) ?? []

beforeAll(async () => {
  expect((await exp(["run", fixture("tuned"), "--db", db])).code).toBe(0)
})

describe("exp show --repro", () => {
  it.each(["tune", "compare"])("prints a command that repeats a run of the phase %s, bit for bit", async (phase) => {
    const [first] = await rows<{ id: number; trial: string }>(
      `SELECT r.id, r.trial_id AS trial FROM runs r JOIN experiment_trials x ON x.trial_id = r.trial_id
       WHERE x.phase = '${phase}' AND x.arm = 'b' ORDER BY r.id DESC LIMIT 1`,
    )
    const { code, stdout, stderr } = await exp(["show", String(first!.id), "--repro", "--db", db])
    expect([code, stderr]).toEqual([0, ""])
    expect(stdout).toContain("--force")
    const exe = `'${process.execPath}' '${join(root, "packages/cli/bin/exp.js")}'`
    execFileSync("sh", ["-c", stdout.replace(/^exp /, `${exe} `)], { cwd: root, stdio: "pipe" })
    const runs = await rows<{ id: number; status: string }>(
      `SELECT id, status FROM runs WHERE trial_id = '${first!.trial}' AND id >= ${first!.id} ORDER BY id`,
    )
    expect(runs.map((run) => run.status)).toEqual(["completed", "completed"])
    const diff = JSON.parse(
      (await exp(["diff", String(runs[0]!.id), String(runs[1]!.id), "--json", "--db", db])).stdout,
    ) as Record<string, unknown>
    expect(diff).toMatchObject({ spec: [], code: [], data: [], environment: [], hardware: [], firstDifference: null })
  })
})

describe("exp diff", () => {
  it("names what was declared differently and the first step at which curves part", async () => {
    const [a, b] = await rows<{ id: number }>(
      `SELECT max(r.id) AS id FROM runs r JOIN experiment_trials x ON x.trial_id = r.trial_id
       WHERE x.phase = 'compare' AND x.arm = 'a' GROUP BY r.trial_id ORDER BY id`,
    )
    const { code, stdout } = await exp(["diff", String(a!.id), String(b!.id), "--db", db])
    expect(code).toBe(0)
    expect(stdout).toMatch(/seed\s+0\s+1/)
    expect(stdout).toContain("code: the same")
    expect(stdout).toMatch(/part first at step \d+ in /)
  })

  it("names changed code and environment, keeps secrets out, and finds the step at which they show", async () => {
    const folder = emptyFolder()
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
    const file = join(folder, "drift.ts")
    const declare = (from: number) =>
      writeFileSync(
        file,
        `import { Experiment, Metric, Task } from "@exp/spec"
import * as Schema from "effect/Schema"
const Drift = Task.make("drift", {
  version: 1,
  config: Schema.Struct({ rate: Schema.Finite }),
  metrics: { x: Metric.max() },
  run: async ({ rate }, trial) => {
    for (let step = 0; step < 10; step++) trial.log(step, { x: step * rate + (step >= ${from} ? 1e-12 : 0) })
  },
})
export default Experiment.make("drift", { task: Drift, base: {}, arms: { a: { rate: 1 } }, seeds: 1, compare: "x" })
`,
      )
    const own = join(folder, "runs.db")
    declare(100)
    const env = { OMP_NUM_THREADS: "1", EXP_TEST_TOKEN: "hush-hush-hush" }
    expect((await exp(["run", file, "--db", own], { env })).code).toBe(0)
    declare(6)
    const other = { ...env, OMP_NUM_THREADS: "2" }
    expect((await exp(["run", file, "--db", own, "--force"], { env: other })).code).toBe(0)
    const { stdout } = await exp(["diff", "1", "2", "--json", "--db", own])
    const names = (section: readonly { name: string }[]) => section.map(({ name }) => name)
    const diff = JSON.parse(stdout)
    expect(diff).toMatchObject({ spec: [], data: [], hardware: [], firstDifference: { metric: "x", step: 6 } })
    expect(names(diff.code)).toEqual(["hash"])
    expect(names(diff.environment)).toEqual(["env.OMP_NUM_THREADS"])
    for (const name of readdirSync(folder).filter((name) => name.startsWith("runs.db"))) {
      const path = join(folder, name)
      if (statSync(path).isFile()) expect(readFileSync(path).includes("hush-hush"), name).toBe(false)
    }
  })

  it("says what is no run", async () => {
    const { code, stderr } = await exp(["diff", "1", "99999", "--db", db])
    expect(code).toBe(2)
    expect(stderr).toContain("There is no run 99999")
  })
})

describe("exp resume", () => {
  it("gives the last command again; finished trials are not repeated", async () => {
    const before = await rows<{ n: number }>("SELECT count(*) AS n FROM runs")
    const { code, stdout, stderr } = await exp(["resume", "tuned.fixture", "--db", db])
    expect(code).toBe(0)
    expect(stderr).toContain("exp run test/fixtures/tuned.ts")
    expect(stdout).toContain("tuned.fixture")
    expect(await rows("SELECT count(*) AS n FROM runs")).toEqual(before)
  })

  it("says so when there is nothing to resume", async () => {
    const { code, stderr } = await exp(["resume", "elsewhere", "--db", db])
    expect(code).toBe(2)
    expect(stderr).toContain("tuned.fixture")
  })
})

it("exp gc says what it would free and changes nothing until told to", async () => {
  const { code, stdout } = await exp(["gc", "--older-than", "0", "--db", db])
  expect(code).toBe(0)
  expect(stdout).toMatch(/would be freed[\s\S]*journals of commands that have ended/)
  const again = await exp(["gc", "--older-than", "0", "--db", db, "--json"])
  const would = JSON.parse(again.stdout)
  expect(would.freed).toBe(false)
  expect(would.executions.count).toBeGreaterThan(0)
  const freed = await exp(["gc", "--older-than", "0", "--db", db, "--json", "--yes"])
  expect(JSON.parse(freed.stdout)).toEqual({ ...would, freed: true })
  expect((await exp(["gc", "--older-than", "0", "--db", db])).stdout).toContain("Nothing to free")
})
