import { fillNormal, key } from "@exp/random"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import {
  attention,
  dropout,
  gelu,
  type HostTensor,
  type HostTensors,
  layerNorm,
  matMul,
  openDevice,
  pairwiseDistance,
  quantile,
  recompute,
  rmsNorm,
  type Step,
  softmaxCrossEntropy,
  stopGradient,
  type Tensors,
  valueAndGradients,
} from "../src/tensor.ts"

const host = (name: string, ...shape: number[]): HostTensor => ({
  data: fillNormal(key(3, name), new Float32Array(shape.reduce((a, b) => a * b, 1))),
  shape,
  dtype: "float32",
})
const int = (...values: number[]): HostTensor => ({
  data: Int32Array.from(values),
  shape: [values.length],
  dtype: "int32",
})

/** Losses of named float parameters, each with every kernel of one kind in it. */
const cases: Record<
  string,
  { params: HostTensors; batch?: HostTensors; loss: (p: Tensors, batch: Tensors) => tf.Tensor }
> = {
  gelu: { params: { x: host("x", 4, 9) }, loss: ({ x }) => tf.sum(tf.square(gelu(x!))) },
  layerNorm: {
    params: { x: host("x", 2, 3, 8), s: host("s", 8), b: host("b", 8) },
    loss: ({ x, s, b }) => tf.sum(tf.square(layerNorm(x!, s!, b!))),
  },
  rmsNorm: { params: { x: host("x", 3, 8), s: host("s", 8) }, loss: ({ x, s }) => tf.sum(tf.square(rmsNorm(x!, s!))) },
  softmaxCrossEntropy: {
    params: { x: host("x", 4, 6) },
    batch: { labels: int(0, 5, 2, 2) },
    loss: ({ x }, { labels }) => tf.sum(tf.square(softmaxCrossEntropy(x!, labels!))),
  },
  "matMul, all transposes": {
    params: { a: host("a", 2, 4, 4), b: host("b", 2, 4, 4) },
    loss: ({ a, b }) =>
      tf.sum(
        tf.square(
          matMul(
            matMul(matMul(a!, b!, true, false), matMul(a!, b!, false, true)),
            matMul(a!, b!, true, true),
            true,
            false,
          ),
        ),
      ),
  },
  attention: {
    params: { q: host("q", 2, 2, 5, 4), k: host("k", 2, 2, 5, 4), v: host("v", 2, 2, 5, 4) },
    loss: ({ q, k, v }) => tf.sum(tf.square(attention(q!, k!, v!))),
  },
  "a sparse kernel of distances, recomputed": {
    params: { a: host("a", 2, 12, 3), b: host("b", 2, 9, 3), x: host("x", 4, 12) },
    loss: (p) =>
      tf.sum(
        tf.square(
          recompute(({ a, b, x }) => {
            const d = pairwiseDistance(a!, b!)
            const kernel = tf.sub(tf.slice(d, [0, 0, 0], [1, 12, 9]), tf.slice(d, [1, 0, 0], [1, 12, 9]))
            const k = tf.reshape(kernel, [12, 9])
            const size = stopGradient(tf.abs(k))
            const gate = tf.where(tf.greater(size, quantile(size, 0.7)), size, tf.zerosLike(size))
            return matMul(x!, tf.mul(k, gate))
          }, p),
        ),
      ),
  },
  "a quantile at a position of the batch": {
    params: { x: host("x", 40) },
    batch: { lower: { ...int(17), shape: [] }, fraction: { data: Float32Array.of(0.25), shape: [], dtype: "float32" } },
    loss: ({ x }, { lower, fraction }) => tf.sum(tf.mul(x!, quantile(x!, { lower: lower!, fraction: fraction! }))),
  },
}

const device = await openDevice("cpu").catch(() => undefined)
const reference = await openDevice("js")

describe.skipIf(!device)("operations in a compiled step", () => {
  it.each(Object.keys(cases))("%s: value and gradients equal those of the reference device", async (name) => {
    const { params, batch = {}, loss } = cases[name]!
    const step: Step = (state, inputs, randomness) => {
      const noisy = Object.fromEntries(
        Object.entries(state).map(([n, t]) => [n, dropout(t, 0.1, randomness, n)] as const),
      )
      const { value, gradients } = valueAndGradients((p) => loss(p, inputs), noisy)
      return {
        state: Object.fromEntries(Object.entries(state).map(([n, t]) => [n, tf.sub(t, tf.mul(gradients[n]!, 1e-3))])),
        metrics: { value, ...Object.fromEntries(Object.entries(gradients).map(([n, g]) => [`d ${n}`, g])) },
      }
    }
    const [got, expected] = await Promise.all(
      [device!, reference].map(async (on) => {
        const program = on.compile(step, { name })
        program.load(params)
        const metrics = [await program.run(batch, { seed: 1, step: 0 }), await program.run(batch, { seed: 1, step: 1 })]
        program.dispose()
        return metrics
      }),
    )
    for (const t of [0, 1])
      for (const [metric, { data }] of Object.entries(expected![t]!))
        for (const [i, value] of data.entries())
          expect(Math.abs(got![t]![metric]!.data[i]! - value), `${metric}[${i}]`).toBeLessThan(
            2e-4 * (1 + Math.abs(value)),
          )
  })
})

it.skipIf(!device)(
  "a quantile takes the position of each run from its batch, and gives the order statistic itself",
  async () => {
    const n = 4096
    const x = Float32Array.from({ length: n }, (_, i) => Math.sin(i * 1.7) * (1 + (i % 7)))
    const sorted = x.slice().sort()
    const program = device!.compile((state, { lower }) => ({
      state,
      metrics: { at: quantile(state["x"]!, { lower: lower!, fraction: 0 }) },
    }))
    program.load({ x: { data: x, shape: [64, 64], dtype: "float32" } })
    for (const lower of [0, 1, 409, 2048, 3686, n - 2, n - 1]) {
      const { at } = await program.run({ lower: { ...int(lower), shape: [] } }, { seed: 0, step: 0 })
      expect(at!.data[0], `position ${lower}`).toBe(sorted[lower])
    }
    program.dispose()
  },
)
