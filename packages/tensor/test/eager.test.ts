import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import { type HostTensors, openDevice, type Step, valueAndGradients } from "../src/tensor.ts"

const scalar = (x: number) => ({ data: Float32Array.of(x), shape: [], dtype: "float32" }) as const

// Least squares by gradient descent, with noise on the inputs and a parameter that no loss depends on.
const step: Step = (state, batch, randomness) => {
  const noise = tf.mul(randomness.normal("noise", [4, 2]), 0.01)
  const { value, gradients } = valueAndGradients(
    (p) => tf.mean(tf.square(tf.sub(tf.matMul(tf.add(batch["x"]!, noise), p["w"]!), batch["y"]!))),
    { w: state["w"]!, unused: state["unused"]! },
  )
  expect(Object.keys(gradients)).toEqual(["w"])
  return {
    state: { w: tf.sub(state["w"]!, tf.mul(gradients["w"]!, batch["rate"]!)), unused: state["unused"]! },
    metrics: { loss: value },
  }
}

const start: HostTensors = {
  w: { data: Float32Array.of(0, 0), shape: [2, 1], dtype: "float32" },
  unused: scalar(3),
}
const batch: HostTensors = {
  x: { data: Float32Array.of(1, 2, 3, 4, -1, 0, 2, 1), shape: [4, 2], dtype: "float32" },
  y: { data: Float32Array.of(0, 1, -1, 1.5), shape: [4, 1], dtype: "float32" },
  rate: scalar(0.1),
}

for (const name of ["js", "wasm", "cpu"] as const) {
  describe(`program on ${name}`, () => {
    it("learns, keeps state between runs and leaks no tensors", async () => {
      const device = await openDevice(name)
      const program = device.compile(step)
      program.load(start)
      const first = (await program.run(batch, { seed: 1, step: 0 }))["loss"]!.data[0]!
      const tensors = tf.memory().numTensors
      let loss = first
      for (let i = 1; i < 50; i++) loss = (await program.run(batch, { seed: 1, step: i }))["loss"]!.data[0]!
      expect(tf.memory().numTensors).toBe(tensors)
      expect(loss).toBeLessThan(first / 10)
      const state = await program.state()
      expect(Array.from(state["unused"]!.data)).toEqual([3])
      expect(tf.memory().numTensors).toBe(tensors)
      program.dispose()
      expect(tf.memory().numTensors).toBe(name === "cpu" ? tensors : tensors - 2)
      await expect(program.run(batch, { seed: 1, step: 0 })).rejects.toThrow("disposed")
    })

    it("resumes bit for bit from a copy of the state", async () => {
      const device = await openDevice(name)
      const a = device.compile(step)
      a.load(start)
      for (let i = 0; i < 3; i++) await a.run(batch, { seed: 5, step: i })
      const b = device.compile(step)
      b.load(await a.state())
      const x = await a.runMany([batch, batch], { seed: 5, step: 3 })
      const y = await b.runMany([batch, batch], { seed: 5, step: 3 })
      expect(x).toEqual(y)
      a.dispose()
      b.dispose()
    })
  })
}

it("refuses a step that changes the shape of its state", async () => {
  const device = await openDevice("js")
  const program = device.compile((state) => ({ state: { w: tf.tile(state["w"]!, [2]) }, metrics: {} }))
  program.load({ w: { data: Float32Array.of(1), shape: [1], dtype: "float32" } })
  await expect(program.run({}, { seed: 0, step: 0 })).rejects.toThrow(
    'state "w" returned by the step: expected float32 [1], got float32 [2]',
  )
  program.dispose()
})
