import { Experiment, Metric, Task } from "@exp/spec"
import * as Schema from "effect/Schema"

/** A task that logs when it was: milliseconds since the epoch. */
const Clock = Task.make("clock", {
  version: 1,
  config: Schema.Struct({ note: Schema.String }),
  metrics: { reached: Metric.min({ unit: "ms" }) },
  run: async (_config, trial) => trial.log(0, { reached: performance.timeOrigin + performance.now() }),
})

export default Experiment.make("first-step", {
  task: Clock,
  base: { note: "" },
  arms: { only: {} },
  seeds: 1,
  compare: "reached",
})
