import { fillNormal, key } from "@exp/random"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import {
  attention,
  dropout,
  dropPath,
  erf,
  fusedKernels,
  gelu,
  layerNorm,
  linear,
  makeRandomness,
  matMul,
  openDevice,
  pairwiseDistance,
  quantile,
  quantilePosition,
  recompute,
  rmsNorm,
  softmaxCrossEntropy,
  stopGradient,
  type Tensors,
  valueAndGradients,
} from "../src/tensor.ts"

const backends = [
  ["js", "cpu"],
  ["wasm", "wasm"],
] as const
for (const [device] of backends) await openDevice(device)

const random = (name: string, ...shape: number[]) =>
  tf.tensor(fillNormal(key(7, name), new Float32Array(shape.reduce((a, b) => a * b, 1))), shape)

/** Runs `body` on a backend and demands that no tensor outlives it. */
async function on(backend: string, body: () => void): Promise<void> {
  await tf.setBackend(backend)
  const before = tf.memory().numTensors
  tf.tidy(body)
  expect(tf.memory().numTensors).toBe(before)
}

/** Central differences of `f` for every element of every input, against the gradients. */
function checkGradients(f: (x: Tensors) => tf.Tensor, inputs: Tensors, tolerance = 2e-2, h = 1e-2): void {
  // Unequal weights, so that errors cannot cancel in the sum.
  const loss = (x: Tensors) => {
    const y = f(x)
    return tf.sum(tf.mul(y, random("weights", ...y.shape)))
  }
  const { gradients } = valueAndGradients(loss, inputs)
  for (const [name, tensor] of Object.entries(inputs)) {
    const gradient = gradients[name]!.dataSync()
    expect(gradients[name]!.shape).toEqual(tensor.shape)
    const data = tensor.dataSync()
    for (let i = 0; i < data.length; i++) {
      const at = (delta: number) => {
        const moved = Float32Array.from(data)
        moved[i]! += delta
        return loss({ ...inputs, [name]: tf.tensor(moved, tensor.shape) }).dataSync()[0]!
      }
      const difference = (at(h) - at(-h)) / (2 * h)
      expect(Math.abs(difference - gradient[i]!), `${name}[${i}]: ${difference} and ${gradient[i]}`).toBeLessThan(
        tolerance * (1 + Math.abs(difference)),
      )
    }
  }
}

function close(a: tf.Tensor, b: tf.Tensor, tolerance = 2e-6, what = ""): void {
  expect(a.shape).toEqual(b.shape)
  const [x, y] = [a.dataSync(), b.dataSync()]
  for (let i = 0; i < x.length; i++)
    expect(Math.abs(x[i]! - y[i]!), `${what}[${i}]: ${x[i]} and ${y[i]}`).toBeLessThanOrEqual(
      tolerance * (1 + Math.abs(y[i]!)),
    )
}

describe.each(backends)("operations on %s", (_, backend) => {
  const cases: Record<
    string,
    { f: (x: Tensors) => tf.Tensor; plain: (x: Tensors) => tf.Tensor; inputs: () => Tensors }
  > = {
    gelu: {
      f: ({ x }) => gelu(x!),
      plain: ({ x }) => tf.mul(tf.mul(x!, 0.5), tf.add(1, tf.erf(tf.div(x!, Math.SQRT2)))),
      inputs: () => ({ x: random("x", 3, 5) }),
    },
    layerNorm: {
      f: ({ x, s, b }) => layerNorm(x!, s!, b!, 1e-6),
      plain: ({ x, s, b }) => {
        const { mean, variance } = tf.moments(x!, -1, true)
        return tf.add(tf.mul(tf.div(tf.sub(x!, mean), tf.sqrt(tf.add(variance, 1e-6))), s!), b!)
      },
      inputs: () => ({ x: random("x", 2, 3, 4), s: random("s", 4), b: random("b", 4) }),
    },
    rmsNorm: {
      f: ({ x, s }) => rmsNorm(x!, s!),
      plain: ({ x, s }) => tf.mul(tf.div(x!, tf.sqrt(tf.add(tf.mean(tf.square(x!), -1, true), 1e-6))), s!),
      inputs: () => ({ x: random("x", 3, 4), s: random("s", 4) }),
    },
    softmaxCrossEntropy: {
      f: ({ x }) => softmaxCrossEntropy(x!, tf.tensor1d([2, 0, 1], "int32")),
      plain: ({ x }) =>
        tf.neg(tf.sum(tf.mul(tf.oneHot(tf.tensor1d([2, 0, 1], "int32"), 4), tf.logSoftmax(x as tf.Tensor2D)), 1)),
      inputs: () => ({ x: random("x", 3, 4) }),
    },
    linear: {
      f: ({ x, w, b }) => linear(x!, w!, b!),
      plain: ({ x, w, b }) => tf.reshape(tf.add(tf.matMul(tf.reshape(x!, [6, 4]), w!), b!), [2, 3, 5]),
      inputs: () => ({ x: random("x", 2, 3, 4), w: random("w", 4, 5), b: random("b", 5) }),
    },
    attention: {
      f: ({ q, k, v }) => attention(q!, k!, v!),
      plain: ({ q, k, v }) => tf.matMul(tf.softmax(tf.div(tf.matMul(q!, k!, false, true), Math.sqrt(2))), v!),
      inputs: () => ({ q: random("q", 1, 2, 3, 2), k: random("k", 1, 2, 3, 2), v: random("v", 1, 2, 3, 2) }),
    },
    pairwiseDistance: {
      f: ({ a, b }) => pairwiseDistance(a!, b!),
      plain: ({ a, b }) => tf.sqrt(tf.sum(tf.square(tf.sub(tf.expandDims(a!, 2), tf.expandDims(b!, 1))), -1)),
      inputs: () => ({ a: random("a", 2, 3, 2), b: random("b", 2, 4, 2) }),
    },
    "recompute of two layers": {
      f: (x) => recompute(({ x, w }) => gelu(matMul(gelu(x!), w!)), x),
      plain: ({ x, w }) => gelu(matMul(gelu(x!), w!)),
      inputs: () => ({ x: random("x", 3, 4), w: random("w", 4, 2) }),
    },
  }
  for (const ta of [false, true])
    for (const tb of [false, true])
      for (const batch of [[], [2]])
        cases[`matMul ${[...batch]} ${ta} ${tb}`] = {
          f: ({ a, b }) => matMul(a!, b!, ta, tb),
          plain: ({ a, b }) => tf.matMul(a!, b!, ta, tb),
          inputs: () => ({
            a: random("a", ...batch, ...(ta ? [4, 3] : [3, 4])),
            b: random("b", ...batch, ...(tb ? [2, 4] : [4, 2])),
          }),
        }
  for (const ta of [false, true])
    for (const tb of [false, true])
      cases[`matMul of a batch with one matrix ${ta} ${tb}`] = {
        f: ({ a, b }) => matMul(a!, b!, ta, tb),
        plain: ({ a, b }) => tf.stack(tf.unstack(a!).map((m) => tf.matMul(m, b!, ta, tb))),
        inputs: () => ({ a: random("a", 2, ...(ta ? [4, 3] : [3, 4])), b: random("b", ...(tb ? [2, 4] : [4, 2])) }),
      }

  it.each(Object.keys(cases))(
    "%s equals the plain formula and its gradients equal finite differences",
    async (name) => {
      const { f, plain, inputs } = cases[name]!
      await on(backend, () => {
        const x = inputs()
        close(f(x), plain(x))
        checkGradients(f, x)
      })
    },
  )

  it("computes only the gradients that are asked for, and none through stopGradient", async () => {
    await on(backend, () => {
      const x = random("x", 2, 2)
      const w = random("w", 2, 2)
      const { gradients } = valueAndGradients(
        (p) => tf.sum(tf.add(matMul(x, p["w"]!), stopGradient(tf.square(p["unused"]!)))),
        { w, unused: tf.ones([2, 2]) },
      )
      expect(Object.keys(gradients)).toEqual(["w"])
      const half = valueAndGradients((p) => tf.sum(tf.mul(p["x"]!, stopGradient(p["x"]!))), { x })
      close(half.gradients["x"]!, x, 0)
    })
  })

  it("gives distance 0 and gradient 0, not NaN, for equal rows", async () => {
    await on(backend, () => {
      const a = tf.tensor2d([[1, 2]])
      const { value, gradients } = valueAndGradients((p) => tf.sum(pairwiseDistance(p["a"]!, tf.clone(a))), { a })
      expect(value.dataSync()[0]).toBe(0)
      expect([...gradients["a"]!.dataSync()]).toEqual([0, 0])
    })
  })

  it("recompute passes the same mask to both evaluations and gives a zero gradient where there is no path", async () => {
    await on(backend, () => {
      const x = random("x", 4, 4)
      const mask = tf.cast(tf.greater(random("mask", 4, 4), 0), "float32")
      const { gradients } = valueAndGradients(
        (p) => tf.sum(recompute(({ x, mask }) => tf.mul(x!, mask!), { x: p["x"]!, mask, other: p["y"]! })),
        { x, y: tf.ones([3]) },
      )
      close(gradients["x"]!, mask, 0)
      expect([...gradients["y"]!.dataSync()]).toEqual([0, 0, 0])
    })
  })

  it("recompute keeps nothing but its inputs alive between the passes", async () => {
    await on(backend, () => {
      const x = random("x", 64, 64)
      const alive = (wrap: (f: (i: Tensors) => tf.Tensor, i: Tensors) => tf.Tensor) => {
        let buffers = 0
        valueAndGradients(
          (p) => {
            const before = tf.memory().numDataBuffers
            const y = tf.tidy(() => wrap(({ x }) => gelu(gelu(gelu(matMul(x!, x!)))), { x: p["x"]! }))
            buffers = tf.memory().numDataBuffers - before
            return tf.sum(y)
          },
          { x },
        )
        return buffers
      }
      // The result, and on wasm, where aliases are copies, the saved input.
      expect(alive(recompute)).toBe(backend === "wasm" ? 2 : 1)
      expect(alive((f, i) => f(i))).toBeGreaterThan(3)
    })
  })

  it("finds quantiles by linear interpolation, and exactly the right number of survivors", async () => {
    await on(backend, () => {
      const x = random("x", 16, 16)
      const sorted = [...x.dataSync()].sort((a, b) => a - b)
      for (const s of [0, 0.1, 0.5, 0.731, 0.9, 1]) {
        const { lower, fraction } = quantilePosition(s, 256)
        const expected = sorted[lower]! + fraction * ((sorted[lower + 1] ?? 0) - sorted[lower]!)
        const threshold = quantile(x, s)
        expect(Math.abs(threshold.dataSync()[0]! - expected)).toBeLessThan(1e-6)
        const survivors = tf.sum(tf.cast(tf.greater(x, threshold), "int32")).dataSync()[0]
        expect(survivors).toBe(256 - 1 - Math.floor(s * 255))
        close(quantile(x, { lower: tf.scalar(lower, "int32"), fraction: tf.scalar(fraction) }), threshold, 0)
      }
      expect(quantile(tf.ones([3, 3]), 0.4).dataSync()[0]).toBe(1)
    })
  })

  it("drops entries and samples at the given rate, the same ones for the same seed, stream and step", async () => {
    await on(backend, () => {
      const x = tf.ones([200, 50])
      const y = dropout(x, 0.3, makeRandomness(1, 5), "a").dataSync()
      const zeros = y.filter((v) => v === 0).length / y.length
      expect(Math.abs(zeros - 0.3)).toBeLessThan(0.02)
      expect(Math.max(...y)).toBeCloseTo(1 / 0.7, 5)
      expect([...dropout(x, 0.3, makeRandomness(1, 5), "a").dataSync()]).toEqual([...y])
      expect([...dropout(x, 0.3, makeRandomness(1, 6), "a").dataSync()]).not.toEqual([...y])
      expect([...dropout(x, 0.3, makeRandomness(1, 5), "b").dataSync()]).not.toEqual([...y])
      const rows = tf.sum(tf.cast(tf.equal(dropPath(x, 0.5, makeRandomness(1, 5), "a"), 0), "int32"), 1).dataSync()
      expect(new Set(rows)).toEqual(new Set([0, 50]))
      expect(() => dropout(x, 1, makeRandomness(1, 5), "a")).toThrow(RangeError)
    })
  })
})

it("every kernel's host form agrees with its composite", async () => {
  const inputs: Record<string, () => [Tensors, Record<string, number | boolean>]> = {
    ExpGelu: () => [{ x: random("x", 40) }, {}],
    ExpGeluGrad: () => [{ x: random("x", 40), dy: random("dy", 40) }, {}],
    ExpLayerNorm: () => [{ x: random("x", 5, 8), scale: random("s", 8), bias: random("b", 8) }, { epsilon: 1e-6 }],
    ExpLayerNormGrad: () => [
      {
        x: random("x", 5, 8),
        scale: random("s", 8),
        mean: random("m", 5, 1),
        inverse: tf.abs(random("i", 5, 1)),
        dy: random("dy", 5, 8),
      },
      {},
    ],
    ExpSoftmaxCrossEntropy: () => [{ logits: random("x", 3, 4), labels: tf.tensor1d([0, 3, 1], "int32") }, {}],
    ExpSoftmaxCrossEntropyGrad: () => [
      { logits: random("x", 3, 4), labels: tf.tensor1d([0, 3, 1], "int32"), dy: random("dy", 3) },
      {},
    ],
    ExpMatMul: () => [
      { a: random("a", 4, 3), b: random("b", 2, 4) },
      { transposeA: true, transposeB: true },
    ],
    ExpPairwiseDistance: () => [{ a: random("a", 2, 5, 4), b: random("b", 2, 6, 4) }, {}],
    ExpScatterRows: () => [{ x: random("x", 5, 3), indices: tf.tensor1d([2, 0, 2, 3, 2], "int32") }, { rows: 4 }],
    ExpQuantile: () => [{ x: random("x", 9, 9), lower: tf.scalar(33, "int32"), fraction: tf.scalar(0.25) }, {}],
  }
  await on("cpu", () => {
    for (const [name, kernel] of fusedKernels) {
      if (!kernel.host) continue
      expect(Object.keys(inputs), `a case for ${name}`).toContain(name)
      const [tensors, attributes] = inputs[name]!()
      const many = (t: tf.Tensor | tf.Tensor[]) => (Array.isArray(t) ? t : [t])
      const composite = many(kernel.composite(tensors, attributes))
      for (const [i, host] of many(kernel.host(tensors, attributes)).entries())
        close(host, composite[i]!, 5e-6, `${name} output ${i}`)
    }
  })
})

it("erf agrees with known values", () => {
  const known: readonly [number, number][] = [
    [0, 0],
    [0.1, 0.1124629160182849],
    [0.49, 0.5116682612188529],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [-1.5, -0.9661051464753108],
    [4, 0.9999999845827421],
  ]
  for (const [x, y] of known) expect(Math.abs(erf(x) - y)).toBeLessThan(1.2e-7)
})

it("messages name the shapes that do not fit", () => {
  tf.tidy(() => {
    expect(() => matMul(tf.ones([2, 3]), tf.ones([2, 3]))).toThrow("[2,3]")
    expect(() => pairwiseDistance(tf.ones([2, 3]), tf.ones([2, 4]))).toThrow("[2,4]")
    expect(() => softmaxCrossEntropy(tf.ones([2, 3]), tf.ones([2]))).toThrow("int32")
    expect(() => layerNorm(tf.ones([2, 3]), tf.ones([2]), tf.ones([3]))).toThrow("[2]")
  })
})
