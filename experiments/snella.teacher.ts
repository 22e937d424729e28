import { Snell, Snella, SparseTeacher4 } from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

const snella = { rank: 8, initialSparsity: 0, sparsity: 0.97 } as const

export default Experiment.make("snella.teacher", {
  question: "When only two of four maps need a change, does dividing the budget between the maps find them, and pay?",
  task: SparseTeacher4,
  base: { learningRate: 5e-2 },
  arms: {
    "snell-0.97": { tuner: Snell({ rank: 8, sparsity: 0.97 }) },
    "snella-uniform": { tuner: Snella({ ...snella, allocation: "uniform" }) },
    snella: { tuner: Snella(snella) },
    "snella-magnitude": { tuner: Snella({ ...snella, importance: "magnitude" }) },
    "snella-piecewise": { tuner: Snella({ ...snella, kernel: "piecewise" }) },
  },
  sweep: { relevant: [[0, 2], [1]] },
  seeds: 5,
  compare: ["mse/rel", "layer/relevant_share"],
  profiles: { quick: { base: { epochs: 10 }, seeds: 2, arms: ["snell-0.97", "snella"], sweep: false } },
})
