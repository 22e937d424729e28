import { integer, key } from "@exp/random"
import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import {
  budgetAt,
  divideBudget,
  importanceStep,
  layerScore,
  normalisedScores,
  sparsityOf,
} from "../src/peft/allocation.ts"
import { survivors } from "../src/peft/competition.ts"
import { LayerCompetition } from "../src/peft/layer-competition.ts"
import { normalTensor, uniformValues, useReferenceBackend } from "./peft-device.ts"

beforeAll(useReferenceBackend)

describe("the budget schedule", () => {
  it("is V0 at first, 710 at epoch 3 of 12 from 0 to a half of 1000, and never grows", () => {
    const schedule = { epochs: 12, initialSparsity: 0, sparsity: 0.5 }
    expect(budgetAt(schedule, 0, 1000)).toEqual({ budget: 1000, divide: false })
    expect(budgetAt(schedule, 3, 1000)).toEqual({ budget: 710, divide: true })
    const budgets = Array.from({ length: 12 }, (_, e) => budgetAt(schedule, e, 1000).budget)
    budgets.slice(1).forEach((v, i) => {
      expect(v).toBeLessThanOrEqual(budgets[i]!)
    })
    expect(budgets.at(-1)).toBe(Math.trunc(500 + 500 / 12 ** 3))
  })

  it("waits for the warm-up, then stays at V1 in the final phase, and divides every k-th epoch", () => {
    const schedule = { epochs: 20, initialSparsity: 0.1, sparsity: 0.9, warmupEpochs: 3, finalEpochs: 5, interval: 2 }
    for (const e of [0, 1, 2, 3]) expect(budgetAt(schedule, e, 1000)).toEqual({ budget: 900, divide: false })
    expect(budgetAt(schedule, 4, 1000).divide).toBe(true)
    expect(budgetAt(schedule, 5, 1000).divide).toBe(false)
    for (const e of [16, 17, 19]) expect(budgetAt(schedule, e, 1000)).toEqual({ budget: 100, divide: true })
  })
})

describe("the division of the budget", () => {
  it("gives the worked examples", () => {
    expect(Array.from(divideBudget(100, [40, 100, 100], [0.5, 0.3, 0.2]))).toEqual([40, 36, 24])
    expect(Array.from(divideBudget(150, [64, 128, 128], [0.7, 0.2, 0.1]))).toEqual([64, 57, 28])
  })

  it("never exceeds the budget or a layer, and loses less than one weight a layer", () => {
    for (let trial = 0; trial < 200; trial++) {
      const k = key(trial, "division")
      const layers = 1 + integer(k, 12, 0)
      const sizes = Array.from({ length: layers }, (_, l) => 1 + integer(k, 10_000, 10 + l))
      const scores = Array.from(uniformValues(`scores${trial}`, layers), (x) => x ** 4)
      const total = sizes.reduce((a, b) => a + b, 0)
      const budget = integer(k, total + 1, 1)
      const shares = divideBudget(budget, sizes, scores)
      const sum = shares.reduce((a, b) => a + b, 0)
      expect(sum).toBeLessThanOrEqual(budget)
      expect(budget - sum).toBeLessThan(layers)
      shares.forEach((v, l) => {
        expect(Number.isInteger(v)).toBe(true)
        expect(v).toBeLessThanOrEqual(sizes[l]!)
      })
    }
  })

  it("does not depend on the scale of the loss, whose square scales the scores", () => {
    const scores = [3, 1, 0.5, 7]
    const sizes = [1000, 1000, 2000, 2000]
    const scaled = scores.map((s) => s * 0.37 ** 2)
    expect(divideBudget(3000, sizes, scaled)).toEqual(divideBudget(3000, sizes, scores))
  })

  it("is robust: no scores at all, no room with a score, scores that are no numbers, sums beyond 2²⁴", () => {
    expect(Array.from(divideBudget(30, [20, 20, 20], [0, 0, 0]))).toEqual([10, 10, 10])
    expect(Array.from(divideBudget(30, [20, 20], [1, 0]))).toEqual([20, 0])
    expect(Array.from(divideBudget(30, [20, 20], [1, Number.NaN]))).toEqual([20, 0])
    expect(Array.from(normalisedScores([Number.POSITIVE_INFINITY, 0]))).toEqual([0.5, 0.5])
    const large = divideBudget(100_000_000, [60_000_000, 80_000_000], [0.3, 0.7])
    expect(large[0]! + large[1]!).toBeGreaterThan(100_000_000 - 2)
    expect(() => divideBudget(1, [1, 2], [1])).toThrow(RangeError)
  })
})

describe("importance", () => {
  it("of a constant |p·g| = c is c(1 − .85ᵗ), with first uncertainty .15·.85·c", () => {
    const c = 0.4
    let state = { importance: tf.zeros([3]) as tf.Tensor, uncertainty: tf.zeros([3]) as tf.Tensor }
    for (let t = 1; t <= 6; t++) {
      state = importanceStep(state, tf.fill([3], 2), tf.fill([3], -c / 2)) as typeof state
      expect(state.importance.dataSync()[0]).toBeCloseTo(c * (1 - 0.85 ** t), 6)
      if (t === 1) expect(state.uncertainty.dataSync()[0]).toBeCloseTo(0.15 * 0.85 * c, 6)
    }
  })

  it("scales with the square of the loss, so shares stay", () => {
    const scoreOf = (scale: number) => {
      let state = { importance: tf.zeros([50]) as tf.Tensor, uncertainty: tf.zeros([50]) as tf.Tensor }
      for (let t = 0; t < 5; t++)
        state = importanceStep(
          state,
          normalTensor("p", [50]),
          tf.mul(normalTensor(`g${t}`, [50]), scale),
        ) as typeof state
      return layerScore([{ importance: state.importance.dataSync(), uncertainty: state.uncertainty.dataSync() }])
    }
    expect(scoreOf(3) / scoreOf(1)).toBeCloseTo(9, 3)
  })

  it("takes NaN as 0, and |p| for the magnitude measure", () => {
    const zero = { importance: tf.zeros([2]), uncertainty: tf.zeros([2]) }
    const after = importanceStep(zero, tf.tensor1d([1, 2]), tf.tensor1d([Number.NaN, 1]))
    expect(Array.from(after.importance.dataSync())).toEqual([0, expect.closeTo(0.3, 6)])
    const magnitude = importanceStep(zero, tf.tensor1d([-4, 2]), tf.tensor1d([0, 0]), "magnitude")
    expect(magnitude.importance.dataSync()[0]).toBeCloseTo(0.6, 6)
  })
})

describe("layers that compete", () => {
  const maps = [
    { name: "one", inputs: 8, outputs: 8 },
    { name: "two", inputs: 8, outputs: 16 },
  ]
  const tuner = {
    _tag: "Snella",
    rank: 2,
    sparsity: 0.5,
    initialSparsity: 0,
    warmupEpochs: 0,
    finalEpochs: 0,
    interval: 1,
    kernel: "mixture",
    allocation: "competition",
    importance: "sensitivity",
    recompute: true,
  } as const
  const averages = (one: number, two: number) => {
    const tensor = (value: number) => ({ data: new Float32Array(4).fill(value), shape: [4], dtype: "float32" as const })
    return Object.fromEntries(
      [
        ["one", one],
        ["two", two],
      ].flatMap(([name, value]) =>
        ["a", "b"].flatMap((role) =>
          ["importance", "uncertainty"].map((kind) => [`${kind}.update.${name}.${role}`, tensor(value as number)]),
        ),
      ),
    )
  }

  it("start at the initial sparsity, then share the budget by score; a layer without score is off", () => {
    const competition = new LayerCompetition(tuner, maps, 10)
    expect(competition.needsScores(0)).toBe(false)
    competition.renew(0, undefined)
    expect(competition.sparsities).toEqual([0, 0])
    competition.renew(5, averages(1, 0))
    expect(competition.sparsities[1]).toBe(1)
    expect(competition.shares()).toEqual([1, 0])
    expect(survivors(competition.sparsities[1]!, 128)).toBe(0)
  })

  it("keep what they were granted, and go on from a checkpoint", () => {
    const competition = new LayerCompetition(tuner, maps, 10)
    competition.renew(9, averages(1, 2))
    const { budget } = budgetAt({ epochs: 10, initialSparsity: 0, sparsity: 0.5 }, 9, 192)
    const kept = maps.map((m, l) => survivors(competition.sparsities[l]!, m.inputs * m.outputs))
    expect(kept.reduce((a, b) => a + b, 0)).toBeGreaterThan(budget - 2)
    const other = new LayerCompetition(tuner, maps, 10)
    other.restore(JSON.parse(JSON.stringify(competition.sparsities)) as number[])
    expect(other.positions()).toEqual(competition.positions())
  })

  it("with a uniform allocation all have the sparsity of the budget", () => {
    const competition = new LayerCompetition({ ...tuner, allocation: "uniform" }, maps, 10)
    competition.renew(9, undefined)
    const { budget } = budgetAt({ epochs: 10, initialSparsity: 0, sparsity: 0.5 }, 9, 192)
    expect(competition.sparsities).toEqual([sparsityOf(budget, 192), sparsityOf(budget, 192)])
  })
})
