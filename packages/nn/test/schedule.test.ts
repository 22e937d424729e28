import { describe, expect, it } from "vitest"
import { constantRate, epochWarmupCosine, linearDecay, warmupCosine, warmupTimesCosine } from "../src/nn.ts"

describe("schedules", () => {
  it("per step: warms up linearly to the full rate, then falls along a cosine to the minimum", () => {
    const rate = warmupCosine({ learningRate: 1, steps: 110, warmup: 10, minimum: 0.2 })
    expect([0, 4, 9, 10].map(rate)).toEqual([0.1, 0.5, 1, 1])
    expect(rate(60)).toBeCloseTo(0.6, 12)
    expect(rate(109)).toBeGreaterThan(0.2)
    expect(rate(110)).toBeCloseTo(0.2, 12)
    expect(rate(500)).toBeCloseTo(0.2, 12)
  })

  it("per epoch: epochs 0 and 1 both run at the start value, then one epoch behind", () => {
    const rate = epochWarmupCosine({ learningRate: 1e-3, epochs: 100 })
    expect(rate(0)).toBe(1e-6)
    expect(rate(1)).toBe(1e-6)
    expect(rate(2)).toBeCloseTo(1e-6 + (1e-3 - 1e-6) / 10, 15)
    expect(rate(10)).toBeCloseTo(1e-6 + ((1e-3 - 1e-6) * 9) / 10, 15)
    // The cosine counts the warm-up too.
    expect(rate(11)).toBeCloseTo(1e-5 + 0.5 * (1e-3 - 1e-5) * (1 + Math.cos(Math.PI * 0.1)), 15)
    expect(rate(51)).toBeCloseTo(1e-5 + 0.5 * (1e-3 - 1e-5), 15)
  })

  it("a warm-up factor times a half-cosine to zero", () => {
    const rate = warmupTimesCosine({ learningRate: 2, steps: 1200, warmup: 100 })
    expect(rate(0)).toBeCloseTo(0.02, 12)
    expect(rate(600)).toBeCloseTo(1, 12)
    expect(rate(1200)).toBeCloseTo(0, 12)
    expect(rate(49)).toBeCloseTo(2 * 0.5 * 0.5 * (1 + Math.cos((Math.PI * 49) / 1200)), 12)
  })

  it("linear and constant", () => {
    const rate = linearDecay({ learningRate: 1, steps: 12, warmup: 2, minimum: 0.5 })
    expect([0, 1, 2, 7, 12, 20].map(rate)).toEqual([0.5, 1, 1, 0.75, 0.5, 0.5])
    expect(constantRate(3)(17)).toBe(3)
  })
})
