import { Experiment } from "@exp/spec"
import { Counter } from "../../packages/engine/test/fixtures/counter.ts"

/** Six trials of about half a second each: long enough to be hit in the middle. */
export default Experiment.make("walk", {
  task: Counter,
  base: { steps: 60, sleepMs: 6 },
  arms: { slow: { rate: 0.01 }, fast: { rate: 0.1 } },
  tune: { over: { every: [7, 11] }, by: "val/accuracy" },
  seeds: 2,
  compare: "test/accuracy",
  retry: 20,
})
