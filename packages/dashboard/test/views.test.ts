import { renameSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { rank, resultsFromRows } from "@exp/ranking"
import { openStore } from "@exp/store"
import { render } from "ink-testing-library"
import { createElement as h } from "react"
import { afterEach, describe, expect, it } from "vitest"
import { App, type AppProps } from "../src/app.ts"
import { MachineReader } from "../src/machine.ts"
import { Watcher } from "../src/watcher.ts"
import { complete, emptyFolder, owner, plan, plant } from "./database.ts"

const open: { unmount(): void; watcher: Watcher }[] = []
afterEach(() => {
  for (const each of open.splice(0)) {
    each.unmount()
    each.watcher.close()
  }
})

const keys = {
  tab: "\t",
  enter: "\r",
  esc: "\u001b",
  up: "\u001b[A",
  down: "\u001b[B",
  left: "\u001b[D",
  right: "\u001b[C",
}

/** The dashboard as Ink text on a terminal of a size, and what a user does with it. */
function show(path: string, size: readonly [number, number] = [110, 30], props: Partial<AppProps> = {}) {
  const watcher = new Watcher(path)
  const app = render(h(App, { watcher, machine: new MachineReader(path), interval: 20, ...props }))
  open.push({ unmount: app.unmount, watcher })
  const resize = (columns: number, rows: number) => {
    Object.defineProperty(app.stdout, "columns", { value: columns, configurable: true })
    Object.defineProperty(app.stdout, "rows", { value: rows, configurable: true })
    app.stdout.emit("resize")
  }
  resize(...size)
  const screen = () => app.lastFrame() ?? ""
  return {
    screen,
    resize,
    press: async (...input: readonly string[]) => {
      for (const each of input) {
        app.stdin.write(each)
        // An escape waits for what may follow it.
        await sleep(each === keys.esc ? 150 : 30)
      }
    },
    until: async (wanted: RegExp | ((text: string) => boolean)) => {
      for (const end = Date.now() + 25_000; Date.now() < end; await sleep(20)) {
        if (typeof wanted === "function" ? wanted(screen()) : wanted.test(screen())) return screen()
      }
      throw new Error(`never showed ${wanted}:\n${screen()}`)
    },
  }
}

const { path, running, failed } = plant()
const ranked = { experiment: { name: "ranked", profile: "default" } }

describe("the overview", () => {
  it("has every experiment with its progress, and the time left from measured trials", async () => {
    const app = show(path, [110, 30], ranked)
    const text = await app.until(/❯ ranked/)
    expect(text).toMatch(/means-only +█+ +15\/15/)
    expect(text).toMatch(/❯ ranked +█+\S*░* +6\/9 +● 1 running +○ 1 queued +✗ 1 failed +\d\S* left/)
    expect(text).toMatch(/plain +2\/3 +0\.7020/)
    expect(text).toMatch(new RegExp(`${running} ● sparse seed 2 .* 25%`))
    expect(text).toMatch(new RegExp(`${failed} ✗ plain seed 2 .*it broke`))
  })
  it("calls an arm best only where the seeds support it", async () => {
    const app = show(path)
    expect(await app.until(/❯ means-only/)).toMatch(/dense +5\/5 .*best/)
    expect(app.screen().match(/best/g)).toHaveLength(1)
    await app.press("j")
    expect(await app.until(/❯ ranked/)).toMatch(/dense +2\/3/)
  })
  it("sorts arms, filters experiments, and opens the runs of one", async () => {
    const app = show(path, [110, 30], ranked)
    await app.until(/❯ ranked/)
    await app.press("s")
    await app.until((text) => text.indexOf("  dense ") < text.indexOf("  plain "))
    await app.press("/", "m", "e", "a", "n", "s", keys.enter)
    await app.until((text) => !/ ranked +█/.test(text))
    expect(app.screen()).toContain("filter: means")
    await app.press(keys.esc)
    await app.until(/❯ ranked +█/)
    await app.press(keys.enter)
    await app.until(/8 runs of ranked/)
  })
  it("says what to do with an empty database, waits for a missing one, and keeps the last state of one that goes", async () => {
    const db = join(emptyFolder(), "later.db")
    const app = show(db)
    await app.until(/later\.db does not exist.*Waiting/s)
    openStore(db, { mode: "write" }).close()
    await app.until(/No experiments yet/)
    {
      using store = openStore(db, { mode: "write" })
      complete(store, plan(store, "first", 1)(0, 0), 0, 0, false)
    }
    await app.until(/❯ first .*1\/3/)
    renameSync(db, `${db}.away`)
    await app.until(/does not exist.*last state.*❯ first/s)
    renameSync(`${db}.away`, db)
    await app.until((text) => !text.includes("last state") && /❯ first/.test(text))
  })
})

describe("the runs", () => {
  it("move, sort and open", async () => {
    const app = show(path, [110, 30], ranked)
    await app.press("2")
    await app.until(new RegExp(`❯ +${running} +● running`))
    await app.press("j", keys.down, "k")
    await app.until(new RegExp(`❯ +${failed} +✗ failed`))
    await app.press("s")
    await app.until(/sorted by test\/accuracy/)
    const order = [...app.screen().matchAll(/0\.[789]\d\d\d/g)].map(([value]) => Number(value))
    expect(order).toEqual([...order].sort((a, b) => b - a))
    expect(order.length).toBe(6)
    await app.press("s")
    await app.until(/sorted by status/)
    await app.press("s", "s", "g", keys.enter)
    await app.until(new RegExp(`run ${running} .*sparse seed 2`))
    await app.press(keys.esc)
    await app.until(/8 runs of ranked/)
  })
  it("are filtered by words, by comparisons on config and metrics, and say when they cannot be", async () => {
    const app = show(path, [110, 30], ranked)
    await app.press("2")
    await app.until(/8 runs/)
    await app.press("/", "f", "a", "i", "l")
    await app.until(/1 of 8 runs/)
    await app.press(keys.esc, "/", ..."learningRate < 0.005", keys.enter)
    await app.until(/2 of 8 runs/)
    expect(app.screen()).toMatch(/dense/)
    await app.press(keys.esc, "/", ..."learnRate < 1")
    await app.until(/no config and no metric/)
    await app.press(keys.esc)
    await app.until(/8 runs of/)
  })
  it("ask before they cancel or retry, and say what came of it", async () => {
    const done: string[] = []
    const app = show(path, [110, 30], {
      ...ranked,
      cancel: async (target) => void done.push(`cancel ${target}`),
      retry: async (run) => {
        done.push(`retry ${run}`)
        return "it runs again"
      },
    })
    await app.press("2")
    await app.until(/8 runs/)
    await app.press("c")
    await app.until(new RegExp(`cancel run ${running}, sparse seed 2\\? +y/n`))
    await app.press("n")
    await app.until((text) => !text.includes("y/n"))
    expect(done).toEqual([])
    await app.press("r")
    await app.until(/is running still/)
    await app.press("c", "y")
    await app.until(new RegExp(`run ${running} is cancelled`))
    await app.press("j", "c")
    await app.until(/only a live run can be cancelled/)
    await app.press("r", "y")
    await app.until(/it runs again/)
    await app.press("1", "c", "y")
    await app.until(/ranked is cancelled/)
    expect(done).toEqual([`cancel ${running}`, `retry ${failed}`, "cancel ranked"])
  })
})

describe("a run", () => {
  it("has curves with axes, smoothing and a log scale, current values, config and place", async () => {
    const app = show(path, [110, 40], ranked)
    await app.press("2", "G", keys.enter)
    const text = await app.until(/run 1 .*✓ completed.*plain seed 0/)
    expect(text).toMatch(/train\/loss[\s\S]*2 ┤[\u2800-\u28ff]/)
    expect(text).toMatch(/val\/accuracy/)
    expect(text).toMatch(/0 +step +49/)
    expect(text).toMatch(/learningRate 0\.1 +tuner\.kind plain +tuner\.rank 8/)
    expect(text).toMatch(/cpu · on elsewhere · attempt 1/)
    expect(text).toMatch(/train\/loss +0\.0149 +min 0\.0149 +max 2\.000/)
    await app.press("m")
    await app.until(/train\/loss.*smoothed 0\.6/)
    await app.press("y")
    await app.until(/log, smoothed 0\.6/)
    await app.press("m", "m", "m", "y")
    await app.until((text) => !text.includes("smoothed") && !text.includes("log,"))
  })
  it("shows one curve where there is room for one, and the others with the arrows", async () => {
    const app = show(path, [60, 15], ranked)
    await app.press("2", "G", keys.enter)
    await app.until(/^train\/loss .*[\s\S]*┤/m)
    await app.press(keys.right)
    await app.until(/^val\/accuracy .*[\s\S]*┤/m)
    await app.press(keys.left)
    await app.until(/^train\/loss .*[\s\S]*┤/m)
  })
  it("grows with the run, and its log follows, scrolls and is filtered", async () => {
    const db = plant()
    const app = show(db.path, [110, 30], ranked)
    await app.press("2", keys.enter)
    await app.until(/train\/loss +0\.0400/)
    using store = openStore(db.path, { mode: "write" })
    const writer = store.metricWriter(db.running)
    writer.logMany(25, { "train/loss": 0.0123 })
    writer.close()
    store.runs.heartbeat(db.running, { owner, progress: { done: 50, total: 100 }, leaseMs: 1e7 })
    await app.until(/50%[\s\S]*train\/loss +0\.0123/)
    await app.press("l")
    await app.until(/no log lines yet/)
    for (let line = 0; line < 100; line++) store.logs.append(db.running, "info", `message ${line}`)
    store.flush()
    await app.until(/follows the end[\s\S]*message 99/)
    await app.press("k", "k", "k")
    await app.until(
      (text) => /3 newer lines below/.test(text) && text.includes("message 96") && !text.includes("message 97"),
    )
    await app.press("G", "/", "7", "7")
    await app.until((text) => text.includes("message 77") && !text.includes("message 99"))
  })
})

describe("the ranking", () => {
  it("is what exp rank computes from results by sample, with intervals", async () => {
    const app = show(path, [110, 30], ranked)
    await app.press("3")
    const text = await app.until(/comparisons .* on 80 samples/)
    using store = openStore(path, { mode: "read" })
    const matrix = store.samples.matrix({ metrics: ["test/accuracy"], experiments: ["ranked"] })
    const expected = rank({
      names: matrix.competitors,
      results: resultsFromRows(
        matrix,
        { competitors: matrix.competitors.length, samples: matrix.samples },
        () => "max",
      ),
    })
    for (const { name, score, low, high } of expected.competitors) {
      expect(text).toMatch(
        new RegExp(`${name} +${score!.toFixed(4).replace(".", "\\.")} +${low!.toFixed(4)} … ${high!.toFixed(4)}`),
      )
    }
    await app.press("/", ..."spar", keys.enter)
    await app.until((shown) => shown.includes("sparse") && !shown.includes("dense"))
  })
  it("is the leaderboard of arms where no results by sample are recorded", async () => {
    const app = show(path, [140, 30])
    await app.press("3")
    const text = await app.until(/leaderboard of means-only/)
    expect(text).toMatch(/1 +dense +5\/5 +0\.9060/)
    expect(text).toMatch(/3 +plain +5\/5 +0\.7060 .*0\.2000 +<0\.001/)
    expect(text).toMatch(/dense.*best/)
  })
  it("ranks imported results where there is no experiment", async () => {
    const db = join(emptyFolder(), "runs.db")
    {
      using store = openStore(db, { mode: "write" })
      const rows = ["a", "b", "c"].flatMap((competitor, c) =>
        Array.from({ length: 30 }, (_, sample) => ({
          competitor,
          dataset: "set",
          sample: String(sample),
          metric: "accuracy",
          value: Number((sample * 7 + c) % 10 < 4 + 2 * c),
        })),
      )
      store.samples.importResults(rows)
    }
    const app = show(db)
    await app.press("3")
    expect(await app.until(/ranking of imported results +by accuracy/)).toMatch(/1 +c /)
  })
})

describe("the system", () => {
  it("has machine, disk, database and what each worker does", async () => {
    const app = show(path, [110, 30], ranked)
    await app.press("4")
    const text = await app.until(/processor +\S+ +\d+%/)
    expect(text).toMatch(/memory +\S+ +\d+% .* of /)
    expect(text).toMatch(/disk +\S+ +\d+% .* free of/)
    expect(text).toMatch(/2 experiments, 24 trials, 23 runs, [\d,]+ logged values/)
    expect(text).toMatch(/workers \(1\) +1 trials wait/)
    // This process is the worker of the running run: its memory is measured.
    await app.until(new RegExp(`${running} ● sparse seed 2 +ranked +cpu ${process.pid} .* MB .* 25%`))
  })
})

describe("every view", () => {
  it("fits every size, in lines no wider than the terminal, and lets no control code through", async () => {
    const app = show(path, [110, 30], ranked)
    const visits: readonly (readonly [string, readonly string[]])[] = [
      ["overview", ["1"]],
      ["runs", ["2"]],
      ["run", ["g", keys.enter]],
      ["log", ["l"]],
      ["ranking", ["3"]],
      ["system", ["4"]],
      ["help", ["?"]],
    ]
    for (const [name, input] of visits) {
      await app.press(...input)
      for (const [columns, rows] of [
        [60, 15],
        [110, 30],
        [250, 60],
        [20, 6],
      ] as const) {
        app.resize(columns, rows)
        await app.until((text) => text.split("\n").length === rows)
        const lines = app.screen().split("\n")
        for (const line of lines)
          expect(line.length, `${name} at ${columns} × ${rows}: ${line}`).toBeLessThanOrEqual(columns)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is about
        expect(app.screen().replaceAll("\n", "")).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/)
        if (columns >= 60) expect(lines[0]).toMatch(/exp +overview +runs +ranking +system/)
        expect(lines.at(-1)).toContain("q quit")
      }
    }
    app.resize(110, 30)
    await app.press("1")
    expect(await app.until(/which\?/)).toContain("\\x1b[2J\\x1b]0;owned\\x07\\u202eevil which?")
  })
  it("is reached with tab and shift-tab, and left with esc", async () => {
    const app = show(path, [110, 30], ranked)
    await app.until(/❯ ranked/)
    for (const wanted of [/8 runs of ranked/, /ranking of ranked/, /workers/, /❯ ranked/]) {
      await app.press(keys.tab)
      await app.until(wanted)
    }
    await app.press("\u001b[Z")
    await app.until(/workers/)
    await app.press(keys.esc)
    await app.until(/❯ ranked/)
    await app.press("?")
    await app.until(/this help/)
    await app.press(keys.esc)
    await app.until(/❯ ranked/)
  })
})
