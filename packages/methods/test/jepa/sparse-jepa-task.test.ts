import type { ImageDataset } from "@exp/data"
import { fillNormal, key, uniform } from "@exp/random"
import { plan, SpecError } from "@exp/spec"
import { type Device, openDevice } from "@exp/tensor"
import * as Schema from "effect/Schema"
import { Matrix, solve } from "ml-matrix"
import { beforeAll, describe, expect, it } from "vitest"
import cifar from "../../../../experiments/sparsejepa.cifar.ts"
import fashion from "../../../../experiments/sparsejepa.fashion.ts"
import {
  accuracy,
  channelStatistics,
  classify,
  countingImages,
  drawBlockMasks,
  epochOrder,
  fitLogistic,
  imageBatch,
  Jepa,
  lassoStrength,
  maskBatch,
  officialBlockMasks,
  processingGap,
  RandomEncoder,
  RawPixels,
  ridgeR2,
  runSparseJepa,
  SparseJepa,
  SparseJepaTask,
  Supervised,
  standardise,
} from "../../src/jepa/jepa.ts"
import { last, runTrial, type TrialRecord } from "../trial-in-memory.ts"

let device: Device
beforeAll(async () => {
  device = await openDevice("auto")
})

/** Bright bars, upright in class 0 and lying in class 1, at any place, with noise. */
function bars(count: number, seed: number): { images: Uint8Array; labels: Uint8Array; count: number } {
  const images = new Uint8Array(count * 784)
  const labels = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    const own = key(seed, "bars", i)
    labels[i] = i % 2
    const [y, x] = [4 + Math.floor(uniform(own, 0) * 16), 4 + Math.floor(uniform(own, 1) * 16)]
    for (let a = 0; a < 9; a++)
      for (let b = 0; b < 3; b++)
        images[i * 784 + (y + (labels[i] ? b : a) - 2) * 28 + x + (labels[i] ? a : b) - 2] = 220
    for (let p = 0; p < 784; p += 5) images[i * 784 + p] = Math.floor(uniform(own, 10 + p) * 60)
  }
  return { images, labels, count }
}

const data: ImageDataset = {
  name: "bars",
  shape: [28, 28, 1],
  classes: ["upright", "lying"],
  train: bars(200, 1),
  test: bars(100, 2),
  hash: "",
}

const small = {
  images: { pretrain: 128, probeTrain: 100, probeTest: 100, counting: 60 },
  steps: 6,
  batchSize: 16,
  model: { width: 16, depth: 1, heads: 2, predictorWidth: 8, predictorDepth: 1 },
  // One length of contexts, so that fewer shapes are compiled.
  masks: { contextMultiple: 100 },
  learningRate: { warmup: 2 },
  logEvery: 1,
  checkpointEvery: 3,
  samples: 5,
}

/** The task's own code on the bars: the context of a trial, data from memory. */
async function runOnBars(
  method: object,
  options: Parameters<typeof runTrial>[2] = {},
  changes: object = {},
): Promise<TrialRecord> {
  const task = { ...SparseJepaTask, run: (config: never, trial: never) => runSparseJepa(config, trial, device, data) }
  return runTrial(task as unknown as typeof SparseJepaTask, { ...small, ...changes, method } as never, options)
}

const everything = (record: TrialRecord) =>
  Object.fromEntries([...record.logged].filter(([name]) => !name.startsWith("time/")))

describe("sparse-jepa", () => {
  it.each([
    ["jepa", Jepa()],
    ["sparse", SparseJepa({ latents: 6, groups: 4, groupWidth: 3 })],
    ["sparse at the embedding", SparseJepa({ at: "embedding", latents: 6, groups: 4, groupWidth: 3 })],
    ["supervised", Supervised()],
    ["random", RandomEncoder()],
    ["pixels", RawPixels()],
  ])("%s runs to its probes, the same for the same seed", async (name, method) => {
    const record = await runOnBars(method, { seed: 3 })
    expect(last(record, "probe/acc")).toBeGreaterThan(0.4)
    expect(record.samples).toHaveLength(5)
    if (name !== "pixels") {
      expect(last(record, "mi/groups")).toBeLessThanOrEqual(last(record, "mi/total") + 1e-9)
      expect(last(record, "mi/groups") + last(record, "mi/within")).toBeCloseTo(last(record, "mi/total"), 6)
      expect(last(record, "mi/dpi_gap")).toBeGreaterThanOrEqual(-1e-12)
    }
    if (name === "random") expect(last(record, "probe/gain")).toBe(0)
    if (name === "sparse") {
      expect(everything(await runOnBars(method, { seed: 3 }))).toEqual(everything(record))
      expect(everything(await runOnBars(method, { seed: 4 }))).not.toEqual(everything(record))
    }
  })

  it("continues from a checkpoint bit for bit", async () => {
    const method = SparseJepa({ latents: 6, groups: 4, groupWidth: 3, shrink: 0.5 })
    const whole = await runOnBars(method, { seed: 1 })
    const stop = new AbortController()
    let halfway: TrialRecord["checkpoint"]
    const task = {
      ...SparseJepaTask,
      run: (config: never, trial: { checkpoint: { save: (step: number, state: Uint8Array) => Promise<void> } }) => {
        const save = trial.checkpoint.save
        const checkpoint = {
          ...trial.checkpoint,
          save: async (step: number, state: Uint8Array) => {
            halfway = { step, state: state.slice() }
            stop.abort()
            await save(step, state)
          },
        }
        return runSparseJepa(config, { ...trial, checkpoint } as never, device, data)
      },
    }
    await expect(
      runTrial(task as unknown as typeof SparseJepaTask, { ...small, method } as never, {
        seed: 1,
        signal: stop.signal,
      }),
    ).rejects.toThrow()
    expect(halfway!.step).toBe(3)
    const rest = await runOnBars(method, { seed: 1, checkpoint: halfway })
    const tail = (record: TrialRecord) =>
      Object.fromEntries(
        Object.entries(everything(record)).map(([name, values]) => [name, values.filter(([step]) => step >= 3)]),
      )
    expect(rest.logged.get("pretrain/loss")![0]![0]).toBe(3)
    expect(tail(rest)).toEqual(tail(whole))
  })

  it("refuses configs that cannot work, before anything runs", () => {
    const refuse = (changes: object) => () =>
      Schema.decodeUnknownSync(SparseJepaTask.config)({ method: Jepa(), ...changes })
    expect(refuse({})).not.toThrow()
    expect(refuse({ masks: { minKeep: 6 } })).toThrow(/minKeep below 6/)
    expect(refuse({ model: { patchSize: 5 } })).toThrow(/patches of 5/)
    expect(refuse({ model: { width: 50 } })).toThrow(/multiple of 4/)
    expect(refuse({ method: SparseJepa({ groups: 7 }) })).toThrow(/7 groups/)
    expect(refuse({ images: { pretrain: 100, probeTrain: 200 } })).toThrow(/probeTrain/)
  })

  it("plans its experiments in all profiles", () => {
    for (const experiment of [fashion, cifar])
      for (const profile of [undefined, ...Object.keys(experiment.profiles!)])
        expect(plan(experiment, profile === undefined ? {} : { profile }).compared().length).toBeGreaterThan(2)
    expect(() => plan(fashion, { set: { "masks.minKeep": "9" } })).toThrow(SpecError)
  })

  it("sets λ by what the proximal steps take in all", () => {
    const method = SparseJepa({ shrink: 0.75, groupWidth: 4, groupRate: 0.2 })
    if (method._tag !== "SparseJepa") throw new Error("unreachable")
    expect(lassoStrength(method, 300) * 0.2 * 300).toBeCloseTo(1.5, 12)
  })
})

describe("batches", () => {
  const images = { images: data.train.images, count: 200, shape: data.shape }
  const statistics = channelStatistics(images)
  it("are standardised", () => {
    const { data: x } = imageBatch(
      images,
      Uint32Array.from({ length: 200 }, (_, i) => i),
      statistics,
    )
    let [sum, squares] = [0, 0]
    for (const v of x) {
      sum += v
      squares += v * v
    }
    expect(sum / x.length).toBeCloseTo(0, 4)
    expect(squares / x.length).toBeCloseTo(1, 4)
  })
  it("are varied by the key alone, within the range of the pixels", () => {
    for (const kind of ["shift", "crop"] as const) {
      const at = (seed: number) => imageBatch(images, [3, 4], statistics, kind, key(seed)).data
      expect(at(1)).toEqual(at(1))
      expect(at(1)).not.toEqual(at(2))
      const plain = imageBatch(images, [3, 4], statistics).data as Float32Array
      expect(Math.max(...(at(1) as Float32Array))).toBeLessThanOrEqual(Math.max(...plain) + 1e-5)
      expect(Math.min(...(at(1) as Float32Array))).toBeGreaterThanOrEqual(Math.min(...plain) - 1e-5)
    }
  })
  it("take every image once an epoch, in another order each time", () => {
    const order = epochOrder(20, 5, key(1))
    const epoch = (n: number) => [0, 1, 2, 3].flatMap((i) => [...order(4 * n + i)])
    expect(epoch(0).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i))
    expect(epoch(1)).not.toEqual(epoch(0))
    expect(epoch(0)).toEqual([0, 1, 2, 3].flatMap((i) => [...epochOrder(20, 5, key(1))(i)]))
    expect(() => epochOrder(3, 5, key(1))).toThrow(RangeError)
  })
  it("cut contexts to few lengths, in raster order, never below the minimum", () => {
    const options = { ...officialBlockMasks, minKeep: 4 }
    const shapes = new Set<string>()
    for (let step = 0; step < 100; step++) {
      const full = maskBatch({ height: 7, width: 7 }, 32, key(1), step, options)
      const cut = maskBatch({ height: 7, width: 7 }, 32, key(1), step, options, 4)
      const n = cut.context.shape[1]!
      shapes.add(`${n}/${cut.target.shape[1]}`)
      expect(n).toBeGreaterThan(4)
      expect(n).toBeLessThanOrEqual(full.context.shape[1]!)
      const m = full.context.shape[1]!
      for (let i = 0; i < 32; i++)
        expect([...cut.context.data.slice(i * n, (i + 1) * n)]).toEqual([...full.context.data.slice(i * m, i * m + n)])
    }
    expect(shapes.size).toBeLessThan(10)
  })
  it("draw as many squares as they say", () => {
    const { images: canvas, counts } = countingImages(60, [28, 28, 1], key(1))
    for (let i = 0; i < 60; i++) {
      // A square's top left corner is the only bright pixel with nothing above it and nothing to its left.
      const at = (y: number, x: number) => (y < 0 || x < 0 ? 0 : canvas[i * 784 + y * 28 + x]!)
      let corners = 0
      for (let p = 0; p < 784; p++) {
        const [y, x] = [Math.floor(p / 28), p % 28]
        if (at(y, x) > 0 && at(y - 1, x) === 0 && at(y, x - 1) === 0) corners++
      }
      expect(corners).toBe(counts[i])
    }
    expect(new Set(counts).size).toBe(6)
  })
  it("shuffle contexts without leaving the visible tokens, and spread them over the image", () => {
    const grid = { height: 7, width: 7 }
    const mean = (indices: Int32Array) => indices.reduce((sum, token) => sum + token, 0) / indices.length
    let [raster, shuffled] = [0, 0]
    for (let step = 0; step < 20; step++) {
      const options = { ...officialBlockMasks, minKeep: 4 }
      const first = drawBlockMasks(grid, 32, key(1), step, options)
      const mixed = drawBlockMasks(grid, 32, key(1), step, { ...options, align: "shuffle" })
      expect(mixed.target).toEqual(first.target)
      expect(mixed.contextTokens).toBe(first.contextTokens)
      for (let i = 0; i < 32; i++) {
        const context = mixed.context.subarray(i * mixed.contextTokens, (i + 1) * mixed.contextTokens)
        expect(new Set(context).size).toBe(mixed.contextTokens)
      }
      // Where nothing is cut, the same tokens.
      const [alone, alike] = [
        drawBlockMasks(grid, 1, key(2), step, options),
        drawBlockMasks(grid, 1, key(2), step, { ...options, align: "shuffle" }),
      ]
      expect([...alike.context].sort((a, b) => a - b)).toEqual([...alone.context])
      raster += mean(first.context) / 20
      shuffled += mean(mixed.context) / 20
    }
    expect(shuffled - raster).toBeGreaterThan(5)
  })
})

describe("probes", () => {
  it("separate what is separable, and stop at the minimum", async () => {
    const [n, width] = [300, 3]
    const x = fillNormal(key(1, "x"), new Float32Array(n * width))
    const labels = Uint8Array.from({ length: n }, (_, i) => (x[3 * i]! > 0.5 ? 2 : x[3 * i + 1]! > 0 ? 1 : 0))
    const features = { data: x, count: n, width }
    const fit = await fitLogistic(device, features, labels, 3, { l2: 1e-2 })
    expect(accuracy(classify(fit, features), labels)).toBeGreaterThan(0.9)
    // The gradient of the regularised loss vanishes there.
    const gradient = new Float64Array(9)
    for (let i = 0; i < n; i++) {
      const scores = [0, 1, 2].map((c) =>
        [0, 1, 2].reduce((sum, j) => sum + x[3 * i + j]! * fit.weight[3 * j + c]!, fit.bias[c]!),
      )
      const top = Math.max(...scores)
      const e = scores.map((s) => Math.exp(s - top))
      const total = e[0]! + e[1]! + e[2]!
      for (let j = 0; j < 3; j++)
        for (let c = 0; c < 3; c++)
          gradient[3 * j + c]! += (x[3 * i + j]! * (e[c]! / total - (labels[i] === c ? 1 : 0))) / n
    }
    for (let k = 0; k < 9; k++) expect(gradient[k]! + 1e-2 * fit.weight[k]!).toBeCloseTo(0, 3)
  })
  it("explain a linear target fully and noise not at all", () => {
    const make = (seed: string) => ({ data: fillNormal(key(2, seed), new Float32Array(400 * 4)), count: 400, width: 4 })
    const [train, test] = [make("a"), make("b")]
    const line = ({ data: d }: { data: Float32Array }) =>
      Float64Array.from({ length: 400 }, (_, i) => 3 + 2 * d[4 * i]! - d[4 * i + 2]!)
    expect(ridgeR2(train, line(train), test, line(test), 1e-6)).toBeCloseTo(1, 4)
    const noise = (seed: string) => fillNormal(key(3, seed), new Float64Array(400))
    expect(Math.abs(ridgeR2(train, noise("c"), test, noise("d")))).toBeLessThan(0.06)
  })
  it("fit a ridge regression as the normal equations do, features in near dependence included", () => {
    const make = (seed: string) => {
      const data = fillNormal(key(5, seed), new Float32Array(60 * 12))
      for (let i = 0; i < 60; i++) data[12 * i + 11] = data[12 * i]! + 1e-3 * data[12 * i + 11]!
      return { data, count: 60, width: 12 }
    }
    const [train, test] = [make("a"), make("b")]
    const target = (seed: string) => fillNormal(key(6, seed), new Float64Array(60)).map((y, i) => y + 5 + (i % 3))
    const [y, t] = [target("a"), target("b")]
    const mean = (v: Float64Array) => v.reduce((sum, one) => sum + one, 0) / v.length
    const x = new Matrix(
      Array.from({ length: 60 }, (_, i) => [...standardise(train, train).data.subarray(12 * i, 12 * i + 12)]),
    )
    const z = new Matrix(
      Array.from({ length: 60 }, (_, i) => [...standardise(test, train).data.subarray(12 * i, 12 * i + 12)]),
    )
    const normal = x
      .transpose()
      .mmul(x)
      .add(Matrix.eye(12).mul(1e-3 * 60))
    const right = x.transpose().mmul(Matrix.columnVector([...y].map((one) => one - mean(y))))
    const predicted = z.mmul(solve(normal, right)).to1DArray()
    const [residual, total] = [
      predicted.reduce((sum, p, i) => sum + (t[i]! - mean(y) - p) ** 2, 0),
      t.reduce((sum, one) => sum + (one - mean(t)) ** 2, 0),
    ]
    expect(ridgeR2(train, y, test, t)).toBeCloseTo(1 - residual / total, 7)
  })
  it("lose information by coarser bins, never gain it", () => {
    for (let round = 0; round < 20; round++) {
      const x = fillNormal(key(4, round), new Float32Array(500 * 3))
      if (round % 2 === 0) for (let i = 0; i < 500; i++) x[3 * i + 1]! += 2 * x[3 * i]!
      const gap = processingGap(x, 500, 3)
      expect(gap).toBeGreaterThanOrEqual(-1e-12)
      if (round % 2 === 0) expect(gap).toBeGreaterThan(0.1)
    }
  })
})
