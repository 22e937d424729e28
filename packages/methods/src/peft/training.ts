/**
 * The training loop of the tuned models: epochs of steps in one native call where the device allows, the layers'
 * competition between epochs, checkpoints from which training goes on bit for bit.
 */
import type { TrialContext } from "@exp/spec"
import {
  type Device,
  decodeSafetensors,
  encodeSafetensors,
  type HostTensor,
  type HostTensors,
  type Program,
  type Step,
} from "@exp/tensor"
import type { LinearMap } from "./factors.ts"
import { LayerCompetition } from "./layer-competition.ts"
import { prefixed, under, updatesStep } from "./tuned-step.ts"
import type { Tuner } from "./tuners.ts"

/** A scalar for a batch. */
export function scalarTensor(value: number): HostTensor {
  return { data: new Float32Array([value]), shape: [], dtype: "float32" }
}

/** What the loop needs to know of a run. */
export interface Training {
  readonly device: Device
  readonly step: Step
  readonly tuner: Tuner
  readonly maps: ReadonlyArray<LinearMap>
  /** The state at the start. Its `frozen.*` part never changes and is not put into checkpoints. */
  readonly initial: HostTensors
  readonly epochs: number
  readonly stepsPerEpoch: number
  /** The tensors of a step's batch, without the learning rate and the positions. */
  batch(step: number): HostTensors
  /** The learning rate of a step. */
  learningRate(step: number): number
  /** Called after every epoch. */
  epochEnd?(report: EpochReport): void
}

/** What an epoch did. */
export interface EpochReport {
  readonly epoch: number
  /** Number of steps so far. */
  readonly step: number
  /** The loss of each step. */
  readonly losses: Float64Array
  /** Wall time of a step, mean over the epoch, in ms. */
  readonly stepMs: number
  readonly competition: LayerCompetition | undefined
}

/** How a run ended. */
export interface Trained {
  /** False when the trial was asked to stop: a checkpoint was saved, and the state is that of the last epoch. */
  readonly finished: boolean
  readonly state: HostTensors
  readonly competition: LayerCompetition | undefined
  /** Median over epochs of the mean wall time of a step, in ms; NaN when no epoch ran. */
  readonly stepMs: number
}

/** Checkpoints are written when this much time has passed since the last one. */
const checkpointInterval = 15_000

/** Steps that eager devices run between two looks at the signal. */
const eagerSteps = 4

/** Trains to the end, or until the trial is asked to stop. */
export async function train(training: Training, trial: TrialContext): Promise<Trained> {
  const { device, tuner, maps, epochs, stepsPerEpoch } = training
  const program = device.compile(training.step, { name: "training" })
  const frozen = prefixed("frozen.", under("frozen.", training.initial))
  try {
    const saved = await trial.checkpoint.restore()
    const resumed = saved && decodeCheckpoint(saved.state)
    let epoch = resumed?.epoch ?? 0
    const competition =
      tuner._tag === "Snella" ? new LayerCompetition(tuner, maps, epochs, resumed?.sparsities) : undefined
    program.load(resumed ? { ...frozen, ...resumed.state } : training.initial)
    const checkpoint = async () =>
      trial.checkpoint.save(epoch * stepsPerEpoch, encodeCheckpoint(await program.state(), epoch, competition))
    const times: number[] = []
    let lastSaved = performance.now()
    for (; epoch < epochs; epoch++) {
      competition?.renew(epoch, competition.needsScores(epoch) ? await program.state() : undefined)
      const positions = competition?.positions()
      const started = performance.now()
      const losses = new Float64Array(stepsPerEpoch)
      const atOnce = device.compiles ? stepsPerEpoch : eagerSteps
      for (let first = 0; first < stepsPerEpoch; first += atOnce) {
        if (trial.signal.aborted && !device.compiles) break
        const count = Math.min(atOnce, stepsPerEpoch - first)
        const start = epoch * stepsPerEpoch + first
        const batches = Array.from({ length: count }, (_, i) => ({
          ...training.batch(start + i),
          learning_rate: scalarTensor(training.learningRate(start + i)),
          ...(positions ? { positions } : {}),
        }))
        const metrics = await program.runMany(batches, { seed: trial.seed, step: start })
        metrics.forEach((metric, i) => {
          losses[first + i] = metric["loss"]!.data[0]!
        })
        trial.progress(start + count, epochs * stepsPerEpoch)
        // Let timers, signals and messages in: a native call blocks the event loop.
        await new Promise((resolve) => setImmediate(resolve))
      }
      if (trial.signal.aborted) {
        // An epoch that was cut short is repeated from its start; one that was completed is kept.
        const whole = device.compiles
        if (whole) {
          epoch++
          await checkpoint()
        }
        return { finished: false, state: await program.state(), competition, stepMs: Number.NaN }
      }
      const stepMs = (performance.now() - started) / stepsPerEpoch
      times.push(stepMs)
      training.epochEnd?.({ epoch, step: (epoch + 1) * stepsPerEpoch, losses, stepMs, competition })
      if (epoch + 1 < epochs && performance.now() - lastSaved > checkpointInterval) {
        epoch++
        await checkpoint()
        epoch--
        lastSaved = performance.now()
      }
    }
    times.sort((a, b) => a - b)
    const stepMs = times.length === 0 ? Number.NaN : times[Math.floor((times.length - 1) / 2)]!
    return { finished: true, state: await program.state(), competition, stepMs }
  } finally {
    program.dispose()
  }
}

/** The state without its frozen part, and where the loop stands. */
function encodeCheckpoint(state: HostTensors, epoch: number, competition: LayerCompetition | undefined): Uint8Array {
  const changing = Object.fromEntries(Object.entries(state).filter(([name]) => !name.startsWith("frozen.")))
  return encodeSafetensors(changing, {
    epoch: String(epoch),
    ...(competition ? { sparsities: JSON.stringify(competition.sparsities) } : {}),
  })
}

function decodeCheckpoint(bytes: Uint8Array): {
  readonly state: HostTensors
  readonly epoch: number
  readonly sparsities: ReadonlyArray<number> | undefined
} {
  const { tensors, metadata } = decodeSafetensors(bytes)
  const sparsities = metadata["sparsities"]
  return {
    state: tensors,
    epoch: Number(metadata["epoch"]),
    sparsities: sparsities === undefined ? undefined : (JSON.parse(sparsities) as number[]),
  }
}

/** ΔW of every map that has one, [inputs, outputs], from a training state. */
export async function updatesOf(
  device: Device,
  maps: ReadonlyArray<LinearMap>,
  tuner: Tuner,
  state: HostTensors,
  competition: LayerCompetition | undefined,
): Promise<HostTensors> {
  const needed = Object.fromEntries(
    Object.entries(state).filter(([name]) => /^params\.update\.|^frozen\.(mask|indices)\./.test(name)),
  )
  if (Object.keys(needed).length === 0) return {}
  const program: Program = device.compile(updatesStep(maps, tuner), { name: "updates" })
  try {
    program.load(needed)
    const batch: HostTensors = competition ? { positions: competition.positions() } : {}
    return await program.run(batch, { seed: 0, step: 0 })
  } finally {
    program.dispose()
  }
}

/** Host weights with ΔW added: what inference uses. Maps without an update keep their weight. */
export function mergedWeights(weights: HostTensors, updates: HostTensors, weightOf: (map: string) => string): HostTensors {
  const out: Record<string, HostTensor> = { ...weights }
  for (const [map, update] of Object.entries(updates)) {
    const name = weightOf(map)
    const before = weights[name]!
    const data = Float32Array.from(before.data, (w, i) => w + update.data[i]!)
    out[name] = { ...before, data }
  }
  return out
}
