import { holm, pairedComparison } from "@exp/ranking"
import { openStore } from "@exp/store"
import { beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, fixture } from "../../../test/exp.ts"

interface Compared {
  readonly subjects: { label: string; runs: { runId: number; seed: number }[] }[]
  readonly config: { differing: { path: string; values: unknown[][] }[]; shared: number }
  readonly metrics: {
    metric: string
    goal: string
    subjects: { label: string; values: { seed: number; value: number }[] }[]
    tests: {
      a: string
      b: string
      seeds: number[]
      correctedT: number
      correctedWilcoxon: number
      better?: string
      result: { difference: number; pValue: number; wilcoxon: { pValue: number }; seedsNeeded: number }
    }[]
  }[]
  readonly pareto: {
    metric: string
    costs: string[]
    points: { label: string; value: number; costs: Record<string, number>; efficient: boolean; frontOf: string[] }[]
  }[]
}

describe("exp compare", () => {
  let cwd: string
  const compare = async (...args: string[]): Promise<Compared> => {
    const outcome = await exp(["compare", "--json", ...args], { cwd })
    expect(outcome.stderr).toBe("")
    return JSON.parse(outcome.stdout) as Compared
  }

  beforeAll(async () => {
    cwd = emptyFolder()
    const outcome = await exp(["run", fixture("curve"), "--seeds", "4"], { cwd })
    expect(outcome.code).toBe(0)
  }, 120_000)

  it("tests conditions against the first one with the numbers of the statistics package", async () => {
    const { metrics, config } = await compare("curve.fixture:slow", "good", "best")
    const { tests, subjects, goal } = metrics[0]!
    expect(goal).toBe("min")
    const values = subjects.map((subject) => subject.values.map(({ value }) => value))
    expect(values[0]).toHaveLength(4)
    // Gradient descent on (x − 3)² with rate 0.01, 20 steps from x = seed: x − 3 shrinks by 0.98 a step.
    expect(values[0]![0]).toBeCloseTo((3 * 0.98 ** 20) ** 2, 10)
    const expected = [1, 2].map((i) => pairedComparison(values[i]!, values[0]!))
    const corrected = holm(expected.map(({ pValue }) => pValue))
    for (const [i, test] of tests.entries()) {
      expect([test.a, test.b, test.seeds]).toEqual([subjects[i + 1]!.label, "slow", [0, 1, 2, 3]])
      expect(test.result.difference).toBe(expected[i]!.difference)
      expect(test.result.wilcoxon.pValue).toBe(expected[i]!.wilcoxon.pValue)
      expect(test.result.seedsNeeded).toBe(expected[i]!.seedsNeeded)
      expect(test.correctedT).toBe(corrected[i])
      expect(test.correctedT).toBeGreaterThanOrEqual(test.result.pValue)
    }
    expect(config.differing).toEqual([{ path: "rate", values: [[0.01], [0.3], [0.45]] }])
    expect(config.shared).toBe(2)
  })

  it("takes an experiment for all of its conditions, and tests every pair on demand", async () => {
    const { subjects, metrics } = await compare("curve.fixture", "--pairs")
    expect(subjects.map(({ label }) => label)).toEqual(["slow", "good", "best"])
    expect(metrics[0]!.tests.map(({ a, b }) => `${a} ${b}`)).toEqual(["good slow", "best slow", "best good"])
  })

  it("puts only what nothing else dominates on the front", async () => {
    const { pareto } = await compare("curve.fixture", "--cost", "train/loss")
    const { points, costs } = pareto[0]!
    expect(costs).toEqual(["train/loss"])
    for (const point of points) {
      const beaten = points.some(
        (other) =>
          other.value <= point.value &&
          other.costs["train/loss"]! <= point.costs["train/loss"]! &&
          (other.value < point.value || other.costs["train/loss"]! < point.costs["train/loss"]!),
      )
      expect(point.efficient).toBe(!beaten)
      expect(point.frontOf).toEqual(beaten ? [] : ["train/loss"])
    }
    expect(points.some(({ efficient }) => efficient)).toBe(true)
    expect(points.some(({ efficient }) => !efficient)).toBe(true)
  })

  it("compares two runs by number, without a test where there is one seed", async () => {
    using store = openStore(`${cwd}/runs.db`, { mode: "read" })
    const [a, b] = store.queries.runs({ experiment: "curve.fixture", limit: 2 })
    const outcome = await exp(["compare", String(a!.id), b!.trialId], { cwd })
    expect(outcome.stdout).toContain("nothing to test yet")
    expect(outcome.stdout).toContain(`run ${b!.id}`)
  })

  it("fits tables and curves into the width, and names what it does not know", async () => {
    const outcome = await exp(["compare", "curve.fixture", "--curves", "train/loss"], { cwd })
    expect(Math.max(...outcome.stdout.split("\n").map((line) => line.length))).toBeLessThanOrEqual(200)
    expect(outcome.stdout).toContain("seeds needed")
    expect(outcome.stdout).toContain("⣀")
    const unknown = await exp(["compare", "curve.fixture:fast", "good"], { cwd })
    expect(unknown.code).toBe(2)
    expect(unknown.stderr).toContain("curve.fixture has no condition fast; it has slow, good, best.")
    const alone = await exp(["compare", "good"], { cwd })
    expect(alone.code).toBe(2)
    expect(alone.stderr).toContain("name a second condition")
    const metric = await exp(["compare", "curve.fixture", "--metric", "nope"], { cwd })
    expect(metric.stderr).toContain("There is no metric nope")
  })
})
