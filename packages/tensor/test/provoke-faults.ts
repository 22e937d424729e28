/**
 * Asks a device for more memory than there is, then lets it go on; and loses it, where that can be provoked. Prints one
 * line of JSON. Usage: node packages/tensor/test/provoke-faults.ts DEVICE
 */
import * as tf from "@tensorflow/tfjs-core"
import { type DeviceName, DeviceUnavailable, type HostTensors, openDevice, type Step } from "../src/tensor.ts"
import { loseEagerWebgpu } from "../src/webgpu-eager-device.ts"

/** What is printed. */
export type FaultReport =
  | { readonly skip: string }
  | {
      /** The error of a step whose one tensor has 2⁴⁰ bytes (2³⁴ on a GPU). */
      readonly huge: { readonly tag: string; readonly message: string }
      /** The counter in the state after a step, the failed one, and a third. */
      readonly counter: number
      /** Growth of this process over 200 further steps with a state of 4 MiB, in MiB. */
      readonly growth: number
      /** The error of a step after the device was lost. */
      readonly lost?: { readonly tag: string; readonly message: string }
    }

const name = (process.argv[2] ?? "webgpu") as DeviceName
const say = (report: FaultReport) => process.stdout.write(`${JSON.stringify(report)}\n`)
const vector = (n: number): HostTensors[string] => ({ data: new Float32Array(n).fill(1), shape: [n], dtype: "float32" })

const caught = async (f: () => Promise<unknown>) => {
  try {
    await f()
    return { tag: "none", message: "it succeeded" }
  } catch (error) {
    return { tag: String((error as { _tag?: string })._tag), message: (error as Error).message }
  }
}

// The outer product of two vectors: small inputs, a result as large as one likes.
const step: Step = (state, { a, b }) => ({
  state: { counter: tf.add(state["counter"]!, 1), ballast: tf.mul(state["ballast"]!, 1.5) },
  metrics: { sum: tf.sum(tf.sin(tf.add(tf.reshape(a!, [-1, 1]), tf.reshape(b!, [1, -1])))) },
})

try {
  const device = await openDevice(name)
  const program = device.compile(step)
  const start: HostTensors = {
    counter: { data: Float32Array.of(0), shape: [], dtype: "float32" },
    ballast: vector(2 ** 20),
  }
  program.load(start)
  const small = { a: vector(4), b: vector(4) }
  const large = { a: vector(2 ** (name === "cpu" ? 20 : 16)), b: vector(2 ** (name === "cpu" ? 18 : 16)) }
  await program.run(small, { seed: 0, step: 0 })
  const huge = await caught(() => program.run(large, { seed: 0, step: 1 }))
  // Eagerly, part of the step has been done: the state is lost.
  if (!device.compiles) program.load({ ...start, counter: { ...start["counter"]!, data: Float32Array.of(1) } })
  await program.run(small, { seed: 0, step: 2 })
  const counter = (await program.state())["counter"]!.data[0]!
  // The eager device needs a tenth of a second for each on a software driver.
  const steps = device.compiles || process.env["EXP_TEST_ALL_OPS"] ? 200 : 0
  for (let i = 0; i < steps / 10; i++) await program.run(small, { seed: 0, step: i })
  const before = process.memoryUsage().rss
  for (let i = 0; i < steps; i++) await program.run(small, { seed: 0, step: i })
  const growth = (process.memoryUsage().rss - before) / 2 ** 20
  if (name !== "webgpu-eager") say({ huge, counter, growth })
  else {
    await loseEagerWebgpu()
    say({ huge, counter, growth, lost: await caught(() => program.run(small, { seed: 0, step: 3 })) })
  }
  program.dispose()
} catch (error) {
  if (!(error instanceof DeviceUnavailable)) throw error
  say({ skip: error.message })
}
