import * as tf from "@tensorflow/tfjs-core"
import { afterEach, describe, expect, it } from "vitest"
import { liveSessions } from "../src/compile/engine.ts"
import {
  dropout,
  gelu,
  type HostTensor,
  type HostTensors,
  layerNorm,
  linear,
  openDevice,
  type Step,
  softmaxCrossEntropy,
  stopGradient,
  type Tensors,
  valueAndGradients,
} from "../src/tensor.ts"

const wave = (shape: readonly number[], seed: number, scale = 1): HostTensor => ({
  data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => scale * Math.sin(seed + i * 0.7391)),
  shape,
  dtype: "float32",
})
const scalar = (x: number): HostTensor => ({ data: Float32Array.of(x), shape: [], dtype: "float32" })

const shapes: Record<string, readonly number[]> = {
  "patch.weight": [12, 8],
  "patch.bias": [8],
  "norm.scale": [8],
  "norm.bias": [8],
  "query.weight": [8, 8],
  "key.weight": [8, 8],
  "value.weight": [8, 8],
  "fc1.weight": [8, 16],
  "fc1.bias": [16],
  "fc2.weight": [16, 8],
  "head.weight": [8, 5],
  "frozen.scale": [8],
}

/** One transformer block with dropout, and Adam: everything a training step has, at toy size. */
function forward(p: Tensors, batch: Tensors, randomness: Parameters<Step>[2]): tf.Tensor {
  let x = linear(batch["patches"]!, p["patch.weight"]!, p["patch.bias"]!)
  const h = layerNorm(x, p["norm.scale"]!, p["norm.bias"]!)
  const [q, k, v] = ["query", "key", "value"].map((name) => linear(h, p[`${name}.weight`]!))
  const heads = (t: tf.Tensor) => tf.transpose(tf.reshape(t, [3, 4, 2, 4]), [0, 2, 1, 3])
  const weights = tf.softmax(tf.mul(tf.matMul(heads(q!), heads(k!), false, true), 0.5))
  const mixed = tf.reshape(tf.transpose(tf.matMul(weights, heads(v!)), [0, 2, 1, 3]), [3, 4, 8])
  x = tf.add(x, dropout(mixed, 0.25, randomness, "attention"))
  const hidden = gelu(linear(x, p["fc1.weight"]!, p["fc1.bias"]!))
  x = tf.mul(tf.add(x, linear(hidden, p["fc2.weight"]!)), stopGradient(p["frozen.scale"]!))
  const pooled = tf.mean(x, 1)
  return tf.mean(softmaxCrossEntropy(linear(pooled, p["head.weight"]!), batch["labels"]!))
}

const train: Step = (state, batch, randomness) => {
  const params = Object.fromEntries(Object.keys(shapes).map((name) => [name, state[`p.${name}`]!]))
  const { value, gradients } = valueAndGradients((p) => forward(p, batch, randomness), params)
  const t = tf.add(state["t"]!, 1)
  const next: Record<string, tf.Tensor> = { ...state, t }
  for (const [name, g] of Object.entries(gradients)) {
    const m = tf.add(tf.mul(state[`m.${name}`]!, 0.9), tf.mul(g, 0.1))
    const v = tf.add(tf.mul(state[`v.${name}`]!, 0.99), tf.mul(tf.square(g), 0.01))
    const rate = tf.div(tf.mul(batch["rate"]!, tf.sqrt(tf.sub(1, tf.pow(0.99, t)))), tf.sub(1, tf.pow(0.9, t)))
    next[`m.${name}`] = m
    next[`v.${name}`] = v
    next[`p.${name}`] = tf.sub(state[`p.${name}`]!, tf.div(tf.mul(rate, m), tf.add(tf.sqrt(v), 1e-3)))
  }
  return { state: next, metrics: { loss: value, gradient: gradients["query.weight"]! } }
}

const start: HostTensors = Object.fromEntries([
  ["t", scalar(0)],
  ...Object.entries(shapes).flatMap(([name, shape], i) => [
    [`p.${name}`, wave(shape, i, 0.5)],
    [`m.${name}`, { ...wave(shape, 0, 0) }],
    [`v.${name}`, { ...wave(shape, 0, 0) }],
  ]),
])

const batchOf = (i: number): HostTensors => ({
  patches: wave([3, 4, 12], i),
  labels: { data: Int32Array.of(i % 5, 1, 4), shape: [3], dtype: "int32" },
  rate: scalar(0.01 / (1 + i)),
})

function largestDifference(a: HostTensors, b: HostTensors): number {
  expect(Object.keys(a).sort()).toEqual(Object.keys(b).sort())
  let worst = 0
  for (const name of Object.keys(a)) {
    expect(b[name]!.shape, name).toEqual(a[name]!.shape)
    for (let i = 0; i < a[name]!.data.length; i++)
      worst = Math.max(worst, Math.abs(a[name]!.data[i]! - b[name]!.data[i]!))
  }
  return worst
}

describe("a compiled training step", () => {
  it("gives the losses, gradients and moments of the reference over five steps", async () => {
    const reference = (await openDevice("js")).compile(train)
    const compiled = (await openDevice("cpu")).compile(train)
    reference.load(start)
    compiled.load(start)
    for (let i = 0; i < 5; i++) {
      const a = await reference.run(batchOf(i), { seed: 3, step: i })
      const b = await compiled.run(batchOf(i), { seed: 3, step: i })
      expect(largestDifference(a, b)).toBeLessThan(1e-5)
    }
    expect(largestDifference(await reference.state(), await compiled.state())).toBeLessThan(1e-5)
    reference.dispose()
    compiled.dispose()
  })

  it("gives the same numbers in one call of many steps, bit for bit", async () => {
    const device = await openDevice("cpu")
    const single = device.compile(train)
    const many = device.compile(train)
    single.load(start)
    many.load(start)
    const batches = [0, 1, 2, 3, 4, 5].map(batchOf)
    const expected: HostTensors[] = []
    for (const [i, batch] of batches.entries()) expected.push(await single.run(batch, { seed: 9, step: 100 + i }))
    expect(await many.runMany(batches, { seed: 9, step: 100 })).toEqual(expected)
    expect(await many.state()).toEqual(await single.state())
    single.dispose()
    many.dispose()
  })

  it("takes another batch size by compiling once more, with the state kept", async () => {
    const step: Step = (state, batch) => ({
      state: { n: tf.add(state["n"]!, tf.sum(batch["x"]!)) },
      metrics: { mean: tf.mean(batch["x"]!) },
    })
    const program = (await openDevice("cpu")).compile(step)
    program.load({ n: scalar(0) })
    const ones = (n: number): HostTensors => ({
      x: { data: new Float32Array(n).fill(1), shape: [n], dtype: "float32" },
    })
    await program.run(ones(4), { seed: 0, step: 0 })
    await program.run(ones(3), { seed: 0, step: 1 })
    await program.runMany([ones(4), ones(4), ones(3)], { seed: 0, step: 2 })
    expect(Array.from((await program.state())["n"]!.data)).toEqual([18])
    program.dispose()
  })
})

describe("native memory", () => {
  afterEach(() => expect(liveSessions()).toBe(0))

  it("is freed when the last program with the same graph is disposed of", async () => {
    const device = await openDevice("cpu")
    const programs = [device.compile(train), device.compile(train)]
    for (const program of programs) {
      program.load(start)
      await program.run(batchOf(0), { seed: 0, step: 0 })
    }
    expect(liveSessions()).toBe(1)
    programs[0]!.dispose()
    expect(liveSessions()).toBe(1)
    await programs[1]!.run(batchOf(0), { seed: 0, step: 1 })
    programs[1]!.dispose()
    expect(tf.engine().state.activeScope ?? null).toBe(null)
  })
})

describe("state that a graph does not touch", () => {
  it("may come and go without a new trace; what it touches may not", async () => {
    let traces = 0
    const program = (await openDevice("cpu")).compile((state, batch) => {
      traces++
      return { state: { ...state, w: tf.add(state["w"]!, batch["by"]!) }, metrics: {} }
    })
    const by = { by: wave([4], 1) }
    program.load({ w: wave([4], 0), other: wave([3], 2) })
    await program.run(by, { seed: 0, step: 0 })
    program.load({ w: wave([4], 0), more: wave([5], 3) })
    await program.run(by, { seed: 0, step: 0 })
    expect(traces).toBe(1)
    const { w, more } = await program.state()
    expect(Array.from(more!.data)).toEqual(Array.from(wave([5], 3).data))
    expect(w!.data[1]!).toBeCloseTo(wave([4], 0).data[1]! + wave([4], 1).data[1]!, 6)
    program.load({ w: wave([1], 0) })
    await program.run(by, { seed: 0, step: 0 }).catch(() => {})
    expect(traces).toBe(2)
    program.dispose()
    expect(liveSessions()).toBe(0)
  })
})

describe("what cannot be compiled is refused with a reason", () => {
  const run = async (step: Step) => {
    const program = (await openDevice("cpu")).compile(step)
    program.load({ w: wave([4], 0) })
    const error = await program.run({}, { seed: 0, step: 0 }).then(
      () => undefined,
      (e: unknown) => e as Error & { _tag: string; line?: string },
    )
    program.dispose()
    return error
  }

  it("a value read in the step", async () => {
    const error = await run((state) => {
      const loss = tf.sum(state["w"]!)
      if (loss.dataSync()[0]! > 3) throw new Error("unreachable")
      return { state, metrics: {} }
    })
    expect(error?._tag).toBe("ValueReadInStep")
    expect(error?.message).toMatch(/compile\.test\.ts:\d+/)
    expect(error?.message).toContain("tf.where")
  })

  it("random numbers of TensorFlow.js", async () => {
    const error = await run((state) => ({ state: { w: tf.add(state["w"]!, tf.randomNormal([4])) }, metrics: {} }))
    expect(error?._tag).toBe("HiddenRandomness")
    expect(error?.message).toMatch(/compile\.test\.ts:\d+/)
  })

  it("an operation without lowering", async () => {
    const error = await run((state) => ({ state, metrics: { u: tf.unique(state["w"] as tf.Tensor1D).values } }))
    expect(error?._tag).toBe("OpWithoutLowering")
    expect(error?.message).toMatch(/Unique.*compile\.test\.ts:\d+/)
  })

  it("a large tensor made outside", async () => {
    await openDevice("js")
    await tf.setBackend("cpu")
    const outside = tf.reshape(tf.range(0, 40_000), [200, 200])
    const error = await run((state) => ({ state, metrics: { s: tf.sum(tf.mul(outside, 2)) } }))
    expect(error?._tag).toBe("LargeCapturedConstant")
    expect(error?.message).toContain("[200, 200]")
    outside.dispose()
  })

  it("and a small one is a constant", async () => {
    await openDevice("js")
    await tf.setBackend("cpu")
    const outside = tf.tensor1d([1, 2, 3, 4])
    const program = (await openDevice("cpu")).compile((state) => ({
      state,
      metrics: { s: tf.dot(outside, state["w"]!) },
    }))
    program.load({ w: { data: Float32Array.of(1, 0, 1, 0), shape: [4], dtype: "float32" } })
    expect(Array.from((await program.run({}, { seed: 0, step: 0 }))["s"]!.data)).toEqual([4])
    expect(Array.from(outside.dataSync())).toEqual([1, 2, 3, 4])
    program.dispose()
  })

  it("unless eager execution was asked for", async () => {
    const step: Step = (state) => {
      const positive = tf.sum(state["w"]!).dataSync()[0]! > 0
      return { state: { w: positive ? tf.neg(state["w"]!) : state["w"]! }, metrics: {} }
    }
    const program = (await openDevice("cpu")).compile(step, { fallback: "eager" })
    program.load({ w: { data: Float32Array.of(1, 2), shape: [2], dtype: "float32" } })
    expect(program.device).toBe("cpu")
    await program.runMany([{}, {}], { seed: 0, step: 0 })
    expect(program.device).toBe("wasm")
    expect(Array.from((await program.state())["w"]!.data)).toEqual([-1, -2])
    program.dispose()
  })

  it("an error of the step itself passes through, and leaves the engine usable", async () => {
    const error = await run((state) => {
      valueAndGradients(() => {
        throw new TypeError("mine")
      }, state)
      return { state, metrics: {} }
    })
    expect(error?.message).toBe("mine")
    expect(await run((state) => ({ state, metrics: { s: tf.sum(state["w"]!) } }))).toBeUndefined()
  })
})
