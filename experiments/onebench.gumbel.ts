import { RankRecovery } from "@exp/methods/ranking"
import { Experiment } from "@exp/spec"

export default Experiment.make("onebench.gumbel", {
  question: "Where the model holds exactly, does the error of the strengths fall like 1/√samples?",
  task: RankRecovery,
  base: { pool: "gumbel", competitors: 20, dispersion: 0.1 },
  arms: { "plackett-luce": { estimator: "plackett-luce" } },
  sweep: { samples: [100, 400, 1600, 6400] },
  seeds: 5,
  compare: ["fit/rmse", "rank/tau"],
  profiles: { quick: { sweep: { samples: [100, 400] }, seeds: 2 } },
})
