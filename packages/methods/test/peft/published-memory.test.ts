import { namedVit, tinyVit } from "@exp/nn"
import { describe, expect, it } from "vitest"
import { paperMemory, tunedCost, tunedStateShapes, visionBatchShapes } from "../../src/peft/published-memory.ts"
import type { Tuner } from "../../src/peft/tuners.ts"
import { visionBatchExample, visionStateExample } from "../../src/peft/vision-step.ts"

const snell = (recompute: boolean): Tuner => ({ _tag: "Snell", rank: 8, sparsity: 0.5, mode: "gated", recompute })
const lora: Tuner = { _tag: "Lora", rank: 8, recompute: true }
const mask: Tuner = { _tag: "GradientMask", sparsity: 0.78, storage: "dense" }
const snella: Tuner = {
  _tag: "Snella",
  rank: 8,
  sparsity: 0.5,
  initialSparsity: 0,
  warmupEpochs: 0,
  finalEpochs: 0,
  interval: 1,
  kernel: "mixture",
  allocation: "competition",
  importance: "sensitivity",
  recompute: true,
}

describe("memory from shapes alone", () => {
  const tuners: readonly Tuner[] = [
    { _tag: "FullFineTune" },
    { _tag: "LinearProbe" },
    { _tag: "BitFit" },
    { _tag: "Adapter", width: 55 },
    lora,
    mask,
    snell(true),
    snella,
  ]
  it.each(tuners)("has the shapes that training has: $_tag", (tuner) => {
    const config = tinyVit(10)
    const described = (tree: Readonly<Record<string, { shape: readonly number[]; dtype: string }>>) =>
      Object.fromEntries(Object.entries(tree).map(([name, { shape, dtype }]) => [name, `${dtype} ${shape.join("×")}`]))
    expect(described(tunedStateShapes(tuner, config))).toEqual(described(visionStateExample(tuner, config, 0)))
    expect(described(visionBatchShapes(tuner, config, 3))).toEqual(described(visionBatchExample(tuner, config, 3)))
  })

  it("accounts for ViT-H without allocating it", () => {
    const before = process.memoryUsage()
    const config = namedVit("huge", 100)
    const cost = tunedCost(lora, config, 8)
    // 632 million frozen weights of four bytes.
    expect(cost.stateBytes).toBeGreaterThan(4 * 630e6)
    const after = process.memoryUsage()
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(50e6)
  })

  it("shows what recomputation saves and what a dense mask costs, as the paper does", () => {
    const config = namedVit("base", 100)
    const total = (tuner: Tuner) => {
      const cost = tunedCost(tuner, config, 8)
      return cost.stateBytes + cost.inputBytes + cost.peakInPlaceBytes
    }
    const [l, kept, recomputed, masked] = [lora, snell(false), snell(true), mask].map(total) as [
      number,
      number,
      number,
      number,
    ]
    expect(recomputed).toBeLessThan(kept)
    expect(recomputed).toBeLessThan(1.12 * l)
    expect(recomputed).toBeLessThan(masked)
    expect(paperMemory["SNELL-8"].base / paperMemory["LoRA-8"].base).toBeLessThan(1.09)
  })
})
