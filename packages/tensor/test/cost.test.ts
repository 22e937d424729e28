import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import {
  describeDevices,
  type HostTensors,
  openDevice,
  profileStep,
  recompute,
  type Shapes,
  type Step,
  traceCost,
  valueAndGradients,
} from "../src/tensor.ts"

const float = (...shape: number[]) => ({ shape, dtype: "float32" }) as const

/** A chain of wide layers on a narrow stream: recomputation has much to save. */
function chain(layers: number, save: boolean): Step {
  return (state, batch) => {
    const params = Object.fromEntries(Object.entries(state))
    const { value, gradients } = valueAndGradients((p) => {
      let x = batch["x"]!
      for (let i = 0; i < layers; i++) {
        const f = (t: Readonly<Record<string, tf.Tensor>>) =>
          tf.matMul(tf.tanh(tf.exp(tf.neg(tf.square(tf.matMul(t["x"]!, t["up"]!))))), t["down"]!)
        const inputs = { x, up: p[`up.${i}`]!, down: p[`down.${i}`]! }
        x = tf.add(x, save ? recompute(f, inputs) : f(inputs))
      }
      return tf.mean(tf.square(x))
    }, params)
    const next = Object.fromEntries(
      Object.entries(params).map(([name, w]) => [name, tf.sub(w, tf.mul(gradients[name]!, 0.1))]),
    )
    return { state: next, metrics: { loss: value } }
  }
}
const shapesOf = (layers: number, rows: number): { state: Shapes; batch: Shapes } => ({
  state: Object.fromEntries(
    Array.from({ length: layers }, (_, i) => [
      [`up.${i}`, float(8, 256)],
      [`down.${i}`, float(256, 8)],
    ]).flat(),
  ),
  batch: { x: float(rows, 8) },
})

describe("the cost of a step", () => {
  it("counts a matrix product exactly", () => {
    const step: Step = (state, batch) => ({ state, metrics: { y: tf.matMul(batch["a"]!, batch["b"]!) } })
    const cost = traceCost(step, { state: {}, batch: { a: float(3, 5), b: float(5, 7) } })
    expect(cost.flops).toBe(2 * 3 * 5 * 7)
    expect(cost.bytes).toBe(4 * (15 + 35 + 21))
    expect(cost.peakBytes).toBe(4 * 21)
    expect(cost.nodes).toBe(1)
  })

  it("knows what lives at the same time", () => {
    // exp(x) dies when its square exists; three vectors never live at once.
    const step: Step = (state, batch) => ({
      state,
      metrics: { y: tf.sum(tf.sqrt(tf.square(tf.exp(batch["x"]!)))) },
    })
    expect(traceCost(step, { state: {}, batch: { x: float(1000) } }).peakBytes).toBe(8000)
  })

  it("knows what a forward pass keeps for the backward pass", () => {
    // The gradient of sin needs its input alone, that of the sum nothing.
    const step: Step = (state, batch) => {
      const { value, gradients } = valueAndGradients(({ w }) => tf.sum(tf.sin(tf.mul(tf.neg(batch["x"]!), w!))), {
        w: state["w"]!,
      })
      return { state: { w: tf.sub(state["w"]!, gradients["w"]!) }, metrics: { loss: value } }
    }
    const cost = traceCost(step, { state: { w: float(500) }, batch: { x: float(500) } })
    // −x and (−x)·w live on, and the loss itself.
    expect(cost.aliveAt["loss"]).toBe(4 * (500 + 500 + 1))
    expect(cost.peakBytes).toBeGreaterThanOrEqual(cost.aliveAt["loss"]!)
  })

  it("tells what new state would take from what it overwrites", () => {
    const step: Step = (state, batch) => ({
      state: { w: tf.sub(state["w"]!, tf.square(tf.exp(batch["x"]!))) },
      metrics: {},
    })
    const cost = traceCost(step, { state: { w: float(1000) }, batch: { x: float(1000) } })
    expect(cost.peakBytes).toBe(8000)
    expect(cost.peakInPlaceBytes).toBe(8000) // exp and its square; the new w needs no third vector
    const copy: Step = (state, batch) => ({ state: { w: tf.sub(state["w"]!, batch["x"]!) }, metrics: {} })
    const plain = traceCost(copy, { state: { w: float(1000) }, batch: { x: float(1000) } })
    expect([plain.peakBytes, plain.peakInPlaceBytes]).toEqual([4000, 0])
  })

  it("does not count what no output needs", () => {
    const step: Step = (state, batch) => {
      tf.matMul(batch["x"]!, batch["x"]!)
      return { state, metrics: { y: tf.neg(batch["x"]!) } }
    }
    expect(traceCost(step, { state: {}, batch: { x: float(4, 4) } }).nodes).toBe(1)
  })

  it("shows that recomputation trades memory for operations", () => {
    const plain = traceCost(chain(6, false), shapesOf(6, 512))
    const saved = traceCost(chain(6, true), shapesOf(6, 512))
    expect(saved.peakBytes).toBeLessThan(plain.peakBytes / 2.5)
    expect(saved.flops).toBeGreaterThan(plain.flops * 1.15)
    expect(saved.stateBytes).toBe(plain.stateBytes)
  })
})

describe("recomputation on the cpu device", () => {
  const wave = (shape: readonly number[], seed: number) => ({
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => 0.3 * Math.sin(seed + i)),
    shape,
    dtype: "float32" as const,
  })
  const load = (layers: number, rows: number) => {
    const { state, batch } = shapesOf(layers, rows)
    const fill = (shapes: Shapes): HostTensors =>
      Object.fromEntries(Object.entries(shapes).map(([name, { shape }], i) => [name, wave(shape, i)]))
    return { state: fill(state), batch: fill(batch) }
  }

  it("gives the same gradients", async () => {
    const { state, batch } = load(3, 16)
    const device = await openDevice("cpu")
    const results: HostTensors[] = []
    for (const save of [false, true]) {
      const program = device.compile(chain(3, save))
      program.load(state)
      await program.run(batch, { seed: 0, step: 0 })
      results.push(await program.state())
      program.dispose()
    }
    for (const name of Object.keys(state))
      results[0]![name]!.data.forEach((x, i) => {
        expect(Math.abs(x - results[1]![name]!.data[i]!)).toBeLessThan(1e-6)
      })
  })

  it("is not undone by the runtime's own merging of equal nodes", () => {
    const { state, batch } = load(3, 16)
    const count = (save: boolean) => profileStep(chain(3, save), state, batch, 2).find((t) => t.op === "Tanh")!.count
    expect(count(false)).toBe(3)
    expect(count(true)).toBe(6)
  })

  it("keeps the graph and its cost for showing", async () => {
    const { state, batch } = load(2, 4)
    const program = (await openDevice("cpu")).compile(chain(2, false))
    program.load(state)
    expect(program.graph?.()).toBeUndefined()
    await program.run(batch, { seed: 0, step: 0 })
    const graph = program.graph!()!
    expect(graph.hash).toMatch(/^[0-9a-f]{32}$/)
    expect(graph.cost.updatedBytes).toBe(graph.cost.stateBytes)
    expect(Buffer.from(graph.onnx).includes("com.microsoft")).toBe(true)
    program.dispose()
  })
})

it("devices are described, the missing ones with a reason", async () => {
  const reports = await describeDevices()
  const byName = Object.fromEntries(reports.map((r) => [r.name, r]))
  for (const name of ["cpu", "wasm", "js"]) {
    expect(byName[name]!.available).toBe(true)
    expect(byName[name]!.gflops).toBeGreaterThan(0)
    expect(byName[name]!.gigabytesPerSecond).toBeGreaterThan(0)
  }
  for (const r of reports) if (!r.available) expect(r.description.length).toBeGreaterThan(10)
})

it("memory stays flat over many steps", async () => {
  const { state, batch } = {
    state: { w: { data: new Float32Array(65_536), shape: [256, 256], dtype: "float32" as const } },
    batch: {},
  }
  const program = (await openDevice("cpu")).compile((s) => ({
    state: { w: tf.add(tf.mul(s["w"]!, 0.5), 1) },
    metrics: { m: tf.mean(s["w"]!) },
  }))
  program.load(state)
  const steps = async (n: number) => {
    for (let i = 0; i < n; i++) {
      await program.run(batch, { seed: 0, step: i })
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await steps(500)
  const before = process.memoryUsage().rss
  await steps(2000)
  // 2,000 steps replace 500 MiB of state.
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20)
  program.dispose()
})
