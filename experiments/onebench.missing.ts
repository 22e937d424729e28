import { RankRecovery } from "@exp/methods/ranking"
import { Experiment } from "@exp/spec"

export default Experiment.make("onebench.missing", {
  question: "How long does a ranking hold when measurements are missing at random?",
  task: RankRecovery,
  base: { pool: "mmlu-pro", missing: "cells" },
  arms: {
    "plackett-luce": { estimator: "plackett-luce" },
    "bt-half": { estimator: "bradley-terry-half" },
    mean: { estimator: "mean" },
    elo: { estimator: "elo" },
    "elo-averaged": { estimator: "elo-averaged" },
  },
  sweep: {
    fraction: [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99],
  },
  seeds: 3,
  compare: ["rank/tau", "rank/tau_b", "rank/top10_precision", "rank/components"],
  profiles: {
    quick: { arms: ["plackett-luce", "mean"], sweep: { fraction: [0.5, 0.95] }, seeds: 1 },
    samples: { base: { missing: "samples" } },
    measurements: { base: { missing: "measurements" } },
    wmt21: { base: { pool: "wmt21" }, sweep: { fraction: [0.5, 0.7, 0.9] } },
  },
})
