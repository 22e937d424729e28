import { derive, key } from "@exp/random"
import { describe, expect, it } from "vitest"
import {
  drawWithoutReplacement,
  inclusionProbabilities,
  layerCounts,
  officialLayerSampling,
  sigmoid,
  suppressedSets,
  TooFewLayers,
  trainedLayers,
  updateScores,
} from "../../src/peft/layer-importance.ts"

describe("drawing layers", () => {
  it("has the card's inclusion probabilities for z = (1, 0, −1)", () => {
    const p = inclusionProbabilities(
      [1, 0, -1].map((z) => sigmoid(-z)),
      2,
    )
    expect([...p].map((x) => +x.toFixed(4))).toEqual([0.4394, 0.7231, 0.8375])
  })
  it("draws with the exact inclusion probabilities", () => {
    const z = [1.5, 0.2, -1, 0.7]
    const weights = z.map((x) => sigmoid(-x))
    const exact = inclusionProbabilities(weights, 2)
    const counts = new Float64Array(4)
    const draws = 20_000
    const stream = key(3, "layers")
    for (let i = 0; i < draws; i++) for (const layer of trainedLayers(z, 2, derive(stream, i))) counts[layer]!++
    for (let i = 0; i < 4; i++) expect(Math.abs(counts[i]! / draws - exact[i]!)).toBeLessThan(0.01)
  })
  it("draws exactly as many distinct layers as asked, in order", () => {
    for (let i = 0; i < 200; i++) {
      const drawn = drawWithoutReplacement([1e-9, 5, 1, 1, 3], 4, key(i))
      expect(new Set(drawn).size).toBe(4)
      expect(drawn).toEqual([...drawn].sort((a, b) => a - b))
    }
  })
  it("gives different candidate sets in a round", () => {
    for (let i = 0; i < 100; i++) {
      const sets = suppressedSets([0, 3, -3, 0], 2, 3, key(i))
      expect(new Set(sets.map((set) => set.join())).size).toBe(3)
    }
  })
  it("refuses numbers of layers for which the draw is empty or would never end", () => {
    expect(layerCounts(12, officialLayerSampling)).toEqual({ trained: 3, suppressed: 6 })
    expect(layerCounts(4, officialLayerSampling)).toEqual({ trained: 1, suppressed: 2 })
    for (const layers of [1, 2, 3]) expect(() => layerCounts(layers, officialLayerSampling)).toThrow(TooFewLayers)
    expect(() => layerCounts(2, { ...officialLayerSampling, trainedShare: 0.5 })).toThrow(/fewer than the 3 candidates/)
  })
})

describe("learning the scores", () => {
  it("reproduces the worked example", () => {
    const z = updateScores(
      [0, 0, 0, 0],
      [
        [0, 1],
        [0, 2],
        [2, 3],
      ],
      [0, Math.log(2), Math.log(4)],
      10,
    )
    expect([...z].map((x) => +x.toFixed(5))).toEqual([0.83333, 1.04167, -1.04167, -0.83333])
  })
  it("leaves the scores alone while all losses are equal", () => {
    const z = [0.3, -1, 2]
    expect([...updateScores(z, [[0], [1], [2]], [0.7, 0.7, 0.7], 10)]).toEqual(z)
  })
  it("gives a layer that is in all sets, or in none, exactly no update", () => {
    const z = updateScores(
      [0.1, 0.2, 0.3],
      [
        [0, 1],
        [0, 1],
        [0, 1],
      ],
      [0.1, 0.9, 2],
      10,
    )
    expect([...z]).toEqual([0.1, 0.2, 0.3])
  })
  it("scales all advantages by e^−c when c is added to all losses", () => {
    const sets = [[0], [1], [2]]
    const step = (shift: number) => updateScores([0, 0, 0], sets, [0.2 + shift, 0.5 + shift, 1.1 + shift], 10)
    const [a, b] = [step(0), step(1.3)]
    for (let i = 0; i < 3; i++) expect(b[i]! / a[i]!).toBeCloseTo(Math.exp(-1.3), 12)
  })
})
