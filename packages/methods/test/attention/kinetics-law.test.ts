import { plan } from "@exp/spec"
import { describe, expect, it } from "vitest"
import experiment from "../../../../experiments/kinetics.law.ts"
import { KineticsLaw } from "../../src/attention/attention.ts"
import { affordable, frontierSummary, publishedAime24, publishedChoices } from "../../src/attention/law-replay.ts"
import { last, runTrial } from "../trial-in-memory.ts"

const lengths = { context: 512, generated: 12_288 }

describe("the law on the published results", () => {
  const flops = frontierSummary(publishedChoices({ kind: "flops" }, lengths))
  const eflops = frontierSummary(publishedChoices({ kind: "eflops" }, lengths))

  it("scales no model under 14B with trials once the KV traffic is priced, but the smallest without", () => {
    expect(eflops.smallestScaled).toBeCloseTo(14.77, 6)
    expect(flops.smallestScaled).toBeCloseTo(2.03, 6)
  })
  it("never costs more than the FLOPs law for the same accuracy", () => {
    for (let accuracy = 0.33; accuracy < 0.88; accuracy += 0.01) {
      expect(eflops.costAt(accuracy)).toBeLessThanOrEqual(flops.costAt(accuracy) * (1 + 1e-12))
    }
    const dearest = Math.max(
      ...Array.from({ length: 50 }, (_, i) => 0.4 + i * 0.009).map((a) => flops.costAt(a) / eflops.costAt(a)),
    )
    expect(dearest).toBeGreaterThan(1.5)
  })
  it("costs no more under a budget that loses nothing", () => {
    const sparse = frontierSummary(publishedChoices({ kind: "eflops" }, lengths, { kind: "topk", budget: 1024 }))
    for (const accuracy of [0.5, 0.6, 0.7, 0.8]) {
      expect(sparse.costAt(accuracy)).toBeLessThan(0.4 * eflops.costAt(accuracy))
    }
  })
  it("buys nothing below the cheapest choice", () => {
    expect(affordable(eflops.front, 1)).toBeUndefined()
    expect(affordable(eflops.front, 1e9)).toBe(eflops.front.at(-1))
  })
})

describe("the published AIME24 curves", () => {
  it("pass through the published points and never fall", () => {
    expect(publishedAime24("topk", 1000)).toBeCloseTo(0.7, 12)
    expect(publishedAime24("dense", 1e5)).toBeCloseTo(0.845, 12)
    expect(publishedAime24("local", 1)).toBe(0.01)
    for (const kind of ["dense", "topk", "block-topk", "local"] as const) {
      let before = 0
      for (let cost = 300; cost < 2e5; cost *= 1.1) {
        const accuracy = publishedAime24(kind, cost)
        expect(accuracy).toBeGreaterThanOrEqual(before)
        before = accuracy
      }
    }
  })
})

describe("kinetics-law", () => {
  it("logs a frontier that never falls and records the choices in their order", async () => {
    const record = await runTrial(KineticsLaw, { law: "eflops" })
    const accuracies = record.logged.get("frontier/accuracy")!
    expect(accuracies).toHaveLength(100)
    for (let i = 1; i < accuracies.length; i++) {
      expect(accuracies[i]![1]).toBeGreaterThanOrEqual(accuracies[i - 1]![1])
    }
    expect(record.samples.slice(0, 5).map((sample) => sample.key)).toEqual(["1.7B@1", "4B@1", "8B@1", "14B@1", "32B@1"])
    expect(last(record, "frontier/smallest_scaled")).toBeCloseTo(14.77, 6)
  })
  it("refuses to price measured eFLOPs curves in FLOPs", async () => {
    await expect(runTrial(KineticsLaw, { results: "aime24-8b", law: "flops" })).rejects.toThrow(/must be eflops/)
  })
  it("plans the experiment, which runs in full", async () => {
    const trials = plan(experiment).compared()
    expect(trials).toHaveLength(8)
    const seconds = new Map<string, number>()
    for (const trial of trials) {
      const record = await runTrial(KineticsLaw, trial.config as never)
      expect(last(record, "frontier/mean_accuracy")).toBeGreaterThan(0)
      if (record.logged.has("time/b200_seconds_at_target")) {
        seconds.set(trial.arm, last(record, "time/b200_seconds_at_target"))
      }
    }
    // AIME24, Qwen3-8B: dense needs over ten times what top-k needs for 0.72.
    expect(seconds.get("8B-dense")! / seconds.get("8B-topk")!).toBeGreaterThan(10)
    expect(seconds.get("8B-block-topk")!).toBeLessThan(seconds.get("8B-dense")!)
    expect(seconds.has("8B-local")).toBe(false)
  })
})
