/** Accuracy against cost of decoding: a trained pointer chaser under dense and sparse attention, trials and cuts. */
import {
  adamw,
  countParameters,
  decayMatrices,
  hostScalars,
  initialise,
  initLanguageModel,
  type LanguageModelConfig,
  languageModel,
  pick,
  train,
  underPrefix,
  warmupCosine,
  withPrefix,
} from "@exp/nn"
import { derive, type Key, key, uniform } from "@exp/random"
import { Metric, Stage, Task } from "@exp/spec"
import {
  type DeviceName,
  decodeSafetensors,
  encodeSafetensors,
  type HostTensors,
  openDevice,
  type Step,
  softmaxCrossEntropy,
  traceCost,
  valueAndGradients,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, nonNegative, positive, ratio } from "../config-fields.ts"
import { CachedDecoder, type Sampling, sampleToken } from "./cached-decoder.ts"
import { b200Intensity, coverage, type ModelDimensions, meanCost } from "./cost-model.ts"
import { attentionCostOf, DecodeAttention, keptPositions } from "./decode-attention-kinds.ts"
import {
  type PointerLayout,
  type Problem,
  pointerBatch,
  pointerLayout,
  pointerProblem,
  smallPointers,
} from "./pointer-chasing.ts"

const order = Schema.Literals(["shuffled", "edges-first"]).pipe(
  described("where edges stand in the prompt; shuffled is the worst case for blocks"),
  defaultsTo("shuffled"),
)

const problem = Schema.Struct({
  nodes: atLeast(2).pipe(
    described("nodes of the graph, each with one edge in the prompt"),
    defaultsTo(smallPointers.nodes),
  ),
  fillers: atLeast(0).pipe(described("other tokens of the prompt"), defaultsTo(smallPointers.fillers)),
  hops: atLeast(1).pipe(described("longest chain, below nodes"), defaultsTo(smallPointers.hops)),
}).pipe(
  Schema.check(
    Schema.makeFilter(({ nodes, hops }) =>
      hops < nodes ? undefined : `hops must be below the ${nodes} nodes, got ${hops}`,
    ),
  ),
  described("how large problems are"),
  defaultsTo({}),
)

const modelFields = {
  width: atLeast(8).pipe(described("width d of the decoder; a multiple of 4"), defaultsTo(64)),
  depth: atLeast(1).pipe(defaultsTo(2)),
  steps: atLeast(1).pipe(described("steps that are carried out"), defaultsTo(1000)),
  scheduleSteps: atLeast(1).pipe(described("steps of the cosine; more than steps: stopped early"), defaultsTo(1000)),
  batchSize: atLeast(1).pipe(defaultsTo(32)),
  learningRate: positive.pipe(defaultsTo(2e-3)),
  warmup: atLeast(0).pipe(defaultsTo(100)),
  weightDecay: nonNegative.pipe(defaultsTo(0.01)),
}

const StageConfig = Schema.Struct({ ...modelFields, order, problem, seed: Schema.Int })
type StageSettings = typeof StageConfig.Type

/** The decoder: no positions, pre-norm, four query heads on two KV heads, an untied head over the nodes. */
export function chaserConfig(
  { width, depth }: { readonly width: number; readonly depth: number },
  { vocabulary, trainingTokens, nodes }: PointerLayout = pointerLayout(),
): LanguageModelConfig {
  return {
    vocabulary,
    width,
    depth,
    heads: 4,
    keyValueHeads: 2,
    mlpWidth: 2 * width,
    context: trainingTokens + 1,
    positions: "none",
    tiedHead: false,
    outputs: nodes,
  }
}

/** Initial parameters: maps uniform in ±1/√fanIn, embeddings N(0, 0.3²). */
export function initChaser(config: LanguageModelConfig, seed: Key): HostTensors {
  return Object.fromEntries(
    Object.entries(initLanguageModel(config, seed)).map(([name, tensor]) => {
      if (name === "embedding.weight") return [name, initialise.normal(derive(seed, name), tensor.shape, 0.3)]
      return [name, name.endsWith(".weight") ? initialise.kaimingUniform(derive(seed, name), tensor.shape) : tensor]
    }),
  )
}

/** Training step: mean cross-entropy over chain positions. State `params.*`, `optimiser.*`; metrics loss, accuracy. */
export function chaserStep(
  config: LanguageModelConfig,
  weightDecay: number,
  { hops, promptTokens, nodes }: PointerLayout = pointerLayout(),
): Step {
  return (state, batch) => {
    const params = underPrefix("params", state)
    const places = hops + 1
    const size = batch["tokens"]!.shape[0]!
    const weights = tf.reshape(batch["weights"]!, [size * places])
    const labels = tf.reshape(batch["labels"]!, [size * places])
    const count = tf.sum(weights)
    const kept: { logits?: tf.Tensor } = {}
    const { value, gradients } = valueAndGradients((p) => {
      const scores = languageModel(p, batch["tokens"] as tf.Tensor2D, config)
      const logits = tf.reshape(tf.slice(scores, [0, promptTokens, 0], [size, places, nodes]), [size * places, nodes])
      kept.logits = tf.keep(tf.clone(logits))
      return tf.div(tf.sum(tf.mul(softmaxCrossEntropy(logits, labels), weights)), count)
    }, params)
    const right = tf.cast(tf.equal(tf.argMax(kept.logits!, -1), labels), "float32")
    kept.logits!.dispose()
    const next = adamw.update({
      params,
      gradients,
      state: underPrefix("optimiser", state),
      learningRate: batch["learning_rate"]!,
      options: { beta1: 0.9, beta2: 0.98, weightDecay: decayMatrices(weightDecay) },
    })
    return {
      state: { ...withPrefix("params", next.params), ...withPrefix("optimiser", next.state) },
      metrics: { loss: value, accuracy: tf.div(tf.sum(tf.mul(right, weights)), count) },
    }
  }
}

/** The state of a decoder's training at the start. */
function chaserState(config: LanguageModelConfig, seed: Key): HostTensors {
  const params = initChaser(config, seed)
  return { ...withPrefix("params", params), ...withPrefix("optimiser", adamw.init(params)) }
}

/** Batches on which a trained decoder is measured. */
const heldOut = 8

/** Trains a decoder and returns its parameters as safetensors; the metadata hold its held-out next-token accuracy. */
export const chaserStage = Stage.make("pointer-chaser", {
  version: 2,
  config: StageConfig,
  run: async (settings: StageSettings, context) => {
    const layout = pointerLayout(settings.problem)
    const config = chaserConfig(settings, layout)
    const root = key(settings.seed, "pointer-chaser")
    const device = await openDevice(context.device as DeviceName)
    const step = chaserStep(config, settings.weightDecay, layout)
    const initial = chaserState(config, derive(root, "init"))
    const problems = (key: Key) => (at: number) => pointerBatch(key, at, settings.batchSize, settings.order, layout)
    const training = problems(derive(root, "problems"))
    const cost = traceCost(step, { state: initial, batch: { ...training(0), ...hostScalars({ learning_rate: 0 }) } })
    const { flops, bytes, peakBytes, stateBytes } = cost
    context.logger.info("cost of a training step", { flops, bytes, peakBytes, stateBytes })
    const program = device.compile(step, { name: "pointer-chaser" })
    const rate = warmupCosine({
      learningRate: settings.learningRate,
      steps: settings.scheduleSteps,
      warmup: settings.warmup,
    })
    try {
      await train({
        program,
        seed: settings.seed,
        steps: settings.steps,
        initial,
        batches: training,
        scalars: (step) => ({ learning_rate: rate(step) }),
        chunk: 10,
        onMetrics: (step, values) => {
          if (step % 100 === 0)
            context.logger.info("training", {
              step,
              loss: values["loss"]!.data[0],
              accuracy: values["accuracy"]!.data[0],
            })
        },
        checkpointEvery: 200,
        sink: context,
      })
      const trained = underPrefix(
        "params",
        pick(await program.state(), (name) => name.startsWith("params.")),
      )
      // The same program measures held-out batches: at learning rate 0 it changes no parameter.
      let accuracy = 0
      for (let i = 0; i < heldOut; i++) {
        const batch = problems(derive(root, "held out"))(i)
        const values = await program.run({ ...batch, ...hostScalars({ learning_rate: 0 }) }, { seed: 0, step: i })
        accuracy += values["accuracy"]!.data[0]! / heldOut
      }
      return encodeSafetensors(trained, { accuracy: String(accuracy) })
    } finally {
      program.dispose()
      device.dispose()
    }
  },
})

/** One attempt at a problem. */
export interface Attempt {
  readonly correct: boolean
  /** Tokens written; the last one is the repeated node unless the attempt was cut. */
  readonly tokens: number
}

/**
 * One chain of thought: from the start node on, nodes are drawn until one repeats or `most` are written. The caches must
 * hold the prompt, and hold it again afterwards.
 */
export function attemptProblem(
  decoder: CachedDecoder,
  problem: Problem,
  attention: DecodeAttention,
  sampling: Sampling,
  most: number,
  stream: Key,
  { nodeToken, promptTokens }: PointerLayout = pointerLayout(),
): Attempt {
  const seen = new Set([problem.chain[0]!])
  let at = problem.chain[0]!
  let correct = false
  let tokens = 0
  while (tokens < most) {
    const scores = decoder.next(nodeToken(at), attention, derive(stream, "positions", tokens))
    at = sampleToken(scores, sampling, uniform(derive(stream, "token"), tokens))
    tokens++
    if (seen.has(at)) {
      correct = at === problem.chain.at(-1)
      break
    }
    seen.add(at)
  }
  decoder.truncate(promptTokens)
  return { correct, tokens }
}

const KineticsReasoningConfig = Schema.Struct({
  model: Schema.Struct(modelFields).pipe(described("the decoder and its training, a stage"), defaultsTo({})),
  order,
  problem,
  attention: DecodeAttention.pipe(described("what new tokens attend to; the prompt is read densely")),
  problems: atLeast(1).pipe(described("test problems, the same for all trials"), defaultsTo(200)),
  sampling: Schema.Struct({
    trials: atLeast(1).pipe(described("chains for each problem"), defaultsTo(8)),
    temperature: nonNegative.pipe(defaultsTo(1)),
    topP: ratio.pipe(defaultsTo(1)),
    topK: atLeast(0).pipe(described("0: all"), defaultsTo(0)),
    maxNewTokens: atLeast(1).pipe(described("a chain is cut here"), defaultsTo(12)),
  }).pipe(defaultsTo({})),
  intensity: positive.pipe(described("FLOP for each byte of KV traffic"), defaultsTo(b200Intensity)),
})

/**
 * Best-of-N and long chains on pointer chasing for one model and one attention.
 *
 * `best_of/*` is logged with N as the step, `cut/*` with the number of tokens at which chains are cut (N = 1). Costs are
 * means over the chains by the Kinetics law. The share of correct chains of each problem is recorded as a sample; every
 * chain is a line of the artifact chains.jsonl.
 */
export const KineticsReasoning = Task.make("kinetics-reasoning", {
  version: 2,
  description: "Accuracy against cost of sparse decoding: pointer chasing with trained decoders",
  config: KineticsReasoningConfig,
  metrics: {
    "acc/pass1": Metric.max({ unit: "ratio", description: "correct with one chain" }),
    "acc/pass_n": Metric.max({ unit: "ratio", description: "correct with the best of all chains" }),
    "acc/next_token": Metric.max({ unit: "ratio", description: "of the decoder at the end of its training, dense" }),
    "best_of/accuracy": Metric.max({ unit: "ratio", description: "coverage with N chains (step: N)" }),
    "best_of/eflops": Metric.min({ unit: "Te", description: "equivalent FLOPs of N chains, in tera" }),
    "best_of/flops": Metric.min({ unit: "T", description: "FLOPs of N chains, in tera" }),
    "cut/accuracy": Metric.max({ unit: "ratio", description: "one chain cut after so many tokens (step: tokens)" }),
    "cut/eflops": Metric.min({ unit: "Te" }),
    "cut/flops": Metric.min({ unit: "T" }),
    "gen/tokens_mean": Metric.min({ unit: "tokens", description: "length of a chain" }),
    "cost/eflops": Metric.min({ unit: "Te", description: "of one chain" }),
    "cost/flops": Metric.min({ unit: "T", description: "of one chain" }),
    "cost/kv_read_mean": Metric.min({ unit: "rows", description: "value rows read for a token, layer and KV head" }),
    "cost/budget": Metric.min({ unit: "positions", description: "positions kept; 0 for dense" }),
  },
  // What is trained is the decoder of the stage; the trial itself decodes.
  trainingStep: ({ model, order, problem }, seed) => {
    const layout = pointerLayout(problem)
    const decoder = chaserConfig(model, layout)
    const root = key(seed, "pointer-chaser")
    return {
      name: "decoder",
      step: chaserStep(decoder, model.weightDecay, layout),
      state: chaserState(decoder, derive(root, "init")),
      batch: {
        ...pointerBatch(derive(root, "problems"), 0, model.batchSize, order, layout),
        ...hostScalars({ learning_rate: model.learningRate }),
      },
    }
  },
  needs: ({ model, order, problem }, seed) => ({
    stages: [{ stage: chaserStage, config: { ...model, order, problem, seed }, datasets: [] }],
  }),
  run: async (config, trial) => {
    const { model, attention, problems, sampling, intensity } = config
    const bytes = await trial.stage(chaserStage, {
      ...model,
      order: config.order,
      problem: config.problem,
      seed: trial.seed,
    })
    const { tensors: params, metadata } = decodeSafetensors(bytes)
    const layout = pointerLayout(config.problem)
    const { promptTokens } = layout
    const lm = chaserConfig(model, layout)
    const decoder = new CachedDecoder(params, lm, attention)
    const most = Math.min(sampling.maxNewTokens, lm.context - promptTokens)
    const counts: number[] = []
    const chains: (Attempt & { problem: number; trial: number })[] = []
    let rows = 0
    for (let i = 0; i < problems; i++) {
      trial.signal.throwIfAborted()
      const problem = pointerProblem(key(0, "pointer-chasing test", i), config.order, layout)
      decoder.truncate(0)
      for (const token of problem.prompt) decoder.next(token)
      const before = decoder.rowsRead
      let correct = 0
      for (let n = 0; n < sampling.trials; n++) {
        const stream = key(trial.seed, "chain", i, n)
        const attempt = attemptProblem(decoder, problem, attention, sampling, most, stream, layout)
        chains.push({ ...attempt, problem: i, trial: n })
        if (attempt.correct) correct++
      }
      rows += decoder.rowsRead - before
      counts.push(correct)
      trial.samples.record(
        `pointer-chasing/${config.order}${layout.nodes === smallPointers.nodes ? "" : `/${layout.nodes}`}`,
        String(i),
        { "acc/pass1": correct / sampling.trials, "acc/pass_n": correct > 0 ? 1 : 0 },
        { hops: problem.chain.length - 1 },
      )
      trial.progress(i + 1, problems)
    }
    const dimensions: ModelDimensions = {
      name: `d${model.width}`,
      parameters: countParameters(params),
      layers: lm.depth,
      queryHeads: lm.heads,
      kvHeads: lm.keyValueHeads!,
      headSize: lm.width / lm.heads,
    }
    const lengths = chains.map((chain) => chain.tokens)
    const price = (trials: number, cut: number) =>
      meanCost(
        dimensions,
        { context: promptTokens, trials, attention: attentionCostOf(attention) },
        lengths.map((n) => Math.min(n, cut)),
        { intensity },
      )
    const passAt = (n: number) => counts.reduce((sum, c) => sum + coverage(sampling.trials, c, n), 0) / counts.length
    for (let n = 1; n <= sampling.trials; n++) {
      const cost = price(n, most)
      trial.log(n, { "best_of/accuracy": passAt(n), "best_of/eflops": cost.total, "best_of/flops": cost.compute })
    }
    for (let cut = 1; cut <= most; cut++) {
      const right = chains.filter((chain) => chain.correct && chain.tokens <= cut).length
      const cost = price(1, cut)
      trial.log(cut, { "cut/accuracy": right / chains.length, "cut/eflops": cost.total, "cut/flops": cost.compute })
    }
    const written = lengths.reduce((a, b) => a + b, 0)
    const cost = price(1, most)
    const budget = keptPositions(attention)
    trial.log(sampling.trials, {
      "acc/pass1": passAt(1),
      "acc/pass_n": passAt(sampling.trials),
      "acc/next_token": Number(metadata["accuracy"]),
      "gen/tokens_mean": written / lengths.length,
      "cost/eflops": cost.total,
      "cost/flops": cost.compute,
      "cost/kv_read_mean": rows / (written * lm.depth * lm.keyValueHeads!),
      "cost/budget": Number.isFinite(budget) ? budget : 0,
    })
    const lines = chains.map((chain) => JSON.stringify(chain)).join("\n")
    await trial.artifact("chains.jsonl", new TextEncoder().encode(`${lines}\n`), "application/jsonl")
  },
})
