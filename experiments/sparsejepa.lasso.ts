import { SparseJepa, SparseJepaTask } from "@exp/methods/jepa"
import { Experiment } from "@exp/spec"

export default Experiment.make("sparsejepa.lasso", {
  question: "How many latents does the group lasso switch off, and what does that cost the embeddings?",
  task: SparseJepaTask,
  base: { dataset: "fashion-mnist", steps: 400 },
  // The number is what the penalty takes from a column over the run, in units of its norm at the start.
  arms: {
    "shrink-0": { method: SparseJepa({ shrink: 0 }) },
    "shrink-0.5": { method: SparseJepa({ shrink: 0.5 }) },
    "shrink-1": { method: SparseJepa({ shrink: 1 }) },
    "shrink-2": { method: SparseJepa({ shrink: 2 }) },
    // In the loss instead of by proximal steps: no column becomes exactly zero.
    "subgradient-1": { method: SparseJepa({ shrink: 1, penalty: "subgradient" }) },
  },
  baseline: "shrink-0",
  seeds: 5,
  compare: ["probe/acc", "pretrain/cols_zero_frac", "pretrain/latents_used", "mi/groups"],
  profiles: {
    quick: {
      base: {
        steps: 60,
        images: { pretrain: 2000, probeTrain: 1000, probeTest: 1000, counting: 200 },
        logEvery: 5,
        learningRate: { warmup: 20 },
        samples: 100,
      },
      arms: ["shrink-0", "shrink-1"],
      seeds: 1,
    },
    standard: { base: { steps: 3000, batchSize: 128 } },
  },
})
