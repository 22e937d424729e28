import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { openStore } from "@exp/store"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { complete } from "../packages/cli/src/sql/completion.ts"
import { splitStatements } from "../packages/cli/src/sql/statements.ts"
import { runSql } from "../packages/cli/src/sql-shell.ts"
import { captured } from "./captured.ts"
import { emptyFolder, root } from "./exp.ts"

const folder = emptyFolder()
const db = join(folder, "runs.db")

beforeAll(() => {
  using store = openStore(db, { mode: "write" })
  store.experiments.register({
    name: "shell",
    ...{ task: "t", taskVersion: 1, compare: ["test/acc"], metrics: { "test/acc": { goal: "max" } } },
  })
  const trials = ["left", "right"].flatMap((arm) =>
    [0, 1].map((seed) => ({
      id: `${arm}${seed}`.padEnd(32, "0"),
      ...{ taskName: "t", taskVersion: 1, config: { rate: 0.1 }, seed, arm, condition: arm },
    })),
  )
  store.experiments.addTrials("shell", "compare", trials)
  for (const { id } of trials) {
    const run = store.runs.start({ trialId: id })
    const writer = store.metricWriter(run)
    writer.log(0, "test/acc", 0.5)
    writer.close()
    store.runs.transition(run, "completed")
  }
})

describe("splitting SQL", () => {
  it("ends statements at semicolons outside of quotes, comments and triggers", () => {
    expect(
      splitStatements("SELECT 1; SELECT ';' ; -- no; not here\nSELECT \"a;b\", [c;d], 'it''s;'; SELECT /* ; */ 2")
        .complete,
    ).toEqual(["SELECT 1", "SELECT ';'", "-- no; not here\nSELECT \"a;b\", [c;d], 'it''s;'"])
    expect(splitStatements("SELECT /* ; */ 2").rest).toBe("SELECT /* ; */ 2")
    expect(splitStatements("SELECT 'open; ").complete).toEqual([])
    expect(splitStatements(";; -- only this\n ;")).toEqual({ complete: [], rest: "" })
    const trigger = "CREATE TRIGGER x AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c; END"
    expect(splitStatements(`${trigger}; SELECT 1;`).complete).toEqual([trigger, "SELECT 1"])
  })
})

describe("completion", () => {
  it("knows tables, views, the columns of those that are named, aliases, metrics in quotes and commands", () => {
    using store = openStore(db, { mode: "read" })
    const of = (line: string, before = "") => complete(store, before, line)
    expect(of("SELECT * FROM run_o")).toEqual([["run_overview"], "run_o"])
    expect(of("sel")[0]).toContain("SELECT")
    expect(of("WHERE progr", "SELECT * FROM run_overview\n")[0]).toEqual(["progress"])
    expect(of("WHERE progr", "SELECT * FROM trials\n")[0]).toEqual([])
    expect(of("SELECT r.sta", "")[0]).toEqual([])
    expect(of("SELECT * FROM runs r JOIN trials AS t ON r.trial")[0]).toEqual(["r.trial_id"])
    expect(of("SELECT * FROM runs r JOIN trials AS t ON t.see")[0]).toEqual(["t.seed"])
    expect(of("SELECT * FROM final_metrics WHERE metric = 'te")).toEqual([["test/acc"], "te"])
    expect(of(".sch")).toEqual([[".schema"], ".sch"])
    expect(of(".mode m")).toEqual([["markdown"], "m"])
    expect(of(".schema leader")[0]).toEqual(["leaderboard"])
  })
})

describe("exp sql with statements", () => {
  const run = (query: string, format = "table", write = false) =>
    captured(() => runSql({ db, query, format, write })).then(({ stdout }) => stdout)
  it("runs several, in every format", async () => {
    const query = "SELECT arm, count(*) AS n FROM run_overview GROUP BY arm; SELECT 'a|\"b,' AS x, NULL AS y"
    expect(await run(query, "csv")).toBe('arm,n\nleft,2\nright,2\nx,y\n"a|""b,",\n')
    expect(await run(query, "markdown")).toContain('| a\\|"b, |  |')
    expect(await run(query)).toMatch(/^arm +n\n─+ +─+\nleft +2\n/)
    expect(JSON.parse(await run("SELECT 9e999 AS x, x'00ff' AS b", "json"))[0].x).toBe("Infinity")
  })
  it("changes nothing without --write, and says so", async () => {
    await expect(run("SELECT 1; DELETE FROM logs")).rejects.toThrow("Add --write")
    await expect(run("SELEKT 1")).rejects.toThrow(/syntax error/)
    await run("CREATE TABLE mine (x); INSERT INTO mine VALUES (1); DROP TABLE mine", "table", true)
  })
})

const hasTmux = spawnSync("tmux", ["-V"]).status === 0

describe.skipIf(!hasTmux)("exp sql in a terminal", () => {
  const socket = `exp-sql-${process.pid}`
  const tmux = (...args: string[]) => execFileSync("tmux", ["-L", socket, ...args], { encoding: "utf8" })
  const screen = () => tmux("capture-pane", "-p", "-S", "-200", "-t", "s").trimEnd()
  const until = async (wanted: RegExp) => {
    for (let i = 0; i < 300; i++) {
      if (wanted.test(screen())) return screen()
      await setTimeout(200)
    }
    throw new Error(`never showed ${wanted}:\n${screen()}`)
  }
  const type = (text: string, ...keys: string[]) => {
    // tmux takes a semicolon at the end of an argument for its own.
    tmux("send-keys", "-t", "s", "-l", text.replace(/;$/, "\\;"))
    for (const key of keys) tmux("send-keys", "-t", "s", key)
  }
  const start = () => {
    const words = [process.execPath, join(root, "packages/cli/bin/exp.js"), "sql", "--db", db].map(
      (word) => `'${word}'`,
    )
    const command = `env -u CI TERM=xterm-256color XDG_STATE_HOME='${folder}/state' ${words.join(" ")}; echo ended; sleep 60`
    tmux("new-session", "-d", "-s", "s", "-x", "100", "-y", "50", command)
  }
  afterAll(() => {
    spawnSync("tmux", ["-L", socket, "kill-server"])
  })

  it("takes statements of several lines, completes, forgets on Ctrl-C, remembers the rest", async () => {
    start()
    await until(/read-only[\s\S]*sql>$/)
    type("SELECT arm, count(*) AS n", "Enter")
    await until(/\.\.\.>$/)
    type("FROM run_over", "Tab")
    await until(/FROM run_overview$/)
    type(" GROUP BY arm;", "Enter")
    expect(await until(/2 rows, [\d.]+ ms/)).toMatch(/left +2\nright +2\n/)
    type("SELECT nonsense", "Enter")
    await until(/SELECT nonsense\n\.\.\.>$/)
    type("FROM nowhere", "C-c")
    await until(/\^C\nsql>$/)
    type("SELECT 40 + 2 AS answer;", "Enter")
    expect(await until(/ 42\n/)).not.toContain("error")
    type("DELETE FROM runs;", "Enter")
    await until(/error: That statement would change the database/)
    type(".mode json", "Enter")
    type(".timer off", "Enter")
    type("SELECT 1 AS one;", "Enter")
    await until(/"one": 1/)
    type(".schema trials", "Enter")
    await until(/CREATE TABLE `?trials/)
    type(".columns leaderboard", "Enter")
    await until(/1 is the best mean/)
    tmux("send-keys", "-t", "s", "C-d")
    await until(/ended/)
    tmux("kill-session", "-t", "s")

    const file = join(folder, "state", "exp", "sql_history")
    expect(existsSync(file)).toBe(true)
    expect(statSync(file).mode & 0o077).toBe(0)
    const history = readFileSync(file, "utf8")
    expect(history).toContain("SELECT arm, count(*) AS n FROM run_overview GROUP BY arm;\n")
    expect(history).not.toContain("nonsense")

    start()
    await until(/sql>$/)
    tmux("send-keys", "-t", "s", "Up", "Up")
    await until(/sql> \.schema trials$/)
    tmux("send-keys", "-t", "s", "C-c", "C-d")
    await until(/ended/)
  }, 240_000)
})
