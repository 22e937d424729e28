/**
 * The transfer test bed: a tiny vision transformer, pre-trained on Fashion-MNIST, is tuned on 1000 images of a task made
 * from MNIST. A miniature of "ViT-B/16 pre-trained on ImageNet-21k, then VTAB-1k", with one loop, one optimiser and one
 * memory ledger for every tuner.
 */
import { epochOrder, loadDataset, progressLines } from "@exp/data"
import { underPrefix, type VitConfig, warmupCosine } from "@exp/nn"
import { Metric, Stage, Task } from "@exp/spec"
import { type DeviceName, decodeSafetensors, type HostTensor, type HostTensors, openDevice } from "@exp/tensor"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { hasFactors } from "./factors.ts"
import { locateMask } from "./gradient-mask.ts"
import type { LayerCompetition } from "./layer-competition.ts"
import { maskTensors, squaredGradients } from "./mask-location.ts"
import { frobeniusNorm, nonZeros, numericalRank } from "./matrix-rank.ts"
import { measuredStep, type StepMemory, tracedPeak, tunerLedger } from "./memory.ts"
import { Pretraining } from "./pretraining.ts"
import { initialState, tunedDecay, tunedStep } from "./tuned-step.ts"
import { mergedWeights, trainTuned, updatesOf } from "./tuned-training.ts"
import { Tuner } from "./tuners.ts"
import { heldTemperatures } from "./update.ts"
import { imageBatch, targetClasses, targetTask } from "./vision-data.ts"
import { accuracy, newHead, predictions, testBedModel, tunedMaps, tunedTensors, visionModel } from "./vision-model.ts"
import { visionBatchExample, visionStateExample } from "./vision-step.ts"

const whole = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })))
const rate = Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 0.9 })))

/** Config of {@link VisionTransfer}. */
export const VisionTransferConfig = Schema.Struct({
  source: Schema.Literals(["fashion-mnist"]).pipe(
    Schema.annotate({ description: "data set of the pre-training" }),
    Schema.withDecodingDefaultKey(Effect.succeed("fashion-mnist" as const)),
  ),
  target: Schema.Literals(["digits-1k", "inv-1k", "angle-1k"]).pipe(
    Schema.annotate({
      description: "task of 1000 MNIST images: as they are, inverted, or turned by k·45° with label k",
    }),
    Schema.withDecodingDefaultKey(Effect.succeed("inv-1k" as const)),
  ),
  model: Schema.Literals(["tinyvit"]).pipe(
    Schema.annotate({ description: "28×28, patches 7×7, width 64, 4 heads, hidden width 128" }),
    Schema.withDecodingDefaultKey(Effect.succeed("tinyvit" as const)),
  ),
  depth: Schema.Int.pipe(
    Schema.check(Schema.isBetween({ minimum: 1, maximum: 24 })),
    Schema.annotate({ description: "blocks of the model" }),
    Schema.withDecodingDefaultKey(Effect.succeed(4)),
  ),
  tuner: Tuner.annotate({ description: "what is trained" }),
  epochs: whole.pipe(
    Schema.annotate({ description: "passes over the training images" }),
    Schema.withDecodingDefaultKey(Effect.succeed(12)),
  ),
  batchSize: whole.pipe(
    Schema.annotate({ description: "images of a batch; the last one of an epoch is smaller" }),
    Schema.withDecodingDefaultKey(Effect.succeed(32)),
  ),
  learningRate: Schema.Finite.pipe(
    Schema.check(Schema.isGreaterThan(0)),
    Schema.annotate({
      description: "largest learning rate: warm-up over 10 % of the steps, then half a cosine to 1e-5",
    }),
  ),
  weightDecay: Schema.Finite.pipe(
    Schema.check(Schema.isGreaterThanOrEqualTo(0)),
    Schema.annotate({ description: "decoupled weight decay of tensors with two or more axes, CLS excepted" }),
    Schema.withDecodingDefaultKey(Effect.succeed(1e-4)),
  ),
  dropout: rate.pipe(
    Schema.annotate({ description: "dropout of the inputs of ΔW (the papers: 0.1)" }),
    Schema.withDecodingDefaultKey(Effect.succeed(0)),
  ),
  dropPath: rate.pipe(
    Schema.annotate({
      description: "probability of dropping a sample's ΔW output, each map on its own (the papers: 0.1)",
    }),
    Schema.withDecodingDefaultKey(Effect.succeed(0)),
  ),
  holdout: rate.pipe(
    Schema.annotate({
      description:
        "fraction of the 1000 images kept for validation: 0.2 while tuning; above 0 the test set is not touched",
    }),
    Schema.withDecodingDefaultKey(Effect.succeed(0)),
  ),
  pretrainSteps: whole.pipe(
    Schema.annotate({ description: "steps of the pre-training, which all trials share" }),
    Schema.withDecodingDefaultKey(Effect.succeed(1500)),
  ),
})
export type VisionTransferConfig = typeof VisionTransferConfig.Type

/** What a training step of a tuner holds, at batch size 32 (or the given one) and 1: equal for all seeds and rates. */
export const StepMemoryStage = Stage.make("vision-step-memory", {
  version: 2,
  config: Schema.Struct({ tuner: Tuner, depth: whole, classes: whole, batchSize: whole }),
  run: async ({ tuner, depth, classes, batchSize }) => {
    const device = await openDevice("wasm").catch(() => openDevice("js"))
    const config = testBedModel(classes, depth)
    const model = visionModel(config)
    const state = visionStateExample(tuner, config, 0)
    const measure = async (size: number): Promise<StepMemory> => {
      const batch = visionBatchExample(tuner, config, size)
      const { savedActivations } = await measuredStep(
        device.name === "js" ? "cpu" : device.name,
        model,
        tuner,
        state,
        batch,
      )
      return { savedActivations, peak: tracedPeak(model, tuner, state, batch) }
    }
    try {
      return new TextEncoder().encode(JSON.stringify({ batch: await measure(batchSize), single: await measure(1) }))
    } finally {
      device.dispose()
    }
  },
})

const bytes = (description: string) => Metric.min({ unit: "B", description })

/** PEFT methods on a tiny vision transformer, under one loop, one optimiser, one memory ledger. */
export const VisionTransfer = Task.make("vision-transfer", {
  version: 2,
  description: "Tune a pre-trained vision transformer on 1000 images",
  config: VisionTransferConfig,
  metrics: {
    "train/loss": Metric.min({ description: "cross-entropy, mean over an epoch" }),
    "train/diverged": Metric.min({ description: "1 when the loss was not finite and training stopped" }),
    "val/accuracy": Metric.max({ unit: "ratio", description: "on the held-out part of the 1000 images" }),
    "test/accuracy": Metric.max({ unit: "ratio", description: "on 2000 test images; not taken while tuning" }),
    "lr/selected": Metric.min({ description: "the learning rate of this trial" }),
    "delta/rank": Metric.max({ description: "numerical rank of ΔW, mean over maps" }),
    "delta/rank/*": Metric.max({ description: "numerical rank of ΔW of each map" }),
    "delta/nnz_fraction": Metric.min({ unit: "ratio", description: "non-zero entries of ΔW, of all maps" }),
    "delta/fro": Metric.min({ description: "Frobenius norm of ΔW, mean over maps" }),
    "layer/sparsity/*": Metric.min({ unit: "ratio", description: "fraction zeroed of each map (SNELLA)" }),
    "layer/share/*": Metric.max({ unit: "ratio", description: "each map's part of the surviving weights (SNELLA)" }),
    layers_off: Metric.min({ description: "maps that keep nothing (SNELLA)" }),
    temperatures_held: Metric.min({ description: "maps whose γ is held at its bound (mixture kernels)" }),
    "mem/weights": bytes("all parameters, what the tuner adds included"),
    "mem/trainable": Metric.min({ description: "trained entries" }),
    "mem/grads": bytes("gradients that are materialised"),
    "mem/optimizer": bytes("AdamW: two moments an entry, 8 B a tensor; indices of compressed tensors"),
    "mem/masks": bytes("masks"),
    "mem/state": bytes("gradients, optimiser and masks"),
    "mem/saved_activations": bytes(
      "what the tape of an eager TensorFlow.js step keeps; it keeps the inputs of frozen layers too",
    ),
    "mem/peak": bytes("state, batch and the most intermediate bytes alive at once in the graph of a step"),
    "mem/peak_single": bytes("the same at batch size 1"),
    "time/step_ms": Metric.min({ unit: "ms", description: "wall time of a training step, median over epochs" }),
  },
  trainingStep: (config, seed) => {
    const vit = testBedModel(targetClasses(config.target), config.depth)
    return {
      name: `${config.model} under ${config.tuner._tag}`,
      step: fineTuningStep(config, vit),
      state: visionStateExample(config.tuner, vit, seed),
      batch: visionBatchExample(config.tuner, vit, config.batchSize),
    }
  },
  needs: (config) => ({
    datasets: ["mnist"],
    stages: [
      { stage: Pretraining, config: pretraining(config), datasets: [config.source] },
      {
        stage: StepMemoryStage,
        config: {
          tuner: config.tuner,
          depth: config.depth,
          classes: targetClasses(config.target),
          batchSize: config.batchSize,
        },
        datasets: [],
      },
    ],
  }),
  run: async (config, trial) => {
    const { tuner, depth, batchSize, epochs } = config
    const { seed } = trial
    const pretrained = await trial.stage(Pretraining, pretraining(config))
    const mnist = await loadDataset("mnist", {
      signal: trial.signal,
      onProgress: progressLines((line) => trial.logger.info(line)),
    })
    const task = targetTask(config.target, mnist, seed, config.holdout)
    const vit = testBedModel(task.classes, depth)
    const model = visionModel(vit)
    const maps = tunedMaps(vit)
    const backbone = Object.fromEntries(
      Object.entries(decodeSafetensors(pretrained).tensors).filter(([name]) => !name.startsWith("head.")),
    )
    const head = newHead(vit, seed)
    const tensors = tunedTensors(tuner, vit, backbone, head, seed)
    const params: Record<string, HostTensor> = { ...tensors.params }
    const frozen: Record<string, HostTensor> = { ...tensors.frozen }

    const device = await openDevice(trial.device as DeviceName)
    try {
      if (tuner._tag === "GradientMask") {
        const located = Array.from({ length: Math.ceil(task.train.count / 100) }, (_, i) => {
          const count = Math.min(100, task.train.count - 100 * i)
          return imageBatch(
            task.train,
            task.shape,
            Uint32Array.from({ length: count }, (_, j) => 100 * i + j),
            100,
          )
        })
        const names = maps.map(({ name }) => `${name}.weight`)
        const scores = await squaredGradients(device, model, { ...backbone, ...head }, names, located)
        const byMap = Object.fromEntries(maps.map(({ name }) => [name, scores[`${name}.weight`]!]))
        const mask = maskTensors(tuner.storage, maps, locateMask(byMap, tuner.sparsity))
        Object.assign(params, mask.params)
        Object.assign(frozen, mask.frozen)
      }

      const held = config.holdout > 0
      const split = held ? task.validation : task.test
      const measure = async (state: HostTensors, competition: LayerCompetition | undefined) => {
        const trained = underPrefix("params", state)
        const updates = await updatesOf(device, maps, tuner, state, competition)
        const weights = mergedWeights({ ...backbone, ...trained }, updates)
        return {
          trained,
          updates,
          weights,
          predicted: await predictions(device, vit, tuner, weights, split, task.shape),
        }
      }

      const stepsPerEpoch = Math.ceil(task.train.count / batchSize)
      const steps = epochs * stepsPerEpoch
      let order: Uint32Array = new Uint32Array(0)
      let orderOf = -1
      const schedule = warmupCosine({
        learningRate: config.learningRate,
        steps,
        warmup: Math.round(0.1 * steps),
        minimum: Math.min(1e-5, config.learningRate),
      })
      const tuned = await trainTuned({
        device,
        step: fineTuningStep(config, vit),
        tuner,
        maps,
        initial: initialState(tuner, params, frozen),
        seed,
        epochs,
        stepsPerEpoch,
        batch: (step) => {
          const epoch = Math.floor(step / stepsPerEpoch)
          if (epoch !== orderOf) {
            order = epochOrder(task.train.count, seed, epoch)
            orderOf = epoch
          }
          const first = (step - epoch * stepsPerEpoch) * batchSize
          return imageBatch(task.train, task.shape, order.subarray(first, first + batchSize), batchSize)
        },
        learningRate: schedule,
        sink: trial,
        onEpoch: async ({ epoch, step, loss, layers, state, competition }) => {
          trial.log(step, { "train/loss": loss })
          // Held-out images may be looked at on the way, so that a search can give up what they show to be hopeless: after
          // 1, 2, 4, 8, … epochs, since a look costs as much as a part of an epoch.
          if (held && epoch + 1 < epochs && Number.isInteger(Math.log2(epoch + 1)) && Number.isFinite(loss)) {
            const { predicted } = await measure(await state(), competition)
            trial.log(step, { "val/accuracy": accuracy(predicted, split.labels) })
          }
          if (!layers) return
          trial.log(step, { layers_off: layers.sparsities.filter((s) => s >= 1).length })
          layers.sparsities.forEach((s, l) => {
            trial.log(step, { [`layer/sparsity/${l}`]: s, [`layer/share/${l}`]: layers.shares[l]! })
          })
        },
      })

      const { trained, updates, weights, predicted } = await measure(tuned.state, tuned.competition)
      trial.log(steps, {
        [held ? "val/accuracy" : "test/accuracy"]: accuracy(predicted, split.labels),
        "train/diverged": tuned.divergedAt === undefined ? 0 : 1,
        "lr/selected": config.learningRate,
        "time/step_ms": tuned.stepMs,
        ...tunerLedger(tuner, params, frozen),
      })
      if (held) return

      predicted.forEach((label, i) => {
        trial.samples.record(
          `mnist-test/${config.target}`,
          String(task.testIndices[i]!),
          { "test/accuracy": label === split.labels[i] ? 1 : 0 },
          { class: split.labels[i]! },
        )
      })
      const changes =
        tuner._tag === "FullFineTune"
          ? differences(
              maps.map(({ name }) => name),
              weights,
              backbone,
            )
          : updates
      if (tuned.divergedAt === undefined && Object.keys(changes).length > 0) {
        const ranks = maps.map(({ name, inputs, outputs }) =>
          changes[name] ? numericalRank(changes[name].data, inputs, outputs) : 0,
        )
        const values = Object.values(changes)
        const size = maps.reduce((sum, { inputs, outputs }) => sum + inputs * outputs, 0)
        ranks.forEach((rank, l) => {
          trial.log(steps, { [`delta/rank/${l}`]: rank })
        })
        trial.log(steps, {
          "delta/rank": ranks.reduce((a, b) => a + b, 0) / ranks.length,
          "delta/nnz_fraction": values.reduce((sum, { data }) => sum + nonZeros(data), 0) / size,
          "delta/fro": values.reduce((sum, { data }) => sum + frobeniusNorm(data), 0) / maps.length,
        })
      }
      const gammas = Object.entries(trained).filter(([name]) => name.endsWith(".gamma"))
      if (hasFactors(tuner) && gammas.length > 0)
        trial.log(steps, { temperatures_held: heldTemperatures(gammas.map(([, { data }]) => data[0]!)) })
      const measured = JSON.parse(
        new TextDecoder().decode(
          await trial.stage(StepMemoryStage, { tuner, depth, classes: task.classes, batchSize }),
        ),
      ) as { batch: StepMemory; single: StepMemory }
      trial.log(steps, {
        "mem/saved_activations": measured.batch.savedActivations,
        "mem/peak": measured.batch.peak,
        "mem/peak_single": measured.single.peak,
      })
    } finally {
      device.dispose()
    }
  },
})

/** The pre-training that a trial builds on. */
const pretraining = ({ source, model, depth, pretrainSteps }: VisionTransferConfig) =>
  ({ source, model, depth, steps: pretrainSteps }) as const

/** The training step of a trial on a model of the test bed. */
const fineTuningStep = ({ tuner, weightDecay, dropout, dropPath }: VisionTransferConfig, vit: VitConfig) =>
  tunedStep(visionModel(vit), tuner, { decay: tunedDecay(weightDecay), dropout, dropPath })

/** W − W0 of every map: the ΔW of full fine-tuning. */
function differences(maps: ReadonlyArray<string>, after: HostTensors, before: HostTensors): HostTensors {
  return Object.fromEntries(
    maps.map((name) => {
      const old = before[`${name}.weight`]!
      const data = Float32Array.from(after[`${name}.weight`]!.data, (w, i) => w - old.data[i]!)
      return [name, { ...old, data }]
    }),
  )
}
