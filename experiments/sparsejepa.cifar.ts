import { Jepa, RandomEncoder, RawPixels, SparseJepa, SparseJepaTask, Supervised } from "@exp/methods/jepa"
import { Experiment } from "@exp/spec"

export default Experiment.make("sparsejepa.cifar", {
  question:
    "Does a group lasso on the latents of a predictor make better embeddings of natural images than I-JEPA alone?",
  task: SparseJepaTask,
  // Short enough for two cores: whether the embeddings are any better shows only at length, see the profile `standard`.
  base: { dataset: "cifar-10", augmentation: "crop", masks: { minKeep: 5 }, steps: 400 },
  arms: {
    jepa: { method: Jepa() },
    "sparse-0": { method: SparseJepa({ shrink: 0 }) },
    "sparse-1": { method: SparseJepa({ shrink: 1 }) },
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
        steps: 40,
        images: { pretrain: 2000, probeTrain: 1000, probeTest: 1000, counting: 200 },
        logEvery: 5,
        learningRate: { warmup: 20 },
        samples: 100,
      },
      arms: ["jepa", "sparse-1", "random"],
      seeds: 1,
    },
    standard: {
      base: { steps: 3000, batchSize: 128, images: { pretrain: 50_000, probeTrain: 20_000, probeTest: 10_000 } },
    },
    // The published comparison: CIFAR-100, a light ViT, 300 epochs. It asks for a GPU; its cost is logged at step 0.
    paper: {
      base: {
        dataset: "cifar-100",
        model: {
          width: 192,
          depth: 12,
          heads: 3,
          mlpRatio: 4,
          predictorWidth: 96,
          predictorDepth: 6,
          positionScale: 1,
          init: "reference",
        },
        images: { pretrain: 50_000, probeTrain: 50_000, probeTest: 10_000 },
        batchSize: 512,
        steps: 29_100,
        masks: { contextMultiple: 1 },
        learningRate: { warmup: 3880 },
        weightDecay: { from: 0.04, to: 0.4 },
        momentum: { from: 0.996 },
        checkpointEvery: 970,
      },
      arms: {
        jepa: {},
        "sparse-1": { method: { latents: 64, groups: 16, groupWidth: 8 } },
        random: {},
        pixels: {},
        supervised: {},
      },
    },
  },
})
