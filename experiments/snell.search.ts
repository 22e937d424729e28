import { Lora, Snell, VisionTransfer } from "@exp/methods/peft"
import { asha, Experiment, logUniform, tpe, uniform } from "@exp/spec"

export default Experiment.make("snell.search", {
  question:
    "Does SNELL tie with LoRA still, when rate, weight decay and dropout are searched for instead of five rates tried?",
  task: VisionTransfer,
  base: { source: "fashion-mnist", target: "inv-1k", model: "tinyvit", epochs: 12, batchSize: 32 },
  arms: {
    lora: { tuner: Lora({ rank: 8 }) },
    "snell-0.5": { tuner: Snell({ rank: 8, sparsity: 0.5 }) },
  },
  tune: {
    over: {
      learningRate: logUniform(1e-3, 3e-1),
      weightDecay: logUniform(1e-6, 1e-1),
      dropout: uniform(0, 0.3),
    },
    by: "val/accuracy",
    with: { holdout: 0.2 },
    search: tpe({ trials: 24 }),
    // Looks at held-out images after 1, 2, 4 and 8 epochs of 25 steps; the first look says little.
    stop: asha({ min: 50, reduction: 2 }),
  },
  seeds: 5,
  compare: "test/accuracy",
  profiles: {
    quick: { base: { epochs: 4, pretrainSteps: 200 }, seeds: 2, tune: { search: tpe({ trials: 8, startup: 4 }) } },
  },
})
