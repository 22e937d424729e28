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
  },
})
