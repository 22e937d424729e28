import { key } from "@exp/random"
import { type HostTensors, openDevice, type Step, softmaxCrossEntropy, valueAndGradients } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import {
  adamw,
  causalGroupedAttention,
  countParameters,
  initLanguageModel,
  type LanguageModelConfig,
  languageModel,
  languageModelShapes,
  underPrefix,
  withPrefix,
} from "../src/nn.ts"

const backends = [
  ["js", "cpu"],
  ["wasm", "wasm"],
] as const
for (const [device] of backends) await openDevice(device)

const config: LanguageModelConfig = {
  vocabulary: 11,
  width: 16,
  depth: 2,
  heads: 4,
  keyValueHeads: 2,
  mlpWidth: 24,
  context: 8,
  sigma: 0.3,
}
const upload = (params: HostTensors) =>
  Object.fromEntries(Object.entries(params).map(([name, t]) => [name, tf.tensor(t.data, [...t.shape], "float32")]))

describe.each(backends)("language model on %s", (_, backend) => {
  it("does not look ahead: later tokens leave earlier scores unchanged", async () => {
    await tf.setBackend(backend)
    const before = tf.memory().numTensors
    tf.tidy(() => {
      const params = upload(initLanguageModel(config, key(1)))
      const score = (tokens: number[]) =>
        languageModel(params, tf.tensor2d([tokens], [1, 6], "int32"), config).arraySync()[0]!
      const [a, b] = [score([1, 2, 3, 4, 5, 6]), score([1, 2, 3, 9, 0, 7])]
      for (let i = 0; i < 3; i++)
        for (let j = 0; j < 11; j++) expect(Math.abs(a[i]![j]! - b[i]![j]!)).toBeLessThan(1e-5)
      expect(a[3]).not.toEqual(b[3])
    })
    expect(tf.memory().numTensors).toBe(before)
  })

  it("shared key and value heads equal repeated ones", async () => {
    await tf.setBackend(backend)
    tf.tidy(() => {
      const [q, k, v] = [4, 2, 2].map((heads, i) => tf.randomNormal([2, heads, 5, 3], 0, 1, "float32", i + 1)) as [
        tf.Tensor4D,
        tf.Tensor4D,
        tf.Tensor4D,
      ]
      const repeat = (t: tf.Tensor4D) => tf.gather(t, [0, 0, 1, 1], 1) as tf.Tensor4D
      const got = causalGroupedAttention(q, k, v).dataSync()
      const expected = causalGroupedAttention(q, repeat(k), repeat(v)).dataSync()
      for (let i = 0; i < got.length; i++) expect(Math.abs(got[i]! - expected[i]!)).toBeLessThan(1e-5)
    })
  })

  it.each<[string, Partial<LanguageModelConfig>]>([
    ["tied head, layer norm, positions", {}],
    [
      "own head, RMS norm, no positions, no biases, ReLU",
      {
        tiedHead: false,
        norm: "rms",
        positions: "none",
        biases: false,
        activation: "relu",
      },
    ],
  ])("has a gradient for every parameter, equal to finite differences: %s", async (_name, variant) => {
    await tf.setBackend(backend)
    tf.tidy(() => {
      const own = { ...config, ...variant }
      const params = upload(initLanguageModel(own, key(2)))
      const tokens = tf.tensor2d(
        [
          [1, 2, 3, 4],
          [5, 2, 2, 0],
        ],
        [2, 4],
        "int32",
      )
      const labels = tf.tensor1d([2, 3, 4, 5, 2, 2, 0, 10], "int32")
      const loss = (p: Record<string, tf.Tensor>) =>
        tf.mean(softmaxCrossEntropy(tf.reshape(languageModel(p, tokens, own), [8, 11]), labels))
      const { gradients } = valueAndGradients(loss, params)
      expect(Object.keys(gradients).sort()).toEqual(Object.keys(languageModelShapes(own)).sort())
      for (const [name, tensor] of Object.entries(params)) {
        const at = Math.min(37, tensor.size - 1)
        const moved = (h: number) => {
          const data = Float32Array.from(tensor.dataSync())
          data[at]! += h
          return loss({ ...params, [name]: tf.tensor(data, tensor.shape) }).dataSync()[0]!
        }
        // A small step: a larger one crosses kinks of the ReLU.
        const difference = (moved(1e-3) - moved(-1e-3)) / 2e-3
        expect(Math.abs(difference - gradients[name]!.dataSync()[at]!), name).toBeLessThan(
          1e-3 + 3e-2 * Math.abs(difference),
        )
      }
    })
  })
})

describe("language model sizes", () => {
  const count = (c: LanguageModelConfig) =>
    countParameters(Object.fromEntries(Object.entries(languageModelShapes(c)).map(([n, shape]) => [n, { shape }])))
  it("count as expected, and fewer key-value heads and a tied head save what they should", () => {
    const block = 4 * 16 + 2 * (16 * 16 + 16) + 2 * (16 * 8 + 8) + (16 * 24 + 24) + (24 * 16 + 16)
    expect(count(config)).toBe(11 * 16 + 8 * 16 + 2 * block + 32)
    expect(count({ ...config, keyValueHeads: 4 }) - count(config)).toBe(2 * 2 * (16 * 8 + 8))
    expect(count({ ...config, tiedHead: false }) - count(config)).toBe(16 * 11 + 11)
    expect(count({ ...config, tiedHead: false, outputs: 3 }) - count(config)).toBe(16 * 3 + 3)
    expect(() => count({ ...config, keyValueHeads: 3 })).toThrow("key-value heads 3")
  })
})

for (const name of ["wasm", "cpu"] as const) {
  const device = await openDevice(name).catch(() => undefined)
  it.skipIf(!device)(`a language model learns to name the token it reads on ${name}`, async () => {
    const small = { ...config, depth: 1, sigma: 0.1 }
    const step: Step = (state, batch) => {
      const params = underPrefix("model", state)
      const { value, gradients } = valueAndGradients(
        (p) =>
          tf.mean(
            softmaxCrossEntropy(
              tf.reshape(languageModel(p, batch["tokens"] as tf.Tensor2D, small), [48, 11]),
              tf.reshape(batch["tokens"]!, [48]),
            ),
          ),
        params,
      )
      const next = adamw.update({ params, gradients, state: underPrefix("optimizer", state), learningRate: 1e-2 })
      return {
        state: { ...withPrefix("model", next.params), ...withPrefix("optimizer", next.state) },
        metrics: { loss: value },
      }
    }
    const params = initLanguageModel(small, key(3))
    const program = device!.compile(step)
    program.load({ ...withPrefix("model", params), ...withPrefix("optimizer", adamw.init(params)) })
    const batch: HostTensors = {
      tokens: { data: Int32Array.from({ length: 48 }, (_, i) => (i * i + 3) % 11), shape: [6, 8], dtype: "int32" },
    }
    const losses = (await program.runMany(new Array<HostTensors>(25).fill(batch), { seed: 0, step: 0 })).map(
      (m) => m["loss"]!.data[0]!,
    )
    program.dispose()
    expect(losses[0]).toBeGreaterThan(1.5)
    expect(losses.at(-1)).toBeLessThan(0.5 * losses[0]!)
  })
}
