import { openDevice } from "@exp/tensor"
import * as Schema from "effect/Schema"
import { describe, expect, it } from "vitest"
import { KernelFit, KernelFitConfig } from "../src/peft/kernel-fit.ts"
import { leastErrorOfRank, median, numericalRank } from "../src/peft/matrix-rank.ts"
import {
  networkOutputs,
  networkWeights,
  SparseTeacher4,
  SparseTeacher4Config,
  teacherChanges,
  twoMapStudy,
} from "../src/peft/sparse-teacher.ts"
import { type Lora, Snella } from "../src/peft/tuners.ts"
import { recordedTrial } from "./trial-context.ts"

const nativeDevice = async () => (await openDevice("auto")).name

describe("kernel-fit", () => {
  const fit = async (config: typeof KernelFitConfig.Encoded) => {
    const trial = recordedTrial(KernelFit.metrics, { seed: 0, device: await nativeDevice() })
    await KernelFit.run(Schema.decodeUnknownSync(KernelFitConfig)(config), trial)
    return trial
  }

  it("a linear merge never beats the best matrix of its rank, a piecewise one does, at nearly full rank", async () => {
    const linear = await fit({ kernel: "linear", target: "dense" })
    expect(linear.last("fit/excess")).toBeGreaterThanOrEqual(0)
    expect(linear.last("fit/rank")).toBeLessThanOrEqual(8)
    const piecewise = await fit({ kernel: "piecewise", target: "dense" })
    expect(piecewise.last("fit/excess")).toBeLessThan(0)
    expect(piecewise.last("fit/rank")).toBeGreaterThan(60)
    expect(piecewise.last("fit/svd8")).toBe(linear.last("fit/svd8"))
  })

  it("gives the same numbers again", async () => {
    const once = await fit({ kernel: "mixture", target: "sparse", steps: 50, size: 16, rank: 4 })
    const again = await fit({ kernel: "mixture", target: "sparse", steps: 50, size: 16, rank: 4 })
    expect(again.last("fit/mse")).toBe(once.last("fit/mse"))
  })

  it("refuses an odd rank and a misspelled field", () => {
    const decode = Schema.decodeUnknownSync(KernelFitConfig)
    const strict = { onExcessProperty: "error" } as const
    expect(() => decode({ kernel: "linear", target: "dense", rank: 7 }, strict)).toThrow(/multiple of 2/)
    expect(() => decode({ kernel: "linear", target: "dense", stesp: 7 }, strict)).toThrow(/stesp/)
  })
})

describe("sparse teachers", () => {
  it("differ from the student's network in a twentieth of the entries of the two maps", () => {
    const changes = teacherChanges(twoMapStudy.network, twoMapStudy.changes, 1)
    for (const { data } of Object.values(changes)) {
      const share = data.filter((x) => x !== 0).length / data.length
      expect(Math.abs(share - 0.05)).toBeLessThan(0.01)
    }
    const weights = networkWeights(twoMapStudy.network, 1)
    expect(Object.keys(weights)).toEqual(["map0.weight", "map1.weight", "head.weight"])
    expect(networkOutputs(twoMapStudy.network, weights, new Float32Array(96)).every((y) => y === 0)).toBe(true)
  })

  it("SNELLA finds the two maps that matter and turns the others off", async () => {
    const run = async (tuner: ReturnType<typeof Snella> | ReturnType<typeof Lora>) => {
      const trial = recordedTrial(SparseTeacher4.metrics, { seed: 0, device: await nativeDevice() })
      await SparseTeacher4.run(Schema.decodeUnknownSync(SparseTeacher4Config)({ tuner, learningRate: 5e-2 }), trial)
      return trial
    }
    const trial = await run(Snella({ rank: 8, sparsity: 0.97 }))
    expect(trial.last("layer/relevant_share")).toBeGreaterThanOrEqual(0.95)
    expect(trial.last("layers_off")).toBe(2)
    expect(trial.last("mse/rel")).toBeLessThan(0.5)
    expect(trial.metrics.get("layer/sparsity/0")!.length).toBe(60)
  })
})

describe("summaries", () => {
  it("rank, least error and median of known values", () => {
    const diagonal = [3, 0, 0, 0, 2, 0, 0, 0, 0]
    expect(numericalRank(diagonal, 3, 3)).toBe(2)
    expect(leastErrorOfRank(diagonal, 3, 3, 1)).toBeCloseTo(4 / 9, 12)
    expect(leastErrorOfRank(diagonal, 3, 3, 2)).toBeCloseTo(0, 12)
    expect(median([5, 1, 4, 2])).toBe(2)
  })
})
