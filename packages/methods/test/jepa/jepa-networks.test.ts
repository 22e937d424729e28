import { withPrefix } from "@exp/nn"
import { fillNormal, key } from "@exp/random"
import { type Device, type HostTensors, makeRandomness, openDevice, type Tensors } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { beforeAll, describe, expect, it } from "vitest"
import {
  encode,
  encoderShapes,
  gatherTargets,
  initialJepaState,
  initialSupervisedState,
  initJepa,
  type JepaSizes,
  type JepaStepOptions,
  jepaObjective,
  jepaStep,
  latentDivergence,
  maskBatch,
  officialBlockMasks,
  predictionLoss,
  predictorHead,
  predictorShapes,
  predictorTokens,
  type SparseOptions,
  sparseModule,
  supervisedStep,
} from "../../src/jepa/jepa.ts"

await openDevice("js")
await tf.setBackend("cpu")

const sizes: JepaSizes = {
  imageSize: 20,
  channels: 1,
  patchSize: 4,
  width: 8,
  depth: 1,
  heads: 2,
  mlpRatio: 2,
  predictorWidth: 8,
  predictorDepth: 1,
  positionScale: 0.3,
}
const sparse: SparseOptions = {
  at: "prediction",
  latents: 6,
  groups: 4,
  groupWidth: 3,
  beta: 1e-3,
  penalty: "proximal",
}
const masks = { ...officialBlockMasks, targets: 2, minKeep: 1 }

const tensors = (host: HostTensors): Tensors =>
  Object.fromEntries(Object.entries(host).map(([name, t]) => [name, tf.tensor(t.data, [...t.shape], t.dtype)]))
const numbers = (n: number, ...path: (string | number)[]) => fillNormal(key(5, ...path), new Float32Array(n))
const scalar = (value: number) => ({ data: Float32Array.of(value), shape: [], dtype: "float32" as const })
const ints = (rows: number[][]) => tf.tensor2d(rows, [rows.length, rows[0]!.length], "int32")
const batchOf = (step: number, changes: Record<string, number> = {}): HostTensors => ({
  images: { data: numbers(3 * 400, "images"), shape: [3, 20, 20, 1], dtype: "float32" },
  ...maskBatch({ height: 5, width: 5 }, 3, key(1, "masks"), step, masks),
  ...Object.fromEntries(
    Object.entries({
      learning_rate: 1e-3,
      weight_decay: 0.05,
      momentum: 0.9,
      group_rate: 0.3,
      threshold: 0,
      lasso: 0,
      ...changes,
    }).map(([name, value]) => [name, scalar(value)]),
  ),
})
const closest = (a: tf.Tensor, b: tf.Tensor) => tf.max(tf.abs(tf.sub(a, b))).dataSync()[0]!

describe("the encoder", () => {
  const params = tensors(initJepa(encoderShapes(sizes), "small", key(1)))
  const patches = tf.tensor3d(numbers(2 * 25 * 16, "patches"), [2, 25, 16])
  it("permutes its outputs with the order of the visible tokens", () => {
    const a = encode(
      params,
      patches,
      sizes,
      ints([
        [3, 7, 20, 11],
        [0, 1, 2, 24],
      ]),
    )
    const b = encode(
      params,
      patches,
      sizes,
      ints([
        [20, 3, 11, 7],
        [24, 0, 2, 1],
      ]),
    )
    const rows = (t: tf.Tensor, image: number) => tf.slice(t, [image, 0, 0], [1, 4, 8])
    const order = (t: tf.Tensor, to: number[]) => tf.gather(t, tf.tensor1d(to, "int32"), 1)
    expect(closest(order(rows(a, 0), [2, 0, 3, 1]), rows(b, 0))).toBeLessThan(1e-5)
    expect(closest(order(rows(a, 1), [3, 0, 2, 1]), rows(b, 1))).toBeLessThan(1e-5)
  })
  it("sees all tokens without a list, and nothing of hidden ones with one", () => {
    const all = encode(params, patches, sizes)
    const listed = encode(params, patches, sizes, ints([0, 1].map(() => Array.from({ length: 25 }, (_, i) => i))))
    expect(closest(all, listed)).toBeLessThan(1e-5)
    const visible = ints([
      [0, 1, 2],
      [4, 5, 6],
    ])
    const changed = tf.concat([tf.slice(patches, [0, 0, 0], [2, 10, 16]), tf.ones([2, 15, 16])], 1) as tf.Tensor3D
    expect(closest(encode(params, patches, sizes, visible), encode(params, changed, sizes, visible))).toBe(0)
  })
  it("refuses sizes that do not fit", () => {
    expect(() => encoderShapes({ ...sizes, patchSize: 3 })).toThrow(RangeError)
    expect(() => predictorShapes({ ...sizes, predictorWidth: 10 })).toThrow(RangeError)
  })
})

describe("the predictor", () => {
  const params = tensors(initJepa(predictorShapes(sizes), "small", key(2)))
  it("predicts each block apart from the others", () => {
    const embedded = tf.tensor3d(numbers(2 * 4 * 8, "e"), [2, 4, 8])
    const context = ints([
      [0, 1, 2, 3],
      [5, 6, 7, 8],
    ])
    const run = (second: number[][]) =>
      predictorTokens(params, embedded, context, ints([[10, 11], [12, 13], ...second]), sizes)
    const [a, b] = [
      run([
        [20, 21],
        [22, 23],
      ]),
      run([
        [14, 19],
        [15, 16],
      ]),
    ]
    const block = (t: tf.Tensor, m: number) => tf.slice(t, [2 * m, 0, 0], [2, 2, 8])
    expect(closest(block(a, 0), block(b, 0))).toBeLessThan(1e-6)
    expect(closest(block(a, 1), block(b, 1))).toBeGreaterThan(1e-3)
  })
})

describe("targets", () => {
  it("are gathered block after block, images inside", () => {
    const x = tf.tensor3d(
      Float32Array.from({ length: 2 * 25 }, (_, i) => i),
      [2, 25, 1],
    )
    const picked = gatherTargets(
      x,
      ints([
        [3, 4],
        [5, 6],
        [7, 8],
        [9, 10],
      ]),
    )
    expect([...picked.dataSync()]).toEqual([3, 4, 30, 31, 7, 8, 34, 35])
  })
  it("are compared by squared error or smooth L1", () => {
    const [a, b] = [tf.tensor1d([0, 0.5, 3, -2]), tf.tensor1d([0, 0, 0, 0])]
    expect(predictionLoss("mse", a, b).dataSync()[0]).toBeCloseTo((0.25 + 9 + 4) / 4, 6)
    expect(predictionLoss("smooth-l1", a, b).dataSync()[0]).toBeCloseTo((0.125 + 2.5 + 1.5) / 4, 6)
  })
})

describe("the sparse module", () => {
  it("can stand for any linear head: no noise, W and B spanning", () => {
    const p = 8
    const head = numbers(p * 8, "head")
    const bias = numbers(8, "bias")
    const eye = Array.from({ length: p * p }, (_, i) => (i % (p + 1) === 0 ? 1 : 0))
    // Two groups of four features; B_g is the group's part of the transposed head, W the identity.
    const b = Array.from({ length: 8 * p }, (_, i) => head[(i % p) * 8 + Math.floor(i / p)]!)
    const params: Tensors = {
      "mean.weight": tf.tensor2d(eye, [p, p]),
      "mean.bias": tf.zeros([p]),
      "variance.weight": tf.zeros([p, p]),
      "variance.bias": tf.zeros([p]),
      "group.weight": tf.tensor3d([...eye, ...eye], [2, p, p]),
      "output.weight": tf.tensor3d(b, [2, 4, p]),
      "output.bias": tf.tensor1d(bias),
    }
    const x = tf.tensor3d(numbers(3 * 2 * p, "x"), [3, 2, p])
    const plain = predictorHead({ "head.weight": tf.tensor2d(head, [p, 8]), "head.bias": tf.tensor1d(bias) }, x)
    expect(closest(sparseModule(params, x).embedding, plain)).toBeLessThan(1e-5)
  })
  it("measures its divergence from the standard normal", () => {
    const mean = tf.tensor2d([0.5, -1, 0, 0], [2, 2])
    const logVariance = tf.tensor2d([0, 0, Math.log(4), 0], [2, 2])
    const expected = 0.5 * ((0.25 + 1 + (4 - 1 - Math.log(4))) / 2)
    expect(latentDivergence({ mean, logVariance }).dataSync()[0]).toBeCloseTo(expected, 6)
  })
})

describe("the step", () => {
  let js: Device
  let cpu: Device
  beforeAll(async () => {
    js = await openDevice("js")
    cpu = await openDevice("auto")
  })
  const options: JepaStepOptions = { sizes, loss: "mse" }
  const variants: [string, JepaStepOptions][] = [
    ["plain", options],
    ["plain, smooth L1, L1 on embeddings", { sizes, loss: "smooth-l1", embeddingL1: 0.1 }],
    ["sparse at the prediction", { ...options, sparse }],
    ["sparse at the embedding", { ...options, sparse: { ...sparse, at: "embedding" } }],
    ["subgradient", { ...options, sparse: { ...sparse, penalty: "subgradient" } }],
  ]
  const run = async (device: Device, o: JepaStepOptions, steps: number, changes: Record<string, number> = {}) => {
    const program = device.compile(jepaStep(o))
    program.load(initialJepaState(o, "small", key(3)))
    let metrics: HostTensors = {}
    for (let step = 0; step < steps; step++) metrics = await program.run(batchOf(step, changes), { seed: 1, step })
    const state = await program.state()
    program.dispose()
    return { state, metrics }
  }

  it.each(variants)("%s: compiled and eager agree, and nothing leaks", async (_, o) => {
    const changes = { threshold: 0.05, lasso: 0.01 }
    const before = tf.memory().numTensors
    const a = await run(js, o, 2, changes)
    expect(tf.memory().numTensors).toBe(before)
    const b = await run(cpu, o, 2, changes)
    expect(Object.keys(b.metrics).sort()).toEqual(Object.keys(a.metrics).sort())
    for (const name of Object.keys(a.metrics))
      expect(b.metrics[name]!.data[0]!, name).toBeCloseTo(a.metrics[name]!.data[0]!, 4)
    expect(Object.values(a.metrics).every((m) => Number.isFinite(m.data[0]!))).toBe(true)
  })

  it("gives the target encoder no gradient: at momentum 1 it does not move at all, at 0 it is the encoder", async () => {
    const start = initialJepaState(options, "small", key(3))
    const fixed = await run(cpu, options, 2, { momentum: 1 })
    const copied = await run(cpu, options, 1, { momentum: 0 })
    for (const name of Object.keys(start)) {
      if (!name.startsWith("target.")) continue
      expect(fixed.state[name]!.data, name).toEqual(start[name]!.data)
      const online = name.replace("target.", "encoder.")
      expect(copied.state[name]!.data, name).toEqual(copied.state[online]!.data)
      expect(copied.state[online]!.data, online).not.toEqual(start[online]!.data)
    }
  })

  it("makes columns exactly zero by the threshold, and none without", async () => {
    const o = { ...options, sparse }
    const none = await run(cpu, o, 3)
    expect(none.metrics["cols_zero_frac"]!.data[0]).toBe(0)
    expect(none.metrics["latents_used"]!.data[0]).toBe(6)
    const some = await run(cpu, o, 3, { threshold: 0.4 })
    expect(some.metrics["cols_zero_frac"]!.data[0]!).toBeGreaterThan(0)
    expect(some.metrics["cols_zero_frac"]!.data[0]!).toBeLessThan(1)
    const all = await run(cpu, o, 3, { threshold: 5 })
    expect(all.metrics["cols_zero_frac"]!.data[0]).toBe(1)
    expect([...all.state["sparse.group.weight"]!.data].every((x) => x === 0)).toBe(true)
    expect(Number.isFinite(all.metrics["loss"]!.data[0]!)).toBe(true)
  })

  it("differentiates the objective: a step of W follows the finite difference", () => {
    const o = { ...options, sparse }
    const state = tensors(initialJepaState(o, "small", key(3)))
    const batch = tensors(batchOf(0))
    const target = tf.tensor3d(numbers(batch["target"]!.size * 8, "t"), [...batch["target"]!.shape, 8] as never)
    const name = "sparse.group.weight"
    const value = (weight: tf.Tensor) =>
      jepaObjective({ ...state, [name]: weight }, target, batch, o, makeRandomness(1, 0)).loss
    const gradient = tf
      .grad((w) => value(w))(state[name]!)
      .dataSync()
    const start = state[name]!.dataSync()
    for (const i of [0, 7, 31, 70]) {
      const h = 1e-2
      const at = (d: number) => {
        const moved = Float32Array.from(start)
        moved[i]! += d
        return value(tf.tensor(moved, state[name]!.shape)).dataSync()[0]!
      }
      expect(gradient[i]!).toBeCloseTo((at(h) - at(-h)) / (2 * h), 3)
    }
  })

  it("learns: the prediction error falls", async () => {
    const first = await run(cpu, options, 1, { learning_rate: 3e-3 })
    const later = await run(cpu, options, 60, { learning_rate: 3e-3, momentum: 0.99 })
    expect(later.metrics["pred_loss"]!.data[0]!).toBeLessThan(0.8 * first.metrics["pred_loss"]!.data[0]!)
  })

  it("trains the ceiling on labels", async () => {
    const program = cpu.compile(supervisedStep(sizes))
    program.load(initialSupervisedState(sizes, 3, "small", key(3)))
    const losses: number[] = []
    for (let step = 0; step < 40; step++) {
      const { context: _c, target: _t, ...batch } = batchOf(0, { learning_rate: 1e-2 })
      const labels = { data: Int32Array.of(0, 1, 2), shape: [3], dtype: "int32" as const }
      losses.push((await program.run({ ...batch, labels }, { seed: 0, step }))["loss"]!.data[0]!)
    }
    program.dispose()
    expect(losses.at(-1)!).toBeLessThan(0.2 * losses[0]!)
  })
})

describe("initial state", () => {
  it("shares one start between methods, and the target starts as a copy", () => {
    const a = initialJepaState({ sizes, loss: "mse" }, "small", key(9))
    const b = initialJepaState({ sizes, loss: "mse", sparse }, "small", key(9))
    for (const name of Object.keys(withPrefix("encoder", encoderShapes(sizes)))) {
      expect(b[name]!.data, name).toEqual(a[name]!.data)
      expect(a[name.replace("encoder.", "target.")]!.data, name).toEqual(a[name]!.data)
    }
    expect(b["predictor.head.weight"]).toBeUndefined()
  })
})
