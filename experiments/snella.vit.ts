import {
  Adapter,
  BitFit,
  FullFineTune,
  GradientMask,
  LinearProbe,
  Lora,
  Snell,
  Snella,
  VisionTransfer,
} from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

const tune = {
  over: { learningRate: [1e-3, 3e-3, 1e-2, 3e-2, 1e-1] },
  by: "val/accuracy",
  with: { holdout: 0.2 },
} as const

export default Experiment.make("snella.vit", {
  question: "At equal trainable parameters, does SNELLA adapt a vision transformer better than LoRA and SNELL?",
  task: VisionTransfer,
  base: { source: "fashion-mnist", target: "inv-1k", model: "tinyvit", epochs: 12, batchSize: 32 },
  arms: {
    lora: { tuner: Lora({ rank: 8 }) },
    snella: { tuner: Snella({ rank: 8, sparsity: 0.5 }) },
    snell: { tuner: Snell({ rank: 8, sparsity: 0.5 }) },
    adapter: { tuner: Adapter({ width: 55 }) },
    mask: { tuner: GradientMask({ sparsity: 0.78, storage: "dense" }) },
    bitfit: { tuner: BitFit() },
    linear: { tuner: LinearProbe() },
    full: { tuner: FullFineTune(), tune: { learningRate: [1e-4, 3e-4, 1e-3, 3e-3, 1e-2] } },
  },
  tune,
  seeds: 5,
  compare: "test/accuracy",
  profiles: {
    quick: {
      base: { epochs: 4, pretrainSteps: 200 },
      arms: {
        lora: { learningRate: 1e-2 },
        snella: { learningRate: 3e-2 },
        snell: { learningRate: 1e-1 },
        linear: { learningRate: 3e-2 },
      },
      seeds: 2,
      tune: false,
    },
    // Rates chosen by the mean of three seeds, for every arm alike: one seed may favour a rate at which others diverge.
    tuned: { tune: { ...tune, seeds: 3 } },
  },
})
