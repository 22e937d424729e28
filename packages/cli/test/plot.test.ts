import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { meanInterval } from "@exp/ranking"
import { beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, fixture } from "../../../test/exp.ts"

describe("exp plot", () => {
  let cwd: string
  beforeAll(async () => {
    cwd = emptyFolder()
    expect((await exp(["run", fixture("curve")], { cwd })).code).toBe(0)
  }, 120_000)

  const plot = (...args: string[]) => exp(["plot", "curve.fixture", ...args], { cwd })

  it("draws mean curves over seeds whose numbers are those of the runs", async () => {
    const outcome = await plot("--json")
    const figure = JSON.parse(outcome.stdout) as {
      metric: string
      curves: { label: string; x: number[]; mean: number[]; low: number[]; seeds: number }[]
    }
    expect(figure.metric).toBe("train/loss")
    expect(figure.curves.map(({ label, seeds }) => [label, seeds])).toEqual([
      ["slow", 3],
      ["good", 3],
      ["best", 3],
    ])
    const [slow] = figure.curves
    // After step k, x − 3 = (seed − 3) · 0.98^(k + 1).
    const at = (step: number) => meanInterval([0, 1, 2].map((seed) => ((seed - 3) * 0.98 ** (step + 1)) ** 2))
    expect(slow!.x).toEqual(Array.from({ length: 20 }, (_, step) => step))
    for (const step of [0, 7, 19]) {
      expect(slow!.mean[step]).toBeCloseTo(at(step).mean, 10)
      expect(slow!.low[step]).toBeCloseTo(at(step).low, 10)
    }
  })

  it("draws a metric over another one, in the order of that", async () => {
    const outcome = await plot("--kind", "curves", "--metric", "train/loss", "--x", "train/loss", "--log-x", "--json")
    const figure = JSON.parse(outcome.stdout) as { x: string; logX: boolean; curves: { x: number[]; mean: number[] }[] }
    expect([figure.x, figure.logX]).toEqual(["train/loss", true])
    for (const { x, mean } of figure.curves) {
      expect(x).toHaveLength(20)
      expect(x).toEqual(mean)
      expect(x).toEqual(x.toSorted((a, b) => a - b))
    }
    const absent = await plot("--kind", "curves", "--x", "test/loss")
    expect(absent.stderr).toContain("there are series of train/loss")
  })

  it("draws in the terminal within its width", async () => {
    for (const args of [[], ["--kind", "bars"], ["--x", "rate", "--log"], ["--kind", "heat"]]) {
      const outcome = await plot("--width", "90", ...args)
      expect(outcome.stderr).toBe("")
      const lines = outcome.stdout.trimEnd().split("\n")
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(90)
      expect(lines.length).toBeGreaterThan(4)
    }
  })

  it("writes SVG, PNG and a page that fetches nothing", async () => {
    for (const kind of ["curves", "bars", "scatter", "heat", "parallel"]) {
      const axes = kind === "curves" ? [] : ["--x", "rate", "--y", kind === "scatter" ? "test/loss" : "arm"]
      const outcome = await plot("--kind", kind, ...axes, "--out", `${kind}.svg`)
      expect(outcome.stderr).toContain("Picture written")
      const svg = readFileSync(join(cwd, `${kind}.svg`), "utf8")
      expect(svg).toMatch(/^<svg/)
      expect(svg).toContain("curve.fixture")
      expect(svg).not.toContain("NaN")
    }
    await plot("--out", "curves.png")
    expect(readFileSync(join(cwd, "curves.png")).subarray(1, 4).toString()).toBe("PNG")
    await plot("--out", "curves.html")
    const page = readFileSync(join(cwd, "curves.html"), "utf8")
    const markup = page.replaceAll(/<script>[\s\S]*?<\/script>/g, "")
    expect(/<(script|link|img)\b/.test(markup)).toBe(false)
    expect(page.includes("const drawBand = function drawBand")).toBe(true)
  })

  it("says what it cannot draw", async () => {
    const ending = await plot("--out", "curves.pdf")
    expect(ending.code).toBe(2)
    expect(ending.stderr).toContain(".svg, .png or .html")
    expect(existsSync(join(cwd, "curves.pdf"))).toBe(false)
    expect((await plot("--x", "rates")).stderr).toContain("rates is neither a metric nor a config value")
    expect((await plot("--tuning")).stderr).toContain("no finished tuning trial")
  })
})
