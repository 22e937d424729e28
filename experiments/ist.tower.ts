import { AllLayers, FirstLayers, Ist, LastLayers, LoraModules, RandomLayers, TowerTeacher } from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

export default Experiment.make("ist.tower", {
  question: "Does IST find the layers that need a change, and does it pay against random, first, last and all layers?",
  task: TowerTeacher,
  base: { modules: LoraModules({ rank: 4, scaling: 2 }) },
  arms: {
    // A hundred times fewer rounds than in the paper's run: five times as often, on four times as many samples.
    ist: { layers: Ist({ interval: 2, importanceBatch: 64 }) },
    "ist-official": { layers: Ist() },
    rst: { layers: RandomLayers() },
    // Layers 0, 1 and 2 are also the ones that the teacher changed: the oracle.
    first: { layers: FirstLayers() },
    last: { layers: LastLayers() },
    dense: { layers: AllLayers() },
    // As many FLOPs as `ist` with its importance rounds, which cost more than its training steps at this interval.
    "dense-flops": { layers: AllLayers(), steps: 3350 },
  },
  baseline: "rst",
  tune: { over: { learningRate: [5e-4, 1e-3, 2e-3, 4e-3, 8e-3] }, by: "val/loss", with: { evaluate: "validation" } },
  seeds: 5,
  compare: ["test/loss", "test/accuracy", "ist/true_share", "flops/total", "mem/grads"],
  profiles: {
    quick: {
      base: { depth: 8, steps: 300, warmup: 30, learningRate: 2e-3 },
      arms: ["ist", "rst", "first", "last", "dense"],
      seeds: 2,
      tune: false,
    },
  },
})
