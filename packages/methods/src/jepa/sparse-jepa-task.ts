/** The task that pre-trains an encoder by prediction and probes what it learned. */
import { type ImageDataset, loadDataset } from "@exp/data"
import { countParameters, hostScalars, pick, scalarMetrics, train } from "@exp/nn"
import { derive, fillNormal, type Key, key, permutation } from "@exp/random"
import { Metric, Task, type TaskStep, type TrialContext } from "@exp/spec"
import { type Device, type DeviceName, type HostTensors, openDevice, type Step, traceCost } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { EigenvalueDecomposition } from "ml-matrix"
import { atLeast, defaultsTo, described, nonNegative, positive, ratio } from "../config-fields.ts"
import { type BlockMaskOptions, checkBlockMasks } from "./block-masks.ts"
import { gridSide, type JepaSizes } from "./ijepa.ts"
import {
  type ByteImages,
  type ChannelStatistics,
  channelStatistics,
  countingImages,
  epochOrder,
  imageBatch,
  maskBatch,
} from "./jepa-batches.ts"
import { JepaMethod, lassoStrength } from "./jepa-methods.ts"
import { jepaLearningRate, jepaWeightDecay, targetMomentum } from "./jepa-schedules.ts"
import {
  initialJepaState,
  initialSupervisedState,
  type JepaStepOptions,
  jepaStep,
  supervisedStep,
  targetEmbeddings,
} from "./jepa-step.ts"
import { covariance, effectiveRank, multiInformation, regularised } from "./multi-information.ts"
import { accuracy, classify, type Features, fitLogistic, ridgeR2, selectRows, standardise } from "./probes.ts"
import { processingGap } from "./quantised-information.ts"

const imageSides = { "fashion-mnist": 28, mnist: 28, "cifar-10": 32, "cifar-100": 32 } as const
const imageChannels = { "fashion-mnist": 1, mnist: 1, "cifar-10": 3, "cifar-100": 3 } as const

const range = (from: number, to: number) =>
  Schema.Struct({ from: nonNegative.pipe(defaultsTo(from)), to: nonNegative.pipe(defaultsTo(to)) })

const Fields = Schema.Struct({
  dataset: Schema.Literals(["fashion-mnist", "mnist", "cifar-10", "cifar-100"]).pipe(
    described("images to learn from and to be probed on"),
    defaultsTo("fashion-mnist"),
  ),
  method: JepaMethod.pipe(described("how the encoder comes about")),
  images: Schema.Struct({
    pretrain: atLeast(1).pipe(described("training images used without labels"), defaultsTo(20_000)),
    probeTrain: atLeast(10).pipe(described("of these, images whose labels the probe sees"), defaultsTo(10_000)),
    probeTest: atLeast(10).pipe(described("test images"), defaultsTo(10_000)),
    counting: atLeast(10).pipe(described("canvases for the counting probe, and as many to test"), defaultsTo(4000)),
  }).pipe(defaultsTo({})),
  steps: atLeast(1).pipe(described("optimiser steps"), defaultsTo(600)),
  batchSize: atLeast(1).pipe(defaultsTo(64)),
  model: Schema.Struct({
    patchSize: atLeast(1).pipe(defaultsTo(4)),
    width: atLeast(4).pipe(described("width of the encoder"), defaultsTo(48)),
    depth: atLeast(1).pipe(defaultsTo(3)),
    heads: atLeast(1).pipe(described("heads of encoder and predictor"), defaultsTo(4)),
    mlpRatio: positive.pipe(described("hidden width of a block over its width"), defaultsTo(2)),
    predictorWidth: atLeast(4).pipe(defaultsTo(32)),
    predictorDepth: atLeast(1).pipe(defaultsTo(2)),
    positionScale: positive.pipe(
      described("factor of the fixed position tables; 1 in the reference, which drowns small models"),
      defaultsTo(0.3),
    ),
    init: Schema.Literals(["reference", "small"]).pipe(
      described("reference: N(0, 0.02²); small: Xavier-uniform, patches N(0, 0.25²)"),
      defaultsTo("small"),
    ),
  }).pipe(defaultsTo({})),
  loss: Schema.Literals(["mse", "smooth-l1"]).pipe(
    described("smooth-l1 in I-JEPA's code, mse in SparseJEPA; the same for all methods of a comparison"),
    defaultsTo("mse"),
  ),
  masks: Schema.Struct({
    targets: atLeast(1).pipe(described("target blocks of an image"), defaultsTo(4)),
    targetScale: range(0.15, 0.2).pipe(defaultsTo({})),
    targetAspect: range(0.75, 1.5).pipe(defaultsTo({})),
    contextScale: range(0.85, 1).pipe(defaultsTo({})),
    minKeep: atLeast(0).pipe(described("blocks keep more tokens than this"), defaultsTo(4)),
    allowOverlap: Schema.Boolean.pipe(defaultsTo(false)),
    align: Schema.Literals(["raster", "shuffle"]).pipe(
      described("tokens that stay when contexts are cut to the batch's shortest: the first (reference) or random ones"),
      defaultsTo("raster"),
    ),
    contextMultiple: atLeast(1).pipe(
      described("context lists are cut to a multiple of this, so that few shapes are compiled; 1 in the reference"),
      defaultsTo(4),
    ),
  }).pipe(defaultsTo({})),
  augmentation: Schema.Literals(["none", "shift", "crop"]).pipe(
    described("shift: ±2 pixels; crop: random resized crops of 30–100% of the area, as I-JEPA"),
    defaultsTo("none"),
  ),
  learningRate: Schema.Struct({
    start: nonNegative.pipe(defaultsTo(2e-4)),
    reference: positive.pipe(defaultsTo(1e-3)),
    final: nonNegative.pipe(defaultsTo(1e-6)),
    warmup: atLeast(0).pipe(described("steps of linear warm-up, included in the steps"), defaultsTo(100)),
  }).pipe(defaultsTo({})),
  weightDecay: range(0.05, 0.05).pipe(described("half cosine; 0.04 to 0.4 in the reference"), defaultsTo({})),
  momentum: Schema.Struct({ from: ratio.pipe(defaultsTo(0.99)), to: ratio.pipe(defaultsTo(1)) }).pipe(
    described("of the target encoder, linear; 0.996 to 1 in the reference, too slow for short runs"),
    defaultsTo({}),
  ),
  logEvery: atLeast(1).pipe(defaultsTo(20)),
  checkpointEvery: atLeast(1).pipe(defaultsTo(500)),
  samples: atLeast(0).pipe(described("test images whose outcome is recorded one by one"), defaultsTo(500)),
})

type Config = typeof Fields.Type

const masksOf = (config: Config): BlockMaskOptions => ({
  targets: config.masks.targets,
  targetScale: [config.masks.targetScale.from, config.masks.targetScale.to],
  targetAspect: [config.masks.targetAspect.from, config.masks.targetAspect.to],
  contextScale: [config.masks.contextScale.from, config.masks.contextScale.to],
  minKeep: config.masks.minKeep,
  allowOverlap: config.masks.allowOverlap,
  align: config.masks.align,
})

const sizesOf = ({ dataset, model }: Config): JepaSizes => ({
  imageSize: imageSides[dataset],
  channels: imageChannels[dataset],
  ...model,
})

/** Why a config cannot work, before anything is loaded; undefined when it can. */
function objection(config: Config): string | undefined {
  const { model, method, images } = config
  const sizes = sizesOf(config)
  const side = gridSide(sizes)
  if (!Number.isInteger(side))
    return `images of ${sizes.imageSize} pixels cannot be cut into patches of ${model.patchSize}`
  for (const [name, width] of [
    ["width", model.width],
    ["predictorWidth", model.predictorWidth],
  ] as const)
    if (width % 4 !== 0 || width % model.heads !== 0)
      return `model.${name} must be a multiple of 4 and of the ${model.heads} heads, got ${width}`
  if (method._tag === "SparseJepa" && model.width % method.groups !== 0)
    return `model.width ${model.width} must be a multiple of the ${method.groups} groups`
  if (images.probeTrain > images.pretrain) return "images.probeTrain must not exceed images.pretrain"
  if (config.batchSize > images.pretrain) return "batchSize must not exceed images.pretrain"
  try {
    checkBlockMasks({ height: side, width: side }, masksOf(config))
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  return undefined
}

const SparseJepaConfig = Fields.pipe(Schema.check(Schema.makeFilter((config: Config) => objection(config))))

const metrics = {
  "pretrain/loss": Metric.min({ description: "objective that is differentiated" }),
  "pretrain/pred_loss": Metric.min({ description: "prediction error" }),
  "pretrain/kl": Metric.min({ unit: "nats", description: "divergence of the latent, for each predicted token" }),
  "pretrain/group_lasso": Metric.min({ description: "R(W), sum of the column norms" }),
  "pretrain/cols_zero_frac": Metric.max({ unit: "ratio", description: "columns of W that are exactly zero" }),
  "pretrain/latents_used": Metric.min({ description: "latents that feed at least one group" }),
  "pretrain/emb_std": Metric.max({
    description: "spread of the pooled target embedding over images; near 0: collapse",
  }),
  "probe/acc": Metric.max({ unit: "ratio", description: "linear probe, test images" }),
  "probe/acc_10_labels": Metric.max({ unit: "ratio", description: "linear probe from ten labels of each class" }),
  "probe/acc_random_init": Metric.max({ unit: "ratio", description: "linear probe of the encoder as it started" }),
  "probe/gain": Metric.max({ unit: "ratio", description: "probe/acc − probe/acc_random_init" }),
  "probe/count_r2": Metric.max({ description: "R² of a ridge regression of the number of objects" }),
  "probe/count_r2_random_init": Metric.max({ description: "the same for the encoder as it started" }),
  "probe/correct": Metric.max({ description: "1 when a test image is classified right" }),
  "emb/std": Metric.max({ description: "mean over features of the spread over test images" }),
  "emb/effective_rank": Metric.max({ description: "exp of the entropy of the covariance's eigenvalues" }),
  "mi/total": Metric.min({ unit: "nats", description: "Gaussian multi-information of the features" }),
  "mi/groups": Metric.min({ unit: "nats", description: "between the groups of features" }),
  "mi/within": Metric.min({ unit: "nats", description: "within the groups, summed" }),
  "mi/dpi_gap": Metric.max({
    unit: "nats",
    description: "multi-information lost when the four widest features go from four bins to two; never negative",
  }),
  "cost/step_flops": Metric.min({ unit: "FLOP", description: "of one training step, at the first step's shapes" }),
  "cost/parameters": Metric.min({ description: "trained parameters" }),
  "cost/step_bytes": Metric.min({ unit: "B", description: "memory traffic of one training step" }),
  "mem/state": Metric.min({ unit: "B", description: "parameters, target encoder and optimiser" }),
  "mem/peak": Metric.min({ unit: "B", description: "largest sum of intermediate results alive at once" }),
  "time/pretrain": Metric.min({ unit: "s", description: "of pre-training, since the last resume" }),
}

type Trial = TrialContext<Extract<keyof typeof metrics, string>>

/**
 * Pre-trains a vision transformer on images without labels, and judges the frozen target encoder by linear probes, a
 * counting probe and its multi-information. Sources: I-JEPA (arXiv 2301.08243), SparseJEPA (arXiv 2504.16140).
 *
 * Images of the training split are chosen by a seeded permutation; the probe is fitted on the first of them and tested on
 * the test split.
 */
export const SparseJepaTask = Task.make("sparse-jepa", {
  version: 2,
  description: "Self-supervised pre-training by prediction of embeddings, with linear and counting probes",
  config: SparseJepaConfig,
  metrics,
  trainingStep: (config, seed) => exampleStep(config, key(seed, "sparse-jepa")),
  needs: (config) => ({ datasets: [config.dataset] }),
  run: async (config, trial) => {
    const device = await openDevice(trial.device as DeviceName)
    try {
      await runSparseJepa(config, trial, device, await loadDataset(config.dataset))
    } finally {
      device.dispose()
    }
  },
})

interface Bed {
  readonly config: Config
  readonly trial: Trial
  readonly device: Device
  readonly root: Key
  readonly sizes: JepaSizes
  readonly statistics: ChannelStatistics
  readonly train: ByteImages
  readonly labels: Uint8Array
  readonly test: ByteImages
  readonly testLabels: Uint8Array
  readonly classes: number
  /** Numbers of the training images in use. */
  readonly chosen: Uint32Array
}

/** The task on images that are already in memory. */
export async function runSparseJepa(config: Config, trial: Trial, device: Device, data: ImageDataset): Promise<void> {
  const root = key(trial.seed, "sparse-jepa")
  const train: ByteImages = { images: data.train.images, count: data.train.count, shape: data.shape }
  const bed: Bed = {
    config,
    trial,
    device,
    root,
    sizes: sizesOf(config),
    statistics: channelStatistics(train),
    train,
    labels: data.train.labels,
    test: { images: data.test.images, count: data.test.count, shape: data.shape },
    testLabels: data.test.labels,
    classes: data.classes.length,
    chosen: permutation(derive(root, "images"), data.train.count).subarray(0, config.images.pretrain),
  }
  const { method } = config
  if (method._tag === "RawPixels") {
    await probe(bed, (source, rows) => pixels(bed, source, rows), config.steps)
    return
  }
  const options = stepOptions(config)
  const initial = initialState(config, bed.classes, root)
  const trained = method._tag === "RandomEncoder" ? initial : await pretrain(bed, options, initial)
  const features = (state: HostTensors) => (source: ByteImages, rows: ArrayLike<number>) =>
    encoded(bed, options, state, source, rows)
  const scores = await probe(bed, features(trained), config.steps)
  const before = method._tag === "RandomEncoder" ? scores : await probeScores(bed, features(initial))
  trial.log(config.steps, {
    "probe/acc_random_init": before.accuracy,
    "probe/count_r2_random_init": before.counting,
    "probe/gain": scores.accuracy - before.accuracy,
  })
}

function stepOptions(config: Config): JepaStepOptions {
  const { method } = config
  return {
    sizes: sizesOf(config),
    loss: config.loss,
    ...(method._tag === "SparseJepa" && { sparse: method }),
    ...(method._tag === "Jepa" && method.embeddingL1 > 0 && { embeddingL1: method.embeddingL1 }),
  }
}

function initialState(config: Config, classes: number, root: Key): HostTensors {
  const { init } = config.model
  return config.method._tag === "Supervised"
    ? initialSupervisedState(sizesOf(config), classes, init, derive(root, "init"))
    : initialJepaState(stepOptions(config), init, derive(root, "init"))
}

/** The scalars of a step's batch. */
function stepScalars(config: Config, step: number): Readonly<Record<string, number>> {
  const { method, steps } = config
  const lambda = method._tag === "SparseJepa" ? lassoStrength(method, steps) : 0
  return {
    learning_rate: jepaLearningRate(step + 1, { ...config.learningRate, total: steps }),
    weight_decay: jepaWeightDecay(step + 1, steps, config.weightDecay.from, config.weightDecay.to),
    momentum: targetMomentum(step, steps, config.momentum.from, config.momentum.to),
    ...(method._tag === "SparseJepa" && {
      group_rate: method.groupRate,
      threshold: method.groupRate * lambda,
      lasso: lambda,
    }),
  }
}

/** The step of a trial with a batch of noise and the masks of its first step; undefined for what is not trained. */
function exampleStep(config: Config, root: Key): TaskStep | undefined {
  const { method, batchSize, dataset } = config
  if (method._tag === "RawPixels" || method._tag === "RandomEncoder") return undefined
  const sizes = sizesOf(config)
  const classes = dataset === "cifar-100" ? 100 : 10
  const grid = { height: gridSide(sizes), width: gridSide(sizes) }
  const shape = [batchSize, sizes.imageSize, sizes.imageSize, sizes.channels]
  const supervised = method._tag === "Supervised"
  const batch: HostTensors = {
    images: {
      data: fillNormal(derive(root, "example images"), new Float32Array(shape.reduce((a, b) => a * b, 1))),
      shape,
      dtype: "float32",
    },
    ...(supervised
      ? { labels: { data: new Int32Array(batchSize), shape: [batchSize], dtype: "int32" } }
      : maskBatch(grid, batchSize, derive(root, "masks"), 0, masksOf(config), config.masks.contextMultiple)),
    ...hostScalars(stepScalars(config, 0)),
  }
  const step: Step = supervised ? supervisedStep(sizes) : jepaStep(stepOptions(config))
  return { name: `encoder by ${method._tag}`, step, state: initialState(config, classes, root), batch }
}

/** Trains to the end and returns the state. */
async function pretrain(bed: Bed, options: JepaStepOptions, initial: HostTensors): Promise<HostTensors> {
  const { config, trial, device, root, sizes } = bed
  const { method, steps, batchSize } = config
  const supervised = method._tag === "Supervised"
  const grid = { height: gridSide(sizes), width: gridSide(sizes) }
  const order = epochOrder(config.images.pretrain, batchSize, derive(root, "order"))
  const masks = (step: number) =>
    maskBatch(grid, batchSize, derive(root, "masks"), step, masksOf(config), config.masks.contextMultiple)
  const batches = (step: number): HostTensors => {
    const rows = Array.from(order(step), (i) => bed.chosen[i]!)
    const images = imageBatch(bed.train, rows, bed.statistics, config.augmentation, derive(root, "augment", step))
    if (!supervised) return { images, ...masks(step) }
    const labels = Int32Array.from(rows, (row) => bed.labels[row]!)
    return { images, labels: { data: labels, shape: [batchSize], dtype: "int32" } }
  }
  const scalars = (step: number) => stepScalars(config, step)
  const step: Step = supervised ? supervisedStep(sizes) : jepaStep(options)
  const cost = traceCost(step, { state: initial, batch: { ...batches(0), ...hostScalars(scalars(0)) } })
  trial.log(0, {
    "cost/step_flops": cost.flops,
    "cost/step_bytes": cost.bytes,
    "cost/parameters": countParameters(pick(initial, (name) => !/^(target(_sparse)?|optimiser)\./.test(name))),
    "mem/state": cost.stateBytes,
    "mem/peak": cost.peakBytes,
  })
  const program = device.compile(step, { name: "sparse-jepa" })
  const started = performance.now()
  try {
    await train({
      program,
      seed: trial.seed,
      steps,
      initial,
      batches,
      scalars,
      // Shapes change from step to step, so several steps rarely make one native call.
      chunk: supervised ? 16 : 1,
      onMetrics: (at, values) => {
        if (at % config.logEvery !== 0 && at !== steps - 1) return
        const named = Object.entries(scalarMetrics(values)).map(([name, value]) => [`pretrain/${name}`, value])
        trial.log(at, Object.fromEntries(named))
      },
      checkpointEvery: config.checkpointEvery,
      sink: trial,
    })
    trial.log(steps, { "time/pretrain": (performance.now() - started) / 1000 })
    return await program.state()
  } finally {
    program.dispose()
  }
}

const featureBatch = 250

/** Mean-pooled embeddings of the target encoder. */
async function encoded(
  bed: Bed,
  options: JepaStepOptions,
  state: HostTensors,
  source: ByteImages,
  rows: ArrayLike<number>,
): Promise<Features> {
  const width = bed.sizes.width
  const program = bed.device.compile(
    (frozen, batch) => ({
      state: frozen,
      metrics: { pooled: tf.mean(targetEmbeddings(frozen, batch["images"] as tf.Tensor4D, options), 1) },
    }),
    { name: "features" },
  )
  try {
    program.load(pick(state, (name) => /^target(_sparse)?\./.test(name)))
    const data = new Float32Array(rows.length * width)
    for (let from = 0; from < rows.length; from += featureBatch) {
      const count = Math.min(featureBatch, rows.length - from)
      // One shape for all batches: the last is filled up with its own first image.
      const some = Array.from({ length: featureBatch }, (_, i) => rows[from + (i < count ? i : 0)]!)
      const batch = { images: imageBatch(source, some, bed.statistics) }
      const { pooled } = await program.run(batch, { seed: 0, step: 0 })
      data.set((pooled!.data as Float32Array).subarray(0, count * width), from * width)
    }
    return { data, count: rows.length, width }
  } finally {
    program.dispose()
  }
}

async function pixels(bed: Bed, source: ByteImages, rows: ArrayLike<number>): Promise<Features> {
  const { data, shape } = imageBatch(source, rows, bed.statistics)
  return { data: data as Float32Array, count: rows.length, width: shape[1]! * shape[2]! * shape[3]! }
}

type FeaturesOf = (source: ByteImages, rows: ArrayLike<number>) => Promise<Features>

interface Scores {
  readonly accuracy: number
  readonly fewLabels: number
  readonly counting: number
  readonly predicted: Uint8Array
  /** Features of the test images, as they are. */
  readonly test: Features
}

const firstRows = (n: number) => Uint32Array.from({ length: n }, (_, i) => i)

/** All probes of one set of features. */
async function probeScores(bed: Bed, featuresOf: FeaturesOf): Promise<Scores> {
  const { config, device, root, classes } = bed
  const { probeTrain, probeTest, counting } = config.images
  const trainRows = bed.chosen.subarray(0, probeTrain)
  const testRows = firstRows(Math.min(probeTest, bed.test.count))
  const train = await featuresOf(bed.train, trainRows)
  const test = await featuresOf(bed.test, testRows)
  const labels = Uint8Array.from(trainRows, (row) => bed.labels[row]!)
  const testLabels = bed.testLabels.subarray(0, testRows.length)
  const [x, z] = [standardise(train, train), standardise(test, train)]
  const fit = await fitLogistic(device, x, labels, classes)
  const predicted = classify(fit, z)

  const few: number[] = []
  const seen = new Uint8Array(classes)
  labels.forEach((label, row) => {
    if (seen[label]! < 10) {
      seen[label]!++
      few.push(row)
    }
  })
  const fewLabels = Uint8Array.from(few, (row) => labels[row]!)
  // With 100 rows the penalty decides: a stronger one, the same for every method.
  const fewFit = await fitLogistic(device, selectRows(x, few), fewLabels, classes, { l2: 1e-2 })

  const canvases = countingImages(2 * counting, bed.train.shape, derive(root, "counting"))
  const objects = await featuresOf(canvases, firstRows(2 * counting))
  const r2 = ridgeR2(
    selectRows(objects, firstRows(counting)),
    canvases.counts.subarray(0, counting),
    selectRows(
      objects,
      firstRows(counting).map((i) => i + counting),
    ),
    canvases.counts.subarray(counting),
  )
  return {
    accuracy: accuracy(predicted, testLabels),
    fewLabels: accuracy(classify(fewFit, z), testLabels),
    counting: r2,
    predicted,
    test,
  }
}

/** Probes, logs and records. */
async function probe(bed: Bed, featuresOf: FeaturesOf, at: number): Promise<Scores> {
  const { config, trial } = bed
  const scores = await probeScores(bed, featuresOf)
  trial.log(at, {
    "probe/acc": scores.accuracy,
    "probe/acc_10_labels": scores.fewLabels,
    "probe/count_r2": scores.counting,
    ...(scores.test.width <= 512 && information(scores.test, config)),
  })
  for (let i = 0; i < Math.min(config.samples, scores.predicted.length); i++) {
    const label = bed.testLabels[i]!
    trial.samples.record(
      `${config.dataset}/test`,
      String(i),
      { "probe/correct": scores.predicted[i] === label ? 1 : 0 },
      { class: label },
    )
  }
  return scores
}

/** Spread, rank and multi-information of features. */
function information(features: Features, config: Config) {
  const { data, count, width } = features
  const raw = covariance(data, count, width)
  const groups = config.method._tag === "SparseJepa" ? config.method.groups : width % 8 === 0 ? 8 : 1
  const size = width / groups
  const partition = Array.from({ length: groups }, (_, g) => Array.from({ length: size }, (_, i) => g * size + i))
  const { total, groups: between, within } = multiInformation(regularised(raw), partition)
  const variances = Array.from({ length: width }, (_, i) => raw.get(i, i))
  const widest = [...variances.keys()].sort((a, b) => variances[b]! - variances[a]!).slice(0, 4)
  const few = new Float32Array(count * widest.length)
  for (let i = 0; i < count; i++)
    widest.forEach((j, at) => {
      few[i * widest.length + at] = data[i * width + j]!
    })
  const { realEigenvalues } = new EigenvalueDecomposition(raw, { assumeSymmetric: true })
  return {
    "emb/std": variances.reduce((sum, v) => sum + Math.sqrt(Math.max(0, v)), 0) / width,
    "emb/effective_rank": effectiveRank(realEigenvalues),
    "mi/total": total,
    "mi/groups": between,
    "mi/within": within.reduce((sum, t) => sum + t, 0),
    "mi/dpi_gap": processingGap(few, count, widest.length),
  }
}
