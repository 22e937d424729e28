import { KineticsLaw } from "@exp/methods/attention"
import { Experiment } from "@exp/spec"

export default Experiment.make("kinetics.law", {
  question: "Which model with how many trials is worth its cost, once the traffic of the KV cache is priced?",
  task: KineticsLaw,
  base: { context: 512, generated: 12_288 },
  arms: {
    "flops-law": { law: "flops" },
    "eflops-law": { law: "eflops" },
    "eflops-law+topk": { law: "eflops", attention: "topk" },
    "eflops-law+block-topk": { law: "eflops", attention: "block-topk" },
    "8B-dense": { results: "aime24-8b", costs: { from: 300, to: 1e5 } },
    "8B-topk": { results: "aime24-8b", attention: "topk", costs: { from: 300, to: 1e5 } },
    "8B-block-topk": { results: "aime24-8b", attention: "block-topk", costs: { from: 300, to: 1e5 } },
    "8B-local": { results: "aime24-8b", attention: "local", costs: { from: 300, to: 1e5 } },
  },
  baseline: "eflops-law",
  seeds: 1,
  // Real time at equal accuracy; the mean accuracies of the two laws are over costs of different units.
  compare: ["time/b200_seconds_at_target", "frontier/smallest_scaled", "frontier/mean_accuracy"],
  profiles: {
    quick: { arms: ["flops-law", "eflops-law"] },
    shorter: { base: { generated: 4096 } },
    longer: { base: { generated: 24_576 } },
  },
})
