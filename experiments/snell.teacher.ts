import { FullFineTune, GradientMask, KernelLora, Lora, Snell, SparseTeacher, SparsifiedLora } from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

export default Experiment.make("snell.teacher", {
  question: "When the wanted change is sparse, does SNELL recover it better than the same sparsifier on LoRA?",
  task: SparseTeacher,
  base: {},
  arms: {
    "slora-0.9": { tuner: SparsifiedLora({ rank: 8, sparsity: 0.9 }) },
    "snell-0.9": { tuner: Snell({ rank: 8, sparsity: 0.9 }) },
    "snell-0.5": { tuner: Snell({ rank: 8, sparsity: 0.5 }) },
    lora: { tuner: Lora({ rank: 8 }) },
    klora: { tuner: KernelLora({ rank: 8 }) },
    "mask-0.9": { tuner: GradientMask({ sparsity: 0.9, storage: "dense" }) },
    full: { tuner: FullFineTune() },
  },
  tune: { over: { learningRate: [3e-3, 1e-2, 3e-2, 1e-1] }, by: "val/mse_rel", with: { evaluate: "validation" } },
  seeds: 5,
  compare: "mse/rel",
  profiles: {
    quick: {
      base: { steps: 200, learningRate: 3e-2 },
      arms: ["slora-0.9", "snell-0.9", "lora"],
      seeds: 2,
      tune: false,
    },
  },
})
