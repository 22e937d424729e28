/**
 * Resident memory over 10,000 training steps on each device that this machine has: `ours` is the growth from step 2,000
 * to the last one, in MiB. The step uses an embedding, random masks, a sort and an optimiser. Exits with an error where
 * memory is not flat.
 *
 *   node --expose-gc scripts/bench/tensor-memory.ts [steps] [device…]
 */
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
import { adamState, adamStep } from "./_train-step.ts"

const [count = "10000", ...chosen] = process.argv.slice(2)
const steps = Number(count)
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

for (const name of (chosen.length > 0 ? chosen : ["cpu", "wasm", "js", "webgpu", "cuda"]) as DeviceName[]) {
  const device = await openDevice(name).catch(() => undefined)
  if (!device) {
    console.error(`tensor-memory ${name}: not on this machine`)
    continue
  }
  const program = device.compile(step)
  program.load({ ...withPrefix("params", params), ...adamState(params) })
  const tensors = tf.engine().state.numTensors
  let after2000 = resident()
  const from = performance.now()
  for (let done = 0; done < steps; ) {
    // Both forms: single steps, and ten in one call.
    if (done % 20 === 0)
      done += (await program.runMany(new Array<HostTensors>(10).fill(batch), { seed: 1, step: done })).length
    else {
      await program.run(batch, { seed: 1, step: done })
      done++
    }
    if (done === Math.min(2000, steps / 2)) after2000 = resident()
  }
  const milliseconds = (performance.now() - from) / steps
  const growth = resident() - after2000
  const leaked = tf.engine().state.numTensors - tensors
  program.dispose()
  device.dispose()
  console.log(
    JSON.stringify({
      name: `tensor-memory ${name}, ${steps} steps`,
      unit: "MiB",
      ours: growth,
      resident: resident(),
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
