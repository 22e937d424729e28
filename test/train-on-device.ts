/**
 * Trains a small vision transformer for a few steps on `cpu` and on another device from the same start, and prints how far
 * apart they are, as one line of JSON. Usage: node test/train-on-device.ts DEVICE
 */
import { adamw, initVit, tinyVit, underPrefix, vit, withPrefix } from "@exp/nn"
import { key } from "@exp/random"
import {
  type Device,
  type DeviceName,
  DeviceUnavailable,
  dropout,
  type HostTensors,
  openDevice,
  type Step,
  softmaxCrossEntropy,
  valueAndGradients,
} from "@exp/tensor"
import { openSession } from "@exp/tensor/compile/engine"
import * as tf from "@tensorflow/tfjs-core"

/** What is printed. */
export type TrainingReport =
  | { readonly skip: string }
  | {
      readonly losses: Readonly<Record<string, readonly number[]>>
      /** Largest difference of a first moment of Adam, relative to the largest moment. */
      readonly moments: number
      /** Whether ONNX Runtime puts the whole step on the GPU; of compiled devices. */
      readonly whole?: boolean
    }

const config = { ...tinyVit(10, 1), width: 16, heads: 2, mlpWidth: 32 }
const batch = 4
const params = initVit(config, key(1))

const step: Step = (state, { images, labels, rate }, randomness) => {
  const trained = underPrefix("params", state)
  const { value, gradients } = valueAndGradients(
    (p) =>
      tf.mean(softmaxCrossEntropy(vit(p, dropout(images!, 0.1, randomness, "images") as tf.Tensor4D, config), labels!)),
    trained,
  )
  const next = adamw.update({ params: trained, gradients, state: underPrefix("adam", state), learningRate: rate! })
  return {
    state: { ...state, ...withPrefix("params", next.params), ...withPrefix("adam", next.state) },
    metrics: { loss: value },
  }
}

const inputs = (i: number): HostTensors => ({
  images: {
    data: Float32Array.from({ length: batch * 784 }, (_, j) => Math.sin((j + i) * 0.37)),
    shape: [batch, 28, 28, 1],
    dtype: "float32",
  },
  labels: { data: Int32Array.from({ length: batch }, (_, j) => (j + i) % 10), shape: [batch], dtype: "int32" },
  rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
})

async function train(device: Device): Promise<{ losses: number[]; state: HostTensors; whole?: boolean }> {
  const program = device.compile(step, { name: "vit" })
  try {
    program.load({ ...withPrefix("params", params), ...withPrefix("adam", adamw.init(params)) })
    const one = await program.run(inputs(0), { seed: 1, step: 0 })
    const many = await program.runMany([inputs(1), inputs(2)], { seed: 1, step: 1 })
    const graph = device.name === "webgpu" ? program.graph?.() : undefined
    return {
      losses: [one, ...many].map((m) => m["loss"]!.data[0]!),
      state: await program.state(),
      ...(graph ? { whole: runsWhole(graph.onnx) } : {}),
    }
  } finally {
    program.dispose()
  }
}

/** The runtime refuses a graph, when asked to, of which it would run a part on the CPU. */
function runsWhole(onnx: Uint8Array): boolean {
  try {
    openSession(onnx, { provider: "webgpu", resident: true, strict: true }).release()
    return true
  } catch {
    return false
  }
}

const name = (process.argv[2] ?? "webgpu") as DeviceName
const say = (report: TrainingReport) => process.stdout.write(`${JSON.stringify(report)}\n`)
try {
  const device = await openDevice(name)
  const expected = await train(await openDevice("cpu"))
  const got = await train(device)
  let [worst, largest] = [0, 0]
  for (const [entry, { data }] of Object.entries(expected.state)) {
    if (!entry.startsWith("adam.first.")) continue
    data.forEach((x, i) => {
      worst = Math.max(worst, Math.abs(x - got.state[entry]!.data[i]!))
      largest = Math.max(largest, Math.abs(x))
    })
  }
  say({
    losses: { cpu: expected.losses, [name]: got.losses },
    moments: worst / largest,
    ...(got.whole === undefined ? {} : { whole: got.whole }),
  })
} catch (error) {
  if (!(error instanceof DeviceUnavailable)) throw error
  say({ skip: error.message })
}
