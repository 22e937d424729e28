import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import { competitionThreshold, quantile, sparsify, survivors, thresholdPosition } from "../src/peft/competition.ts"
import { nonZeros } from "../src/peft/matrix-rank.ts"
import { normalTensor, uniformValues, useReferenceBackend } from "./peft-device.ts"

beforeAll(useReferenceBackend)

describe("competition within a layer", () => {
  it("leaves exactly N − 1 − ⌊s(N−1)⌋ entries when all magnitudes differ", () => {
    for (const [rows, columns] of [
      [8, 8],
      [13, 7],
      [1, 5],
    ] as const) {
      const k = normalTensor(`k${rows}`, [rows, columns])
      const n = rows * columns
      for (const s of [0, 1e-6, 0.1, 0.25, 1 / 3, 0.5, 0.9, 0.99, 1, ...uniformValues("s", 20)]) {
        const expected = s === 1 ? 0 : n - 1 - Math.floor(s * (n - 1) + 1e-9)
        expect(survivors(s, n)).toBe(expected)
        for (const mode of ["gated", "hard"] as const) expect(nonZeros(sparsify(k, s, mode).dataSync())).toBe(expected)
        const position = tf.tensor1d([thresholdPosition(s, n)], "int32")
        expect(nonZeros(sparsify(k, position).dataSync())).toBe(expected)
      }
    }
  })

  it("keeps exactly v of n weights at s = 1 − v/n, and n − 1 where all were granted", () => {
    for (const n of [64, 4096, 8192, 589_824])
      for (const v of [0, 1, 2, 35, n >> 1, n - 2, n - 1]) expect(survivors(1 - v / n, n)).toBe(v)
    expect(survivors(1 - 64 / 64, 64)).toBe(63)
  })

  it("gated: K·|K| on the support; soft: K·(|K| − T); hard: K", () => {
    const k = normalTensor("modes", [16, 16])
    const values = k.dataSync()
    const t = quantile(values.map(Math.abs), 0.7)
    const check = (mode: "gated" | "soft" | "hard", factor: (magnitude: number) => number) => {
      const got = sparsify(k, 0.7, mode).dataSync()
      values.forEach((x, i) => {
        const expected = Math.abs(x) > t ? x * factor(Math.abs(x)) : 0
        expect(Math.abs(got[i]! - expected)).toBeLessThanOrEqual(1e-6 * Math.max(Math.abs(expected), 0.1))
      })
    }
    check("gated", (m) => m)
    check("soft", (m) => m - t)
    check("hard", () => 1)
  })

  it("zeroes the single smallest entry at s = 0, and everything of a constant matrix", () => {
    const k = normalTensor("zero", [6, 6])
    const kept = sparsify(k, 0, "hard").dataSync()
    const values = Array.from(k.dataSync())
    const least = values.map(Math.abs).indexOf(Math.min(...values.map(Math.abs)))
    kept.forEach((x, i) => {
      expect(x + 0).toBe(i === least ? 0 : values[i])
    })
    expect(nonZeros(sparsify(tf.fill([5, 5], 0.3), 0.2).dataSync())).toBe(0)
  })

  it("interpolates the quantile linearly", () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBeCloseTo(2.5, 12)
    expect(quantile([4, 1, 3, 2], 0.25)).toBeCloseTo(1.75, 12)
    expect(quantile([4, 1, 3, 2], 1)).toBe(4)
    expect(competitionThreshold(tf.tensor1d([4, 1, 3, 2]), 0.25, "soft").dataSync()[0]).toBeCloseTo(1.75, 6)
  })

  it("refuses a sparsity outside [0, 1]", () => {
    expect(() => thresholdPosition(1.1, 10)).toThrow(RangeError)
    expect(() => thresholdPosition(Number.NaN, 10)).toThrow(RangeError)
  })
})
