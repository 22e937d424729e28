import { execFileSync, spawnSync } from "node:child_process"
import { copyFileSync, existsSync, readFileSync, renameSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { openStore } from "@exp/store"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, fixture, root, startExp } from "./exp.ts"

const hasTmux = spawnSync("tmux", ["-V"]).status === 0

/** Waits until something is the case. */
async function soon(what: () => boolean): Promise<void> {
  for (const end = Date.now() + 60_000; !what(); await setTimeout(100)) {
    if (Date.now() > end) throw new Error(`never came: ${what}`)
  }
}

/** The real dashboard in a real terminal. */
describe.skipIf(!hasTmux)("the dashboard in a terminal", () => {
  const socket = `exp-test-${process.pid}`
  const tmux = (...args: string[]) => execFileSync("tmux", ["-L", socket, ...args], { encoding: "utf8" })
  let cwd: string
  let db: string

  const screen = (name: string) => tmux("capture-pane", "-p", "-t", name).trimEnd().split("\n")
  const until = async (name: string, wanted: RegExp): Promise<string[]> => {
    for (let i = 0; i < 300; i++) {
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

  const send = (name: string, ...keys: string[]) => tmux("send-keys", "-t", name, ...keys)
  const watch = (name: string, columns: number, rows: number, ...args: string[]) =>
    start(name, columns, rows, ["--db", db, "watch", ...args])

  for (const [columns, rows] of [
    [60, 15],
    [110, 30],
    [250, 60],
  ] as const) {
    it.concurrent(`shows every view at ${columns} × ${rows}`, async () => {
      const name = `w${columns}`
      watch(name, columns, rows)
      const seen = async (wanted: RegExp) => {
        const lines = await until(name, wanted)
        expect(lines.length).toBeLessThanOrEqual(rows)
        expect(lines[0]).toMatch(/^exp +overview +runs +ranking +system/)
        expect(lines.at(-1)).toContain("q quit")
        return lines.join("\n")
      }
      const overview = await seen(/best +3\/3/)
      expect(overview).toMatch(/curve\.fixture +█+ +9\/9/)
      expect(overview).toContain("\\x1b[2J")
      send(name, "Tab")
      expect(await seen(/9 runs of curve\.fixture/)).toMatch(/❯ +9 +✓ completed +\S+ +\d/)
      send(name, "Enter")
      const detail = await seen(/run 9 +✓ completed/)
      expect(detail).toMatch(/train\/loss[\s\S]*┤[\u2800-\u28ff]/)
      expect(detail).toMatch(/test\/loss +\S+/)
      send(name, "l")
      await seen(/log +\d+ lines/)
      send(name, "3")
      await seen(/ranking of curve\.fixture +by test\/loss[\s\S]*3 samples/)
      send(name, "4")
      expect(await seen(/processor +\S+ +\d+%/)).toMatch(/disk[\s\S]*runs\.db[\s\S]*nothing is running/)
      send(name, "?")
      await seen(/this help/)
      send(name, "q")
      await until(name, /ended/)
    })
  }

  it.concurrent("draws whole frames only, the rows that changed, and gives the terminal back", async () => {
    const raw = join(cwd, "raw")
    watch("raw", 110, 30)
    tmux("pipe-pane", "-t", "raw", `cat > '${raw}'`)
    await until("raw", /best +3\/3/)
    send("raw", "2")
    await until("raw", /9 runs/)
    send("raw", "j")
    await until("raw", /❯ +8 /)
    send("raw", "q")
    await until("raw", /ended/)
    await soon(() => readFileSync(raw, "utf8").includes("ended"))
    const bytes = readFileSync(raw, "utf8")
    const inside = bytes.slice(bytes.indexOf("\u001b[?1049h"), bytes.indexOf("\u001b[?1049l"))
    const frames = inside.split("\u001b[?2026h").slice(1)
    expect(frames.length).toBeGreaterThan(2)
    for (const frame of frames) {
      // Nothing is written between the end of a frame and the next one's begin, but the way out.
      const [, after] = frame.split("\u001b[?2026l")
      expect(after === "" || after?.includes("\u001b[?25h")).toBe(true)
    }
    // Moving the cursor touches the two rows that it leaves and comes to, and no other.
    const moved = frames.at(-1)!
    expect(moved.split(";1H").length - 1).toBe(2)
  })

  it.concurrent("follows a resize, and a database that vanishes and comes back", async () => {
    const moving = join(cwd, "moving.db")
    copyFileSync(db, moving)
    start("resize", 110, 30, ["--db", moving, "watch"])
    await until("resize", /best +3\/3/)
    for (const [columns, rows] of [
      [60, 15],
      [250, 60],
      [110, 30],
    ] as const) {
      tmux("resize-window", "-t", "resize", "-x", String(columns), "-y", String(rows))
      await until("resize", /^exp .*moving\.db$[\s\S]*best +3\/3[\s\S]*q quit/m)
      await soon(() => screen("resize").length === rows)
      const lines = screen("resize")
      expect(lines.filter((line) => line.startsWith("exp ")).length).toBe(1)
      expect(lines.filter((line) => line.includes("q quit")).length).toBe(1)
      expect(lines[0]!.length).toBe(columns)
    }
    renameSync(moving, `${moving}.away`)
    expect((await until("resize", /does not exist/)).join("\n")).toMatch(/best +3\/3/)
    renameSync(`${moving}.away`, moving)
    await until("resize", /^(?![\s\S]*does not exist)[\s\S]*best +3\/3/)
    send("resize", "q")
    await until("resize", /ended/)
  })

  it.concurrent("goes on through resizes while exp run does, cancels on demand, and prints what came of it once", async () => {
    const live = join(cwd, "live.db")
    const options = ["--db", live, "--set", "mode=slow", "--set", "steps=60", "--workers", "1", "--seeds", "1"]
    start("run", 110, 30, ["run", fixture("curve"), ...options])
    await until("run", /● slow seed 0 .*[█▏▎▍▌▋▊▉]+░* +[1-9]\d?%/)
    for (const [columns, rows] of [
      [60, 15],
      [250, 60],
      [110, 30],
    ] as const) {
      tmux("resize-window", "-t", "run", "-x", String(columns), "-y", String(rows))
      await soon(() => screen("run").length === rows)
      const lines = await until("run", /^exp [\s\S]*curve\.fixture[\s\S]*q quit/m)
      expect(lines.filter((line) => line.startsWith("exp ")).length).toBe(1)
    }
    // The last trial is not to be waited for.
    await until("run", /● best seed 0/)
    send("run", "2")
    await until("run", /❯ +3 +● running/)
    send("run", "c")
    await until("run", /cancel run 3, best seed 0\? +y\/n/)
    send("run", "y")
    await until("run", /ended/)
    const text = tmux("capture-pane", "-p", "-S", "-200", "-t", "run")
    expect(text.match(/^Next:/gm)?.length).toBe(1)
    expect(text.match(/Which step size/g)?.length).toBe(1)
    expect(text).not.toContain("q quit")
    using store = openStore(live, { mode: "read" })
    expect(store.runs.get(3)?.status).toBe("cancelled")
  })

  it.concurrent("tries a failed run again on demand", async () => {
    const failing = join(cwd, "failing.db")
    expect(
      (await exp(["run", fixture("failing"), "--arm", "throws", "--seeds", "1", "--db", failing], { cwd })).code,
    ).toBe(1)
    start("retry", 110, 30, ["--db", failing, "watch"])
    await until("retry", /throws +0\/1/)
    send("retry", "2")
    await until("retry", /❯ +1 +✗ failed/)
    send("retry", "r")
    await until("retry", /try run 1, throws seed 0, again\? +y\/n/)
    send("retry", "y")
    await until("retry", /2 +✗ failed +throws/)
    send("retry", "q")
    await until("retry", /ended/)
  })
})

describe("watching without a terminal", () => {
  it.concurrent("prints sober lines, and ends when nothing runs", async () => {
    const cwd = emptyFolder()
    expect((await exp(["watch"], { cwd })).code).toBe(2)
    const run = startExp(
      ["run", fixture("curve"), "--set", "mode=slow", "--set", "steps=200", "--arm", "best", "--seeds", "1"],
      { cwd },
    )
    const db = join(cwd, "runs.db")
    await soon(() => {
      if (!existsSync(db)) return false
      try {
        using store = openStore(db, { mode: "read" })
        return store.runs.live().length > 0
      } catch {
        return false // It is being made.
      }
    })
    const { code, stdout } = await exp(["watch", "--plain"], { cwd })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^curve\.fixture: 0 of 1 trials completed, 1 running/)
    expect(stdout).toMatch(/run \d best seed \d completed after \S+ s: test\/loss \S+/)
    expect(stdout).toMatch(/1 of 1 trials completed\n$/)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
    expect((await run.ended).code).toBe(0)
  })
})
