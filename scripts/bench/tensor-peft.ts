/**
 * What a fine-tuning method costs: a training step of each on the vision transformer of the transfer test bed (width
 * 64, 4 blocks, batch 32) on the cpu device, beside full fine-tuning. Rounds alternate over all methods. `ratio` is the
 * time relative to full fine-tuning; `trained` counts parameters, `peakMiB` the most intermediate bytes alive at once.
 */
import {
  Adapter,
  BitFit,
  FullFineTune,
  KernelLora,
  KernelLoraMix,
  LinearProbe,
  Lora,
  Snell,
  Snella,
  SparsifiedLora,
  Tuner,
  type TunerInput,
} from "@exp/methods/peft"
import { thresholdPosition } from "@exp/methods/peft/competition"
import { initialState, tunedStep } from "@exp/methods/peft/tuned-step"
import { newHead, testBedModel, tunedMaps, tunedTensors, visionModel } from "@exp/methods/peft/vision-model"
import { initVit } from "@exp/nn"
import { key } from "@exp/random"
import { type HostTensors, openDevice, type Program } from "@exp/tensor"
import * as Schema from "effect/Schema"
import { median } from "./_torch_pair.ts"

const methods: Record<string, TunerInput> = {
  full: FullFineTune(),
  "linear probe": LinearProbe(),
  bitfit: BitFit(),
  "lora r=8": Lora({ rank: 8 }),
  "adapter 55": Adapter({ width: 55 }),
  "kernel-lora r=8": KernelLora({ rank: 8 }),
  "kernel-lora-mix r=8": KernelLoraMix({ rank: 8 }),
  "sparsified lora r=8 s=0.9": SparsifiedLora({ rank: 8, sparsity: 0.9 }),
  "snell r=8 s=0.9": Snell({ rank: 8, sparsity: 0.9 }),
  "snella r=8 s=0.9": Snella({ rank: 8, sparsity: 0.9 }),
}
const rounds = 7
const stepsPerCall = 10
const batchSize = 32
const config = testBedModel(10, 4)
const maps = tunedMaps(config)
const model = visionModel(config)
const all = initVit(config, key(0))
const backbone = Object.fromEntries(Object.entries(all).filter(([name]) => !name.startsWith("head.")))

const device = await openDevice("cpu")
const runs: {
  name: string
  program: Program
  batches: HostTensors[]
  trained: number
  times: number[]
  cpu: number[]
}[] = []
for (const [name, input] of Object.entries(methods)) {
  const tuner = Schema.decodeUnknownSync(Tuner)(input)
  const { params, frozen } = tunedTensors(tuner, config, backbone, newHead(config, 0), 0)
  const places = maps.map((map) => thresholdPosition(0.9, map.inputs * map.outputs))
  const batch: HostTensors = {
    images: {
      data: Float32Array.from({ length: batchSize * 784 }, (_, i) => Math.sin(i * 0.37)),
      shape: [batchSize, 28, 28, 1],
      dtype: "float32",
    },
    labels: { data: Int32Array.from({ length: batchSize }, (_, i) => i % 10), shape: [batchSize], dtype: "int32" },
    weights: { data: new Float32Array(batchSize).fill(1), shape: [batchSize], dtype: "float32" },
    learning_rate: { data: Float32Array.of(1e-3), shape: [], dtype: "float32" },
    ...(tuner._tag === "Snella"
      ? { positions: { data: Int32Array.from(places), shape: [maps.length], dtype: "int32" as const } }
      : {}),
  }
  const program = device.compile(tunedStep(model, tuner, { decay: () => 0 }))
  program.load(initialState(tuner, params, frozen))
  const batches = new Array<HostTensors>(stepsPerCall).fill(batch)
  await program.runMany(batches, { seed: 0, step: 0 })
  const trained = Object.values(params).reduce((n, { data }) => n + data.length, 0)
  runs.push({ name, program, batches, trained, times: [], cpu: [] })
}
for (let round = 0; round < rounds; round++)
  for (const { program, batches, times, cpu } of runs) {
    const [from, used] = [performance.now(), process.cpuUsage()]
    await program.runMany(batches, { seed: 0, step: stepsPerCall * (round + 1) })
    times.push((performance.now() - from) / stepsPerCall)
    const { user, system } = process.cpuUsage(used)
    cpu.push((user + system) / 1000 / stepsPerCall)
  }
for (const { name, program, trained, times, cpu } of runs) {
  const { nodes, peakBytes, updatedBytes } = program.graph!()!.cost
  console.log(
    JSON.stringify({
      name: `tensor-peft ${name}`,
      unit: "ms/step",
      ours: median(times),
      peer: median(runs[0]!.times),
      peerName: "full fine-tuning",
      ratio: median(times) / median(runs[0]!.times),
      rounds,
      oursCpu: median(cpu),
      trained,
      nodes,
      peakMiB: peakBytes / 2 ** 20,
      updatedKiB: updatedBytes / 1024,
    }),
  )
  program.dispose()
}
