/** Training a tuned model: the loop, SNELLA's competition between epochs, and what is left at the end. */
import { type HostState, type TrainingSink, train } from "@exp/nn"
import type { Device, HostTensor, HostTensors, Step } from "@exp/tensor"
import type { LinearMap } from "./factors.ts"
import { LayerCompetition } from "./layer-competition.ts"
import { median } from "./matrix-rank.ts"
import { updatesStep } from "./tuned-step.ts"
import type { Tuner } from "./tuners.ts"

/** What is trained, and how it is fed. */
export interface TunedTraining {
  readonly device: Device
  readonly step: Step
  readonly tuner: Tuner
  readonly maps: ReadonlyArray<LinearMap>
  readonly initial: HostTensors
  readonly seed: number
  readonly epochs: number
  readonly stepsPerEpoch: number
  /** The tensors of a step's batch, without learning rate and positions. */
  readonly batch: (step: number) => HostTensors
  readonly learningRate: (step: number) => number
  readonly sink?: TrainingSink
  /** After each epoch (0-based): its mean loss, wall time of a step in ms, and who competes. */
  readonly onEpoch?: (report: EpochReport) => void | Promise<void>
}

/** What an epoch did. */
export interface EpochReport {
  readonly epoch: number
  /** Steps finished so far. */
  readonly step: number
  readonly loss: number
  readonly stepMs: number
  /** The training state as it is after the epoch, for a look in between. */
  readonly state: () => Promise<HostTensors>
  readonly competition: LayerCompetition | undefined
  /** s_l of each map during this epoch, and its part of the surviving weights. SNELLA only. */
  readonly layers?: { readonly sparsities: ReadonlyArray<number>; readonly shares: ReadonlyArray<number> }
}

/** What a training leaves. */
export interface Tuned {
  readonly state: HostTensors
  readonly competition: LayerCompetition | undefined
  /** Median over epochs of the mean wall time of a step, in ms. */
  readonly stepMs: number
  /** The step at which the loss was not finite, if it ever was; training stopped there. */
  readonly divergedAt: number | undefined
}

/** Steps that devices without compilation get at once. */
const eagerChunk = 4

/**
 * Trains for all epochs, from the newest checkpoint if there is one.
 *
 * A loss that is not finite ends the training early and is reported, not thrown: at a learning rate that is too high it
 * is a result.
 *
 * @throws Interrupted when the sink's signal is aborted, after saving a checkpoint
 */
export async function trainTuned(training: TunedTraining): Promise<Tuned> {
  const { device, tuner, maps, epochs, stepsPerEpoch } = training
  const program = device.compile(training.step, { name: "training" })
  const competition = tuner._tag === "Snella" ? new LayerCompetition(tuner, maps, epochs) : undefined
  const hostState: HostState | undefined = competition && {
    save: () => JSON.stringify(competition.sparsities),
    restore: (text) => competition.restore(JSON.parse(text) as number[]),
  }
  const times: number[] = []
  let losses: number[] = []
  let started = performance.now()
  try {
    const { diverged } = await train({
      program,
      seed: training.seed,
      steps: epochs * stepsPerEpoch,
      initial: training.initial,
      batches: (step) => ({ ...training.batch(step), ...(competition && { positions: competition.positions() }) }),
      scalars: (step) => ({ learning_rate: training.learningRate(step) }),
      chunk: device.compiles ? stepsPerEpoch : eagerChunk,
      onMetrics: (_, metrics) => losses.push(metrics["loss"]!.data[0]!),
      pauses: [
        {
          every: stepsPerEpoch,
          run: async (finished) => {
            const epoch = finished / stepsPerEpoch - 1
            const stepMs = (performance.now() - started) / Math.max(1, losses.length)
            times.push(stepMs)
            await training.onEpoch?.({
              epoch,
              step: finished,
              loss: losses.reduce((a, b) => a + b, 0) / losses.length,
              stepMs,
              state: () => program.state(),
              competition,
              ...(competition && { layers: { sparsities: competition.sparsities, shares: competition.shares() } }),
            })
            if (competition && epoch + 1 < epochs)
              competition.renew(epoch + 1, competition.needsScores(epoch + 1) ? await program.state() : undefined)
            losses = []
            started = performance.now()
          },
        },
      ],
      onDivergence: "stop",
      // Where a step takes a fraction of a second, an epoch is worth keeping; compiled runs end within seconds.
      checkpointEvery: stepsPerEpoch * (device.compiles ? Math.ceil(2000 / stepsPerEpoch) : 1),
      ...(hostState && { hostState }),
      ...(training.sink && { sink: training.sink }),
    })
    return { state: await program.state(), competition, stepMs: median(times), divergedAt: diverged?.step }
  } finally {
    program.dispose()
  }
}

/** ΔW of every map that has one, [inputs, outputs], from a training state. */
export async function updatesOf(
  device: Device,
  maps: ReadonlyArray<LinearMap>,
  tuner: Tuner,
  state: HostTensors,
  competition?: LayerCompetition,
): Promise<HostTensors> {
  const needed = Object.fromEntries(
    Object.entries(state).filter(([name]) => /^params\.update\.|^frozen\.(mask|indices)\./.test(name)),
  )
  if (Object.keys(needed).length === 0) return {}
  const program = device.compile(updatesStep(maps, tuner), { name: "updates" })
  try {
    program.load(needed)
    return await program.run(competition ? { positions: competition.positions() } : {}, { seed: 0, step: 0 })
  } finally {
    program.dispose()
  }
}

/** Host weights with ΔW added to `${map}.weight`: what inference uses. Maps without an update keep their weight. */
export function mergedWeights(weights: HostTensors, updates: HostTensors): HostTensors {
  const out: Record<string, HostTensor> = { ...weights }
  for (const [map, update] of Object.entries(updates)) {
    const before = weights[`${map}.weight`]!
    out[`${map}.weight`] = { ...before, data: Float32Array.from(before.data, (w, i) => w + update.data[i]!) }
  }
  return out
}

/** Rows of `values` ([rows, columns]) at `indices`, padded with zero rows to `size`, and 1 or 0 for real or padded. */
export function paddedRows(
  values: Float32Array,
  columns: number,
  indices: ArrayLike<number>,
  size: number,
): { readonly rows: HostTensor; readonly weights: HostTensor } {
  const rows = new Float32Array(size * columns)
  const weights = new Float32Array(size)
  for (let i = 0; i < indices.length; i++) {
    rows.set(values.subarray(indices[i]! * columns, (indices[i]! + 1) * columns), i * columns)
    weights[i] = 1
  }
  return {
    rows: { data: rows, shape: [size, columns], dtype: "float32" },
    weights: { data: weights, shape: [size], dtype: "float32" },
  }
}
