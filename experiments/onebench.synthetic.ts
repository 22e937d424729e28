import { RankRecovery } from "@exp/methods/ranking"
import { Experiment } from "@exp/spec"

export default Experiment.make("onebench.synthetic", {
  question: "With known true means, which estimator finds their order from mixed binary and numeric samples?",
  task: RankRecovery,
  base: { pool: "threshold", competitors: 100, samples: 1000 },
  arms: {
    "plackett-luce": { estimator: "plackett-luce" },
    "bt-half": { estimator: "bradley-terry-half" },
    mean: { estimator: "mean" },
    elo: { estimator: "elo" },
    borda: { estimator: "borda" },
  },
  sweep: { dispersion: [0.1, 0.25, 0.5] },
  seeds: 5,
  compare: ["rank/tau", "rank/top10_precision"],
  profiles: { quick: { base: { samples: 200 }, arms: ["plackett-luce", "elo"], seeds: 1 } },
})
