import { existsSync } from "node:fs"
import { join } from "node:path"
import { openStore } from "@exp/store"
import { freeGarbage } from "@exp/store/garbage"
import { beforeAll, describe, expect, it } from "vitest"
import { nameCommand, noteCommand, tagCommand } from "../packages/cli/src/annotate-command.ts"
import { compareCommand } from "../packages/cli/src/compare-command.ts"
import { diffCommand } from "../packages/cli/src/diff-command.ts"
import { listCommand } from "../packages/cli/src/list-command.ts"
import { logsCommand } from "../packages/cli/src/logs-command.ts"
import { removeCommand } from "../packages/cli/src/remove-command.ts"
import { showCommand } from "../packages/cli/src/show-command.ts"
import { runSql } from "../packages/cli/src/sql-shell.ts"
import { captured } from "./captured.ts"
import { emptyFolder, exp, fixture } from "./exp.ts"

const limit = 50
const output = (db: string, json = false) => ({ db, json })

/** The command line in this process: the same functions that `exp` calls, without a process for each. */
async function command(
  db: string,
  args: readonly string[],
): Promise<{ stdout: string; rows: () => ReturnType<typeof JSON.parse> }> {
  const json = args.includes("--json")
  const [name, ...rest] = args.filter((arg) => arg !== "--json") as [string, ...string[]]
  const flag = (wanted: string) => rest.includes(wanted)
  const value = (wanted: string) => (rest.includes(wanted) ? rest[rest.indexOf(wanted) + 1] : undefined)
  const plain = rest.filter((arg, i) => !arg.startsWith("--") && !["--tag", "--where"].includes(rest[i - 1] ?? ""))
  const to = output(db, json)
  const { stdout } = await captured(() => {
    switch (name) {
      case "tag":
        return tagCommand(plain[0], plain.slice(1), { remove: flag("--remove") }, to)
      case "note":
        return noteCommand(plain[0]!, plain.slice(1), { clear: flag("--clear") }, to)
      case "name":
        return nameCommand(plain[0]!, plain[1], { clear: flag("--clear") }, to)
      case "rm":
        return removeCommand(plain, { undo: flag("--undo") }, to)
      case "ls": {
        const tag = value("--tag")
        const where = value("--where")
        return listCommand(
          plain[0],
          {
            limit,
            runs: flag("--runs"),
            removed: flag("--removed"),
            ...(tag === undefined ? {} : { tag }),
            ...(where === undefined ? {} : { where: [where] }),
          },
          to,
        )
      }
      case "show":
        return showCommand(plain[0]!, to)
      case "diff":
        return diffCommand(plain[0]!, plain[1]!, to)
      case "logs":
        return logsCommand(plain[0]!, { lines: 100 }, to)
      case "compare":
        return compareCommand(plain, { level: 0.95, metric: ["test/loss"] }, to)
      case "sql":
        return runSql({ db, query: plain[0], format: json ? "json" : "table", write: false })
      default:
        throw new Error(name)
    }
  })
  return { stdout, rows: () => JSON.parse(stdout) }
}

describe("tags, notes, names and removal", () => {
  const db = join(emptyFolder(), "runs.db")
  const cli = (...args: string[]) => command(db, args)
  beforeAll(async () => {
    expect((await exp(["run", fixture("curve"), "--db", db])).code).toBe(0)
  }, 120_000)

  it("tags experiments and runs, and finds them by tag", async () => {
    expect((await cli("tag", "2,4-5", "good", "to keep")).stdout).toBe(
      "run 2: good, to keep\nrun 4: good, to keep\nrun 5: good, to keep\n",
    )
    await cli("tag", "curve.fixture", "paper")
    expect((await cli("tag", "4", "--remove", "good")).stdout).toBe("run 4: to keep\n")
    const ids = async (...args: string[]) =>
      (await cli("ls", "--json", ...args)).rows().map((r: { runId: number }) => r.runId)
    expect(await ids("--tag", "good")).toEqual([5, 2])
    expect((await ids("--tag", "paper")).length).toBe(9)
    const listed = await cli("ls", "curve.fixture")
    expect(listed.stdout).toMatch(/tags/)
    expect(listed.stdout).toContain("good, to keep")
    expect((await cli("show", "5")).stdout).toMatch(/tags +good, to keep/)
    expect((await cli("show", "curve.fixture")).stdout).toContain("tags: paper")
    expect((await cli("tag", "--json")).rows()).toEqual([
      { kind: "experiment", tag: "paper", count: 1 },
      { kind: "run", tag: "good", count: 2 },
      { kind: "run", tag: "to keep", count: 3 },
    ])
  })

  it("keeps notes, and names by which a run is called everywhere", async () => {
    await cli("note", "3", "diverged", "at the end")
    await cli("name", "3", "third time lucky")
    expect((await cli("note", "third time lucky")).stdout).toBe("run 3: diverged at the end\n")
    const shown = await cli("show", "third time lucky", "--json")
    expect(shown.rows().run).toMatchObject({ id: 3, name: "third time lucky", note: "diverged at the end" })
    expect((await cli("ls", "--where", "name = 'third time lucky'", "--json")).rows()[0].runId).toBe(3)
    expect((await cli("compare", "third time lucky", "4")).stdout).toContain("run 3")
    await expect(cli("name", "4", "third time lucky")).rejects.toThrow("Run 3 is called third time lucky already")
    await expect(cli("name", "4", "17")).rejects.toThrow("a name has a letter")
    await cli("note", "3", "--clear")
    expect((await cli("note", "3")).stdout).toBe("run 3: no note\n")
  })

  it("removes out of every list, and brings back", async () => {
    const removed = await exp(["rm", "2", "third time lucky", "--db", db])
    expect(removed.stdout).toContain("removed run 2, run 3")
    expect(removed.stdout).toContain("exp rm --undo 2 third time lucky")
    const left = (await cli("ls", "--runs", "--json")).rows().map((run: { runId: number }) => run.runId)
    expect(left).toEqual([9, 8, 7, 6, 5, 4, 1])
    expect((await cli("sql", "SELECT count(*) AS n FROM run_overview", "--json")).rows()).toEqual([{ n: 7 }])
    expect((await cli("ls", "--removed", "--json")).rows().map((run: { runId: number }) => run.runId)).toEqual([3, 2])
    expect((await cli("show", "2")).stdout).toContain("exp rm --undo 2 brings it back")
    expect((await cli("rm", "--undo", "2-3")).stdout).toBe("brought back run 2, run 3\n")
    expect((await cli("ls", "--runs", "--json")).rows().length).toBe(9)

    await cli("rm", "curve.fixture")
    expect((await cli("ls")).stdout).toContain("No experiments yet")
    expect((await cli("ls", "--runs")).stdout).toContain("No runs match")
    expect((await cli("rm", "--undo")).stdout).toMatch(/^curve\.fixture\nruns 9, 8/)
    await cli("rm", "--undo", "curve.fixture")
    expect((await cli("ls", "--runs", "--json")).rows().length).toBe(9)
    await expect(cli("rm", "nothing")).rejects.toThrow(/no experiment, trial or run/)
  })

  it("is erased by gc when it was removed, and only then", async () => {
    {
      using store = openStore(db, { mode: "write" })
      const own = store.artifacts.put(new TextEncoder().encode("only of run 9"), "text/plain", "a", 9)
      const shared = store.artifacts.put(new TextEncoder().encode("of two runs"), "text/plain", "b", 9)
      store.artifacts.attach(8, "b", shared)
      store.connection.sql("UPDATE artifacts SET created_at = 0").run()
      await cli("rm", "9")
      expect(freeGarbage(store, 3_600_000).runs.count).toBe(0)
      expect(store.runs.get(9)).toBeDefined()
      const file = store.artifacts.file(own)
      const would = await exp(["gc", "--older-than", "0", "--db", db])
      expect(would.stdout).toMatch(/removed runs.* 1 +13 B/)
      expect(existsSync(file)).toBe(true)
      expect((await exp(["gc", "--older-than", "0", "--yes", "--db", db])).code).toBe(0)
      expect(existsSync(file)).toBe(false)
      expect(store.runs.get(9)).toBeUndefined()
      expect(store.artifacts.get(shared).length).toBe(11)
      const rows = (table: string) =>
        store.connection.sql<{ n: number }>(`SELECT count(*) AS n FROM ${table} WHERE run_id = 9`).get()!.n
      for (const table of ["metrics", "metric_summaries", "metric_blocks", "logs", "run_artifacts"])
        expect([table, rows(table)]).toEqual([table, 0])
    }
    await cli("rm", "curve.fixture")
    using store = openStore(db, { mode: "write" })
    freeGarbage(store, -1000)
    const count = (table: string) => store.connection.sql<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).get()!.n
    for (const table of ["experiments", "trials", "runs", "metrics", "config_values", "tags", "artifacts"])
      expect([table, count(table)]).toEqual([table, 0])
    expect(store.verify()).toEqual([])
  })
})

describe("text from data", () => {
  const db = join(emptyFolder(), "runs.db")
  // Title, clear screen, the C1 form of CSI, backspace, delete, and the override of the direction of writing.
  const hostile = "\u001b]0;owned\u0007\u001b[2J\u009b2J\u0008\u007f\u202e"
  beforeAll(async () => {
    expect((await exp(["run", fixture("curve"), "--db", db])).code).toBe(0)
    using store = openStore(db, { mode: "write" })
    store.runs.rename(1, `name${hostile}`)
    store.runs.note(1, `note${hostile}`)
    store.experiments.note("curve.fixture", `note${hostile}`)
    store.tags.add("run", 1, `tag${hostile}`)
    store.tags.add("experiment", "curve.fixture", `tag${hostile}`)
    store.logs.append(1, "info", `line${hostile}`, { field: hostile })
    store.artifacts.put(new Uint8Array([1]), `type${hostile}`, `file${hostile}`, 1)
    const sql = (text: string) => store.connection.sqlite.prepare(text).run({ h: hostile })
    sql("UPDATE experiments SET question = 'question' || @h, name = name || 'x'")
    sql("UPDATE metric_names SET name = name || @h WHERE name <> 'test/loss'")
    sql("UPDATE experiment_trials SET arm = arm || @h, condition = condition || @h")
    sql("UPDATE runs SET status = 'failed', error = json_object('message', @h) WHERE id = 2")
    sql("UPDATE trials SET config = json_set(config, '$.text', @h)")
    store.connection.sql("UPDATE experiments SET name = ?").run(`curve${hostile}`)
  }, 120_000)
  const commands: readonly (readonly string[])[] = [
    ["ls"],
    ["ls", "--runs"],
    ["ls", "--runs", "--json"],
    ["show", "1"],
    ["show", "1", "--json"],
    ["show", `curve${hostile}`],
    ["compare", `curve${hostile}`],
    ["compare", "1", "4"],
    ["diff", "1", "4"],
    ["logs", "1"],
    ["logs", "1", "--json"],
    ["tag"],
    ["tag", "1"],
    ["note", "1"],
    ["name", "1"],
    ["rm", "--undo"],
    ["sql", "SELECT * FROM run_overview"],
    ["sql", "SELECT * FROM tags", "--json"],
  ]
  for (const args of commands) {
    it(`holds no control codes in exp ${JSON.stringify(args).slice(1, 60)}`, async () => {
      const { stdout } = await command(db, args)
      expect(stdout).not.toBe("")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
      expect(stdout.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g)).toBeNull()
    })
  }
  it("holds none in an error", async () => {
    const { code, stderr } = await exp(["show", `none${hostile}`, "--db", db])
    expect(code).toBe(2)
    expect(stderr).toContain("none")
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
    expect(stderr.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g)).toBeNull()
  })
})
