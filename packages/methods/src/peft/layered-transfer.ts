/**
 * The transfer test bed with a choice of layers: a vision transformer, pre-trained on Fashion-MNIST, gets modules in every
 * block, and a few blocks' modules are trained at each step. The head is trained at every step; the class token only where it
 * is asked for, since it enters below the first block and takes the backward pass through all of them.
 */
import { epochOrder, type ImageSplit, loadDataset, progressLines } from "@exp/data"
import { initVit, namedVit, pick, type VitConfig, vit, warmupCosine } from "@exp/nn"
import { fillUniform, key } from "@exp/random"
import { Metric, Task } from "@exp/spec"
import { type DeviceName, decodeSafetensors, type HostTensors } from "@exp/tensor"
import type * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described } from "../config-fields.ts"
import { LayerChoice, layerObjection, roundSamples } from "./layer-choice.ts"
import { initModules, LayerModules } from "./layer-modules.ts"
import { layeredExample } from "./layered-example.ts"
import type { LayeredModel } from "./layered-step.ts"
import { layeredMetrics, trainLayered } from "./layered-training.ts"
import { Pretraining } from "./pretraining.ts"
import { imageBatch, type TargetTask, targetClasses, targetTask } from "./vision-data.ts"
import { newHead, testBedModel, tunedMaps } from "./vision-model.ts"
import { VisionTransferConfig } from "./vision-transfer.ts"

const { source, target, epochs, batchSize, learningRate, weightDecay, dropout, holdout, pretrainSteps } =
  VisionTransferConfig.fields

const Fields = Schema.Struct({
  source,
  target,
  model: Schema.Literals(["tinyvit", "vit-b16"]).pipe(
    described(
      "the test bed's model, or ViT-B/16 on images enlarged to 224×224 (not pre-trained: its weights are drawn)",
    ),
    defaultsTo("tinyvit"),
  ),
  depth: atLeast(1).pipe(described("blocks of the test bed's model; ViT-B/16 has 12"), defaultsTo(8)),
  modules: LayerModules.annotate({ description: "the modules of every block" }),
  layers: LayerChoice.annotate({ description: "which blocks' modules are trained at each step" }),
  trainClassToken: Schema.Boolean.pipe(
    described("train the class token at every step; the backward pass then goes through all blocks"),
    defaultsTo(false),
  ),
  evictMoments: Schema.Boolean.pipe(
    described("drop the moments of blocks that are not trained at the moment; changes the algorithm"),
    defaultsTo(false),
  ),
  epochs,
  batchSize,
  learningRate,
  weightDecay,
  dropout,
  holdout,
  pretrainSteps,
  steps: atLeast(0).pipe(described("carry out only so many steps of the schedule; 0: all"), defaultsTo(0)),
  testImages: atLeast(1).pipe(described("how many of the 2000 test images are looked at"), defaultsTo(2000)),
  ledgerBatch: atLeast(0).pipe(
    described("batch size for which mem/* and flops/* are reported, traced from shapes; 0: the batch size"),
    defaultsTo(0),
  ),
})

/** Config of {@link LayeredTransfer}. */
export const LayeredTransferConfig = Fields.pipe(
  Schema.check(
    Schema.makeFilter(({ model, depth, layers }: typeof Fields.Type) =>
      layerObjection(layers, model === "vit-b16" ? namedVit("base").depth : depth),
    ),
  ),
)
export type LayeredTransferConfig = typeof LayeredTransferConfig.Type

/** A vision transformer as a model with modules. A batch holds `images`, `labels` int32 and `weights`. */
export function layeredVit(config: VitConfig): LayeredModel {
  return {
    layers: config.depth,
    width: config.width,
    maps: tunedMaps(config).map((map) => ({ ...map, layer: Number(map.name.split(".")[1]) })),
    mlp: (layer) => ({ first: `blocks.${layer}.mlp.fc1`, last: `blocks.${layer}.mlp.fc2` }),
    scores: (weights, batch, hook) => ({
      logits: vit(weights, batch["images"] as tf.Tensor4D, config, { linear: hook }),
      labels: batch["labels"]!,
      weights: batch["weights"]!,
    }),
  }
}

/** Images [n, h, w, 1] enlarged by whole factors and repeated over the channels. */
export function enlarged(batch: HostTensors, size: number, channels: number): HostTensors {
  const images = batch["images"]!
  const [count, height, width] = images.shape as [number, number, number]
  if (height === size && channels === 1) return batch
  const data = new Float32Array(count * size * size * channels)
  let at = 0
  for (let n = 0; n < count; n++)
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        const pixel = Math.floor((y * height) / size) * width + Math.floor((x * width) / size)
        data.fill(images.data[n * height * width + pixel]!, at, at + channels)
        at += channels
      }
  return { ...batch, images: { data, shape: [count, size, size, channels], dtype: "float32" } }
}

/** The pre-training that a trial builds on. */
const pretraining = ({ source, depth, pretrainSteps }: typeof LayeredTransferConfig.Type) =>
  ({ source, model: "tinyvit", depth, steps: pretrainSteps }) as const

/** The model of a trial, for targets of so many classes. */
const modelOf = ({ model, depth }: typeof LayeredTransferConfig.Type, classes: number): VitConfig =>
  model === "vit-b16" ? namedVit("base", classes) : testBedModel(classes, depth)

/**
 * What is trained: a transformer with modules in its blocks, and a new head.
 *
 * @param all weights to build on, a head among them or not
 */
function tunedVit(config: typeof LayeredTransferConfig.Type, vitConfig: VitConfig, all: HostTensors, seed: number) {
  const { modules, layers, weightDecay, dropout, trainClassToken } = config
  const model = layeredVit(vitConfig)
  const frozen = pick(all, (name) => !name.startsWith("head.") && !(name === "cls" && trainClassToken))
  const params = {
    ...(trainClassToken && { cls: all["cls"]! }),
    ...newHead(vitConfig, seed),
    ...initModules(modules, model, frozen, key(seed, "modules")),
  }
  return { model, modules, choice: layers, options: { weightDecay, dropout }, params, frozen, seed }
}

/** IST and its baselines on the vision test bed. */
export const LayeredTransfer = Task.make("layered-transfer", {
  version: 1,
  description: "Tune a pre-trained vision transformer on 1000 images, a few of its blocks at each step",
  config: LayeredTransferConfig,
  metrics: {
    ...layeredMetrics,
    "val/accuracy": Metric.max({ unit: "ratio", description: "on the held-out part of the 1000 images" }),
    "val/loss": Metric.min({ description: "cross-entropy on the held-out part" }),
    "test/accuracy": Metric.max({ unit: "ratio", description: "on the test images; not taken while tuning" }),
    "test/loss": Metric.min({ description: "cross-entropy on the test images" }),
  },
  needs: (config) => ({
    datasets: ["mnist"],
    stages:
      config.model === "vit-b16"
        ? []
        : [{ stage: Pretraining, config: pretraining(config), datasets: [config.source] }],
  }),
  trainingStep: (config, seed) => {
    const vitConfig = modelOf(config, targetClasses(config.target))
    const { batchSize } = config
    const { imageSize, channels } = vitConfig
    const pixels = fillUniform(key(0, "example images"), new Float32Array(batchSize * imageSize ** 2 * channels))
    return layeredExample(
      config.model === "vit-b16" ? "ViT-B/16" : `${config.model} of ${config.depth} blocks`,
      tunedVit(config, vitConfig, initVit(vitConfig, key(seed)), seed),
      {
        images: {
          data: pixels.map((x) => 2 * x - 1),
          shape: [batchSize, imageSize, imageSize, channels],
          dtype: "float32",
        },
        labels: { data: new Int32Array(batchSize), shape: [batchSize], dtype: "int32" },
        weights: { data: new Float32Array(batchSize).fill(1), shape: [batchSize], dtype: "float32" },
      },
    )
  },
  run: async (config, trial) => {
    const { layers } = config
    const { seed } = trial
    const mnist = await loadDataset("mnist", {
      signal: trial.signal,
      onProgress: progressLines((line) => trial.logger.info(line)),
    })
    const task = targetTask(config.target, mnist, seed, config.holdout)
    const large = config.model === "vit-b16"
    const vitConfig = modelOf(config, task.classes)
    const all = large
      ? initVit(vitConfig, key(0, "vit-b16"))
      : decodeSafetensors(await trial.stage(Pretraining, pretraining(config))).tensors
    const tuned = tunedVit(config, vitConfig, all, seed)
    const batchOf = (split: ImageSplit, indices: ArrayLike<number>, size: number): HostTensors =>
      enlarged(imageBatch(split, task.shape, indices, size), vitConfig.imageSize, vitConfig.channels)
    const perEpoch = Math.ceil(task.train.count / config.batchSize)
    const scheduled = config.epochs * perEpoch
    const steps = config.steps > 0 ? Math.min(config.steps, scheduled) : scheduled
    let order: Uint32Array = new Uint32Array(0)
    let orderOf = -1
    const result = await trainLayered({
      device: trial.device as DeviceName,
      structure: JSON.stringify(["vit", vitConfig]),
      ...tuned,
      steps,
      batch: (step) => {
        const epoch = Math.floor(step / perEpoch)
        if (epoch !== orderOf) {
          order = epochOrder(task.train.count, seed, epoch)
          orderOf = epoch
        }
        const first = (step % perEpoch) * config.batchSize
        return batchOf(task.train, order.subarray(first, first + config.batchSize), config.batchSize)
      },
      learningRate: warmupCosine({
        learningRate: config.learningRate,
        steps: scheduled,
        warmup: Math.round(0.1 * scheduled),
        minimum: Math.min(1e-5, config.learningRate),
      }),
      roundBatch: (round) => {
        const size = layers._tag === "Ist" ? layers.importanceBatch : 1
        const images = roundSamples(task.train.count, size, round, seed)
        return batchOf(task.train, images, images.length)
      },
      ...(config.ledgerBatch > 0 && {
        ledger: { ...tuned, batch: imageShapes(vitConfig, config.ledgerBatch) },
      }),
      evictMoments: config.evictMoments,
      checkpointEvery: 200,
      sink: trial,
    })
    try {
      const held = config.holdout > 0
      const split = held ? task.validation : task.test
      const shown = Math.min(split.count, config.testImages)
      const { accuracy, loss, predicted } = await result.evaluate(
        inTurn(shown, large ? config.batchSize : 100).map(({ indices, size }) => batchOf(split, indices, size)),
      )
      const part = held ? "val" : "test"
      trial.log(steps, { ...result.ledger, [`${part}/accuracy`]: accuracy, [`${part}/loss`]: loss })
      if (!held) recordSamples(trial, config.target, task, predicted.slice(0, shown))
    } finally {
      result.release()
    }
  },
})

/** Shapes of a batch of images. */
function imageShapes({ imageSize, channels }: VitConfig, size: number) {
  return {
    images: { shape: [size, imageSize, imageSize, channels], dtype: "float32" as const },
    labels: { shape: [size], dtype: "int32" as const },
    weights: { shape: [size], dtype: "float32" as const },
  }
}

/** Indices 0 to count − 1 in batches of one size; the last one has fewer indices. */
export function inTurn(count: number, size: number): { readonly indices: Uint32Array; readonly size: number }[] {
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => ({
    indices: Uint32Array.from({ length: Math.min(size, count - i * size) }, (_, j) => i * size + j),
    size,
  }))
}

function recordSamples(
  trial: {
    readonly samples: {
      record(
        dataset: string,
        sample: string,
        values: { readonly "test/accuracy": number },
        tags: Record<string, number>,
      ): void
    }
  },
  target: string,
  task: TargetTask,
  predicted: readonly number[],
): void {
  predicted.forEach((label, i) => {
    trial.samples.record(
      `mnist-test/${target}`,
      String(task.testIndices[i]!),
      { "test/accuracy": label === task.test.labels[i] ? 1 : 0 },
      { class: task.test.labels[i]! },
    )
  })
}
