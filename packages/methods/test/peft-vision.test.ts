import { countParameters, initVit, pick, underPrefix, vit } from "@exp/nn"
import { fillUniform, key } from "@exp/random"
import { type Device, type HostTensor, type HostTensors, openDevice } from "@exp/tensor"
import type * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { beforeAll, describe, expect, it } from "vitest"
import { locateMask, maskedEntries } from "../src/peft/gradient-mask.ts"
import { maskTensors } from "../src/peft/mask-location.ts"
import { analyticLedger, kernelMatrixBytes, measuredStep, tracedPeak, tunerLedger } from "../src/peft/memory.ts"
import { initialState, tunedDecay, tunedStep, tunerHooks } from "../src/peft/tuned-step.ts"
import { mergedWeights, trainTuned, updatesOf } from "../src/peft/tuned-training.ts"
import {
  Adapter,
  BitFit,
  FullFineTune,
  GradientMask,
  KernelLora,
  KernelLoraMix,
  LinearProbe,
  Lora,
  Snell,
  Snella,
  SparsifiedLora,
  Tuner,
  type TunerInput,
} from "../src/peft/tuners.ts"
import { newHead, testBedModel, tunedMaps, tunedTensors, visionModel } from "../src/peft/vision-model.ts"
import { largestDifference, uploaded, useReferenceBackend } from "./peft-device.ts"

const decode = (input: TunerInput): Tuner => Schema.decodeUnknownSync(Tuner)(input)
const config = testBedModel(10, 4)
const maps = tunedMaps(config)
const backbone = pick(initVit(config, key(3)), (name) => !name.startsWith("head."))
const head = newHead(config, 0)
const headSize = 650

const inputs: Readonly<Record<string, TunerInput>> = {
  full: FullFineTune(),
  linear: LinearProbe(),
  bitfit: BitFit(),
  lora: Lora({ rank: 8 }),
  adapter: Adapter({ width: 55 }),
  mask: GradientMask({ sparsity: 0.78 }),
  compressed: GradientMask({ sparsity: 0.78, storage: "compressed" }),
  klora: KernelLora({ rank: 8 }),
  mixk: KernelLoraMix({ rank: 8 }),
  snell: Snell({ rank: 8, sparsity: 0.5 }),
  slora: SparsifiedLora({ rank: 8, sparsity: 0.9 }),
  snella: Snella({ rank: 8, sparsity: 0.5 }),
}

/** Trained and frozen tensors, with a mask located by arbitrary scores where the tuner has one. */
function tensorsOf(tuner: Tuner, model = config, weights = backbone) {
  const tensors = tunedTensors(tuner, model, weights, newHead(model, 0), 0)
  if (tuner._tag !== "GradientMask") return tensors
  const scores = Object.fromEntries(
    tunedMaps(model).map(({ name, inputs, outputs }) => [
      name,
      fillUniform(key(5, name), new Float32Array(inputs * outputs)),
    ]),
  )
  const mask = maskTensors(tuner.storage, tunedMaps(model), locateMask(scores, tuner.sparsity))
  return { params: { ...tensors.params, ...mask.params }, frozen: { ...tensors.frozen, ...mask.frozen } }
}

beforeAll(useReferenceBackend)

describe("trainable tensors", () => {
  it.each([
    ["full", 138_368],
    ["linear", 0],
    ["bitfit", 2432 + 64],
    ["lora", 28_672 + 64],
    ["adapter", 28_636 + 64],
    ["mask", 131_072 + 64],
    ["compressed", maskedEntries(0.78, 131_072) + 64],
    ["klora", 28_672 + 64],
    ["mixk", 28_672 + 72 + 64],
    ["snell", 28_672 + 64],
    ["slora", 28_672 + 64],
    ["snella", 28_672 + 72 + 64],
  ])("%s trains %i entries besides the head", (name, expected) => {
    const { params, frozen } = tensorsOf(decode(inputs[name]!))
    expect(countParameters(params) - headSize).toBe(expected)
    for (const trained of Object.keys(params)) expect(frozen).not.toHaveProperty([trained])
  })

  it("give every method the same head for a seed, and depth 8 twice the factors", () => {
    for (const input of Object.values(inputs))
      expect(tensorsOf(decode(input)).params["head.weight"]).toEqual(head["head.weight"])
    const deep = testBedModel(10, 8)
    const weights = pick(initVit(deep, key(3)), (name) => !name.startsWith("head."))
    expect(countParameters(tensorsOf(decode(inputs["lora"]!), deep, weights).params)).toBe(57_344 + 64 + headSize)
  })
})

describe("the start of training", () => {
  const images = fillUniform(key(1, "images"), new Float32Array(3 * 784))
  const logits = (weights: HostTensors, tuner?: Tuner) => {
    const all = uploaded(weights)
    const x = uploaded({ x: { data: images, shape: [3, 28, 28, 1], dtype: "float32" } })["x"] as tf.Tensor4D
    const positions = uploaded({ p: { data: new Int32Array(maps.length), shape: [maps.length], dtype: "int32" } })["p"]!
    return vit(all, x, config, tuner && tunerHooks(tuner, maps, all, positions)).dataSync()
  }
  const plain = () => logits({ ...backbone, ...head })

  it.each([
    ["lora", 0],
    ["adapter", 0],
    ["mask", 0],
    ["compressed", 0],
    ["snell", 1e-2],
    ["slora", 1e-2],
    ["snella", 1e-2],
    // 0.1 on a pre-trained model; this one is untrained, its own maps no larger than the kernels.
    ["klora", 0.15],
    ["mixk", 0.15],
  ])("%s reproduces the pre-trained logits within %f", (name, tolerance) => {
    const tuner = decode(inputs[name]!)
    const { params, frozen } = tensorsOf(tuner)
    const difference = largestDifference(logits({ ...params, ...frozen }, tuner), plain())
    expect(difference).toBeLessThanOrEqual(tolerance)
  })
})

// A model of one block keeps plain JavaScript quick.
const tiny = { ...testBedModel(4, 1), width: 16, heads: 2, mlpWidth: 24, patchSize: 14 }
const tinyMaps = tunedMaps(tiny)
const tinyBackbone = pick(initVit(tiny, key(3)), (name) => !name.startsWith("head."))
const tinyModel = visionModel(tiny)

function tinyBatch(step: number): HostTensors {
  const tensor = (data: HostTensor["data"], shape: number[], dtype: HostTensor["dtype"]) => ({ data, shape, dtype })
  return {
    images: tensor(fillUniform(key(2, "images", step % 3), new Float32Array(4 * 784)), [4, 28, 28, 1], "float32"),
    labels: tensor(Int32Array.from([0, 1, 2, 3]), [4], "int32"),
    weights: tensor(Float32Array.from([1, 1, 1, step % 3 === 2 ? 0 : 1]), [4], "float32"),
  }
}

async function trainTiny(
  device: Device,
  tuner: Tuner,
  options: { readonly sink?: Parameters<typeof trainTuned>[0]["sink"]; readonly dropout?: number } = {},
) {
  const { params, frozen } = tensorsOf(tuner, tiny, tinyBackbone)
  const initial = initialState(tuner, params, frozen)
  const losses: number[] = []
  const tuned = await trainTuned({
    device,
    step: tunedStep(tinyModel, tuner, {
      decay: tunedDecay(1e-4),
      dropout: options.dropout ?? 0,
      dropPath: options.dropout ?? 0,
    }),
    tuner,
    maps: tinyMaps,
    initial,
    seed: 0,
    epochs: 3,
    stepsPerEpoch: 3,
    batch: tinyBatch,
    learningRate: () => 0.004,
    onEpoch: ({ loss }) => {
      losses.push(loss)
    },
    ...(options.sink && { sink: options.sink }),
  })
  return { params, frozen, initial, tuned, losses }
}

describe("a few steps of training", () => {
  it.each(Object.keys(inputs))(
    "%s: frozen tensors stay as they are, bit for bit, trained ones move, and merging changes nothing",
    async (name) => {
      const tuner = decode(inputs[name]!)
      const device = await openDevice("js")
      const { params, frozen, tuned, losses } = await trainTiny(device, tuner)
      const state = tuned.state
      for (const [frozenName, { data }] of Object.entries(frozen))
        expect(state[`frozen.${frozenName}`]!.data).toEqual(data)
      const trained = underPrefix("params", state)
      const moved = Object.keys(params).filter((p) => largestDifference(params[p]!.data, trained[p]!.data) > 0)
      // The bias of a key shifts all scores of a query alike, so that its gradient is rounding noise at most.
      expect(Object.keys(params).filter((p) => !moved.includes(p) && !p.includes("key.bias"))).toEqual([])
      expect(losses.at(-1)).toBeLessThan(losses[0]!)

      const updates = await updatesOf(device, tinyMaps, tuner, state, tuned.competition)
      const all = uploaded({ ...trained, ...underPrefix("frozen", state) })
      const x = uploaded(tinyBatch(0))["images"] as tf.Tensor4D
      const positions = tuned.competition && uploaded({ p: tuned.competition.positions() })["p"]
      const branches = vit(all, x, tiny, tunerHooks(tuner, tinyMaps, all, positions)).dataSync()
      const merged = mergedWeights({ ...tinyBackbone, ...trained }, updates)
      const after = uploaded(merged)
      const shown: Tuner = tuner._tag === "Adapter" ? tuner : { _tag: "LinearProbe" }
      expect(largestDifference(vit(after, x, tiny, tunerHooks(shown, [], after)).dataSync(), branches)).toBeLessThan(
        1e-5,
      )

      // Optimiser bytes: two moments for every entry that had a gradient, a counter for every tensor.
      const touched = Object.keys(params).filter((p) => state[`optimiser.count.${p}`]!.data[0]! > 0)
      const held = touched.reduce((sum, p) => sum + 8 * params[p]!.data.length + 8, 0)
      const indices = Object.entries(frozen).filter(([n]) => n.startsWith("indices."))
      const extra = indices.reduce((sum, [, { data }]) => sum + 4 * data.length, 0)
      expect(tunerLedger(tuner, params, frozen)["mem/optimizer"]).toBe(held + extra)
    },
  )

  it.each(Object.keys(inputs))("%s: the quickest device here gives the losses of the reference", async (name) => {
    const tuner = decode(inputs[name]!)
    const reference = await trainTiny(await openDevice("js"), tuner, { dropout: 0.1 })
    const native = await trainTiny(await openDevice("auto"), tuner, { dropout: 0.1 })
    expect(largestDifference(native.losses, reference.losses)).toBeLessThan(1e-3)
  })

  it("a mask changes exactly ⌊(1−s)·N⌋ entries, the same ones in both storages, and s = 0 trains all", async () => {
    const device = await openDevice("js")
    const size = tinyMaps.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0)
    const changed = async (input: TunerInput) => {
      const tuner = decode(input)
      const { tuned } = await trainTiny(device, tuner)
      const updates = await updatesOf(device, tinyMaps, tuner, tuned.state)
      return tinyMaps.flatMap(({ name }) => Array.from(updates[name]!.data))
    }
    const dense = await changed(GradientMask({ sparsity: 0.78 }))
    const compressed = await changed(GradientMask({ sparsity: 0.78, storage: "compressed" }))
    expect(dense.filter((x) => x !== 0).length).toBe(maskedEntries(0.78, size))
    expect(largestDifference(dense, compressed)).toBeLessThan(1e-5)
    const all = await changed(GradientMask({ sparsity: 0 }))
    expect(all.filter((x) => x !== 0).length).toBeGreaterThan(0.999 * size)
  })

  it("recomputation changes no loss; dropout draws are equal in both passes", async () => {
    const device = await openDevice("js")
    for (const rate of [0, 0.3]) {
      const on = await trainTiny(device, decode(Snell({ rank: 4, sparsity: 0.5 })), { dropout: rate })
      const off = await trainTiny(device, decode(Snell({ rank: 4, sparsity: 0.5, recompute: false })), {
        dropout: rate,
      })
      expect(largestDifference(on.losses, off.losses)).toBeLessThan(1e-5)
    }
  })

  it("SNELLA resumes from a checkpoint bit for bit, its budget included", async () => {
    const device = await openDevice("js")
    const tuner = decode(Snella({ rank: 4, sparsity: 0.6 }))
    const whole = await trainTiny(device, tuner, { dropout: 0.1 })
    let saved: { step: number; state: Uint8Array } | undefined
    const stop = new AbortController()
    await expect(
      trainTiny(device, tuner, {
        dropout: 0.1,
        sink: {
          signal: stop.signal,
          progress: (done) => {
            if (done === 6) stop.abort()
          },
          checkpoint: {
            save: async (step, state) => {
              saved = { step, state }
            },
            restore: async () => undefined,
          },
        },
      }),
    ).rejects.toMatchObject({ _tag: "Interrupted", saved: true })
    const rest = await trainTiny(device, tuner, {
      dropout: 0.1,
      sink: { checkpoint: { save: async () => {}, restore: async () => saved } },
    })
    expect(rest.losses).toEqual(whole.losses.slice(2))
    expect(rest.tuned.state).toEqual(whole.tuned.state)
    expect(rest.tuned.competition!.sparsities).toEqual(whole.tuned.competition!.sparsities)
  })

  it("a layer that is off has factor gradients of exactly 0", async () => {
    const { valueAndGradients } = await import("@exp/tensor")
    const tuner = decode(Snella({ rank: 4, sparsity: 0.5 }))
    const { params, frozen } = tensorsOf(tuner, tiny, tinyBackbone)
    const batch = uploaded(tinyBatch(0))
    const last = Int32Array.from(tinyMaps, ({ inputs, outputs }, l) => (l === 0 ? inputs * outputs - 1 : 0))
    const positions = uploaded({ p: { data: last, shape: [last.length], dtype: "int32" } })["p"]!
    const all = uploaded(frozen)
    const randomness = { uniform: () => positions, normal: () => positions }
    const { gradients } = valueAndGradients((p) => {
      const weights = { ...all, ...p }
      return tinyModel.loss(weights, batch, randomness, tunerHooks(tuner, tinyMaps, weights, positions))
    }, uploaded(params))
    const of = (map: number, role: string) => Array.from(gradients[`update.${tinyMaps[map]!.name}.${role}`]!.dataSync())
    for (const role of ["a", "b"]) {
      expect(of(0, role).every((g) => g === 0)).toBe(true)
      expect(of(2, role).some((g) => g !== 0)).toBe(true)
    }
  })
})

describe("where the mask goes", () => {
  it("keeps the globally largest scores, ties by order, and exactly the count", () => {
    const located = locateMask({ one: [1, 5, 3, 3], two: [3, 9, 0, 3] }, 0.5)
    expect(Array.from(located["one"]!.indices)).toEqual([1, 2, 3])
    expect(Array.from(located["two"]!.indices)).toEqual([1])
    expect(Array.from(locateMask({ one: [1, 2] }, 1)["one"]!.indices)).toEqual([])
    expect(Array.from(locateMask({ one: [1, 2] }, 0)["one"]!.mask)).toEqual([1, 1])
  })
})

describe("the memory ledger", () => {
  const of = (name: string) => {
    const tuner = decode(inputs[name]!)
    const { params, frozen } = tensorsOf(tuner)
    return tunerLedger(tuner, params, frozen)
  }

  it("has the figures of the test bed at ten classes", () => {
    expect(of("full")["mem/state"] / 1e6).toBeCloseTo(1.67, 2)
    expect(of("mask")["mem/state"] / 1e6).toBeCloseTo(1.58 + 0.13, 2)
    expect(of("mask")["mem/masks"]).toBe(131_072)
    expect(of("mask")["mem/trainable"]).toBe(maskedEntries(0.78, 131_072) + 64 + headSize)
    for (const name of ["lora", "snell", "klora", "slora"]) expect(of(name)["mem/state"] / 1e6).toBeCloseTo(0.35, 2)
    expect(of("bitfit")["mem/state"] / 1e6).toBeCloseTo(0.04, 2)
  })

  it("charges SNELL what it charges LoRA, and less than a quarter of the dense mask", () => {
    expect(of("snell")["mem/state"]).toBe(of("lora")["mem/state"])
    const ratio = of("mask")["mem/state"] / of("snell")["mem/state"]
    expect(ratio).toBeGreaterThan(4)
    expect(ratio).toBeCloseTo(4.9, 0)
  })

  it("counts the published sizes: tunable matrices, factors of rank 32, and their order", () => {
    const expected = { base: [84.9, 5.3], large: [302, 14.2], huge: [629, 23.6] } as const
    for (const size of ["base", "large", "huge"] as const) {
      const { tunable, factors, factored, masked, full } = analyticLedger(size)
      expect(Math.abs(tunable / 1e6 / expected[size][0] - 1)).toBeLessThan(0.002)
      expect(Math.abs(factors / 1e6 / expected[size][1] - 1)).toBeLessThan(0.005)
      expect(factored).toBe(4 * tunable + 16 * factors)
      expect(factored).toBeLessThan(full)
      expect(full).toBeLessThan(masked)
    }
    expect(kernelMatrixBytes(maps) / 1e6).toBeCloseTo(2.6, 1)
  })

  it("measures what a step holds: recomputation saves the kernel's matrices, and a batch costs more than one image", async () => {
    const image = {
      ...tinyBatch(0),
      learning_rate: { data: Float32Array.of(0.01), shape: [], dtype: "float32" as const },
    }
    const measure = async (input: TunerInput) => {
      const tuner = decode(input)
      const { params, frozen } = tensorsOf(tuner, tiny, tinyBackbone)
      return measuredStep("cpu", tinyModel, tuner, initialState(tuner, params, frozen), image)
    }
    const on = await measure(Snell({ rank: 4, sparsity: 0.5 }))
    const off = await measure(Snell({ rank: 4, sparsity: 0.5, recompute: false }))
    const matrices = 4 * tinyMaps.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0)
    expect(off.savedActivations - on.savedActivations).toBeGreaterThan(2 * matrices)
    expect(on.peak).toBeGreaterThan(on.savedActivations)
    const traced = (input: TunerInput) => {
      const tuner = decode(input)
      const { params, frozen } = tensorsOf(tuner)
      const image = tinyBatch(0)
      const positions = { data: new Int32Array(maps.length), shape: [maps.length], dtype: "int32" as const }
      const learning_rate = { data: Float32Array.of(0.01), shape: [], dtype: "float32" as const }
      const batch = { ...image, learning_rate, ...(tuner._tag === "Snella" ? { positions } : {}) }
      return tracedPeak(visionModel(config), tuner, initialState(tuner, params, frozen), batch)
    }
    const [mask, snell, kept] = [
      traced(GradientMask({ sparsity: 0.78 })),
      traced(Snell({ rank: 8, sparsity: 0.5 })),
      traced(Snell({ rank: 8, sparsity: 0.5, recompute: false })),
    ]
    expect(snell).toBeLessThan(kept)
    expect(snell).toBeLessThan(mask)
    const linear = await measure(LinearProbe())
    expect(linear.savedActivations).toBeLessThanOrEqual(on.savedActivations)
  })
})
