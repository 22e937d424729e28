import { fillNormal, integer, key } from "@exp/random"
import {
  dropout,
  encodeSafetensors,
  type HostTensors,
  openDevice,
  type Step,
  softmaxCrossEntropy,
  valueAndGradients,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import {
  adamw,
  CheckpointMismatch,
  Divergence,
  decodeCheckpoint,
  Interrupted,
  initVit,
  scalarMetrics,
  type TrainingOptions,
  type TrainingSink,
  train,
  underPrefix,
  type VitConfig,
  vit,
  warmupCosine,
  withPrefix,
} from "../src/nn.ts"

const config: VitConfig = {
  imageSize: 8,
  channels: 1,
  patchSize: 4,
  width: 8,
  depth: 1,
  heads: 2,
  mlpWidth: 12,
  classes: 3,
}
const steps = 30
const batchSize = 6

/** A whole step: dropout on the input, a transformer, AdamW. */
const step: Step = (state, batch, randomness) => {
  const params = underPrefix("model", state)
  const images = dropout(batch["images"] as tf.Tensor4D, 0.2, randomness, "input")
  const { value, gradients } = valueAndGradients(
    (p) => tf.mean(softmaxCrossEntropy(vit(p, images, config), batch["labels"]!)),
    params,
  )
  const next = adamw.update({
    params,
    gradients,
    state: underPrefix("optimizer", state),
    learningRate: batch["learning_rate"]!,
    options: { weightDecay: 0.01 },
  })
  return {
    state: { ...withPrefix("model", next.params), ...withPrefix("optimizer", next.state) },
    metrics: { loss: tf.mul(value, batch["poison"] ?? 1) },
  }
}

/** Three classes of noise images with different means. */
function batches(at: number): HostTensors {
  const labels = Int32Array.from({ length: batchSize }, (_, i) => integer(key(5, "labels", at), 3, i))
  const data = fillNormal(key(5, "images", at), new Float32Array(batchSize * 64))
  for (let i = 0; i < data.length; i++) data[i]! += labels[Math.floor(i / 64)]! * 3 * ((i % 64) / 32 - 1)
  return {
    images: { data, shape: [batchSize, 8, 8, 1], dtype: "float32" },
    labels: { data: labels, shape: [batchSize], dtype: "int32" },
  }
}

function initial(): HostTensors {
  const params = initVit(config, key(0, "vit"))
  return { ...withPrefix("model", params), ...withPrefix("optimizer", adamw.init(params)) }
}

const schedule = warmupCosine({ learningRate: 1e-2, steps, warmup: 3 })
const common = { seed: 9, steps, initial, batches, scalars: (t: number) => ({ learning_rate: schedule(t) }) }

/** A place for checkpoints in memory. */
function shelf() {
  const saved: { step: number; state: Uint8Array }[] = []
  const checkpoint: TrainingSink["checkpoint"] = {
    save: async (at, state) => void saved.push({ step: at, state }),
    restore: async () => saved.at(-1),
  }
  return { saved, checkpoint }
}

/** Losses on the first device, to compare the others with. */
let reference: number[] | undefined

for (const name of ["js", "wasm", "cpu"] as const) {
  const device = await openDevice(name).catch(() => undefined)
  describe.skipIf(!device)(`training on ${name}`, () => {
    const run = async (options: Partial<TrainingOptions>) => {
      const program = device!.compile(step)
      const losses: number[] = []
      const onMetrics: TrainingOptions["onMetrics"] = (at, metrics) => {
        losses[at] = scalarMetrics(metrics)["loss"]!
      }
      try {
        const result = await train({ ...common, program, onMetrics, ...options })
        return { result, losses, state: await program.state() }
      } finally {
        program.dispose()
      }
    }

    it("learns, with the same losses as every other device", async () => {
      const { losses, result } = await run({})
      expect(result).toEqual({ finished: steps, resumedFrom: 0 })
      const mean = (xs: number[]) => xs.reduce((a, b) => a + b, 0) / xs.length
      expect(mean(losses.slice(-5))).toBeLessThan(0.75 * mean(losses.slice(0, 5)))
      reference ??= losses
      for (const [t, loss] of losses.entries()) expect(Math.abs(loss - reference[t]!), `step ${t}`).toBeLessThan(1e-4)
    })

    it("continues bit for bit: 30 steps equal 13 steps, a restart, and 17 steps", async () => {
      const straight = await run({ chunk: 5 })
      const { saved, checkpoint } = shelf()
      const controller = new AbortController()
      const progress = (done: number) => {
        if (done >= 13) controller.abort()
      }
      const pauses = [{ every: 13, run: () => {} }]
      const first = run({ sink: { checkpoint, progress, signal: controller.signal }, chunk: 5, pauses })
      await expect(first).rejects.toMatchObject({ _tag: "Interrupted", step: 13, saved: true })
      expect(saved.map((s) => s.step)).toEqual([13])
      const second = await run({ sink: { checkpoint }, chunk: 4 })
      expect(second.result).toEqual({ finished: steps, resumedFrom: 13 })
      expect(second.losses.slice(13)).toEqual(straight.losses.slice(13))
      for (const [key, tensor] of Object.entries(straight.state))
        expect(second.state[key]!.data, key).toEqual(tensor.data)
    })

    it("leaks no tensors", async () => {
      await run({ steps: 2 })
      const before = tf.memory().numTensors
      await run({ steps: 5 })
      expect(tf.memory().numTensors).toBe(before)
    })
  })
}

describe("the loop", async () => {
  const device = await openDevice("js")
  const run = (options: Partial<TrainingOptions>) => train({ ...common, program: device.compile(step), ...options })

  it("saves at the given interval and at the end, and pauses where asked", async () => {
    const { saved, checkpoint } = shelf()
    const paused: number[] = []
    const done: number[] = []
    await run({
      steps: 10,
      checkpointEvery: 4,
      pauses: [{ every: 3, last: true, run: (finished) => void paused.push(finished) }],
      sink: { checkpoint, progress: (finished) => void done.push(finished) },
    })
    expect(saved.map((s) => s.step)).toEqual([4, 8, 10])
    expect(paused).toEqual([3, 6, 9, 10])
    expect(done).toEqual([3, 4, 6, 8, 9, 10])
    const checkpointed = decodeCheckpoint(saved[1]!.state)
    expect([checkpointed.step, checkpointed.seed]).toEqual([8, 9])
  })

  it("carries the host's state through a checkpoint", async () => {
    const { checkpoint } = shelf()
    let budget = 100
    const hostState = {
      save: () => String(budget),
      restore: (text: string) => {
        budget = Number(text)
      },
    }
    const pauses = [
      {
        every: 2,
        run: () => {
          budget -= 7
        },
      },
    ]
    await run({ steps: 4, checkpointEvery: 2, hostState, pauses, sink: { checkpoint } })
    budget = -1
    await run({ steps: 6, hostState, pauses, sink: { checkpoint } })
    expect(budget).toBe(100 - 3 * 7)
  })

  it("names the step at which the loss is no longer finite", async () => {
    const poison = (t: number) => ({ learning_rate: 1e-3, poison: t === 7 ? Number.NaN : 1 })
    await expect(run({ scalars: poison })).rejects.toMatchObject({ _tag: "Divergence", step: 7, metric: "loss" })
    const result = await run({ scalars: poison, onDivergence: "stop" })
    expect(result.finished).toBe(7)
    expect(result.diverged).toBeInstanceOf(Divergence)
  })

  it("stops at once when already cancelled, and lets signals through while it runs", async () => {
    await expect(run({ sink: { signal: AbortSignal.abort() } })).rejects.toBeInstanceOf(Interrupted)
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 60)
    await expect(run({ steps: 1_000_000, sink: { signal: controller.signal } })).rejects.toBeInstanceOf(Interrupted)
  })

  it("refuses the checkpoint of another training", async () => {
    const { checkpoint } = shelf()
    await run({ steps: 2, checkpointEvery: 2, sink: { checkpoint } })
    await expect(run({ seed: 10, sink: { checkpoint } })).rejects.toBeInstanceOf(CheckpointMismatch)
    const { "model.cls": cls, ...rest } = initial()
    await expect(run({ initial: rest, sink: { checkpoint } })).rejects.toThrow("model.cls")
    const other = { ...rest, "model.cls": { ...cls!, data: new Float32Array(4), shape: [4] } }
    await expect(run({ initial: other, sink: { checkpoint } })).rejects.toThrow("model.cls")
    expect(() => decodeCheckpoint(encodeSafetensors({}, { seed: "1" }))).toThrow("step")
    expect(() => decodeCheckpoint(new Uint8Array(3))).toThrow("safetensors")
  })
})
