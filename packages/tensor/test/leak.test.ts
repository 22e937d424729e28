/** Memory stays flat while a program runs; scripts/bench/tensor-memory.ts does the same over 10,000 steps. */
import * as tf from "@tensorflow/tfjs-core"
import { expect, it } from "vitest"
import { liveSessions } from "../src/compile/engine.ts"
import { openDevice } from "../src/devices.ts"
import type { HostTensors, Step } from "../src/step.ts"
import { valueAndGradients } from "../src/value-and-gradients.ts"

const n = 65_536
const step: Step = (state, { scale }) => {
  const { value, gradients } = valueAndGradients(({ w }) => tf.sum(tf.square(tf.mul(w!, scale!))) as tf.Scalar, {
    w: state["w"]!,
  })
  return { state: { w: tf.sub(state["w"]!, tf.mul(gradients["w"]!, 1e-3)) }, metrics: { value } }
}
const batch: HostTensors = { scale: { data: Float32Array.of(0.5), shape: [], dtype: "float32" } }

it.each(["cpu", "wasm", "js"] as const)(
  "%s: no tensor, no session and no memory is left behind by steps",
  async (name) => {
    const device = await openDevice(name).catch(() => undefined)
    if (!device) return
    const sessions = liveSessions()
    const steps = name === "cpu" ? 1000 : 20
    const program = device.compile(step)
    program.load({ w: { data: new Float32Array(n).fill(1), shape: [n], dtype: "float32" } })
    const run = async (from: number) => {
      for (let i = 0; i < steps; i++) await program.run(batch, { seed: 0, step: from + i })
    }
    await run(0)
    const before = { tensors: tf.engine().state.numTensors, resident: process.memoryUsage().rss }
    await run(steps)
    expect(tf.engine().state.numTensors).toBe(before.tensors)
    // The new state of 1,000 steps is 250 MiB: kept, it would show. On the other devices the count of tensors is the test.
    if (name === "cpu") expect((process.memoryUsage().rss - before.resident) / 2 ** 20).toBeLessThan(128)
    program.dispose()
    expect(liveSessions()).toBe(sessions)
  },
)
