/**
 * Training steps of the vision transformer on the cpu device, in calls of ten steps, beside the same model in PyTorch
 * where python3 has it. Rounds alternate; `ours` and `peer` are medians of wall milliseconds a step, `oursCpu` and
 * `peerCpu` of CPU milliseconds (a peer that quietly uses two threads shows there).
 */
import { spawn, spawnSync } from "node:child_process"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { adamw, initVit, tinyVit, underPrefix, vit, withPrefix } from "@exp/nn"
import { key } from "@exp/random"
import { type HostTensors, openDevice, type Step, softmaxCrossEntropy, valueAndGradients } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

const one = { OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", MKL_NUM_THREADS: "1" }
const python = ["python3", "/usr/bin/python3"].find((p) => spawnSync(p, ["-c", "import torch"]).status === 0)
const rounds = 5
const stepsPerCall = 10
const median = (xs: readonly number[]) => [...xs].sort((a, b) => a - b)[xs.length >> 1]!

const device = await openDevice("cpu")
for (const [width, batch] of [
  [64, 64],
  [64, 256],
  [192, 64],
  [192, 256],
] as const) {
  const config = { ...tinyVit(10), width, mlpWidth: 4 * width }
  const params = initVit(config, key(1))
  const step: Step = (state, { images, labels, rate }) => {
    const trained = underPrefix("params", state)
    const { value, gradients } = valueAndGradients(
      (p) => tf.mean(softmaxCrossEntropy(vit(p, images as tf.Tensor4D, config), labels!)),
      trained,
    )
    const next = adamw.update({
      params: trained,
      gradients,
      state: underPrefix("adam", state),
      learningRate: rate!,
    })
    return {
      state: { ...withPrefix("params", next.params), ...withPrefix("adam", next.state) },
      metrics: { loss: value },
    }
  }
  const inputs: HostTensors = {
    images: {
      data: Float32Array.from({ length: batch * 784 }, (_, i) => Math.sin(i * 0.37)),
      shape: [batch, 28, 28, 1],
      dtype: "float32",
    },
    labels: { data: Int32Array.from({ length: batch }, (_, i) => i % 10), shape: [batch], dtype: "int32" },
    rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
  }
  const batches = new Array<HostTensors>(stepsPerCall).fill(inputs)
  const program = device.compile(step)
  program.load({ ...withPrefix("params", params), ...withPrefix("adam", adamw.init(params)) })
  const begun = performance.now()
  await program.runMany(batches, { seed: 0, step: 0 })
  const first = performance.now() - begun
  const peer = python
    ? spawn(python, [join(import.meta.dirname, "_torch_vit.py"), String(width), String(batch)], {
        env: { ...process.env, ...one },
        stdio: ["pipe", "pipe", "inherit"],
      })
    : undefined
  const answers = peer && createInterface({ input: peer.stdout })[Symbol.asyncIterator]()
  const ask = async (steps: number): Promise<[number, number]> => {
    peer!.stdin.write(`${steps}\n`)
    const [wall, cpu] = String((await answers!.next()).value).split(" ")
    return [Number(wall), Number(cpu)]
  }
  if (peer) await ask(2)
  const [ours, oursCpu, theirs, theirsCpu]: [number[], number[], number[], number[]] = [[], [], [], []]
  for (let round = 0; round < rounds; round++) {
    const [from, used] = [performance.now(), process.cpuUsage()]
    await program.runMany(batches, { seed: 0, step: stepsPerCall * (round + 1) })
    ours.push((performance.now() - from) / stepsPerCall)
    const { user, system } = process.cpuUsage(used)
    oursCpu.push((user + system) / 1000 / stepsPerCall)
    if (!peer) continue
    const [wall, cpu] = await ask(stepsPerCall)
    theirs.push(wall)
    theirsCpu.push(cpu)
  }
  const cost = program.graph!()!.cost
  program.dispose()
  peer?.stdin.end()
  console.log(
    JSON.stringify({
      name: `tensor-vit d=${width} batch=${batch}`,
      unit: "ms/step",
      ours: median(ours),
      ...(peer ? { peer: median(theirs), peerName: "PyTorch", ratio: median(ours) / median(theirs) } : { peer: null }),
      rounds,
      oursCpu: median(oursCpu),
      ...(peer ? { peerCpu: median(theirsCpu) } : {}),
      firstCallMs: first,
      nodes: cost.nodes,
      gflop: cost.flops / 1e9,
      peakMiB: cost.peakBytes / 2 ** 20,
    }),
  )
}
