import { BlockTopK, Dense, KineticsReasoning, Local, RandomTokens, TopK } from "@exp/methods/attention"
import { Experiment } from "@exp/spec"

const decode = { sink: 0, local: 1, skipLayers: [] }
const undertrained = { width: 32, learningRate: 3e-3, steps: 700, scheduleSteps: 1000 }

export default Experiment.make("kinetics.reasoning", {
  question: "At equal cost, does sparse decoding with more chains solve more than dense decoding with one?",
  task: KineticsReasoning,
  base: { model: undertrained },
  arms: {
    dense: { attention: Dense() },
    "topk-16": { attention: TopK({ k: 16, ...decode }) },
    "topk-8": { attention: TopK({ k: 8, ...decode }) },
    "topk-4": { attention: TopK({ k: 4, ...decode }) },
    "block-4x4": { attention: BlockTopK({ blockSize: 4, blocks: 4, ...decode }) },
    "block-2x4": { attention: BlockTopK({ blockSize: 4, blocks: 2, ...decode }) },
    "local-8": { attention: Local({ local: 8, sink: 0, skipLayers: [] }) },
    "local-16": { attention: Local({ local: 16, sink: 0, skipLayers: [] }) },
    "random-8": { attention: RandomTokens({ k: 8, ...decode }) },
  },
  baseline: "dense",
  seeds: 5,
  compare: ["acc/pass1", "acc/pass_n", "cost/eflops", "cost/flops"],
  profiles: {
    quick: {
      base: { model: { width: 32, steps: 120, scheduleSteps: 120, warmup: 20 }, problems: 40, sampling: { trials: 4 } },
      arms: ["dense", "topk-8", "block-2x4", "local-8"],
      seeds: 1,
    },
    // Stopped where dense decoding solves about as much as in the published run of this task (pass@1 near 0.6).
    earlier: { base: { model: { ...undertrained, steps: 600 } } },
    trained: { base: { model: { width: 64, learningRate: 2e-3, steps: 1000, scheduleSteps: 1000 } } },
    tiny: { base: { model: { width: 16, learningRate: 3e-3, steps: 1000, scheduleSteps: 1000 } } },
    // Edges before fillers: neighbouring keys are related, which is what blocks need.
    ordered: { base: { order: "edges-first" } },
    // Contexts at which KV traffic dominates. The stage logs the cost of a training step; it asks for a GPU, and takes a
    // few steps anywhere: --set model.steps=2 --set model.batchSize=1 --set problems=1 --set sampling.trials=1
    paper: {
      base: {
        problem: { nodes: 64, fillers: 4032, hops: 48 },
        model: { width: 256, depth: 4, learningRate: 1e-3, steps: 20_000, scheduleSteps: 20_000, warmup: 1000 },
        sampling: { trials: 32, temperature: 0.6, topP: 0.95, topK: 20, maxNewTokens: 64 },
      },
      arms: ["dense", "topk-16", "topk-8", "block-4x4", "local-16", "random-8"],
    },
  },
})
