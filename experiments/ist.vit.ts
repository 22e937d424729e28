import {
  AdapterModules,
  AllLayers,
  FirstLayers,
  Ist,
  LastLayers,
  LayeredTransfer,
  LoraModules,
  RandomLayers,
} from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

// A hundred times fewer rounds than in the paper's run: five times as often, on four times as many samples.
const ist = Ist({ interval: 2, importanceBatch: 64 })
const adapter = AdapterModules({ width: 55 })

export default Experiment.make("ist.vit", {
  question:
    "Two of eight blocks trained at a step: does IST come near to training all, and does it beat random blocks?",
  task: LayeredTransfer,
  base: { target: "inv-1k", depth: 8, modules: LoraModules({ rank: 8 }), epochs: 12, pretrainSteps: 800 },
  arms: {
    ist: { layers: ist },
    rst: { layers: RandomLayers() },
    first: { layers: FirstLayers() },
    last: { layers: LastLayers() },
    dense: { layers: AllLayers() },
    "adapter-ist": { layers: ist, modules: adapter },
    "adapter-rst": { layers: RandomLayers(), modules: adapter },
    "adapter-dense": { layers: AllLayers(), modules: adapter },
  },
  baseline: "rst",
  // Rates are chosen in half the epochs, for every arm alike.
  tune: { over: { learningRate: [3e-3, 1e-2, 3e-2] }, by: "val/accuracy", with: { holdout: 0.2, epochs: 6 } },
  seeds: 5,
  compare: [
    "test/accuracy",
    "mem/grads",
    "mem/saved_activations",
    "mem/saved_activations_max",
    "mem/optimizer",
    "flops/step",
    "time/step_ms",
  ],
  profiles: {
    quick: {
      base: { depth: 4, epochs: 3, pretrainSteps: 200, learningRate: 1e-2 },
      arms: ["ist", "rst", "last", "dense"],
      seeds: 2,
      tune: false,
    },
    // ViT-B/16, 12 blocks of which 3 are trained and 6 suppressed, LoRA of rank 32, as the paper's settings would have it.
    // A few steps of two images show that it runs; mem/* and flops/* are those of batches of 64. The real thing needs
    // weights pre-trained on ImageNet-21k, images of 224×224, some 100 epochs, and a GPU with about 16 GB (batch 64, dense).
    paper: {
      base: {
        model: "vit-b16",
        modules: LoraModules({ rank: 32, scaling: 2 }),
        epochs: 100,
        batchSize: 2,
        ledgerBatch: 64,
        steps: 3,
        testImages: 2,
        learningRate: 1e-3,
        dropout: 0.05,
      },
      arms: { ist: { layers: Ist({ interval: 2, importanceBatch: 2 }) }, rst: {}, dense: {} },
      seeds: 1,
      tune: false,
    },
  },
})
