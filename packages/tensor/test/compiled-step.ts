/** Runs one compiled step on the device named and prints its result: a process that other tests look at from outside. */
import * as tf from "@tensorflow/tfjs-core"
import { type DeviceName, openDevice } from "../src/tensor.ts"

const device = await openDevice((process.argv[2] ?? "auto") as DeviceName)
const program = device.compile((state) => ({
  state: { x: tf.mul(state["x"]!, 2) },
  metrics: { sum: tf.sum(tf.matMul(state["x"] as tf.Tensor2D, state["x"] as tf.Tensor2D)) },
}))
program.load({ x: { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2], dtype: "float32" } })
const runs = await program.runMany([{}, {}, {}], { seed: 0, step: 0 })
process.stdout.write(
  `${JSON.stringify({ device: device.name, pid: process.pid, sums: runs.map((m) => m["sum"]!.data[0]), telemetry: process.env["ORT_DISABLE_TELEMETRY"] ?? "unset" })}\n`,
)
program.dispose()
device.dispose()
