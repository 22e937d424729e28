/**
 * Resident memory over 10,000 training steps on each device that this machine has, in a process of its own: `ours` is the
 * growth from a fifth of the steps to the last one, in MiB. The step uses an embedding, random masks, a sort and an
 * optimiser. Exits with an error where memory is not flat.
 *
 * Without a GPU, WebGPU runs on a software Vulkan driver where one is installed (Chromium's): then a tenth of the steps,
 * unless their number is given.
 *
 *   node scripts/bench/tensor-memory.ts [steps] [device…]
 */
import { spawnSync } from "node:child_process"
import { initialise, withPrefix } from "@exp/nn"
import { derive, key } from "@exp/random"
import {
  type DeviceName,
  dropout,
  gelu,
  type HostTensors,
  linear,
  openDevice,
  quantile,
  type Step,
  softmaxCrossEntropy,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { vulkanEnvironment } from "../../packages/tensor/test/software-vulkan.ts"
import { adamState, adamStep } from "./_train-step.ts"

const devices: readonly DeviceName[] = ["cpu", "wasm", "js", "webgpu", "webgpu-eager", "cuda"]
/** Given to the processes that this one starts, one a device. */
const inner = process.env["EXP_BENCH_DEVICE"] as DeviceName | undefined
const [count, ...chosen] = process.argv.slice(2)
if (count !== undefined && !(Number.isInteger(Number(count)) && Number(count) >= 100)) {
  console.error(`tensor-memory: ${count} is no number of steps; give a whole number from 100 on, then devices`)
  process.exit(2)
}
const [rows, vocabulary, width, classes] = [16, 128, 32, 8]
/** What an allocator may keep, and a collector leave for later. */
const limitMiB = 48

const params: HostTensors = {
  embedding: initialise.normal(derive(key(1), 0), [vocabulary, width]),
  "hidden.weight": initialise.kaimingUniform(derive(key(1), 1), [width, 4 * width]),
  "hidden.bias": initialise.zeros([4 * width]),
  "head.weight": initialise.kaimingUniform(derive(key(1), 2), [4 * width, classes]),
  "head.bias": initialise.zeros([classes]),
}
const step: Step = (state, batch, randomness) =>
  adamStep((p, { tokens, labels }) => {
    const x = tf.gather(p["embedding"]!, tokens!)
    const h = dropout(gelu(linear(x, p["hidden.weight"]!, p["hidden.bias"])), 0.1, randomness, "hidden")
    const kept = tf.mul(h, tf.cast(tf.greater(tf.abs(h), quantile(tf.abs(h), 0.3)), "float32"))
    return tf.mean(softmaxCrossEntropy(linear(kept, p["head.weight"]!, p["head.bias"]), labels!)) as tf.Scalar
  })(state, batch, randomness)
const batch: HostTensors = {
  tokens: { data: Int32Array.from({ length: rows }, (_, i) => (i * 37) % vocabulary), shape: [rows], dtype: "int32" },
  labels: { data: Int32Array.from({ length: rows }, (_, i) => i % classes), shape: [rows], dtype: "int32" },
  rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
}

const resident = () => {
  globalThis.gc?.()
  return process.memoryUsage().rss / 2 ** 20
}

/** V8 doubles its young generation now and then, some tens of MiB each time: that is no leak, and here it is fixed. */
const youngGeneration = ["--min-semi-space-size=16", "--max-semi-space-size=16"]

if (inner === undefined) {
  for (const name of chosen.length > 0 ? chosen : devices) {
    const { status } = spawnSync(
      process.execPath,
      ["--expose-gc", ...youngGeneration, import.meta.filename, ...(count === undefined ? [] : [count])],
      { stdio: "inherit", env: { ...vulkanEnvironment(), EXP_BENCH_DEVICE: name } },
    )
    if (status !== 0) process.exitCode = 1
  }
} else await measure(inner)

async function measure(name: DeviceName): Promise<void> {
  const device = await openDevice(name).catch((error: unknown) => {
    console.error(`tensor-memory ${name}: ${error instanceof Error ? error.message : String(error)}`)
    return undefined
  })
  if (!device) return
  const steps = count !== undefined ? Number(count) : device.adapter?.software ? 1000 : 10_000
  const program = device.compile(step)
  program.load({ ...withPrefix("params", params), ...adamState(params) })
  const tensors = tf.engine().state.numTensors
  /** Resident MiB after each tenth of the steps. */
  const track: number[] = []
  const from = performance.now()
  for (let done = 0; done < steps; ) {
    // Both forms: single steps, and ten in one call.
    if (done % 20 === 0)
      done += (await program.runMany(new Array<HostTensors>(10).fill(batch), { seed: 1, step: done })).length
    else {
      await program.run(batch, { seed: 1, step: done })
      done++
    }
    if (done >= ((track.length + 1) * steps) / 10) track.push(Math.round(10 * resident()) / 10)
  }
  const milliseconds = (performance.now() - from) / steps
  const growth = track.at(-1)! - track[1]!
  const leaked = tf.engine().state.numTensors - tensors
  program.dispose()
  device.dispose()
  console.log(
    JSON.stringify({
      name: `tensor-memory ${name}, ${steps} steps${device.adapter?.software ? ", software driver" : ""}`,
      unit: "MiB",
      ours: growth,
      track,
      // The state of an eager program lives in tensors made once.
      tensors: leaked,
      milliseconds,
    }),
  )
  if (growth > limitMiB) {
    console.error(
      `tensor-memory ${name}: ${growth.toFixed(1)} MiB more after ${steps} steps; at most ${limitMiB} are flat`,
    )
    process.exitCode = 1
  }
}
