/**
 * Two exact studies in which the truth is a sparse change of a known network.
 *
 * `sparse-teacher` (SNELL's Table 5a in small): f(x) = relu(relu(x·W1)·W3)·W2, 48 → 96 → 96 → 10; the teacher has
 * W1 + Δ1 and W3 + Δ3 with 5 % of the entries non-zero. `sparse-teacher-4` (SNELLA): four maps 48 → 48 with relu and a
 * head 48 → 10; only some of the maps differ in the teacher, so the importance of layers is known.
 */

import { warmupTimesCosine } from "@exp/nn"
import { fillNormal, fillUniform, key, permutation } from "@exp/random"
import { Metric, Task, type TaskStep, type TrialContext } from "@exp/spec"
import { type DeviceName, type HostTensor, type HostTensors, linear, openDevice } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { hasFactors, initFactors, type LinearMap, zeroTensor } from "./factors.ts"
import { locateMask, type MaskLocation } from "./gradient-mask.ts"
import { maskTensors, squaredGradients } from "./mask-location.ts"
import { nonZeros, numericalRank } from "./matrix-rank.ts"
import { initialState, type TunedModel, tunedDecay, tunedStep } from "./tuned-step.ts"
import { mergedWeights, paddedRows, trainTuned, updatesOf } from "./tuned-training.ts"
import { Tuner } from "./tuners.ts"

/** A network of linear maps, relu between them, the last one a frozen linear head. */
export interface Network {
  /** Widths of the layers: inputs, hidden ones, outputs. */
  readonly widths: ReadonlyArray<number>
  /** Standard deviation of the weights of map i is √(gain/fan-in); the head has gain 1. */
  readonly gain: number
  /** Maps that are tuned: all but the head. */
  readonly maps: ReadonlyArray<LinearMap>
}

/** A network of the given widths; its maps are "map0", "map1", …, the head is "head". */
export function network(widths: ReadonlyArray<number>, gain: number): Network {
  const maps = widths.slice(0, -2).map((inputs, i) => ({ name: `map${i}`, inputs, outputs: widths[i + 1]! }))
  return { widths, gain, maps }
}

/** A sparse change of one map: each entry with probability `density`, of value `scale`·N(0,1). */
export interface Change {
  readonly map: number
  readonly density: number
  readonly scale: number
}

const matrix = (rows: number, columns: number, fill: (out: Float32Array) => Float32Array): HostTensor => ({
  data: fill(new Float32Array(rows * columns)),
  shape: [rows, columns],
  dtype: "float32",
})

/** Weights `map0.weight`, …, `head.weight` of a seed, each [inputs, outputs]. */
export function networkWeights({ widths, gain }: Network, seed: number): HostTensors {
  const out: Record<string, HostTensor> = {}
  for (let i = 0; i + 1 < widths.length; i++) {
    const head = i + 2 === widths.length
    const name = head ? "head" : `map${i}`
    const sigma = Math.sqrt((head ? 1 : gain) / widths[i]!)
    out[`${name}.weight`] = matrix(widths[i]!, widths[i + 1]!, (data) =>
      fillNormal(key(seed, "teacher", name), data).map((x) => x * sigma),
    )
  }
  return out
}

/** The changes of the teacher as ΔW by map. */
export function teacherChanges(net: Network, changes: ReadonlyArray<Change>, seed: number): HostTensors {
  const out: Record<string, HostTensor> = {}
  for (const { map, density, scale } of changes) {
    const { name, inputs, outputs } = net.maps[map]!
    const kept = fillUniform(key(seed, "teacher", name, "kept"), new Float32Array(inputs * outputs))
    out[name] = matrix(inputs, outputs, (data) =>
      fillNormal(key(seed, "teacher", name, "change"), data).map((x, i) => (kept[i]! < density ? x * scale : 0)),
    )
  }
  return out
}

/** The network's outputs on the host, in float64: [rows, last width]. */
export function networkOutputs(net: Network, weights: HostTensors, inputs: Float32Array): Float64Array {
  const rows = inputs.length / net.widths[0]!
  let x: Float64Array = Float64Array.from(inputs)
  for (let layer = 0; layer + 1 < net.widths.length; layer++) {
    const head = layer + 2 === net.widths.length
    const w = weights[head ? "head.weight" : `map${layer}.weight`]!.data
    const n = net.widths[layer]!
    const m = net.widths[layer + 1]!
    const y = new Float64Array(rows * m)
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < n; i++) {
        const xi = x[r * n + i]!
        if (xi !== 0) for (let j = 0; j < m; j++) y[r * m + j]! += xi * w[i * m + j]!
      }
    x = head ? y : y.map((v) => Math.max(v, 0))
  }
  return x
}

/** The student: the frozen network with what a tuner adds; mean squared error over real (not padded) rows. */
export function networkModel(net: Network): TunedModel {
  return {
    maps: net.maps,
    loss(weights, batch, _, hooks) {
      let x = batch["inputs"]!
      for (const { name } of net.maps) x = tf.relu(hooks.linear(name, x, linear(x, weights[`${name}.weight`]!)))
      const y = linear(x, weights["head.weight"]!)
      const rows = tf.mean(tf.square(tf.sub(y, batch["targets"]!)), 1)
      return tf.div(tf.sum(tf.mul(rows, batch["weights"]!)), tf.sum(batch["weights"]!))
    },
  }
}

/** What a student trains and keeps frozen at the start, and the tuner that its step is made with. */
export interface StudentTensors {
  readonly params: HostTensors
  readonly frozen: HostTensors
  readonly effective: Tuner
}

/**
 * The tensors of a student.
 *
 * @param located the trained entries of a gradient mask; unused by other tuners
 * @throws RangeError for a tuner that needs biases, blocks or a head of its own
 */
export function studentTensors(
  net: Network,
  tuner: Tuner,
  weights: HostTensors,
  seed: number,
  located: Readonly<Record<string, MaskLocation>> = {},
): StudentTensors {
  if (hasFactors(tuner))
    return { params: initFactors(tuner, net.maps, key(seed, "factors")), frozen: weights, effective: tuner }
  if (tuner._tag === "GradientMask") {
    const tensors = maskTensors(tuner.storage, net.maps, located)
    return { params: tensors.params, frozen: { ...weights, ...tensors.frozen }, effective: tuner }
  }
  if (tuner._tag !== "FullFineTune")
    throw new RangeError(`the tuner ${tuner._tag} has no meaning on a network without biases, blocks and head`)
  // Full fine-tuning is a dense ΔW without a mask here, so that weight decay acts on the change as for the others.
  const params: Record<string, HostTensor> = {}
  const frozen: Record<string, HostTensor> = { ...weights }
  for (const { name, inputs: n, outputs: m } of net.maps) {
    params[`update.${name}.dense`] = zeroTensor([n, m])
    frozen[`mask.${name}`] = { data: new Uint8Array(n * m).fill(1), shape: [n, m], dtype: "bool" }
  }
  return { params, frozen, effective: { _tag: "GradientMask", sparsity: 0, storage: "dense" } }
}

/** The training step of a student with a batch of noise; a gradient mask keeps evenly spread entries. */
export function studyStep(
  { network: net }: Study,
  { tuner, weightDecay, batchSize }: Pick<StudyTraining, "tuner" | "weightDecay" | "batchSize">,
  seed: number,
): TaskStep {
  const scores = Object.fromEntries(
    net.maps.map(({ name, inputs, outputs }, l) => [
      name,
      Float32Array.from({ length: inputs * outputs }, (_, i) => (i * 7919 + l) % 10007),
    ]),
  )
  const located = tuner._tag === "GradientMask" ? locateMask(scores, tuner.sparsity) : undefined
  const { params, frozen, effective } = studentTensors(net, tuner, networkWeights(net, seed), seed, located)
  const noise = (stream: string, columns: number) =>
    matrix(batchSize, columns, (data) => fillNormal(key(seed, "teacher", "example", stream), data))
  const positions: HostTensors =
    effective._tag === "Snella"
      ? { positions: { data: new Int32Array(net.maps.length), shape: [net.maps.length], dtype: "int32" } }
      : {}
  return {
    name: `${net.widths.join("-")} network under ${tuner._tag}`,
    step: tunedStep(networkModel(net), effective, { decay: tunedDecay(weightDecay) }),
    state: initialState(effective, params, frozen),
    batch: {
      inputs: noise("inputs", net.widths[0]!),
      targets: noise("targets", net.widths.at(-1)!),
      weights: { data: new Float32Array(batchSize).fill(1), shape: [batchSize], dtype: "float32" },
      learning_rate: { data: new Float32Array([1e-3]), shape: [], dtype: "float32" },
      ...positions,
    },
  }
}

/** Sizes of a study. */
export interface Study {
  readonly network: Network
  readonly changes: ReadonlyArray<Change>
  readonly trainRows: number
  readonly testRows: number
}

/** The original study: 48 → 96 → 96 → 10. */
export const twoMapStudy: Study = {
  network: network([48, 96, 96, 10], 1),
  changes: [
    { map: 0, density: 0.05, scale: 0.6 },
    { map: 1, density: 0.05, scale: 0.45 },
  ],
  trainRows: 1000,
  testRows: 2000,
}

/** The study of layer competition: four maps 48 → 48; by default maps 0 and 2 change. */
export function fourMapStudy(relevant: ReadonlyArray<number> = [0, 2]): Study {
  return {
    network: network([48, 48, 48, 48, 48, 10], 2),
    changes: relevant.map((map) => ({ map, density: 0.05, scale: 0.8 })),
    trainRows: 1000,
    testRows: 2000,
  }
}

/** What is measured at the end of a study. */
export interface StudyResult {
  /** Mean squared error divided by that of ΔW = 0, on the inputs asked for. */
  readonly relativeError: number
  readonly stepMs: number
  readonly trainable: number
  readonly rank: number
  readonly nonZeroFraction: number
  readonly divergedAt: number | undefined
  readonly sparsities: ReadonlyArray<number> | undefined
  readonly shares: ReadonlyArray<number> | undefined
}

/** How a study is trained. */
export interface StudyTraining {
  readonly tuner: Tuner
  readonly learningRate: number
  readonly weightDecay: number
  readonly batchSize: number
  readonly steps: number
  readonly warmup: number
  /** Inputs that the result is measured on: those of the test, or others drawn for the choice of hyper-parameters. */
  readonly evaluate: "test" | "validation"
}

/** Trains a student of the study's teacher and measures it on inputs that it was not trained on. */
export async function runStudy(study: Study, how: StudyTraining, trial: TrialContext): Promise<StudyResult> {
  const { network: net, trainRows, testRows } = study
  const { tuner, batchSize, steps } = how
  const { seed } = trial
  const width = net.widths[0]!
  const outputs = net.widths.at(-1)!
  const device = await openDevice(trial.device as DeviceName)
  try {
    const weights = networkWeights(net, seed)
    const teacher = mergedWeights(weights, teacherChanges(net, study.changes, seed))
    const inputs = (stream: string, rows: number) =>
      fillNormal(key(seed, "teacher", "inputs", stream), new Float32Array(rows * width))
    const train = inputs("train", trainRows)
    const test = inputs(how.evaluate, testRows)
    const targets = Float32Array.from(networkOutputs(net, teacher, train))
    const wanted = networkOutputs(net, teacher, test)
    const error = (w: HostTensors) => {
      const got = networkOutputs(net, w, test)
      let sum = 0
      for (let i = 0; i < got.length; i++) sum += (got[i]! - wanted[i]!) ** 2
      return sum / got.length
    }

    const stepsPerEpoch = Math.ceil(trainRows / batchSize)
    let order: Uint32Array = new Uint32Array(0)
    let orderOf = -1
    const batch = (step: number): HostTensors => {
      const epoch = Math.floor(step / stepsPerEpoch)
      if (epoch !== orderOf) {
        order = permutation(key(seed, "epoch", epoch), trainRows)
        orderOf = epoch
      }
      const first = (step - epoch * stepsPerEpoch) * batchSize
      const rows = order.subarray(first, first + batchSize)
      const x = paddedRows(train, width, rows, batchSize)
      return { inputs: x.rows, weights: x.weights, targets: paddedRows(targets, outputs, rows, batchSize).rows }
    }

    const model = networkModel(net)
    let located: Readonly<Record<string, MaskLocation>> | undefined
    if (tuner._tag === "GradientMask") {
      const names = net.maps.map(({ name }) => `${name}.weight`)
      const all = Array.from({ length: stepsPerEpoch }, (_, i) => batch(i))
      const scores = await squaredGradients(device, model, weights, names, all)
      located = locateMask(
        Object.fromEntries(net.maps.map(({ name }) => [name, scores[`${name}.weight`]!])),
        tuner.sparsity,
      )
    }
    const { params, frozen, effective } = studentTensors(net, tuner, weights, seed, located)

    const rate = warmupTimesCosine({ learningRate: how.learningRate, steps, warmup: how.warmup })
    const tuned = await trainTuned({
      device,
      step: tunedStep(model, effective, { decay: tunedDecay(how.weightDecay) }),
      tuner: effective,
      maps: net.maps,
      initial: initialState(effective, params, frozen),
      seed,
      epochs: Math.ceil(steps / stepsPerEpoch),
      stepsPerEpoch,
      batch,
      // A last epoch that the budget of steps does not fill runs on at rate 0.
      learningRate: (step) => (step < steps ? rate(step) : 0),
      sink: trial,
      onEpoch: (report) => {
        trial.log(report.step, { "train/loss": report.loss })
        if (report.layers) {
          const off = report.layers.sparsities.filter((s) => s >= 1).length
          trial.log(report.step, { layers_off: off })
          report.layers.sparsities.forEach((s, l) => {
            trial.log(report.step, { [`layer/sparsity/${l}`]: s, [`layer/share/${l}`]: report.layers!.shares[l]! })
          })
        }
      },
    })
    const updates = await updatesOf(device, net.maps, effective, tuned.state, tuned.competition)
    const final = mergedWeights(weights, updates)
    const finite = tuned.divergedAt === undefined
    const shapes = Object.values(params).reduce((sum, { data }) => sum + data.length, 0)
    const kept = located && Object.values(located).reduce((sum, { indices }) => sum + indices.length, 0)
    const mean = (f: (map: LinearMap) => number) =>
      finite ? net.maps.reduce((sum, map) => sum + f(map), 0) / net.maps.length : Number.NaN
    return {
      relativeError: error(final) / error(weights),
      stepMs: tuned.stepMs,
      trainable: kept ?? shapes,
      rank: mean(({ name, inputs: n, outputs: m }) => (updates[name] ? numericalRank(updates[name].data, n, m) : 0)),
      nonZeroFraction: mean(({ name, inputs: n, outputs: m }) =>
        updates[name] ? nonZeros(updates[name].data) / (n * m) : 0,
      ),
      divergedAt: tuned.divergedAt,
      sparsities: tuned.competition?.sparsities,
      shares: tuned.competition?.shares(),
    }
  } finally {
    device.dispose()
  }
}

const positive = Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))
const whole = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })))
const learningRate = positive.annotate({ description: "largest learning rate of the schedule" })
const weightDecay = Schema.Finite.pipe(
  Schema.check(Schema.isGreaterThanOrEqualTo(0)),
  Schema.annotate({ description: "decoupled weight decay of the factors (none on scalars)" }),
  Schema.withDecodingDefaultKey(Effect.succeed(1e-4)),
)
const batchSize = whole.pipe(
  Schema.annotate({ description: "rows of a batch; the last one of an epoch is smaller" }),
  Schema.withDecodingDefaultKey(Effect.succeed(64)),
)
const evaluate = Schema.Literals(["test", "validation"]).pipe(
  Schema.annotate({ description: "inputs that the result is measured on; validation while tuning" }),
  Schema.withDecodingDefaultKey(Effect.succeed("test" as const)),
)
const tuner = Tuner.annotate({ description: "what is trained on top of the frozen network" })

/** Config of {@link SparseTeacher}. */
export const SparseTeacherConfig = Schema.Struct({
  tuner,
  learningRate,
  weightDecay,
  batchSize,
  evaluate,
  steps: whole.pipe(
    Schema.annotate({ description: "training steps" }),
    Schema.withDecodingDefaultKey(Effect.succeed(1200)),
  ),
  warmup: whole.pipe(
    Schema.annotate({ description: "steps of the linear warm-up" }),
    Schema.withDecodingDefaultKey(Effect.succeed(100)),
  ),
})

const metrics = {
  "train/loss": Metric.min({ description: "mean squared error on the batches of an epoch" }),
  "mse/rel": Metric.min({ unit: "ratio", description: "test error over the test error of the unchanged network" }),
  "val/mse_rel": Metric.min({
    unit: "ratio",
    description: "the same on validation inputs; instead of mse/rel while tuning",
  }),
  "train/diverged": Metric.min({ description: "1 when the loss was not finite and training stopped" }),
  "mem/trainable": Metric.min({ description: "trained entries" }),
  "delta/rank": Metric.max({ description: "numerical rank of ΔW, mean over maps" }),
  "delta/nnz_fraction": Metric.min({ unit: "ratio", description: "non-zero entries of ΔW, mean over maps" }),
  "layer/sparsity/*": Metric.min({ unit: "ratio", description: "fraction zeroed of each map" }),
  "layer/share/*": Metric.max({ unit: "ratio", description: "each map's part of the surviving weights" }),
  "layer/relevant_share": Metric.max({ unit: "ratio", description: "part of the maps that the teacher changed" }),
  layers_off: Metric.min({ description: "maps that keep nothing" }),
  "time/step_ms": Metric.min({ unit: "ms" }),
} as const

function report(
  result: StudyResult,
  step: number,
  study: Study,
  evaluated: StudyTraining["evaluate"],
  trial: TrialContext,
): void {
  trial.log(step, {
    [evaluated === "test" ? "mse/rel" : "val/mse_rel"]: result.relativeError,
    "train/diverged": result.divergedAt === undefined ? 0 : 1,
    "mem/trainable": result.trainable,
    "time/step_ms": result.stepMs,
  })
  if (result.divergedAt === undefined)
    trial.log(step, { "delta/rank": result.rank, "delta/nnz_fraction": result.nonZeroFraction })
  if (result.shares) {
    const relevant = study.changes.reduce((sum, { map }) => sum + result.shares![map]!, 0)
    trial.log(step, { "layer/relevant_share": relevant })
  }
}

/** SNELL and its baselines on a network whose wanted change is sparse and known. */
export const SparseTeacher = Task.make("sparse-teacher", {
  version: 1,
  description: "Recover a sparse change of two linear maps from the outputs of the changed network",
  config: SparseTeacherConfig,
  metrics,
  trainingStep: (config, seed) => studyStep(twoMapStudy, config, seed),
  run: async (config, trial) =>
    report(await runStudy(twoMapStudy, config, trial), config.steps, twoMapStudy, config.evaluate, trial),
})

/** Config of {@link SparseTeacher4}. */
export const SparseTeacher4Config = Schema.Struct({
  tuner,
  relevant: Schema.Array(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 3 })))).pipe(
    Schema.annotate({ description: "which of the four maps the teacher changes" }),
    Schema.withDecodingDefaultKey(Effect.succeed([0, 2])),
  ),
  learningRate,
  weightDecay,
  batchSize,
  evaluate,
  epochs: whole.pipe(
    Schema.annotate({ description: "epochs; SNELLA divides its budget between them" }),
    Schema.withDecodingDefaultKey(Effect.succeed(60)),
  ),
})

/** SNELLA and its ablations on a network of which only some maps need a change. */
export const SparseTeacher4 = Task.make("sparse-teacher-4", {
  version: 1,
  description: "Find which of four linear maps were changed, and how, from the outputs of the changed network",
  config: SparseTeacher4Config,
  metrics,
  trainingStep: (config, seed) => studyStep(fourMapStudy(config.relevant), config, seed),
  run: async (config, trial) => {
    const study = fourMapStudy(config.relevant)
    const steps = config.epochs * Math.ceil(study.trainRows / config.batchSize)
    const result = await runStudy(study, { ...config, steps, warmup: Math.round(0.1 * steps) }, trial)
    report(result, steps, study, config.evaluate, trial)
  },
})
