import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { expect, test } from "vitest"
import { Experiment, Metric, plan, Task } from "../src/spec.ts"

const config = Schema.Struct({
  rate: Schema.Finite,
  epochs: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(3))),
})
const task = Task.make("toy", {
  version: 1,
  config,
  metrics: { "val/loss": Metric.min(), "test/loss": Metric.min() },
  run: async () => {},
})

test("an experiment plans its tuning and compared trials", () => {
  const experiment = Experiment.make("toy.one", {
    task,
    base: {},
    arms: { a: { epochs: 1 }, b: {} },
    tune: { over: { rate: [1, 2] }, by: "val/loss" },
    seeds: 2,
    compare: "test/loss",
  })
  const planned = plan(experiment)
  expect(planned.tuning.map((trial) => trial.config)).toEqual([
    { epochs: 1, rate: 1 },
    { epochs: 1, rate: 2 },
    { epochs: 3, rate: 1 },
    { epochs: 3, rate: 2 },
  ])
  expect(planned.compared({ a: { rate: 1 }, b: { rate: 2 } }).map((t) => [t.arm, t.seed, t.config["rate"]])).toEqual([
    ["a", 0, 1],
    ["b", 0, 2],
    ["a", 1, 1],
    ["b", 1, 2],
  ])
})
