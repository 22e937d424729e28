/**
 * What a machine with a GPU is to be asked: does every operation give the right numbers on `webgpu`, and how long do
 * training steps take beside PyTorch on the same GPU, in float32 and with tf32 products, up to ViT-B?
 *
 *   npm run gpu                                     in a checkout
 *   bin/node scripts/gpu.ts                         in a bundle that was made with --scripts
 *   … -- --device cpu --torch cpu --only vit-tiny   on any machine: the script itself, tried
 *
 * It has been tried only that last way: no GPU was at hand where it was written, and no table of GPU figures is claimed.
 * Needs a Vulkan driver for `webgpu`; Python 3 with a CUDA build of PyTorch for the peer, without which its columns stay
 * empty. The losses of the first steps of both sides are compared before anything is timed (tf32: to 2 %).
 *
 * Writes lines of JSON to standard output and a table to standard error.
 */
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { initLanguageModel, initVit, languageModel, namedVit, tinyVit, type VitConfig, vit } from "@exp/nn"
import { key } from "@exp/random"
import {
  type DeviceName,
  encodeSafetensors,
  type HostTensors,
  openDevice,
  type Step,
  softmaxCrossEntropy,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { adamState, adamStep } from "./bench/_train-step.ts"

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "webgpu" },
    torch: { type: "string", default: "cuda" },
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "5" },
    "no-ops": { type: "boolean", default: false },
  },
})
const compared = 3
const stepsPerCall = 10

interface Model {
  readonly name: string
  /** Arguments of the peer: model, heads, depth, patch size. */
  readonly peer: readonly string[]
  readonly step: Step
  readonly params: HostTensors
  readonly batch: HostTensors
}

const rate = { data: Float32Array.of(1e-3), shape: [], dtype: "float32" } as const

function vitModel(name: string, config: VitConfig, size: number): Model {
  const { imageSize, channels, heads, depth, patchSize } = config
  const pixels = size * imageSize ** 2 * channels
  return {
    name: `${name} batch=${size}`,
    peer: ["vit", String(heads), String(depth), String(patchSize)],
    step: adamStep((p, { images, labels }) =>
      tf.mean(softmaxCrossEntropy(vit(p, images as tf.Tensor4D, config), labels!)),
    ),
    params: initVit(config, key(1)),
    batch: {
      images: {
        data: Float32Array.from({ length: pixels }, (_, i) => Math.sin(i * 0.37)),
        shape: [size, imageSize, imageSize, channels],
        dtype: "float32",
      },
      labels: { data: Int32Array.from({ length: size }, (_, i) => i % config.classes), shape: [size], dtype: "int32" },
      rate,
    },
  }
}

function languageModelOf(width: number, depth: number, context: number, size: number): Model {
  const vocabulary = 4096
  const config = { vocabulary, width, depth, heads: width / 64, mlpWidth: 4 * width, context }
  const tokens = (shift: number) => ({
    data: Int32Array.from({ length: size * context }, (_, i) => ((i + shift) * 2654435761) % vocabulary),
    shape: [size, context],
    dtype: "int32" as const,
  })
  return {
    name: `lm-d${width} batch=${size}×${context}`,
    peer: ["lm", String(config.heads), String(depth), "0"],
    step: adamStep((p, batch) => {
      const scores = languageModel(p, batch["tokens"] as tf.Tensor2D, config)
      const targets = tf.reshape(batch["targets"]!, [-1])
      return tf.mean(softmaxCrossEntropy(tf.reshape(scores, [-1, vocabulary]), targets)) as tf.Scalar
    }),
    params: initLanguageModel(config, key(1)),
    batch: { tokens: tokens(0), targets: tokens(1), rate },
  }
}

const small: VitConfig = { ...namedVit("base", 100), width: 384, heads: 6, mlpWidth: 1536 }
const models: readonly (() => Model)[] = [
  () => vitModel("vit-tiny d=64", { ...tinyVit(10), mlpWidth: 256 }, 64),
  () => vitModel("vit-tiny d=192", { ...tinyVit(10), width: 192, mlpWidth: 768 }, 256),
  () => vitModel("vit-small", small, 32),
  () => vitModel("vit-base", namedVit("base", 100), 8),
  () => vitModel("vit-base", namedVit("base", 100), 32),
  () => languageModelOf(256, 4, 128, 8),
  () => languageModelOf(512, 8, 256, 16),
  () => languageModelOf(768, 12, 512, 8),
]

const say = (row: object) => process.stdout.write(`${JSON.stringify(row)}\n`)
const tell = (line: string) => process.stderr.write(`${line}\n`)
const median = (xs: readonly number[]) => [...xs].sort((a, b) => a - b)[xs.length >> 1]!

/** A running peer: each request is a number of steps. */
class Peer {
  readonly #child
  readonly #answers
  constructor(python: string, args: readonly string[]) {
    this.#child = spawn(python, [join(import.meta.dirname, "bench", "_torch_gpu.py"), ...args], {
      stdio: ["pipe", "pipe", "inherit"],
    })
    this.#answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  }
  async steps(n: number): Promise<{ wall: number; losses: readonly number[] }> {
    this.#child.stdin.write(`${n}\n`)
    const { value, done } = await this.#answers.next()
    if (done) throw new Error("the PyTorch peer ended early")
    const [wall, ...losses] = String(value).split(" ").map(Number)
    return { wall: wall!, losses }
  }
  end(): void {
    this.#child.stdin.end()
  }
}

if (!values["no-ops"]) await operations()
const python = ["python3", "/usr/bin/python3"].find(
  (p) =>
    spawnSync(p, ["-c", `import torch; torch.zeros(1, device="${values.torch}")`], { stdio: "ignore" }).status === 0,
)
if (python === undefined) tell(`no Python with PyTorch on ${values.torch}: the peer's columns stay empty`)
const device = await openDevice(values.device as DeviceName)
say({ device: device.name, description: device.describe(), python: python ?? null })
tell(`${device.name}: ${device.describe()}`)
tell(`${"ms a step".padEnd(28)}${device.name.padStart(12)}${"torch fp32".padStart(12)}${"torch tf32".padStart(12)}`)
const names: string[] = []
for (const make of models) {
  const model = make()
  names.push(model.name)
  if (values.only && !values.only.some((part) => model.name.includes(part))) continue
  try {
    const { ours, fp32, tf32 } = await compare(model)
    const cell = (x: number | undefined) => (x === undefined ? "–" : x.toFixed(2)).padStart(12)
    tell(`${model.name.padEnd(28)}${cell(ours)}${cell(fp32)}${cell(tf32)}`)
  } catch (error) {
    // A size that does not fit must not hide the others.
    const message = error instanceof Error ? error.message : String(error)
    say({ name: model.name, error: message })
    tell(`${model.name.padEnd(28)}  ${message.split("\n")[0]}`)
    process.exitCode = 1
  }
}
device.dispose()

/** The suite of operations against the reference, one process: native code cannot be kept from aborting. */
async function operations(): Promise<void> {
  const script = join(import.meta.dirname, "..", "packages", "tensor", "test", "run-ops.ts")
  const child = spawn(process.execPath, [script, values.device], { stdio: ["ignore", "pipe", "inherit"] })
  let [right, cases] = [0, 0]
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("{")) continue
    const report = JSON.parse(line) as { case?: string; worst?: number; tolerance?: number; skip?: string }
    if (report.skip !== undefined) tell(`operations skipped: ${report.skip}`)
    if (report.case === undefined) continue
    cases++
    if (report.worst! <= report.tolerance!) right++
    else say({ ...report, wrong: true })
  }
  const code = await new Promise((done) => (child.exitCode === null ? child.once("close", done) : done(child.exitCode)))
  say({ operations: cases, right, exit: code })
  tell(`operations on ${values.device}: ${right} of ${cases} within their tolerance`)
  if (right < cases || code !== 0) process.exitCode = 1
}

async function compare(model: Model) {
  const { name, step, params, batch } = model
  const folder = mkdtempSync(join(tmpdir(), "exp-gpu-"))
  const program = device.compile(step)
  const peers = new Map<string, Peer>()
  try {
    const file = join(folder, "start.safetensors")
    writeFileSync(
      file,
      encodeSafetensors({
        ...Object.fromEntries(Object.entries(params).map(([k, t]) => [`params.${k}`, t])),
        ...Object.fromEntries(Object.entries(batch).map(([k, t]) => [`batch.${k}`, t])),
      }),
    )
    program.load({
      ...Object.fromEntries(Object.entries(params).map(([k, t]) => [`params.${k}`, t])),
      ...adamState(params),
    })
    let at = 0
    const run = async (steps: number) => {
      const from = performance.now()
      const metrics = await program.runMany(new Array<HostTensors>(steps).fill(batch), { seed: 0, step: at })
      at += steps
      return { wall: (performance.now() - from) / steps, losses: metrics.map((m) => m["loss"]!.data[0]!) }
    }
    const first = await run(compared)
    if (python !== undefined)
      for (const precision of values.torch === "cpu" ? ["fp32"] : ["fp32", "tf32"]) {
        const peer = new Peer(python, [file, values.torch, precision, ...model.peer])
        peers.set(precision, peer)
        const { losses } = await peer.steps(compared)
        const off = Math.max(...losses.map((loss, i) => Math.abs(loss - first.losses[i]!) / Math.abs(loss)))
        if (!(off <= (precision === "tf32" ? 0.02 : 2e-3)))
          throw new Error(`losses differ: ${first.losses.join(" ")}, in PyTorch (${precision}) ${losses.join(" ")}`)
      }
    // Warm up both sides at the length that is timed.
    await run(stepsPerCall)
    for (const peer of peers.values()) await peer.steps(stepsPerCall)
    const ours: number[] = []
    const theirs = new Map([...peers.keys()].map((precision) => [precision, [] as number[]]))
    for (let round = 0; round < Number(values.rounds); round++) {
      ours.push((await run(stepsPerCall)).wall)
      for (const [precision, peer] of peers) theirs.get(precision)!.push((await peer.steps(stepsPerCall)).wall)
    }
    const of = (precision: string) => (theirs.has(precision) ? median(theirs.get(precision)!) : undefined)
    const row = { ours: median(ours), fp32: of("fp32"), tf32: of("tf32") }
    say({ name, unit: "ms/step", ...row, rounds: ours.length, loss: first.losses })
    return row
  } finally {
    for (const peer of peers.values()) peer.end()
    program.dispose()
    rmSync(folder, { recursive: true, force: true })
  }
}
