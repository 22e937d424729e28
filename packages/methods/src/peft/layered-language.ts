/**
 * IST in its own setting: a causal language model, pre-trained on one text, is tuned on another with modules in all blocks
 * and a few blocks trained at each step. Byte-level, small: Moby Dick first, then presidents' addresses.
 */
import { loadText, progressLines, type TextDataset } from "@exp/data"
import { initLanguageModel, type LanguageModelConfig, languageModelShapes, linearDecay } from "@exp/nn"
import { key } from "@exp/random"
import { Metric, Task } from "@exp/spec"
import { type DeviceName, decodeSafetensors, type HostTensors } from "@exp/tensor"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, nonNegative, positive, ratio } from "../config-fields.ts"
import {
  ByteModelFields,
  byteModel,
  LanguagePretraining,
  layeredLanguageModel,
  stepWindows,
  windowBatch,
  windowCount,
} from "./byte-language.ts"
import { LayerChoice, layerObjection, roundSamples } from "./layer-choice.ts"
import { initModules, LayerModules, moduleShapes } from "./layer-modules.ts"
import { layeredExample } from "./layered-example.ts"
import { type LedgerSubject, layeredMetrics, trainLayered } from "./layered-training.ts"

/**
 * LLaMA-7B's sizes for accounting: 32 blocks of width 4096. Its gated perceptron has three maps of 4096 × 11008; here two
 * of 4096 × 16512, the same number of weights and operations. Positions are left out.
 */
export const llama7b: LanguageModelConfig = {
  vocabulary: 32_000,
  width: 4096,
  depth: 32,
  heads: 32,
  mlpWidth: 16_512,
  context: 256,
  positions: "none",
  norm: "rms",
  biases: false,
  tiedHead: false,
}

const Fields = Schema.Struct({
  model: Schema.Struct(ByteModelFields).pipe(described("the byte-level decoder"), defaultsTo({})),
  pretrainSteps: atLeast(1).pipe(described("steps of the pre-training on Moby Dick, a stage"), defaultsTo(1000)),
  modules: LayerModules.annotate({ description: "the modules of every block" }),
  layers: LayerChoice.annotate({ description: "which blocks' modules are trained at each step" }),
  evictMoments: Schema.Boolean.pipe(
    described("drop the moments of blocks that are not trained at the moment; changes the algorithm"),
    defaultsTo(false),
  ),
  trainBytes: atLeast(1024).pipe(described("bytes of the addresses to tune on"), defaultsTo(262_144)),
  heldBytes: atLeast(1024).pipe(described("bytes each for validation and for the test"), defaultsTo(65_536)),
  steps: atLeast(1).pipe(described("optimiser steps"), defaultsTo(300)),
  batchSize: atLeast(1).pipe(described("windows of a batch"), defaultsTo(8)),
  learningRate: positive.annotate({ description: "largest learning rate: warm-up, then linear decay to 0" }),
  warmup: atLeast(0).pipe(described("steps of the linear warm-up"), defaultsTo(30)),
  weightDecay: nonNegative.pipe(defaultsTo(0)),
  dropout: ratio.pipe(described("dropout of the modules' inputs (the paper: 0.05)"), defaultsTo(0)),
  evaluate: Schema.Literals(["test", "validation"]).pipe(
    described("text that the result is measured on; validation while tuning"),
    defaultsTo("test"),
  ),
  ledger: Schema.Literals(["own", "llama-7b"]).pipe(
    described(
      "what mem/* and flops/* are reported for: the model itself, or one of LLaMA-7B's sizes, traced from shapes",
    ),
    defaultsTo("own"),
  ),
})

/** Config of {@link LayeredLanguage}. */
export const LayeredLanguageConfig = Fields.pipe(
  Schema.check(
    Schema.makeFilter(({ model, layers, ledger }: typeof Fields.Type) => {
      if (model.width % 4 !== 0) return `model.width must be a multiple of the 4 heads, got ${model.width}`
      if (ledger === "llama-7b" && model.depth !== llama7b.depth)
        return `a ledger of llama-7b needs model.depth ${llama7b.depth}, got ${model.depth}`
      return layerObjection(layers, model.depth)
    }),
  ),
)
export type LayeredLanguageConfig = typeof LayeredLanguageConfig.Type

/** A language model by its shapes, as the subject of a ledger for batches of `size` full contexts. */
export function languageLedger(config: LanguageModelConfig, modules: LayerModules, size: number): LedgerSubject {
  const model = layeredLanguageModel(config)
  const rows = size * config.context
  return {
    model,
    params: moduleShapes(modules, model),
    frozen: Object.fromEntries(
      Object.entries(languageModelShapes(config)).map(([name, shape]) => [name, { shape, dtype: "float32" as const }]),
    ),
    batch: {
      tokens: { shape: [size, config.context], dtype: "int32" },
      labels: { shape: [rows], dtype: "int32" },
      weights: { shape: [rows], dtype: "float32" },
    },
  }
}

/**
 * The text to tune on: addresses from 1981 on. Training text first, then validation, the test at the end, so that nothing
 * of the test is seen and all parts are of one kind.
 *
 * @throws RangeError when the addresses are shorter than the parts
 */
export function addressParts(
  text: TextDataset,
  trainBytes: number,
  heldBytes: number,
): { readonly train: Uint8Array; readonly validation: Uint8Array; readonly test: Uint8Array } {
  const first = text.sections.find(({ title }) => Number(title.slice(0, 4)) >= 1981)
  const bytes = text.bytes.subarray(first?.start ?? 0)
  if (trainBytes + 2 * heldBytes > bytes.length)
    throw new RangeError(
      `trainBytes ${trainBytes} and twice heldBytes ${heldBytes} are more than the ${bytes.length} bytes of the addresses`,
    )
  const end = bytes.length
  return {
    train: bytes.subarray(0, trainBytes),
    validation: bytes.subarray(end - 2 * heldBytes, end - heldBytes),
    test: bytes.subarray(end - heldBytes),
  }
}

/** Windows that are evaluated at once. */
const evaluationBatch = 32

/** What is trained: a language model of these weights with modules in its blocks. */
function tunedLanguageModel(config: LayeredLanguageConfig, frozen: HostTensors, seed: number) {
  const { modules, layers, weightDecay, dropout } = config
  const model = layeredLanguageModel(byteModel(config.model))
  const params = initModules(modules, model, frozen, key(seed, "modules"))
  return { model, modules, choice: layers, options: { weightDecay, dropout }, params, frozen, seed }
}

/** The pre-training that a trial builds on. */
const pretraining = ({ model, pretrainSteps }: LayeredLanguageConfig) => ({ ...model, steps: pretrainSteps })

/** IST and its baselines on a small language model. */
export const LayeredLanguage = Task.make("layered-language", {
  version: 1,
  description: "Tune a pre-trained byte-level language model on another text, a few of its blocks at each step",
  config: LayeredLanguageConfig,
  metrics: {
    ...layeredMetrics,
    "val/loss": Metric.min({ unit: "nats", description: "cross-entropy of a byte of the validation text" }),
    "val/accuracy": Metric.max({ unit: "ratio", description: "next bytes of the validation text that are right" }),
    "test/loss": Metric.min({ unit: "nats", description: "cross-entropy of a byte of the test text" }),
    "test/accuracy": Metric.max({ unit: "ratio", description: "next bytes of the test text that are right" }),
    "base/loss": Metric.min({ unit: "nats", description: "the test's cross-entropy before tuning" }),
  },
  needs: (config) => ({
    datasets: ["state-of-the-union"],
    stages: [{ stage: LanguagePretraining, config: pretraining(config), datasets: ["moby-dick"] }],
  }),
  trainingStep: (config, seed) => {
    const { batchSize, model } = config
    const lm = byteModel(model)
    const windows = Uint32Array.from({ length: batchSize }, (_, i) => i)
    const text = Uint8Array.from({ length: batchSize * lm.context + 1 }, (_, i) => (i * 7919) % 251)
    return layeredExample(
      `byte-level language model of ${lm.depth} blocks`,
      tunedLanguageModel(config, initLanguageModel(lm, key(seed)), seed),
      windowBatch(text, lm.context, windows, batchSize),
    )
  },
  run: async (config, trial) => {
    const { modules, layers, steps, batchSize } = config
    const { seed } = trial
    const weights = decodeSafetensors(await trial.stage(LanguagePretraining, pretraining(config))).tensors
    const text = await loadText("state-of-the-union", {
      signal: trial.signal,
      onProgress: progressLines((line) => trial.logger.info(line)),
    })
    const parts = addressParts(text, config.trainBytes, config.heldBytes)
    const { context } = config.model
    const lm = byteModel(config.model)
    const windows = windowCount(parts.train, context)
    const shown = parts[config.evaluate]
    const evaluation = () => {
      const count = windowCount(shown, context)
      return Array.from({ length: Math.ceil(count / evaluationBatch) }, (_, i) => {
        const from = i * evaluationBatch
        const batch = Uint32Array.from({ length: Math.min(evaluationBatch, count - from) }, (_, j) => from + j)
        return windowBatch(shown, context, batch, evaluationBatch)
      })
    }
    const training = {
      device: trial.device as DeviceName,
      structure: JSON.stringify(["language", lm]),
      ...tunedLanguageModel(config, weights, seed),
      batch: (step: number) =>
        windowBatch(parts.train, context, stepWindows(windows, batchSize, step, seed), batchSize),
      learningRate: linearDecay({ learningRate: config.learningRate, steps, warmup: Math.min(config.warmup, steps) }),
      roundBatch: (round: number) => {
        const size = layers._tag === "Ist" ? layers.importanceBatch : 1
        const samples = roundSamples(windows, size, round, seed)
        return windowBatch(parts.train, context, samples, samples.length)
      },
      ...(config.ledger === "llama-7b" && { ledger: languageLedger(llama7b, modules, 16) }),
      evictMoments: config.evictMoments,
    }
    const part = config.evaluate === "test" ? "test" : "val"
    const result = await trainLayered({ ...training, steps, checkpointEvery: 200, sink: trial })
    try {
      const { loss, accuracy } = await result.evaluate(evaluation())
      trial.log(steps, { ...result.ledger, [`${part}/loss`]: loss, [`${part}/accuracy`]: accuracy })
      if (part === "test") trial.log(steps, { "base/loss": (await result.evaluateAtStart(evaluation())).loss })
    } finally {
      result.release()
    }
  },
})
