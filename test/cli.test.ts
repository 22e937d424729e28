import { chmodSync, existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import Database from "better-sqlite3"
import { beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, fixture, startExp } from "./exp.ts"

describe("exp without work to do", () => {
  it("shows help, a version, and suggestions for typing mistakes", async () => {
    const help = await exp([])
    expect(help.code).toBe(0)
    expect(help.stdout).toContain("exp run snella.vit.ts --quick")
    expect((await exp(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
    const typo = await exp(["rnu"])
    expect(typo.code).toBe(2)
    expect(typo.stderr).toContain("Did you mean run?")
    const flag = await exp(["run", "x.ts", "--quik"])
    expect(flag.code).toBe(2)
    expect(flag.stderr).toContain("Did you mean --quick?")
  })
})

describe("exp check", () => {
  it("accepts a good file and says what it would run", async () => {
    const { code, stdout } = await exp(["check", fixture("curve")])
    expect(code).toBe(0)
    expect(stdout).toContain("9 compared trials (3 conditions × 3 seeds)")
    expect(stdout).toContain("step size")
    expect(stdout).toContain("no mistakes found")
  })
  it("reports all mistakes at once, each with path, expectation, value and the nearest name", async () => {
    const { code, stderr } = await exp(["check", fixture("misspelt")])
    expect(code).toBe(2)
    expect(stderr).toContain("base.stepz")
    expect(stderr).toMatch(/steps/)
    expect(stderr).toContain("arms.a.rate")
    expect(stderr).toContain("arms.b.rate")
    expect(stderr).toContain("test/los")
    expect(stderr).toContain("test/loss")
    expect(stderr).not.toMatch(/^\s+at /m)
  })
  for (const [file, message] of [
    ["no-default", /has no default export/],
    ["other-default", /not an experiment/],
    ["throws", /threw while loading.*thrown while loading/s],
    ["curv", /There is no experiment file.*curve\.ts/s],
  ] as const) {
    it(`explains ${file}`, async () => {
      const { code, stderr } = await exp(["check", fixture(file)])
      expect(code).toBe(2)
      expect(stderr).toMatch(message)
      expect(stderr).not.toMatch(/^\s+at /m)
    })
  }
  it("explains a file that does not parse", async () => {
    const file = join(emptyFolder(), "broken.ts")
    writeFileSync(file, "export default {{{")
    const { code, stderr } = await exp(["check", file])
    expect(code).toBe(2)
    expect(stderr).toContain("does not parse")
  })
})

describe("exp run", () => {
  const folder = emptyFolder()
  const db = join(folder, "runs.db")
  let first: Awaited<ReturnType<typeof exp>>

  beforeAll(async () => {
    first = await exp(["run", fixture("curve"), "--db", db, "--workers", "2"])
  })

  it("ends with a comparison and with what to do next", () => {
    expect(first.stderr).not.toContain("error:")
    expect(first.code).toBe(0)
    expect(first.stdout).toMatch(/slow\s/)
    expect(first.stdout).toContain("95% interval")
    expect(first.stdout).toMatch(/best|No single winner/)
    expect(first.stdout).toContain("Next:")
    expect(first.stdout).toContain("exp show curve.fixture")
  })
  it("reuses finished trials", async () => {
    const again = await exp(["run", fixture("curve"), "--db", db])
    expect(again.code).toBe(0)
    expect(again.stderr).toContain("9 of 9 trials are finished already and reused")
    const runs = JSON.parse((await exp(["ls", "--runs", "--json", "--db", db])).stdout)
    expect(runs.length).toBe(9)
  })
  it("gives the numbers in SQL", async () => {
    const { stdout, code } = await exp([
      "sql",
      "SELECT arm, n, mean FROM arm_summary WHERE metric = 'test/loss' ORDER BY mean",
      "--json",
      "--db",
      db,
    ])
    expect(code).toBe(0)
    const rows = JSON.parse(stdout)
    expect(rows.map((row: { arm: string }) => row.arm)).toEqual(["best", "good", "slow"])
    expect(rows[0].n).toBe(3)
    // (x − 3)² after 20 steps from seeds 0, 1, 2 with factor (1 − 2·0.01)² a step
    const slow = ([9, 4, 1].reduce((a, b) => a + b, 0) / 3) * (1 - 0.02) ** 40
    expect(rows[2].mean).toBeCloseTo(slow, 9)
  })
  it("refuses to write through exp sql unless asked", async () => {
    const { code, stderr } = await exp(["sql", "DELETE FROM runs", "--db", db])
    expect(code).toBe(2)
    expect(stderr).toContain("--write")
  })
  it("lists and shows", async () => {
    expect((await exp(["ls", "--db", db])).stdout).toContain("curve.fixture")
    expect((await exp(["show", "curve.fixture", "--db", db])).stdout).toContain("test/loss")
    const [run] = JSON.parse((await exp(["ls", "--runs", "--json", "--db", db])).stdout)
    const shown = await exp(["show", String(run.runId), "--db", db])
    expect(shown.code).toBe(0)
    expect(shown.stdout).toContain("train/loss")
    expect(shown.stdout).toContain("rate")
  })
  it("takes --quick, --arm, --seeds and --set", async () => {
    const { code, stdout } = await exp([
      ...["run", fixture("curve"), "--db", db, "--quick", "--arm", "good", "best"],
      ...["--seeds", "0,5", "--set", "steps=7", "--json"],
    ])
    expect(code).toBe(0)
    const report = JSON.parse(stdout)
    expect(report.trials.length).toBe(4)
    expect(report.trials.every((t: { config: { steps: number } }) => t.config.steps === 7)).toBe(true)
    expect(report.trials.map((t: { seed: number }) => t.seed).sort()).toEqual([0, 0, 5, 5])
  })
  it("plans without starting anything under --dry-run", async () => {
    const { code, stdout } = await exp(["run", fixture("curve"), "--dry-run", "--db", join(folder, "dry.db")])
    expect(code).toBe(0)
    expect(stdout).toContain("nothing was started")
    expect(existsSync(join(folder, "dry.db"))).toBe(false)
  })
})

describe("tuning", () => {
  it("searches per arm on the validation metric, records the choice, and compares the winners", async () => {
    const db = join(emptyFolder(), "runs.db")
    const { code, stdout, stderr } = await exp(["run", fixture("tuned"), "--db", db, "--json"])
    expect(stderr).toContain("tuned a: rate=0.4")
    expect(code).toBe(0)
    const report = JSON.parse(stdout)
    expect(report.selections.map((s: { chosen: object }) => s.chosen)).toEqual([{ rate: 0.4 }, { rate: 0.4 }])
    expect(report.trials.filter((t: { phase: string }) => t.phase === "tune").length).toBe(6)
    expect(report.trials.filter((t: { phase: string }) => t.phase === "compare").length).toBe(4)
  })
})

describe("failures", () => {
  it("are isolated, recorded with their reason, and give exit code 1", async () => {
    const db = join(emptyFolder(), "runs.db")
    const { code, stdout, stderr } = await exp(["run", fixture("failing"), "--db", db])
    expect(code).toBe(1)
    expect(stderr).toContain("the task threw on purpose")
    expect(stderr).toMatch(/exit(ed)?.*7/)
    expect(stdout).toContain("0 of 2")
    const rows = JSON.parse(
      (
        await exp([
          "sql",
          "SELECT arm, status, count(*) AS n FROM run_overview GROUP BY 1, 2 ORDER BY 1",
          "--json",
          "--db",
          db,
        ])
      ).stdout,
    )
    expect(rows).toEqual([
      { arm: "exits", status: "failed", n: 2 },
      { arm: "fine", status: "completed", n: 2 },
      { arm: "nan", status: "completed", n: 2 },
      { arm: "throws", status: "failed", n: 2 },
    ])
  })
  it("survive a task that runs out of memory", async () => {
    const db = join(emptyFolder(), "runs.db")
    const { code, stderr } = await exp(
      ["run", fixture("curve"), "--arm", "good", "--seeds", "1", "--set", "mode=memory", "--db", db],
      { env: { NODE_OPTIONS: "--max-old-space-size=200" } },
    )
    expect(code).toBe(1)
    expect(stderr).toMatch(/memory/i)
  })
})

/** How many values a database holds; none while it is being made. */
function points(db: string): number {
  if (!existsSync(db)) return 0
  const sqlite = new Database(db, { readonly: true })
  try {
    return (sqlite.prepare("SELECT count(*) AS n FROM metrics").get() as { n: number }).n
  } catch {
    return 0
  } finally {
    sqlite.close()
  }
}

describe("Ctrl-C", () => {
  it("checkpoints, marks the run interrupted, exits 130, and the same command continues from there", async () => {
    const db = join(emptyFolder(), "runs.db")
    const args = [
      "run",
      fixture("curve"),
      "--arm",
      "good",
      "--seeds",
      "1",
      "--set",
      "mode=slow",
      "--set",
      "steps=300",
      "--db",
      db,
    ]
    const running = startExp(args)
    while (points(db) < 20) await new Promise((done) => setTimeout(done, 50))
    running.child.kill("SIGINT")
    const stopped = await running.ended
    expect(stopped.code).toBe(130)
    // No table without results, but what is recorded and how to go on.
    expect(stopped.stdout).toContain("nothing to compare yet")
    expect(stopped.stdout).toMatch(/1 compared trial: 1 interrupted\n.*good seed 0, run 1: last train\/loss/)
    expect(stopped.stdout).toContain("exp resume curve.fixture")
    expect(stopped.stdout).not.toContain("95% interval")
    const status = JSON.parse((await exp(["sql", "SELECT status FROM run_overview", "--json", "--db", db])).stdout)
    expect(status).toEqual([{ status: "interrupted" }])
    const again = await exp(args)
    expect(again.code).toBe(0)
    const steps = JSON.parse(
      (
        await exp([
          ...[
            "sql",
            "SELECT count(*) AS n, count(DISTINCT step) AS steps FROM metrics JOIN metric_names ON id = metric_id",
          ],
          ...["--json", "--db", db],
        ])
      ).stdout,
    )
    expect(steps[0].steps).toBeGreaterThanOrEqual(300)
  })
})

describe("databases that cannot be used", () => {
  it("are explained and left as they are", async () => {
    const folder = emptyFolder()
    const text = join(folder, "text.db")
    writeFileSync(text, "this is no database, only a text that is long enough to have a header ".repeat(20))
    for (const args of [["ls"], ["sql", "SELECT 1"], ["run", fixture("curve")]]) {
      const { code, stderr } = await exp([...args, "--db", text])
      expect(code).toBe(2)
      expect(stderr).toMatch(/not (a|an exp) .*database/i)
    }
    const missing = await exp(["ls", "--db", join(folder, "none.db")])
    expect(missing.code).toBe(2)
    expect(missing.stderr).toContain("none.db")
    const nowhere = await exp(["run", fixture("curve"), "--db", join(folder, "no", "such", "folder", "runs.db")])
    expect(nowhere.code).toBe(2)
    expect(nowhere.stderr).toContain("folder")
  })
  it.skipIf(process.getuid?.() === 0)("that are read-only are explained", async () => {
    const folder = emptyFolder()
    const db = join(folder, "runs.db")
    await exp(["run", fixture("curve"), "--quick", "--db", db])
    chmodSync(db, 0o444)
    const { code, stderr } = await exp(["run", fixture("curve"), "--db", db])
    expect(code).toBe(2)
    expect(stderr).toMatch(/read-only/i)
  })
})
