import { setTimeout as sleep } from "node:timers/promises"
import { openStore } from "@exp/store"
import type { ConditionProgress, WatchedRun } from "@exp/store/watching"
import { describe, expect, it } from "vitest"
import { armLines } from "../src/arms.ts"
import { cellWidth, fit, truncate, wrap } from "../src/cells.ts"
import { endsAt } from "../src/eta.ts"
import { GrowingCurve } from "../src/growing-curve.ts"
import { beside, cutLine, lineWidth, padLine, s, spread } from "../src/line.ts"
import { processUse, readGpus } from "../src/machine.ts"
import { safeText, shortBytes, shortDuration, shortNumber } from "../src/safe-text.ts"
import { Painter } from "../src/screen.ts"
import { type Request, Watcher } from "../src/watcher.ts"
import { owner, plant } from "./database.ts"

describe("the time left", () => {
  const group = (condition: string, state: ConditionProgress["state"], trials: number, seconds: number | null = null) =>
    ({ experimentId: 1, profile: "default", phase: "compare", condition, state, trials, seconds }) as const
  const running = (condition: string, seconds: number, share?: number) =>
    ({
      phase: "compare",
      condition,
      startedAt: 1e6 - seconds * 1000,
      progressDone: share === undefined ? null : share * 100,
      progressTotal: share === undefined ? null : 100,
    }) as WatchedRun
  const left = (groups: readonly ConditionProgress[], runs: readonly WatchedRun[]) =>
    (endsAt(groups, runs, 1e6) - 1e6) / 1000

  it("takes each condition's own time, and what running trials have behind them", () => {
    const groups = [
      group("slow", "completed", 2, 100),
      group("quick", "completed", 2, 10),
      group("slow", "waiting", 1),
      group("quick", "waiting", 3),
    ]
    // 100 − 40 of the running one, 100 and 3 × 10 that wait, on one worker.
    expect(left(groups, [running("slow", 40)])).toBeCloseTo(190)
    expect(left(groups, [running("slow", 40), running("quick", 5)])).toBeCloseTo(195 / 2)
  })
  it("believes a running trial's own pace once it is a tenth through", () => {
    const groups = [group("slow", "completed", 1, 100)]
    expect(left(groups, [running("slow", 30, 0.5)])).toBeCloseTo(30)
    expect(left(groups, [running("slow", 30, 0.05)])).toBeCloseTo(70)
  })
  it("is never shorter than the longest trial under way", () => {
    expect(left([group("a", "completed", 1, 100)], [running("a", 0, 0.0), running("a", 99)])).toBeCloseTo(100)
  })
  it("is unknown while nothing runs or nothing is measured", () => {
    expect(left([group("a", "completed", 1, 100)], [])).toBeNaN()
    expect(left([group("a", "waiting", 1)], [running("a", 5)])).toBeNaN()
  })
})

describe("arms", () => {
  const planned = (...conditions: string[]) =>
    conditions.map((condition) => ({ arm: condition.split(" ")[0]!, condition, planned: 5 }))
  const values = (condition: string, at: number, spread: number) =>
    [0, 1, 2, 3, 4].map((seed) => ({ condition, seed, value: at + spread * Math.sin(seed * 7 + at * 100) }))

  it("are best only when every other one is behind in corrected paired tests", () => {
    const [a, b] = armLines(planned("a", "b"), [...values("a", 0.5, 0.01), ...values("b", 0.9, 0.01)], "max")
    expect([a!.supported, b!.supported, a!.tied, b!.tied]).toEqual([false, true, false, false])
    expect(a!.behind).toBeCloseTo(b!.mean - a!.mean)
    const close = armLines(planned("a", "b"), [...values("a", 0.5, 0.3), ...values("b", 0.52, 0.3)], "max")
    expect(close.map((arm) => [arm.supported, arm.tied])).toEqual([
      [false, true],
      [false, true],
    ])
    const low = armLines(planned("a", "b"), [...values("a", 0.5, 0.01), ...values("b", 0.9, 0.01)], "min")
    expect(low.map((arm) => arm.supported)).toEqual([true, false])
  })
  it("are compared within a point of a sweep, never across", () => {
    const lines = armLines(
      planned("a rank=1", "b rank=1", "a rank=2", "b rank=2"),
      [
        ...values("a rank=1", 0.5, 0.01),
        ...values("b rank=1", 0.7, 0.01),
        ...values("a rank=2", 0.9, 0.01),
        ...values("b rank=2", 0.6, 0.01),
      ],
      "max",
    )
    expect(lines.map((arm) => arm.supported)).toEqual([false, true, true, false])
  })
  it("count diverged seeds apart", () => {
    const [arm] = armLines(
      planned("a"),
      [
        { condition: "a", seed: 0, value: Number.NaN },
        { condition: "a", seed: 1, value: 2 },
      ],
      "max",
    )
    expect(arm).toMatchObject({ n: 1, diverged: 1, mean: 2, supported: false })
  })
})

describe("a growing curve", () => {
  it("is what reading the whole series gives, at every moment of its growth", () => {
    const db = plant()
    using store = openStore(db.path, { mode: "write" })
    const writer = store.metricWriter(db.running)
    const curve = new GrowingCurve(db.running, "grow")
    const value = (step: number) => Math.sin(step / 300)
    for (let step = 0, batch = 1; step < 20_000; batch = Math.ceil(batch * 1.7)) {
      for (const end = step + batch; step < end; step++) writer.logMany(step, { grow: value(step) })
      store.flush()
      const summary = store.metrics.summaries(db.running).find((each) => each.metric === "grow")!
      curve.update(store, summary, 100)
      const { x, y } = curve.points
      expect(x.length).toBeLessThanOrEqual(150)
      expect(x.length).toBeGreaterThanOrEqual(Math.min(step, 50))
      for (let i = 1; i < x.length; i++) expect(x[i]!).toBeGreaterThan(x[i - 1]!)
      // Columns are short beside the wave: their means lie on it.
      const width = step / 100
      for (let i = 0; i < x.length; i++) expect(Math.abs(y[i]! - value(x[i]!))).toBeLessThan(0.001 + (width / 300) ** 2)
    }
    writer.close()
    // After a rewind the curve is read anew.
    store.metrics.rewind(db.running, 10)
    curve.update(store, store.metrics.summaries(db.running).find((each) => each.metric === "grow")!, 100)
    expect(curve.points.x.at(-1)).toBe(10)
  })
})

describe("text", () => {
  it("from data shows what would steer the terminal or turn the writing round", () => {
    expect(safeText("a\u001b[2J\u009b31m\u0007b\nc\u202ed\u2066")).toBe("a\\x1b[2J\\x9b31m\\x07b c\\u202ed\\u2066")
  })
  it("is measured and cut in cells", () => {
    expect(cellWidth("日本")).toBe(4)
    expect(truncate("日本語", 5)).toBe("日本…")
    expect(fit("日本語", 4)).toBe("日… ")
    expect(cellWidth(fit("e\u0301é日👩‍👩‍👧x", 7))).toBe(7)
    expect(fit("12", 4, "right")).toBe("  12")
    expect(wrap("one two three four", 9, 2)).toEqual(
      ["one two", "three fo…"].map((line) => truncate(line, 9)).toSpliced(1, 1, "three fo…"),
    )
    expect(cutLine([s("abc"), s("日本")], 6).map((span) => span.text)).toEqual(["abc", "日…"])
  })
  it("stands side by side and at both ends", () => {
    expect(
      beside(
        [
          { lines: [[s("a")], [s("bcd")]], width: 2 },
          { lines: [[s("x")]], width: 3 },
        ],
        1,
      ).map((line) => line.map((span) => span.text).join("")),
    ).toEqual(["a  x", "b… "])
    expect(lineWidth(spread([s("left")], [s("right")], 20))).toBe(20)
    expect(lineWidth(padLine([s("日")], 5))).toBe(5)
  })
  it("has numbers of few cells", () => {
    expect([0.000944, 0.85731, 12.3456, 1234.5, 1e-15, Number.NaN, -Infinity].map(shortNumber)).toEqual([
      "0.000944",
      "0.8573",
      "12.35",
      "1235",
      "1.00e-15",
      "NaN",
      "−∞",
    ])
    expect([59.94, 59.96, 3600, 90_000].map(shortDuration)).toEqual(["59.9s", "1m00s", "1h00m", "1d01h"])
    expect([999, 999_600, 1.5e9].map(shortBytes)).toEqual(["999 B", "1.00 MB", "1.50 GB"])
  })
})

describe("the machine", () => {
  it("measures a process", () => {
    if (process.platform !== "linux") return
    const before = processUse(process.pid)!
    for (const end = performance.now() + 300; performance.now() < end; );
    const after = processUse(process.pid)!
    expect(after.seconds).toBeGreaterThanOrEqual(before.seconds)
    expect(after.bytes).toBeGreaterThan(10e6)
    expect(Math.abs(after.bytes / process.memoryUsage.rss() - 1)).toBeLessThan(0.5)
    expect(processUse(2 ** 30)).toBeUndefined()
  })
  it("reads what nvidia-smi says", () => {
    expect(readGpus("NVIDIA H100 80GB HBM3, 37, 1024, 81559\nOther, [N/A], [N/A], 100\n")).toEqual([
      { name: "NVIDIA H100 80GB HBM3", busy: 0.37, usedBytes: 2 ** 30, totalBytes: 81_559 * 2 ** 20 },
      { name: "Other", busy: Number.NaN, usedBytes: Number.NaN, totalBytes: 100 * 2 ** 20 },
    ])
  })
})

describe("the painter", () => {
  const terminal = () => {
    const written: string[] = []
    const stream = { write: (text: string) => written.push(text) > 0, getColorDepth: () => 1 }
    return { written, painter: new Painter(stream as unknown as NodeJS.WriteStream) }
  }
  it("writes rows that differ, in one synchronised piece, and nothing when nothing changed", () => {
    const { written, painter } = terminal()
    painter.enter()
    painter.paint([[s("one")], [s("two")]], 10, 3)
    written.length = 0
    painter.paint([[s("one")], [s("2")]], 10, 3)
    expect(written).toEqual(["\u001b[?2026h\u001b[2;1H\u001b[2K2\u001b[H\u001b[?2026l"])
    painter.paint([[s("one")], [s("2")]], 10, 3)
    expect(written.length).toBe(1)
    painter.paint([[s("one")], [s("2")]], 12, 2)
    expect(written[1]!.split("[2K").length - 1).toBe(2)
    painter.leave()
    painter.leave()
    expect(written[2]).toContain("\u001b[?1049l")
    expect(written.length).toBe(3)
  })
})

describe("the watcher", () => {
  const request: Request = { view: "overview", columns: 80, charts: 2, firstChart: 0, filter: "", sort: "newest" }

  it("gives the same look while nothing changes, and another one after a change", async () => {
    const db = plant()
    const watcher = new Watcher(db.path)
    const first = watcher.look(request)
    expect(first.snapshot?.live.length).toBe(1)
    for (let i = 0; i < 10; i++) expect(watcher.look(request)).toBe(first)
    using store = openStore(db.path, { mode: "write" })
    store.runs.transition(db.running, "completed", { owner })
    for (const end = Date.now() + 30_000; Date.now() < end; await sleep(20)) {
      if (watcher.look(request).snapshot?.experiments.find((line) => line.name === "ranked")?.completed === 7) break
    }
    const later = watcher.look(request)
    expect(later).not.toBe(first)
    expect(later.snapshot?.live).toEqual([])
    expect(later.snapshot?.experiments.find((line) => line.name === "ranked")).toMatchObject({
      completed: 7,
      failed: 1,
      queued: 1,
      running: 0,
    })
    watcher.close()
  })
  it("opens the file anew when it was migrated, and says so when it does not know the schema", () => {
    const db = plant()
    const watcher = new Watcher(db.path)
    expect(watcher.look(request).problem).toBeUndefined()
    using store = openStore(db.path, { mode: "write" })
    store.connection.sqlite.exec("CREATE TABLE newer (a)")
    expect(watcher.look(request).problem).toBeUndefined()
    const version = store.connection.sqlite.pragma("user_version", { simple: true }) as number
    store.connection.sqlite.exec("DROP TABLE newer")
    store.connection.sqlite.pragma(`user_version = ${version + 1}`)
    const look = watcher.look(request)
    expect(look.problem).toMatch(/knows versions up to/)
    expect(look.snapshot?.experiments.length).toBe(2)
    watcher.close()
  })
})
