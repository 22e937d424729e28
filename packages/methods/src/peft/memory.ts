/**
 * The memory ledger: what each tuner keeps, counted from shapes; what a training step holds while it runs, measured on
 * the eager step; and the same count for the published model sizes.
 */
import { countParameters, type Ledger, ledger, linearMaps, namedVit } from "@exp/nn"
import { eagerRandomness, type HostTensors, type Step, type Tensors, traceCost } from "@exp/tensor"
import { withBackend } from "@exp/tensor/program"
import * as tf from "@tensorflow/tfjs-core"
import { nonZeros } from "./matrix-rank.ts"
import { type TunedModel, tunedStep } from "./tuned-step.ts"
import type { Tuner } from "./tuners.ts"

/**
 * The ledger of a tuner in bytes (`mem/trainable` is a count), from the tensors it trains and keeps frozen.
 *
 * A dense gradient mask is charged for the dense ΔW, its gradient and its moments, and one byte for each masked entry;
 * only the trained entries count as trainable. A compressed one is charged 16 bytes for each trained entry (index,
 * value, two moments) beside its gradient.
 */
export function tunerLedger(tuner: Tuner, params: HostTensors, frozen: HostTensors): Ledger {
  const isMask = (name: string) => name.startsWith("mask.")
  const isIndex = (name: string) => name.startsWith("indices.")
  const weights = {
    ...params,
    ...Object.fromEntries(Object.entries(frozen).filter(([name]) => !isMask(name) && !isIndex(name))),
  }
  const masks = Object.entries(frozen).filter(([name]) => isMask(name))
  const entries = masks.reduce((sum, [, { data }]) => sum + data.length, 0)
  const kept = masks.reduce((sum, [, { data }]) => sum + nonZeros(data), 0)
  const indices = Object.entries(frozen).filter(([name]) => isIndex(name))
  const stored = indices.reduce((sum, [, { data }]) => sum + data.length, 0)
  const trainable = countParameters(params)
  return ledger({
    weights,
    trainable: params,
    ...(tuner._tag === "GradientMask" && tuner.storage === "dense"
      ? { effectiveTrainable: trainable - entries + kept, masks: { entries, bytesPerEntry: 1 as const } }
      : {}),
    ...(stored > 0 ? { extraOptimizerBytes: 4 * stored } : {}),
  })
}

/** What a training step holds while it runs, in bytes. */
export interface StepMemory {
  /** Alive at the end of the forward pass, less what was alive before it. */
  readonly savedActivations: number
  /** High-water mark of live tensor bytes in the step, weights, moments and batch included. */
  readonly peak: number
}

/**
 * Runs one step eagerly and watches the bytes of live tensors. TensorFlow.js frees the intermediates of a forward pass
 * when the pass ends, so the peak is above that of a library that frees them one by one; the bytes kept for the
 * backward pass are what any tape keeps.
 *
 * @param backend name of a ready TensorFlow.js backend
 */
export async function measuredStep(
  backend: string,
  model: TunedModel,
  tuner: Tuner,
  state: HostTensors,
  batch: HostTensors,
): Promise<StepMemory> {
  let before = 0
  let saved = 0
  const bytes = new LiveBytes()
  const watched: TunedModel = {
    maps: model.maps,
    loss(weights, tensors, randomness, hooks) {
      before = bytes.live
      const loss = model.loss(weights, tensors, randomness, hooks)
      // The first gradient to be asked for is that of the loss: the forward pass is over, its scope is closed.
      return tf.customGrad((x) => ({
        value: tf.clone(x as tf.Tensor),
        gradFunc: (dy: tf.Tensor) => {
          saved = bytes.live - before
          return dy
        },
      }))(loss)
    },
  }
  const step: Step = tunedStep(watched, tuner, { decay: () => 0 })
  return withBackend(backend, () => {
    const upload = (tree: HostTensors): Tensors =>
      Object.fromEntries(
        Object.entries(tree).map(([name, { data, shape, dtype }]) => [name, tf.tensor(data, [...shape], dtype)]),
      )
    bytes.watch(() =>
      tf.tidy(() => {
        step(upload(state), upload(batch), eagerRandomness({ seed: 0, step: 0 }))
      }),
    )
    return { savedActivations: saved, peak: bytes.peak }
  })
}

/**
 * Bytes of live tensor data, each buffer once however many tensors show it (`tf.memory().numBytes` counts it for each).
 * The engine registers every buffer in one map: while watching, that map counts.
 */
class LiveBytes {
  live = 0
  peak = 0

  watch(f: () => void): void {
    const { state } = tf.engine()
    const registered = state.tensorInfo
    const sizes = new WeakMap<object, number>()
    const counting: typeof registered = {
      has: (id) => registered.has(id),
      get: (id) => registered.get(id),
      set: (id, info) => {
        if (!registered.has(id)) {
          sizes.set(id, info.bytes ?? 0)
          this.live += info.bytes ?? 0
          this.peak = Math.max(this.peak, this.live)
        }
        registered.set(id, info)
        return counting
      },
      delete: (id) => {
        this.live -= sizes.get(id) ?? 0
        sizes.delete(id)
        return registered.delete(id)
      },
      [Symbol.toStringTag]: "WeakMap",
    }
    state.tensorInfo = counting
    try {
      f()
    } finally {
      state.tensorInfo = registered
    }
  }
}

/**
 * Peak bytes of a training step, read off its graph and equal on every machine: state and batch, and the largest sum of
 * intermediate results alive at once. Results that no gradient needs are not kept, so this is what a compiled step holds.
 */
export function tracedPeak(model: TunedModel, tuner: Tuner, state: HostTensors, batch: HostTensors): number {
  const cost = traceCost(tunedStep(model, tuner, { decay: () => 0 }), { state, batch })
  return cost.stateBytes + cost.inputBytes + cost.peakBytes
}

/** State and weights of a method on a published model size, in bytes, without activations. */
export interface AnalyticLedger {
  /** Entries of the matrices that are tuned, and of the factors for them. */
  readonly tunable: number
  readonly factors: number
  /** 16 B for every entry of the tuned matrices: weight, gradient, two moments. */
  readonly full: number
  /** 4 B frozen and 16 B for each factor entry (SNELL, LoRA). */
  readonly factored: number
  /** 4 B frozen, a dense ΔW with gradient and moments (16 B), and a mask of one byte an entry. */
  readonly masked: number
}

/** The ledger of ViT-B/16, ViT-L/16 or ViT-H/14 for factors of the given rank on the six maps of every block. */
export function analyticLedger(size: "base" | "large" | "huge", rank = 32): AnalyticLedger {
  const maps = linearMaps(namedVit(size))
  const tunable = maps.reduce((sum, map) => sum + map.in * map.out, 0)
  const factors = maps.reduce((sum, map) => sum + rank * (map.in + map.out), 0)
  return {
    tunable,
    factors,
    full: 16 * tunable,
    factored: 4 * tunable + 16 * factors,
    masked: 4 * tunable + 16 * tunable + tunable,
  }
}

/** Bytes of the [inputs, outputs] matrices that a kernel keeps without recomputing: d_1, d_2, K, G and K̃ of each map. */
export function kernelMatrixBytes(maps: ReadonlyArray<{ readonly inputs: number; readonly outputs: number }>): number {
  return 5 * 4 * maps.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0)
}
