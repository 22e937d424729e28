/** What the devices of a machine are, how fast they are, and why those that are missing are missing. */
import * as tf from "@tensorflow/tfjs-core"
import type { Adapter } from "./adapter.ts"
import { type DeviceName, deviceNames, openDevice } from "./devices.ts"
import { DeviceUnavailable } from "./errors.ts"
import type { Device, HostTensors, Step } from "./step.ts"

/** A device, and whether this machine has it. */
export interface DeviceReport {
  readonly name: Exclude<DeviceName, "auto">
  readonly available: boolean
  /** What it is, or why it is not there. */
  readonly description: string
  /** Whether steps are compiled for it; absent where it is missing. */
  readonly compiles?: boolean
  /** Of GPUs. */
  readonly adapter?: Adapter
  /** Measured rate of a product of square matrices, in 10⁹ operations a second; the call of the step is part of the time. */
  readonly gflops?: number
  /** Side of these matrices. */
  readonly side?: number
  /** Measured: the sum of two vectors of 16 MiB or more and its reduction, bytes read and written. */
  readonly gigabytesPerSecond?: number
}

/**
 * All devices of this machine.
 *
 * @param options.measure set to false to skip the measurements (a few seconds)
 * @param options.names only these
 */
export async function describeDevices(
  options: { readonly measure?: boolean; readonly names?: readonly DeviceName[] } = {},
): Promise<readonly DeviceReport[]> {
  const reports: DeviceReport[] = []
  for (const name of options.names ?? deviceNames) {
    if (name === "auto") continue
    try {
      const device = await openDevice(name)
      const speed = options.measure === false ? {} : await measure(device)
      reports.push({
        name,
        available: true,
        description: device.describe(),
        compiles: device.compiles,
        ...(device.adapter ? { adapter: device.adapter } : {}),
        ...speed,
      })
      device.dispose()
    } catch (error) {
      if (!(error instanceof DeviceUnavailable)) throw error
      reports.push({ name, available: false, description: error.reason })
    }
  }
  return reports
}

/** Sizes grow until one run takes this long, so that what a call costs by itself does not count. */
const longEnough = 0.01

async function measure(device: Device) {
  const products: Step = (state) => ({ state, metrics: { y: tf.sum(tf.matMul(state["a"]!, state["b"]!)) } })
  const sums: Step = (state) => ({ state, metrics: { y: tf.sum(tf.add(state["a"]!, state["b"]!)) } })
  // Only what is emulated needs seconds for a moderate size.
  const slow = device.name === "js" || device.adapter?.software === true
  let side = slow ? 64 : 256
  let seconds = await fastest(device, products, [side, side])
  while (seconds < longEnough && side < 8192) {
    side *= 2
    seconds = await fastest(device, products, [side, side])
  }
  let length = slow ? 2 ** 20 : 2 ** 22
  let pass = await fastest(device, sums, [length])
  while (pass < longEnough / 2 && length < 2 ** 26) {
    length *= 2
    pass = await fastest(device, sums, [length])
  }
  return { gflops: (2 * side ** 3) / seconds / 1e9, side, gigabytesPerSecond: (4 * length * 4) / pass / 1e9 }
}

/** The shortest of three runs, in seconds. The result is one number, so that no copy to the host is timed. */
async function fastest(device: Device, step: Step, shape: readonly number[]): Promise<number> {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1.5)
  const state: HostTensors = { a: { data, shape, dtype: "float32" }, b: { data, shape, dtype: "float32" } }
  const program = device.compile(step)
  try {
    program.load(state)
    await program.run({}, { seed: 0, step: 0 })
    let best = Number.POSITIVE_INFINITY
    for (let i = 1; i <= 3; i++) {
      const from = performance.now()
      await program.run({}, { seed: 0, step: i })
      best = Math.min(best, performance.now() - from)
    }
    return best / 1000
  } finally {
    program.dispose()
  }
}
