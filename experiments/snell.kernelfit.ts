import { KernelFit } from "@exp/methods/peft"
import { Experiment } from "@exp/spec"

export default Experiment.make("snell.kernelfit", {
  question: "Which merge of two narrow factors can fit a matrix better than any matrix of their rank?",
  task: KernelFit,
  base: {},
  arms: {
    linear: { kernel: "linear" },
    piecewise: { kernel: "piecewise" },
    sigmoid: { kernel: "sigmoid" },
    rbf: { kernel: "rbf" },
    mixture: { kernel: "mixture" },
  },
  sweep: { target: ["dense", "sparse"] },
  seeds: 5,
  compare: ["fit/mse", "fit/excess", "fit/rank"],
  profiles: { quick: { base: { steps: 200 }, seeds: 2, arms: ["linear", "piecewise"] } },
})
