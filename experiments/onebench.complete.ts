import { RankRecovery } from "@exp/methods/ranking"
import { Experiment } from "@exp/spec"

export default Experiment.make("onebench.complete", {
  question: "On complete data, does a ranking from comparisons agree with the ranking by average scores?",
  task: RankRecovery,
  base: { separability: true },
  arms: {
    "plackett-luce": { estimator: "plackett-luce" },
    "bt-half": { estimator: "bradley-terry-half" },
    "bt-drop": { estimator: "bradley-terry-drop" },
    "spectral-step": { estimator: "spectral-step" },
    "spectral-top1": { estimator: "spectral-top1" },
    mean: { estimator: "mean" },
    elo: { estimator: "elo" },
    "elo-averaged": { estimator: "elo-averaged" },
    borda: { estimator: "borda" },
    dowdall: { estimator: "dowdall" },
  },
  sweep: { pool: ["mmlu-pro", "wmt21"] },
  seeds: 3,
  compare: ["rank/tau", "rank/tau_b", "rank/top10_precision", "rank/separability"],
  profiles: { quick: { arms: ["plackett-luce", "mean", "elo"], seeds: 1, base: { separability: false } } },
})
