import { execFileSync, spawnSync } from "node:child_process"
import { renameSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { openStore } from "@exp/store"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, fixture, root } from "./exp.ts"

const hasTmux = spawnSync("tmux", ["-V"]).status === 0

/** The real dashboard in a real terminal. */
describe.skipIf(!hasTmux)("the dashboard in a terminal", () => {
  const socket = `exp-test-${process.pid}`
  const tmux = (...args: string[]) => execFileSync("tmux", ["-L", socket, ...args], { encoding: "utf8" })
  let cwd: string
  let db: string

  const screen = (name: string) => tmux("capture-pane", "-p", "-t", name).trimEnd().split("\n")
  const until = async (name: string, wanted: RegExp): Promise<string[]> => {
    for (let i = 0; i < 150; i++) {
      const lines = screen(name)
      if (wanted.test(lines.join("\n"))) return lines
      await setTimeout(200)
    }
    throw new Error(`never showed ${wanted}:\n${screen(name).join("\n")}`)
  }
  const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(" ")
  const start = (name: string, columns: number, rows: number, args: readonly string[]) => {
    const words = [process.execPath, join(root, "packages/cli/bin/exp.js"), ...args]
    tmux(
      ...["new-session", "-d", "-s", name, "-x", String(columns), "-y", String(rows), "-c", cwd],
      // The last screen stays for the test to read.
      `env -u CI TERM=xterm-256color ${quoted(words)}; echo ended; sleep 60`,
    )
  }

  beforeAll(async () => {
    cwd = emptyFolder()
    db = join(cwd, "runs.db")
    expect((await exp(["run", fixture("curve")], { cwd })).code).toBe(0)
    using store = openStore(db, { mode: "write" })
    // Text from data that would clear the screen and set the title, were it written as it is.
    store.connection.sql("UPDATE experiments SET question = ?").run("\u001b[2J\u001b]0;owned\u0007 which rate?")
  }, 120_000)
  afterAll(() => {
    spawnSync("tmux", ["-L", socket, "kill-server"])
  })

  for (const [columns, rows] of [
    [60, 15],
    [110, 30],
    [250, 60],
  ] as const) {
    it(`shows overview, runs and a run at ${columns} × ${rows}`, async () => {
      const name = `w${columns}`
      start(name, columns, rows, ["--db", db, "watch"])
      const overview = await until(name, /best +3\/3/)
      expect(overview.join("\n")).toMatch(/curve\.fixture +█+ +9\/9/)
      expect(overview.join("\n")).toContain("\\x1b[2J")
      expect(overview.length).toBeLessThanOrEqual(rows)
      tmux("send-keys", "-t", name, "Tab")
      expect((await until(name, /9 runs of curve\.fixture/)).join("\n")).toMatch(/❯ +9 completed +\S+ seed \d/)
      tmux("send-keys", "-t", name, "Enter")
      const detail = await until(name, /run 9 /)
      expect(detail.join("\n")).toMatch(/train\/loss[\s\S]*┤[\u2800-\u28ff]/)
      expect(detail.join("\n")).toMatch(/test\/loss +\S+ +min/)
      tmux("send-keys", "-t", name, "q")
      await until(name, /ended/)
    }, 90_000)
  }

  it("follows a resize, and a database that vanishes and comes back", async () => {
    start("resize", 110, 30, ["--db", db, "watch"])
    await until("resize", /best +3\/3/)
    for (const [columns, rows] of [
      [60, 15],
      [200, 50],
    ] as const) {
      tmux("resize-window", "-t", "resize", "-x", String(columns), "-y", String(rows))
      await setTimeout(1500)
      const lines = await until("resize", /best +3\/3/)
      expect(lines.filter((line) => line.startsWith("exp ")).length).toBe(1)
      expect(lines.filter((line) => line.includes("q quit")).length).toBe(1)
    }
    renameSync(db, `${db}.away`)
    await until("resize", /There is no|does not exist|no database/i)
    renameSync(`${db}.away`, db)
    await until("resize", /best +3\/3/)
    tmux("send-keys", "-t", "resize", "q")
    await until("resize", /ended/)
  }, 90_000)

  it("shows the progress of running trials while exp run goes on, and the table at its end", async () => {
    start("run", 110, 30, [
      "run",
      fixture("curve"),
      "--db",
      join(cwd, "live.db"),
      "--set",
      "mode=slow",
      "--set",
      "steps=60",
      "--workers",
      "1",
    ])
    await until("run", /running +\S+ seed \d.*[█▏▎▍▌▋▊▉]+░* +[1-9]\d?%/)
    await until("run", /95% interval/)
  }, 120_000)
})
