import { spawnSync } from "node:child_process"
import { fillNormal, key } from "@exp/random"
import { type HostTensors, openDevice, type Tensors } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import { adamw, decayMatrices, MissingOptimizerState, sgd } from "../src/nn.ts"

const backends = [
  ["js", "cpu"],
  ["wasm", "wasm"],
] as const
for (const [device] of backends) await openDevice(device)

const shapes: Record<string, readonly number[]> = { "a.weight": [3, 4], bias: [4], rare: [5], never: [2], cls: [1, 4] }
const size = (name: string) => shapes[name]!.reduce((a, b) => a * b, 1)
const start: HostTensors = Object.fromEntries(
  Object.entries(shapes).map(([name, shape]) => [
    name,
    { data: fillNormal(key(1, name), new Float32Array(size(name))), shape, dtype: "float32" },
  ]),
)
/** Gradients of very different sizes; "rare" has one at every third step, "never" has none. */
const gradient = (name: string, t: number): Float32Array | undefined =>
  name === "never" || (name === "rare" && t % 3 !== 1)
    ? undefined
    : fillNormal(key(2, name, t), new Float32Array(size(name))).map((v, i) => v * 10 ** -(i % 6))
const rate = (t: number) => 1e-2 / (1 + t / 10)

type Rule = (p: number, g: number, memory: { m: number; v: number }, t: number, lr: number, decay: number) => number

/** PyTorch's documented update, element by element in double precision, with a counter for each tensor. */
function reference(rule: Rule, steps: number, decay: (name: string) => number): Record<string, number[]> {
  const out: Record<string, number[]> = {}
  for (const name of Object.keys(shapes)) {
    const p = [...start[name]!.data]
    const memory = p.map(() => ({ m: 0, v: 0 }))
    let count = 0
    for (let t = 0; t < steps; t++) {
      const g = gradient(name, t)
      if (!g) continue
      count++
      for (let i = 0; i < p.length; i++) p[i] = rule(p[i]!, g[i]!, memory[i]!, count, rate(t), decay(name))
    }
    out[name] = p
  }
  return out
}

const adamwRule: Rule = (p, g, memory, t, lr, decay) => {
  p -= lr * decay * p
  memory.m = 0.9 * memory.m + 0.1 * g
  memory.v = 0.999 * memory.v + 0.001 * g * g
  return p - (lr * (memory.m / (1 - 0.9 ** t))) / (Math.sqrt(memory.v / (1 - 0.999 ** t)) + 1e-8)
}
const sgdRule =
  (nesterov: boolean): Rule =>
  (p, g, memory, t, lr, decay) => {
    g += decay * p
    memory.m = t === 1 ? g : 0.9 * memory.m + g
    return p - lr * (nesterov ? g + 0.9 * memory.m : memory.m)
  }

/** Runs the optimiser and returns the parameters and the state at the end. */
function run(
  steps: number,
  state: HostTensors,
  update: (params: Tensors, gradients: Tensors, state: Tensors, lr: tf.Tensor) => { params: Tensors; state: Tensors },
) {
  const up = (tree: HostTensors): Tensors =>
    Object.fromEntries(
      Object.entries(tree).map(([name, t]) => [name, tf.tensor(t.data.slice(), [...t.shape], t.dtype)]),
    )
  const before = tf.memory().numTensors
  const result = tf.tidy(() => {
    let now = { params: up(start), state: up(state) }
    for (let t = 0; t < steps; t++) {
      const gradients: Record<string, tf.Tensor> = {}
      for (const [name, shape] of Object.entries(shapes)) {
        const g = gradient(name, t)
        if (g) gradients[name] = tf.tensor(g, [...shape])
      }
      now = update(now.params, gradients, now.state, tf.scalar(rate(t)))
    }
    const read = (tree: Tensors) => Object.fromEntries(Object.entries(tree).map(([n, x]) => [n, [...x.dataSync()]]))
    return { params: read(now.params), state: read(now.state) }
  })
  expect(tf.memory().numTensors).toBe(before)
  return result
}

function close(got: Record<string, number[]>, expected: Record<string, number[]>, tolerance: number): void {
  expect(Object.keys(got).sort()).toEqual(Object.keys(expected).sort())
  for (const [name, values] of Object.entries(expected))
    for (const [i, value] of values.entries())
      expect(Math.abs(got[name]![i]! - value), `${name}[${i}]: ${got[name]![i]} and ${value}`).toBeLessThan(tolerance)
}

describe.each(backends)("AdamW on %s", (_, backend) => {
  const options = { weightDecay: decayMatrices(0.5) }
  const step = (params: Tensors, gradients: Tensors, state: Tensors, learningRate: tf.Tensor) =>
    adamw.update({ params, gradients, state, learningRate, options })

  it("follows PyTorch's update in double precision over 60 steps", async () => {
    await tf.setBackend(backend)
    const { params } = run(60, adamw.init(start), step)
    close(
      params,
      reference(adamwRule, 60, (name) => (name === "a.weight" ? 0.5 : 0)),
      3e-6,
    )
  })

  it("skips parameters without a gradient entirely", async () => {
    await tf.setBackend(backend)
    const everything = { weightDecay: 0.5 }
    const { params, state } = run(4, adamw.init(start), (p, g, s, lr) =>
      adamw.update({ params: p, gradients: g, state: s, learningRate: lr, options: everything }),
    )
    expect(params["never"]).toEqual([...start["never"]!.data])
    for (const slot of ["first", "second", "count"]) expect(state[`${slot}.never`]!.every((v) => v === 0)).toBe(true)
    // One gradient in four steps: its own counter stands at one.
    expect(state["count.rare"]![0]).toBeCloseTo(0.1, 6)
    expect(state["count.bias"]![0]).toBeCloseTo(1 - 0.9 ** 4, 6)
  })

  it("skips what is switched off at run time, as if it had no gradient", async () => {
    await tf.setBackend(backend)
    const all = (name: string, t: number) => t % 3 === 1 || name !== "rare"
    const { params, state } = run(7, adamw.init(start), (p, g, s, lr) => step(p, g, s, lr))
    let t = 0
    const switched = run(7, adamw.init(start), (p, g, s, learningRate) => {
      const gradients = { ...g, rare: g["rare"] ?? tf.fill([5], 1e3), never: tf.fill([2], Number.NaN) }
      const active = { rare: tf.scalar(all("rare", t++) ? 1 : 0), never: tf.scalar(0) }
      return adamw.update({ params: p, gradients, state: s, learningRate, options, active })
    })
    expect(switched.params).toEqual(params)
    expect(switched.state).toEqual(state)
  })

  it("has a composite that agrees with the loop over arrays", async () => {
    await tf.setBackend(backend)
    const { fusedKernels } = await import("@exp/tensor")
    const kernel = fusedKernels.get("ExpAdamW")!
    tf.tidy(() => {
      const inputs = {
        parameter: tf.tensor1d([1, -2, 3]),
        gradient: tf.tensor1d([0.1, 1e-4, -7]),
        first: tf.tensor1d([0.5, 1e-3, -2]),
        second: tf.tensor1d([0.2, 1e-6, 9]),
        count: tf.tensor1d([0.271, 0.003]),
        rate: tf.scalar(0.01),
      }
      const attributes = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, decay: 0.1 }
      const [a, b] = [kernel.composite(inputs, attributes), kernel.host!(inputs, attributes)] as [
        tf.Tensor[],
        tf.Tensor[],
      ]
      for (const [i, x] of a.entries()) {
        const [got, expected] = [x.dataSync(), b[i]!.dataSync()]
        for (let j = 0; j < got.length; j++)
          expect(Math.abs(got[j]! - expected[j]!)).toBeLessThan(1e-6 * (1 + Math.abs(expected[j]!)))
      }
    })
  })

  it("says which parameter has no state", async () => {
    await tf.setBackend(backend)
    tf.tidy(() => {
      const one = { w: tf.scalar(1) }
      expect(() => adamw.update({ params: one, gradients: one, state: {}, learningRate: 1 })).toThrow(
        MissingOptimizerState,
      )
    })
  })

  it("keeps eight bytes for each entry and for each tensor", () => {
    const bytes = Object.values(adamw.init(start)).reduce((sum, t) => sum + t.data.byteLength, 0)
    expect(bytes).toBe(8 * (12 + 4 + 5 + 2 + 4) + 8 * 5)
  })
})

describe.each(backends)("SGD on %s", (_, backend) => {
  it.each([false, true])("follows PyTorch's update in double precision (Nesterov %s)", async (nesterov) => {
    await tf.setBackend(backend)
    const options = { momentum: 0.9, nesterov, weightDecay: 0.1 }
    const { params } = run(40, sgd.init(start, options), (p, gradients, state, learningRate) =>
      sgd.update({ params: p, gradients, state, learningRate, options }),
    )
    close(
      params,
      reference(sgdRule(nesterov), 40, () => 0.1),
      3e-6,
    )
  })

  it("without momentum has no state, and decays apart from the gradient when told so", async () => {
    await tf.setBackend(backend)
    expect(sgd.init(start)).toEqual({})
    const { params } = run(3, {}, (p, gradients, state, learningRate) =>
      sgd.update({ params: p, gradients, state, learningRate, options: { weightDecay: 0.1, decoupled: true } }),
    )
    close(
      params,
      reference(
        (p, g, _m, _t, lr, wd) => p * (1 - lr * wd) - lr * g,
        3,
        () => 0.1,
      ),
      1e-6,
    )
  })
})

describe.skipIf(spawnSync("python3", ["-c", "import torch"]).status !== 0)("PyTorch itself", () => {
  it("agrees with the reference used above", () => {
    const gradients = Array.from({ length: 60 }, (_, t) =>
      Object.fromEntries(Object.keys(shapes).map((name) => [name, gradient(name, t) ? [...gradient(name, t)!] : null])),
    )
    const input = JSON.stringify({
      start: Object.fromEntries(Object.entries(start).map(([name, t]) => [name, [...t.data]])),
      gradients,
      rates: gradients.map((_, t) => rate(t)),
    })
    const script = `
import sys, json, torch
d = json.load(sys.stdin)
p = {k: torch.nn.Parameter(torch.tensor(v, dtype=torch.float64)) for k, v in d["start"].items()}
o = torch.optim.AdamW([{"params": [v], "weight_decay": 0.5 if k == "a.weight" else 0.0} for k, v in p.items()])
for g, lr in zip(d["gradients"], d["rates"]):
    for k, v in p.items(): v.grad = None if g[k] is None else torch.tensor(g[k], dtype=torch.float64)
    for group in o.param_groups: group["lr"] = lr
    o.step()
print(json.dumps({k: v.tolist() for k, v in p.items()}))
`
    const { stdout } = spawnSync("python3", ["-c", script], { input, encoding: "utf8", maxBuffer: 1e8 })
    close(
      JSON.parse(stdout),
      reference(adamwRule, 60, (name) => (name === "a.weight" ? 0.5 : 0)),
      1e-9,
    )
  })
})
