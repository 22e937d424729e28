import { RankRecovery } from "@exp/methods/ranking"
import { Experiment } from "@exp/spec"

export default Experiment.make("onebench.blocks", {
  question: "When every model saw only some categories, does comparing inside samples beat averaging what was seen?",
  task: RankRecovery,
  base: { pool: "mmlu-pro", missing: "blocks", hashSeed: 100 },
  arms: {
    "plackett-luce": { estimator: "plackett-luce" },
    "bt-half": { estimator: "bradley-terry-half" },
    mean: { estimator: "mean" },
    elo: { estimator: "elo" },
    "elo-averaged": { estimator: "elo-averaged" },
  },
  sweep: { fraction: [0.5, 0.7] },
  seeds: 5,
  compare: ["rank/tau", "rank/tau_b", "rank/top10_precision"],
  profiles: { quick: { arms: ["plackett-luce", "mean"], sweep: { fraction: [0.5] }, seeds: 2 } },
})
