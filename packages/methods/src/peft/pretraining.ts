/**
 * Pre-training of the test bed's model on Fashion-MNIST: 40 classes, 4·class + k where the image is turned by k·90°.
 */
import { deriveSplit, ImageBatches, loadDataset, progressLines, quarterTurnTask } from "@exp/data"
import { adamw, initVit, train, underPrefix, type VitConfig, warmupCosine, withPrefix } from "@exp/nn"
import { key } from "@exp/random"
import { Stage } from "@exp/spec"
import { type DeviceName, encodeSafetensors, openDevice, type Step, valueAndGradients } from "@exp/tensor"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ModelHooks } from "./tuned-step.ts"
import { accuracy, predictions, testBedModel, visionModel } from "./vision-model.ts"

const whole = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 1_000_000 })))

/** Config of {@link Pretraining}. */
export const PretrainingConfig = Schema.Struct({
  source: Schema.Literals(["fashion-mnist"]).annotate({ description: "data set to pre-train on" }),
  model: Schema.Literals(["tinyvit"]).annotate({ description: "the model" }),
  depth: whole.annotate({ description: "blocks of the model" }),
  steps: whole.annotate({ description: "training steps" }),
  batchSize: whole.pipe(
    Schema.annotate({ description: "images of a batch" }),
    Schema.withDecodingDefaultKey(Effect.succeed(128)),
  ),
  learningRate: Schema.Finite.pipe(
    Schema.annotate({ description: "largest learning rate" }),
    Schema.withDecodingDefaultKey(Effect.succeed(1e-3)),
  ),
  weightDecay: Schema.Finite.pipe(
    Schema.annotate({ description: "decoupled weight decay of every tensor" }),
    Schema.withDecodingDefaultKey(Effect.succeed(0.05)),
  ),
  warmup: Schema.Int.pipe(
    Schema.annotate({ description: "steps of the linear warm-up" }),
    Schema.withDecodingDefaultKey(Effect.succeed(100)),
  ),
  seed: Schema.Int.pipe(
    Schema.annotate({ description: "seed of weights, draws and order; one for all trials" }),
    Schema.withDecodingDefaultKey(Effect.succeed(0)),
  ),
})
export type PretrainingConfig = typeof PretrainingConfig.Type

/** Classes of the upstream task: ten kinds of clothes in four directions. */
export const upstreamClasses = 40

/** A training step of all weights; the state holds `params.*` and `optimiser.*`. */
export function pretrainingStep(config: VitConfig, weightDecay: number): Step {
  const model = visionModel(config)
  const hooks: ModelHooks = { linear: (_, __, y) => y, afterMlp: (_, z) => z }
  return (state, batch, randomness) => {
    const params = underPrefix("params", state)
    const { value, gradients } = valueAndGradients((p) => model.loss(p, batch, randomness, hooks), params)
    const next = adamw.update({
      params,
      gradients,
      state: underPrefix("optimiser", state),
      learningRate: batch["learning_rate"]!,
      options: { weightDecay },
    })
    return {
      state: { ...withPrefix("params", next.params), ...withPrefix("optimiser", next.state) },
      metrics: { loss: value },
    }
  }
}

/**
 * Pre-trains once; the result is a safetensors file of all weights, head included. Its metadata hold the accuracy on
 * unturned test images with all 40 classes as candidates.
 */
export const Pretraining = Stage.make("pretraining", {
  version: 1,
  config: PretrainingConfig,
  run: async (config, context) => {
    const device = await openDevice(context.device as DeviceName)
    try {
      const data = await loadDataset(config.source, {
        signal: context.signal,
        onProgress: progressLines((line) => context.logger.info(line)),
      })
      const model = testBedModel(upstreamClasses, config.depth)
      const atOnce = device.compiles ? 25 : 2
      const batches = new ImageBatches(data.train, {
        shape: data.shape,
        batchSize: config.batchSize,
        seed: config.seed,
        transform: quarterTurnTask(data.shape),
        last: "dropped",
        stream: "pretraining",
        slots: atOnce,
      })
      const { steps, batchSize } = config
      const warmup = Math.min(config.warmup, Math.floor(steps / 2))
      const rate = warmupCosine({ learningRate: config.learningRate, steps, warmup, minimum: 1e-5 })
      const weights = new Float32Array(batchSize).fill(1)
      const params = initVit(model, key(config.seed, "pretraining", "weights"))
      const program = device.compile(pretrainingStep(model, config.weightDecay), { name: "pre-training" })
      try {
        await train({
          program,
          seed: config.seed,
          steps,
          initial: { ...withPrefix("params", params), ...withPrefix("optimiser", adamw.init(params)) },
          batches: (step) => {
            const { images, labels } = batches.at(step)
            return {
              images: { data: images, shape: [batchSize, ...data.shape], dtype: "float32" },
              labels: { data: labels, shape: [batchSize], dtype: "int32" },
              weights: { data: weights, shape: [batchSize], dtype: "float32" },
            }
          },
          scalars: (step) => ({ learning_rate: rate(step) }),
          chunk: atOnce,
          checkpointEvery: 500,
          sink: context,
        })
        const trained = underPrefix("params", await program.state())
        const seen = 2000
        // The test part is ordered by class, so that a prefix would show two classes only: take it in strides.
        const stride = Math.floor(data.test.count / seen)
        const picked = Uint32Array.from({ length: seen }, (_, i) => i * stride)
        const split = deriveSplit(data.test, data.shape, picked)
        const labels = split.labels.map((label) => 4 * label)
        const predicted = await predictions(device, model, { _tag: "LinearProbe" }, trained, split, data.shape)
        const reached = accuracy(predicted, labels)
        context.logger.info(`pre-trained for ${steps} steps: accuracy ${reached.toFixed(3)} on unturned test images`)
        return encodeSafetensors(trained, { accuracy: String(reached) })
      } finally {
        program.dispose()
      }
    } finally {
      device.dispose()
    }
  },
})
