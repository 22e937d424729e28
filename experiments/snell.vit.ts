import { KernelLora, KernelLoraMix, Lora, Snell, SparsifiedLora, VisionTransfer } from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

export default Experiment.make("snell.vit", {
  question: "What do the kernel and the competition of SNELL each contribute, at equal trainable parameters?",
  task: VisionTransfer,
  base: { source: "fashion-mnist", target: "inv-1k", model: "tinyvit", epochs: 12, batchSize: 32 },
  arms: {
    lora: { tuner: Lora({ rank: 8 }) },
    klora: { tuner: KernelLora({ rank: 8 }) },
    mixk: { tuner: KernelLoraMix({ rank: 8 }) },
    "snell-0.5": { tuner: Snell({ rank: 8, sparsity: 0.5 }) },
    "snell-0.9": { tuner: Snell({ rank: 8, sparsity: 0.9 }) },
    "slora-0.9": { tuner: SparsifiedLora({ rank: 8, sparsity: 0.9 }) },
  },
  tune: { over: { learningRate: [1e-3, 3e-3, 1e-2, 3e-2, 1e-1] }, by: "val/accuracy", with: { holdout: 0.2 } },
  seeds: 5,
  compare: "test/accuracy",
  profiles: {
    quick: {
      base: { epochs: 4, pretrainSteps: 200 },
      arms: {
        lora: { learningRate: 1e-2 },
        "snell-0.5": { learningRate: 1e-1 },
        "slora-0.9": { learningRate: 3e-2 },
      },
      seeds: 2,
      tune: false,
    },
  },
})
