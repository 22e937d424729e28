/** A byte-level language model with modules in its blocks, its text cut into windows, and its pre-training. */
import { loadText, progressLines } from "@exp/data"
import {
  adamw,
  initLanguageModel,
  type LanguageModelConfig,
  languageModel,
  pick,
  train,
  underPrefix,
  warmupCosine,
  withPrefix,
} from "@exp/nn"
import { key, permutation } from "@exp/random"
import { Stage } from "@exp/spec"
import {
  type DeviceName,
  encodeSafetensors,
  type HostTensors,
  openDevice,
  type Step,
  valueAndGradients,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, positive } from "../config-fields.ts"
import { type LayeredModel, meanCrossEntropy } from "./layered-step.ts"

/** Sizes of a {@link byteModel}. */
export const ByteModelFields = {
  width: atLeast(8).pipe(described("width of the decoder; a multiple of 4"), defaultsTo(64)),
  depth: atLeast(1).pipe(described("blocks"), defaultsTo(8)),
  mlpWidth: atLeast(8).pipe(described("hidden units of a block's perceptron"), defaultsTo(128)),
  context: atLeast(2).pipe(described("bytes that are read at once"), defaultsTo(64)),
}

/** A decoder over the 256 bytes: learned positions, pre-norm blocks of four heads, a tied head. */
export function byteModel(sizes: {
  readonly width: number
  readonly depth: number
  readonly mlpWidth: number
  readonly context: number
}): LanguageModelConfig {
  return { vocabulary: 256, heads: 4, ...sizes }
}

/**
 * A language model with modules on query, key, value and both maps of the perceptron (the official settings leave out the
 * attention's output). A batch holds `tokens` int32 [n, context], `labels` int32 [n·context] and `weights` [n·context].
 */
export function layeredLanguageModel(config: LanguageModelConfig): LayeredModel {
  const { width, mlpWidth, depth, heads } = config
  const small = (width / heads) * (config.keyValueHeads ?? heads)
  return {
    layers: depth,
    width,
    maps: Array.from({ length: depth }, (_, layer) =>
      (
        [
          ["attention.query", width, width],
          ["attention.key", width, small],
          ["attention.value", width, small],
          ["mlp.fc1", width, mlpWidth],
          ["mlp.fc2", mlpWidth, width],
        ] as const
      ).map(([map, inputs, outputs]) => ({ name: `blocks.${layer}.${map}`, layer, inputs, outputs })),
    ).flat(),
    mlp: (layer) => ({ first: `blocks.${layer}.mlp.fc1`, last: `blocks.${layer}.mlp.fc2` }),
    scores(weights, batch, hook) {
      const scores = languageModel(weights, batch["tokens"] as tf.Tensor2D, config, { linear: hook })
      return {
        logits: tf.reshape(scores, [-1, scores.shape[2]]),
        labels: batch["labels"]!,
        weights: batch["weights"]!,
      }
    },
  }
}

/** Number of windows of `context` + 1 bytes, one byte shared by neighbours, in a text. */
export const windowCount = (text: Uint8Array, context: number): number => Math.floor((text.length - 1) / context)

/** The batch of the given windows, padded to `size` with windows of weight 0. */
export function windowBatch(text: Uint8Array, context: number, windows: ArrayLike<number>, size: number): HostTensors {
  const tokens = new Int32Array(size * context)
  const labels = new Int32Array(size * context)
  const weights = new Float32Array(size * context)
  for (let i = 0; i < windows.length; i++)
    for (let j = 0; j < context; j++) {
      const at = windows[i]! * context + j
      tokens[i * context + j] = text[at]!
      labels[i * context + j] = text[at + 1]!
      weights[i * context + j] = 1
    }
  return {
    tokens: { data: tokens, shape: [size, context], dtype: "int32" },
    labels: { data: labels, shape: [size * context], dtype: "int32" },
    weights: { data: weights, shape: [size * context], dtype: "float32" },
  }
}

/** The windows of a training step: an order of its own for each pass; what does not fill a batch is left out. */
export function stepWindows(windows: number, size: number, step: number, seed: number): Uint32Array {
  const taken = Math.min(size, windows)
  const perPass = Math.floor(windows / taken)
  const order = permutation(key(seed, "windows", Math.floor(step / perPass)), windows)
  return order.subarray((step % perPass) * taken, (step % perPass) * taken + taken)
}

/** A training step of all weights of a language model; the state holds `params.*` and `optimiser.*`. */
export function languageStep(config: LanguageModelConfig): Step {
  const model = layeredLanguageModel(config)
  return (state, batch) => {
    const params = underPrefix("params", state)
    const { value, gradients } = valueAndGradients((p) => {
      const { logits, labels, weights } = model.scores(p, batch, (_, __, y) => y)
      return meanCrossEntropy(logits, labels, weights)
    }, params)
    const next = adamw.update({
      params,
      gradients,
      state: underPrefix("optimiser", state),
      learningRate: batch["learning_rate"]!,
    })
    return {
      state: { ...withPrefix("params", next.params), ...withPrefix("optimiser", next.state) },
      metrics: { loss: value },
    }
  }
}

/** Pre-trains a byte model on Moby Dick; the result is a safetensors file of all weights. */
export const LanguagePretraining = Stage.make("byte-language", {
  version: 1,
  config: Schema.Struct({
    ...ByteModelFields,
    steps: atLeast(1),
    batchSize: atLeast(1).pipe(described("windows of a batch"), defaultsTo(32)),
    learningRate: positive.pipe(defaultsTo(3e-3)),
    seed: Schema.Int.pipe(described("seed of weights and order; one for all trials"), defaultsTo(0)),
  }),
  run: async (settings, context) => {
    const { steps, batchSize, seed } = settings
    const text = await loadText("moby-dick", {
      signal: context.signal,
      onProgress: progressLines((line) => context.logger.info(line)),
    })
    const config = byteModel(pick(settings, (name) => name in ByteModelFields) as typeof settings)
    const params = initLanguageModel(config, key(seed, "byte-language"))
    const windows = windowCount(text.bytes, config.context)
    const device = await openDevice(context.device as DeviceName)
    const program = device.compile(languageStep(config), { name: "byte language" })
    const rate = warmupCosine({ learningRate: settings.learningRate, steps, warmup: Math.round(0.1 * steps) })
    try {
      let loss = Number.NaN
      await train({
        program,
        seed,
        steps,
        initial: { ...withPrefix("params", params), ...withPrefix("optimiser", adamw.init(params)) },
        batches: (step) =>
          windowBatch(text.bytes, config.context, stepWindows(windows, batchSize, step, seed), batchSize),
        scalars: (step) => ({ learning_rate: rate(step) }),
        chunk: device.compiles ? 10 : 2,
        onMetrics: (step, values) => {
          loss = values["loss"]!.data[0]!
          if (step % 100 === 0) context.logger.info("pre-training", { step, loss })
        },
        checkpointEvery: 200,
        sink: context,
      })
      context.logger.info(`pre-trained for ${steps} steps: ${loss.toFixed(3)} nats a byte on the last batch`)
      return encodeSafetensors(underPrefix("params", await program.state()), { loss: String(loss) })
    } finally {
      program.dispose()
      device.dispose()
    }
  },
})
