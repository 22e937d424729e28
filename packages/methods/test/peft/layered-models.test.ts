import { initLanguageModel, initVit, languageModel, languageModelShapes, vit } from "@exp/nn"
import { fillUniform, integer, key } from "@exp/random"
import { type HostTensor, type HostTensors, traceCost } from "@exp/tensor"
import type * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { byteModel, layeredLanguageModel, stepWindows, windowBatch, windowCount } from "../../src/peft/byte-language.ts"
import { freeKeptPrograms } from "../../src/peft/kept-programs.ts"
import {
  AllLayers,
  FirstLayers,
  Ist,
  LastLayers,
  LayerChoice,
  type LayerChoiceInput,
} from "../../src/peft/layer-choice.ts"
import {
  AdapterModules,
  DoraModules,
  initModules,
  LayerModules,
  type LayerModulesInput,
  LoraModules,
  moduleShapes,
} from "../../src/peft/layer-modules.ts"
import { addressParts, languageLedger, llama7b } from "../../src/peft/layered-language.ts"
import { type LayeredModel, layeredStep } from "../../src/peft/layered-step.ts"
import { type LayeredTraining, layeredCost, layeredShapes, trainLayered } from "../../src/peft/layered-training.ts"
import { enlarged, inTurn, layeredVit } from "../../src/peft/layered-transfer.ts"
import { uploaded, useReferenceBackend } from "../peft-device.ts"

const modulesOf = (input: LayerModulesInput): LayerModules => Schema.decodeUnknownSync(LayerModules)(input)
const choiceOf = (input: LayerChoiceInput): LayerChoice => Schema.decodeUnknownSync(LayerChoice)(input)
const kinds = [
  LoraModules({ rank: 2 }),
  DoraModules({ rank: 2 }),
  AdapterModules({ width: 3 }),
  AdapterModules({ width: 3, placement: "parallel" }),
]

const lm = byteModel({ width: 16, depth: 4, mlpWidth: 24, context: 8 })
const language = layeredLanguageModel(lm)
const languageWeights = initLanguageModel(lm, key(1))
const text = Uint8Array.from({ length: 400 }, (_, i) => 97 + ((i * i + integer(key(2), 3, i)) % 7))
const languageBatch = (step: number): HostTensors =>
  windowBatch(text, lm.context, stepWindows(windowCount(text, lm.context), 4, step, 0), 4)

const vitConfig = {
  imageSize: 28,
  channels: 1,
  patchSize: 14,
  width: 16,
  depth: 4,
  heads: 2,
  mlpWidth: 24,
  classes: 3,
  epsilon: 1e-6,
}
const vision = layeredVit(vitConfig)
const visionWeights = initVit(vitConfig, key(3))
const visionBatch = (step: number): HostTensors => ({
  images: { data: fillUniform(key(4, step), new Float32Array(6 * 784)), shape: [6, 28, 28, 1], dtype: "float32" },
  labels: { data: Int32Array.from([0, 0, 0, 0, 1, 0]), shape: [6], dtype: "int32" },
  weights: { data: new Float32Array(6).fill(1), shape: [6], dtype: "float32" },
})

async function train(
  model: LayeredModel,
  weights: HostTensors,
  batch: (step: number) => HostTensors,
  modules: LayerModules,
  choice: LayerChoiceInput,
  more: Partial<LayeredTraining> = {},
) {
  const losses: number[] = []
  const result = await trainLayered({
    device: "auto",
    structure: `test ${model === vision ? "vision" : "language"}`,
    model,
    modules,
    choice: choiceOf(choice),
    options: { weightDecay: 0, dropout: 0.1 },
    params: initModules(modules, model, weights, key(5)),
    frozen: weights,
    seed: 0,
    steps: 7,
    batch: () => batch(0),
    learningRate: () => 0.03,
    roundBatch: batch,
    ...more,
    sink: {
      log: (_, values) => {
        if (values["train/loss"] !== undefined) losses.push(values["train/loss"])
      },
    },
  })
  result.release()
  return { ...result, losses }
}

beforeAll(useReferenceBackend)
afterAll(freeKeptPrograms)

describe("modules in real models", () => {
  const models = [
    ["vision", vision, visionWeights, visionBatch],
    ["language", language, languageWeights, languageBatch],
  ] as const

  it.each(models.flatMap((m) => kinds.map((kind) => [m[0], JSON.stringify(kind), m, kind] as const)))(
    "%s with %s: shapes without making, nothing changed at the start, and IST learns with dropout",
    async (name, _, [, model, weights, batch], kind) => {
      const modules = modulesOf(kind)
      const params = initModules(modules, model, weights, key(5))
      expect(moduleShapes(modules, model)).toEqual(
        Object.fromEntries(Object.entries(params).map(([at, { shape, dtype }]) => [at, { shape, dtype }])),
      )
      const result = await train(model, weights, batch, modules, Ist({ interval: 2 }), { steps: 8 })
      expect(result.losses.at(-1)!).toBeLessThan(result.losses[0]!)
      expect(result.ledger["graph/variants"]).toBeLessThanOrEqual(4)
      const before = await result.evaluateAtStart([batch(0)])
      const given = uploaded(batch(0))
      const all = uploaded(weights)
      const scores =
        name === "vision"
          ? vit(all, given["images"] as tf.Tensor4D, vitConfig)
          : languageModel(all, given["tokens"] as tf.Tensor2D, lm)
      const logits = Array.from(scores.dataSync())
      const labels = batch(0)["labels"]!.data
      const classes = logits.length / labels.length
      let loss = 0
      for (let row = 0; row < labels.length; row++) {
        const line = logits.slice(row * classes, (row + 1) * classes)
        loss += Math.log(line.reduce((sum, x) => sum + Math.exp(x), 0)) - line[labels[row]!]!
      }
      expect(before.loss).toBeCloseTo(loss / labels.length, 4)
    },
  )

  it("the last blocks need no backward pass through the first ones, in FLOPs and in what is saved", async () => {
    const modules = modulesOf(LoraModules({ rank: 2 }))
    for (const [, model, weights, batch] of models) {
      const run = async (choice: LayerChoiceInput) =>
        (await train(model, weights, batch, modules, choice, { steps: 1 })).ledger
      const [first, last, dense] = [await run(FirstLayers()), await run(LastLayers()), await run(AllLayers())]
      expect(last["flops/step"]! - last["flops/forward"]!).toBeLessThan(
        0.55 * (first["flops/step"]! - first["flops/forward"]!),
      )
      expect(last["mem/saved_activations"]!).toBeLessThan(0.5 * first["mem/saved_activations"]!)
      expect(first["mem/saved_activations"]!).toBeLessThan(dense["mem/saved_activations"]!)
      expect(last["mem/peak"]!).toBeLessThan(first["mem/peak"]!)
      expect(dense["flops/step"]).toBe(dense["flops/step_dense"])
    }
  })

  it("a ledger can be that of a larger model of as many layers", async () => {
    const modules = modulesOf(LoraModules({ rank: 2 }))
    const wide = { ...lm, width: 32, mlpWidth: 48 }
    const ledger = languageLedger(wide, modules, 4)
    const result = await train(language, languageWeights, languageBatch, modules, LastLayers(), { ledger, steps: 2 })
    const { flops, peak, inputs } = layeredCost(
      layeredStep(ledger.model, modules, { weightDecay: 0, dropout: 0.1 }),
      layeredShapes(ledger.params, ledger.frozen),
      ledger.batch,
      [3],
      4,
    )
    expect(result.ledger["flops/step"]).toBe(flops)
    expect(result.ledger["mem/peak"]).toBe(
      result.ledger["mem/weights"]! + result.ledger["mem/optimizer"]! + inputs + peak,
    )
    expect(result.ledger["mem/grads"]).toBe(4 * 2 * (3 * (32 + 32) + 2 * (32 + 48)))
  })

  it("LLaMA-7B's sizes are those of LLaMA-7B, and are traced without being made", () => {
    const count = Object.values(languageModelShapes(llama7b)).reduce((n, shape) => n + shape.reduce((a, b) => a * b), 0)
    expect(count / 1e9).toBeCloseTo(6.738, 2)
    const modules = modulesOf(LoraModules({ rank: 32, scaling: 2 }))
    // One block stands for all in a test.
    const { model, params, frozen, batch } = languageLedger({ ...llama7b, depth: 1 }, modules, 16)
    const step = layeredStep(model, modules, { weightDecay: 0, dropout: 0.05 })
    const { flops } = traceCost(step, {
      state: layeredShapes(params, frozen),
      batch: { ...batch, suppression: { shape: [1], dtype: "float32" } },
    })
    const block = 4 * 4096 ** 2 + 2 * 4096 * 16_512
    expect(flops / (2 * 16 * 256 * (block + 4096 * 32_000))).toBeGreaterThan(1)
    expect(flops / (2 * 16 * 256 * (block + 4096 * 32_000))).toBeLessThan(1.1)
  })
})

describe("windows of a text", () => {
  const line = Uint8Array.from("abcdefghijk", (c) => c.charCodeAt(0))
  const words = (tensor: HostTensor) => String.fromCharCode(...Array.from(tensor.data).map((c) => c || 46))
  it("predict the next byte, and are padded with weight 0", () => {
    expect(windowCount(line, 4)).toBe(2)
    const batch = windowBatch(line, 4, [1, 0], 3)
    expect(words(batch["tokens"]!)).toBe("efghabcd....")
    expect(words(batch["labels"]!)).toBe("fghibcde....")
    expect([...batch["weights"]!.data]).toEqual([1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0])
  })
  it("come once in a pass, in another order in each", () => {
    const pass = (from: number) => [0, 1, 2].flatMap((i) => [...stepWindows(6, 2, from + i, 0)])
    expect(pass(0).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5])
    expect(pass(3)).not.toEqual(pass(0))
  })
  it("of the addresses do not overlap between the parts", () => {
    const bytes = Uint8Array.from({ length: 100 }, (_, i) => i)
    const dataset = {
      name: "x",
      bytes,
      hash: "",
      text: () => "",
      sections: [
        { title: "1980 A", start: 0, end: 40 },
        { title: "1981 B", start: 40, end: 100 },
      ],
    }
    const parts = addressParts(dataset, 30, 15)
    expect([parts.train[0], parts.train.length]).toEqual([40, 30])
    expect([parts.validation[0], parts.test[0], parts.test.at(-1)]).toEqual([70, 85, 99])
    expect(() => addressParts(dataset, 31, 15)).toThrow(/60 bytes/)
  })
})

describe("images", () => {
  it("are enlarged by whole factors, all channels alike", () => {
    const images = { data: Float32Array.from([1, 2, 3, 4]), shape: [1, 2, 2, 1], dtype: "float32" as const }
    const { images: large } = enlarged({ images }, 4, 3)
    expect(large!.shape).toEqual([1, 4, 4, 3])
    const red = Array.from(large!.data).filter((_, i) => i % 3 === 0)
    expect(red).toEqual([1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
    expect(Array.from(large!.data).filter((_, i) => i % 3 === 2)).toEqual(red)
    expect(enlarged({ images }, 2, 1)["images"]).toBe(images)
  })
  it("are looked at in batches of one size", () => {
    expect(inTurn(5, 2).map(({ indices }) => [...indices])).toEqual([[0, 1], [2, 3], [4]])
  })
})
