import {
  AllLayers,
  DoraModules,
  FirstLayers,
  Ist,
  LastLayers,
  LayeredLanguage,
  LoraModules,
  RandomLayers,
} from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

// A hundred times fewer rounds than in the paper's run: five times as often.
const ist = Ist({ interval: 2, importanceBatch: 16 })
const dora = DoraModules({ rank: 8, scaling: 2 })

export default Experiment.make("ist.lm", {
  question:
    "Does IST tune a language model as well as training all blocks, and better than random, first or last ones?",
  task: LayeredLanguage,
  base: { modules: LoraModules({ rank: 8, scaling: 2 }) },
  arms: {
    ist: { layers: ist },
    rst: { layers: RandomLayers() },
    first: { layers: FirstLayers() },
    last: { layers: LastLayers() },
    dense: { layers: AllLayers() },
    "dora-ist": { layers: ist, modules: dora },
    "dora-dense": { layers: AllLayers(), modules: dora },
  },
  baseline: "rst",
  // Rates are chosen in half the steps, for every arm alike.
  tune: {
    over: { learningRate: [1e-3, 3e-3, 1e-2] },
    by: "val/loss",
    with: { evaluate: "validation", steps: 150, warmup: 15 },
  },
  seeds: 5,
  compare: [
    "test/loss",
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
      base: {
        model: { depth: 4, width: 32, mlpWidth: 64 },
        pretrainSteps: 150,
        steps: 60,
        warmup: 6,
        learningRate: 1e-2,
        heldBytes: 16_384,
      },
      arms: ["ist", "rst", "last", "dense"],
      seeds: 2,
      tune: false,
    },
    // The paper's setting: LLaMA-7B, 32 blocks of which 8 are trained and 16 suppressed, LoRA of rank 32. mem/* and
    // flops/* are those of that model at batches of 16 × 256 tokens in float32, traced from shapes; the few steps are taken
    // by a narrow model of as many blocks. The real thing needs LLaMA's weights, commonsense-170k (about 31,900 steps) and,
    // in float32, 104 GB of device memory for the dense arm and 91 GB for the others; about half in half precision.
    paper: {
      base: {
        model: { depth: 32, width: 32, mlpWidth: 64 },
        modules: LoraModules({ rank: 32, scaling: 2 }),
        pretrainSteps: 1,
        steps: 3,
        warmup: 1,
        learningRate: 2e-4,
        dropout: 0.05,
        heldBytes: 1024,
        ledger: "llama-7b",
      },
      arms: { ist: {}, rst: {}, dense: {} },
      seeds: 1,
      tune: false,
    },
  },
})
