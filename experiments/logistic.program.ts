import { fileURLToPath } from "node:url"
import { Command } from "@exp/engine/command"
import { Experiment, Metric } from "@exp/spec"
import * as Schema from "effect/Schema"

const script = fileURLToPath(new URL("programs/logistic.py", import.meta.url))

/** A task in another language: Python trains, `exp` plans, records, resumes and compares. */
const Logistic = Command.task("logistic-regression", {
  version: 1,
  config: Schema.Struct({
    points: Schema.Int,
    steps: Schema.Int,
    learningRate: Schema.Number,
    weightDecay: Schema.Number,
  }),
  metrics: { "train/loss": Metric.min(), "test/accuracy": Metric.max({ unit: "ratio" }) },
  command: () => ["python3", script],
})

export default Experiment.make("logistic.program", {
  question: "Does weight decay help logistic regression on few points?",
  task: Logistic,
  base: { points: 40, steps: 200, learningRate: 0.3 },
  arms: { plain: { weightDecay: 0 }, decay: { weightDecay: 0.05 } },
  seeds: 5,
  compare: "test/accuracy",
})
