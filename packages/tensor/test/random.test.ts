import { fillNormal, fillUniform, key } from "@exp/random"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import { makeRandomness, openDevice, type Step } from "../src/tensor.ts"

/** Returns its own noise: what a step sees, read from outside. */
const echo: Step = (state, batch, randomness) => ({
  state: { count: tf.add(state["count"]!, 1) },
  metrics: {
    uniform: tf.mul(randomness.uniform("a", [3, 4]), batch["one"]!),
    normal: tf.mul(randomness.normal("a", [5]), batch["one"]!),
    other: tf.mul(randomness.normal("b", [5]), batch["one"]!),
  },
})
const one = { data: Float32Array.of(1), shape: [], dtype: "float32" } as const

for (const name of ["js", "wasm", "cpu"] as const) {
  const device = await openDevice(name).catch(() => undefined)
  describe.skipIf(!device)(`randomness on ${name}`, () => {
    it("is a function of seed, stream and step, bit for bit, one step or many at a time", async () => {
      const program = device!.compile(echo)
      program.load({ count: { ...one, data: Float32Array.of(0) } })
      const many = await program.runMany([{ one }, { one }, { one }], { seed: 4, step: 10 })
      const single = await program.run({ one }, { seed: 4, step: 11 })
      program.dispose()
      for (const [i, metrics] of [...many, single].entries()) {
        const step = i === 3 ? 11 : 10 + i
        expect(metrics["uniform"]!.data).toEqual(fillUniform(key(4, "a", step), new Float32Array(12)))
        expect(metrics["normal"]!.data).toEqual(fillNormal(key(4, "a", step), new Float32Array(5)))
        expect(metrics["other"]!.data).toEqual(fillNormal(key(4, "b", step), new Float32Array(5)))
      }
    })
  })
}

it("outside a program the same numbers come from makeRandomness", async () => {
  await openDevice("js")
  await tf.setBackend("cpu")
  tf.tidy(() => {
    const { uniform, normal } = makeRandomness(4, 10)
    expect(uniform("a", [3, 4]).dataSync()).toEqual(fillUniform(key(4, "a", 10), new Float32Array(12)))
    expect(normal("a", [5]).dataSync()).toEqual(fillNormal(key(4, "a", 10), new Float32Array(5)))
  })
})
