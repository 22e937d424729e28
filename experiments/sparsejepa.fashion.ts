import { Jepa, RandomEncoder, RawPixels, SparseJepa, SparseJepaTask, Supervised } from "@exp/methods/jepa"
import { Experiment } from "@exp/spec"

export default Experiment.make("sparsejepa.fashion", {
  question: "Does a group lasso on the latents of a predictor make better image embeddings than I-JEPA alone?",
  task: SparseJepaTask,
  // Short enough for two cores: whether the embeddings are any better shows only at length, see the profile `standard`.
  base: { dataset: "fashion-mnist", steps: 400 },
  arms: {
    jepa: { method: Jepa() },
    "sparse-0": { method: SparseJepa({ shrink: 0 }) },
    "sparse-1": { method: SparseJepa({ shrink: 1 }) },
    // Contexts of random tokens where the reference keeps the topmost ones.
    shuffled: { method: Jepa(), masks: { align: "shuffle" } },
    l1: { method: Jepa({ embeddingL1: 1e-2 }) },
    random: { method: RandomEncoder() },
    pixels: { method: RawPixels() },
    supervised: { method: Supervised() },
  },
  baseline: "jepa",
  seeds: 5,
  compare: ["probe/acc", "probe/acc_10_labels", "probe/count_r2", "mi/groups"],
  profiles: {
    quick: {
      base: {
        steps: 60,
        images: { pretrain: 2000, probeTrain: 1000, probeTest: 1000, counting: 200 },
        logEvery: 5,
        learningRate: { warmup: 20 },
        samples: 100,
      },
      arms: ["jepa", "sparse-0", "sparse-1", "random"],
      seeds: 1,
    },
    smoke: {
      base: { steps: 300, images: { pretrain: 8000, probeTrain: 8000, probeTest: 2000, counting: 1000 } },
      arms: { jepa: {}, "sparse-0": {}, "sparse-1": { method: { shrink: 0.75 } }, random: {}, pixels: {} },
      seeds: 1,
    },
    // Long enough to judge the embeddings: about an hour on two cores.
    standard: {
      base: { steps: 3000, batchSize: 128 },
      arms: ["jepa", "sparse-0", "sparse-1", "random", "pixels"],
    },
  },
})
