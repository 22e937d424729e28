import { fillNormal, key } from "@exp/random"
import { openDevice } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { Matrix } from "ml-matrix"
import { beforeAll, describe, expect, it } from "vitest"
import {
  type BlockMaskOptions,
  blockSize,
  checkBlockMasks,
  drawBlockMasks,
  ImpossibleBlockMasks,
  officialBlockMasks,
} from "../../src/jepa/block-masks.ts"
import { columnNorms, groupLasso, proximalStep } from "../../src/jepa/group-lasso.ts"
import { jepaLearningRate, jepaWeightDecay, targetMomentum } from "../../src/jepa/jepa-schedules.ts"
import { covariance, effectiveRank, multiInformation, regularised } from "../../src/jepa/multi-information.ts"
import { sincosPositions } from "../../src/jepa/sincos-positions.ts"

beforeAll(async () => {
  await openDevice("js")
  await tf.setBackend("cpu")
})

describe("block masks", () => {
  const { targetScale, targetAspect, contextScale } = officialBlockMasks
  it("have the sizes of the reference at u = 0", () => {
    expect(blockSize({ height: 14, width: 14 }, 0, targetScale, targetAspect)).toEqual({ height: 5, width: 6 })
    expect(blockSize({ height: 14, width: 14 }, 0, contextScale, [1, 1])).toEqual({ height: 13, width: 13 })
    expect(blockSize({ height: 7, width: 7 }, 0, targetScale, targetAspect)).toEqual({ height: 2, width: 3 })
  })
  const small: BlockMaskOptions = { ...officialBlockMasks, minKeep: 4 }
  it("are disjoint, complete and large enough, for every image and step", () => {
    const grid = { height: 7, width: 7 }
    for (let step = 0; step < 50; step++) {
      const masks = drawBlockMasks(grid, 6, key(1, "masks"), step, small)
      expect(masks.contextTokens).toBeGreaterThan(small.minKeep)
      for (let image = 0; image < 6; image++) {
        const context = masks.context.slice(image * masks.contextTokens, (image + 1) * masks.contextTokens)
        expect([...context]).toEqual([...new Set(context)].sort((a, b) => a - b))
        for (let m = 0; m < small.targets; m++) {
          const at = (m * 6 + image) * masks.targetTokens
          const block = masks.target.slice(at, at + masks.targetTokens)
          expect(new Set(block).size).toBe(masks.targetTokens)
          expect(block.every((token) => token >= 0 && token < 49)).toBe(true)
          expect([...context].filter((token) => block.includes(token))).toEqual([])
        }
      }
    }
  })
  it("depend on the key, the step and the image alone", () => {
    const grid = { height: 8, width: 8 }
    const a = drawBlockMasks(grid, 4, key(2), 7, small)
    const b = drawBlockMasks(grid, 2, key(2), 7, small)
    const n = a.targetTokens
    expect([...b.target.slice(0, 2 * n)]).toEqual([...a.target.slice(0, 2 * n)])
    expect([...drawBlockMasks(grid, 4, key(2), 8, small).target]).not.toEqual([...a.target])
  })
  it("are refused when a target block can be too small, before anything loops", () => {
    expect(() => checkBlockMasks({ height: 7, width: 7 }, { ...small, minKeep: 6 })).toThrow(ImpossibleBlockMasks)
    expect(() => checkBlockMasks({ height: 7, width: 7 }, { ...small, minKeep: 6 })).toThrow(/minKeep below 6/)
    checkBlockMasks({ height: 7, width: 7 }, small)
  })
})

describe("positions", () => {
  it("encode the column in the first half and the row in the second", () => {
    const t = sincosPositions(3, 5, 8)
    const at = (row: number, column: number) => [...t.slice((row * 5 + column) * 8, (row * 5 + column) * 8 + 8)]
    expect(at(0, 0)).toEqual([0, 0, 1, 1, 0, 0, 1, 1])
    expect(at(1, 2).slice(0, 4)).toEqual(at(2, 2).slice(0, 4))
    expect(at(1, 2).slice(4)).toEqual(at(1, 4).slice(4))
    expect(at(2, 3)[0]).toBeCloseTo(Math.sin(3), 6)
    expect(at(2, 3)[5]).toBeCloseTo(Math.sin(2 * 0.01), 6)
    expect(() => sincosPositions(2, 2, 6)).toThrow(RangeError)
  })
})

describe("schedules", () => {
  const lr = { start: 2e-4, reference: 1e-3, final: 1e-6, warmup: 40, total: 300 }
  it("meet their fixed points", () => {
    expect(jepaLearningRate(40, lr)).toBeCloseTo(1e-3, 12)
    expect(jepaLearningRate(300, lr)).toBeCloseTo(1e-6, 12)
    expect(jepaWeightDecay(300, 300)).toBeCloseTo(0.4, 12)
    expect(targetMomentum(0, 100)).toBe(0.996)
    expect(targetMomentum(50, 100)).toBeCloseTo(0.998, 12)
  })
})

describe("group lasso", () => {
  const weights = () => tf.tensor3d(fillNormal(key(4, "w"), new Float32Array(2 * 3 * 5)), [2, 3, 5])
  it("shrinks every column by t, keeps its direction, and makes short columns exactly zero", async () => {
    const w = weights()
    const before = await columnNorms(w).data()
    const t = 1.2
    const next = proximalStep(w, tf.scalar(t))
    const after = await columnNorms(next).data()
    for (let i = 0; i < before.length; i++) expect(after[i]!).toBeCloseTo(Math.max(before[i]! - t, 0), 5)
    expect([...after].some((x) => x === 0)).toBe(true)
    const [a, b] = [await w.data(), await next.data()]
    for (let g = 0; g < 2; g++) {
      for (let j = 0; j < 5; j++) {
        const ratio = after[g * 5 + j]! / before[g * 5 + j]!
        for (let r = 0; r < 3; r++) expect(b[g * 15 + r * 5 + j]!).toBeCloseTo(a[g * 15 + r * 5 + j]! * ratio, 5)
      }
    }
    const shrink = [...before].reduce((sum, c) => sum + Math.min(c, t), 0)
    expect(groupLasso(w).dataSync()[0]! - groupLasso(next).dataSync()[0]!).toBeCloseTo(shrink, 4)
  })
  it("is the identity at t = 0, and leaves zero columns zero without NaN", async () => {
    const w = weights()
    const same = await proximalStep(w, tf.scalar(0)).data()
    for (const [i, x] of (await w.data()).entries()) expect(same[i]!).toBeCloseTo(x, 6)
    expect([...(await proximalStep(tf.zeros([1, 2, 2]), tf.scalar(0.1)).data())]).toEqual([0, 0, 0, 0])
  })
  it("has the gradient of its definition away from zero", async () => {
    const w = weights()
    const gradient = await tf
      .grad((x) => groupLasso(x as tf.Tensor3D))(w)
      .data()
    const values = Float64Array.from(await w.data())
    const value = (v: Float64Array) => {
      let sum = 0
      for (let g = 0; g < 2; g++) {
        for (let j = 0; j < 5; j++) sum += Math.hypot(...[0, 1, 2].map((r) => v[g * 15 + r * 5 + j]!))
      }
      return sum
    }
    for (let i = 0; i < values.length; i++) {
      const h = 1e-5
      const [up, down] = [values.slice(), values.slice()]
      up[i]! += h
      down[i]! -= h
      expect(gradient[i]!).toBeCloseTo((value(up) - value(down)) / (2 * h), 4)
    }
  })
})

describe("multi-information", () => {
  const n = 6
  const mix = new Matrix(n, n)
  for (let i = 0; i < n; i++) {
    mix.setRow(i, [...fillNormal(key(5, "mix", i), new Float64Array(n))])
  }
  const s = mix.mmul(mix.transpose()).add(Matrix.eye(n).mul(0.5))
  it("is zero for independent variables", () => {
    expect(multiInformation(Matrix.diag([1, 2, 3]), [[0], [1, 2]]).total).toBeCloseTo(0, 12)
  })
  it("splits exactly into what is between the groups and what is within them", () => {
    for (const groups of [
      [
        [0, 1],
        [2, 3],
        [4, 5],
      ],
      [
        [0, 2, 4, 5],
        [1, 3],
      ],
      [[0, 1, 2, 3, 4, 5]],
    ]) {
      const t = multiInformation(s, groups)
      expect(t.total).toBeCloseTo(t.groups + t.within.reduce((a, b) => a + b, 0), 8)
      expect(t.groups).toBeLessThanOrEqual(t.total + 1e-12)
    }
    expect(multiInformation(s, [[0, 1, 2, 3, 4, 5]]).groups).toBeCloseTo(0, 10)
    const singles = multiInformation(s, [[0], [1], [2], [3], [4], [5]])
    expect(singles.groups).toBeCloseTo(singles.total, 10)
  })
  it("refuses lists that are no partition", () => {
    expect(() =>
      multiInformation(s, [
        [0, 1],
        [1, 2, 3, 4, 5],
      ]),
    ).toThrow(/exactly once/)
  })
  it("is estimated from samples", () => {
    const data = fillNormal(key(6, "data"), new Float64Array(5000 * 2))
    for (let i = 0; i < 5000; i++) data[2 * i + 1] = 0.8 * data[2 * i]! + 0.6 * data[2 * i + 1]!
    const t = multiInformation(regularised(covariance(data, 5000, 2)), [[0], [1]])
    expect(t.total).toBeCloseTo(-0.5 * Math.log(1 - 0.64), 1)
  })
  it("effective rank counts equal directions", () => {
    expect(effectiveRank([1, 1, 1, 0])).toBeCloseTo(3, 12)
  })
})
