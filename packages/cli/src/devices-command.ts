import { type DeviceName, type HostTensors, openDevice, type Step } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { json } from "./json.ts"
import { textTable } from "./table.ts"
import { terminalWidth } from "./terminal.ts"

const names: readonly DeviceName[] = ["cpu", "webgpu", "cuda", "wasm", "js"]

/** A device, whether it is there, and how fast it is. */
interface DeviceRow {
  readonly name: DeviceName
  readonly available: boolean
  /** What it is, or why it is missing. */
  readonly detail: string
  /** Measured rate of a 384×384 matrix product, in GFLOP/s. */
  readonly gflops: number
  /** Measured bandwidth of an addition of large vectors, in GB/s. */
  readonly gigabytes: number
}

const side = 384
const length = 1 << 21

const square = (fill: number) => ({
  data: new Float32Array(side * side).fill(fill),
  shape: [side, side],
  dtype: "float32" as const,
})

const product: Step = (state, batch) => ({
  state: { a: tf.matMul(state["a"] as tf.Tensor2D, batch["b"] as tf.Tensor2D) },
  metrics: {},
})
const addition: Step = (state) => ({ state: { v: tf.add(state["v"]!, 1) }, metrics: {} })

/** Median seconds of one step, over a quarter of a second of steps. */
async function median(
  device: Awaited<ReturnType<typeof openDevice>>,
  step: Step,
  state: HostTensors,
  batch: HostTensors,
) {
  const program = device.compile(step)
  try {
    program.load(state)
    await program.run(batch, { seed: 0, step: 0 })
    const times: number[] = []
    for (const end = performance.now() + 250; performance.now() < end || times.length < 3; ) {
      const began = performance.now()
      await program.run(batch, { seed: 0, step: times.length + 1 })
      times.push((performance.now() - began) / 1000)
    }
    return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!
  } finally {
    program.dispose()
  }
}

async function examine(name: DeviceName): Promise<DeviceRow> {
  try {
    const device = await openDevice(name)
    const seconds = await median(device, product, { a: square(1) }, { b: square(1 / side) })
    const long = { v: { data: new Float32Array(length), shape: [length], dtype: "float32" as const } }
    const pass = await median(device, addition, long, {})
    const detail = device.describe()
    device.dispose()
    return {
      name,
      available: true,
      detail,
      gflops: (2 * side ** 3) / seconds / 1e9,
      gigabytes: (8 * length) / pass / 1e9,
    }
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error)
    return { name, available: false, detail, gflops: Number.NaN, gigabytes: Number.NaN }
  }
}

/** Prints every device with its measured speed, or with the reason why it is missing. */
export async function listDevices(output: { json: boolean }): Promise<void> {
  const rows: DeviceRow[] = []
  for (const name of names) rows.push(await examine(name))
  if (output.json) {
    process.stdout.write(`${json(rows)}\n`)
    return
  }
  const rate = (x: number) => (Number.isFinite(x) ? x.toFixed(1) : "–")
  process.stdout.write(
    `${textTable(
      [
        { title: "device" },
        { title: "there" },
        { title: "GFLOP/s", align: "right" },
        { title: "GB/s", align: "right" },
        { title: "what it is, or why it is missing" },
      ],
      rows.map((row) => [row.name, row.available ? "yes" : "no", rate(row.gflops), rate(row.gigabytes), row.detail]),
      terminalWidth(),
    )}\n`,
  )
}
