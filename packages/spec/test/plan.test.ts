import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { describe, expect, test } from "vitest"
import { analyse } from "../src/plan.ts"
import {
  byArm,
  chooseWinners,
  declaredMetric,
  describeConfig,
  Experiment,
  Metric,
  parseValue,
  plan,
  SpecError,
  Task,
  trialId,
  UndeclaredMetric,
  when,
} from "../src/spec.ts"
import { Full, Lora, Snella, Toy } from "./toy.ts"

const base = { model: "tiny", epochs: 3, schedule: { kind: "flat" } } as const

const tuned = Experiment.make("toy.tuned", {
  task: Toy,
  base,
  arms: {
    full: { tuner: Full(), tune: { learningRate: [1e-4, 1e-3] } },
    lora: { tuner: Lora({ rank: 4 }) },
    snella: { tuner: Snella({ rank: 4, sparsity: 0.5 }) },
  },
  tune: { over: { learningRate: [1e-3, 1e-2] }, by: "val/accuracy", with: { holdout: 0.2 }, seeds: 2 },
  seeds: 3,
  compare: "test/accuracy",
  profiles: {
    quick: { base: { epochs: 1 }, arms: ["full", "lora"], seeds: 1, tune: { seeds: 1 } },
    fixed: { arms: { full: { learningRate: 1e-4 }, lora: { learningRate: 1e-2 } }, tune: false },
  },
})
const choice = { full: { learningRate: 1e-3 }, lora: { learningRate: 1e-2 }, snella: { learningRate: 1e-2 } }

describe("a plan", () => {
  test("tunes every arm with the same budget, on tune.with, and compares only the winners", () => {
    const planned = plan(tuned)
    expect(planned.count).toEqual({ tune: 12, compare: 9 })
    expect(planned.tuneBy).toEqual({ metric: "val/accuracy", goal: "max" })
    const rates = planned.tuning
      .filter((trial) => trial.seed === 0)
      .map((trial) => [trial.arm, trial.config["learningRate"]])
    expect(rates).toEqual([
      ["full", 1e-4],
      ["full", 1e-3],
      ["lora", 1e-3],
      ["lora", 1e-2],
      ["snella", 1e-3],
      ["snella", 1e-2],
    ])
    expect(planned.tuning.every((trial) => trial.config["holdout"] === 0.2 && trial.phase === "tune")).toBe(true)
    const compared = planned.compared(choice)
    expect(compared.every((trial) => trial.config["holdout"] === 0 && trial.phase === "compare")).toBe(true)
    expect(compared.map((trial) => `${trial.arm}${trial.seed}`).join(" ")).toBe(
      "full0 lora0 snella0 full1 lora1 snella1 full2 lora2 snella2",
    )
    expect(new Set([...planned.tuning, ...compared].map((trial) => trial.id)).size).toBe(21)
  })

  test("keeps configs encoded, with defaults filled in, and ids that follow from them", () => {
    const trial = plan(tuned).compared(choice)[1]!
    expect(trial.config).toEqual({
      epochs: 3,
      holdout: 0,
      learningRate: 0.01,
      model: "tiny",
      schedule: { kind: "flat", warmup: 0 },
      tuner: { _tag: "Lora", alpha: 1, rank: 4 },
    })
    expect(trial.id).toBe(trialId({ task: "toy", version: 2, config: trial.config, seed: 0 }))
    expect(JSON.parse(JSON.stringify(trial.config))).toEqual(trial.config)
  })

  test("is a pure function of declaration and options", () => {
    const print = () => JSON.stringify([plan(tuned).tuning, plan(tuned).compared(choice)])
    expect(print()).toBe(print())
  })

  test("does not depend on how the declaration orders or splits its fields", () => {
    const whole = { model: "tiny", epochs: 3, schedule: { kind: "flat" }, learningRate: 1 } as const
    const a = Experiment.make("a", {
      task: Toy,
      base: whole,
      arms: { x: { tuner: Full() } },
      seeds: 1,
      compare: "test/accuracy",
    })
    const b = Experiment.make("b", {
      task: Toy,
      base: { learningRate: 1, schedule: {}, epochs: 9 },
      arms: { y: { epochs: 3, tuner: Full(), schedule: { warmup: 0, kind: "flat" }, model: "tiny", holdout: 0 } },
      seeds: 1,
      compare: "test/accuracy",
    })
    expect(plan(b).compared()[0]!.id).toBe(plan(a).compared()[0]!.id)
  })

  test("refuses to compare what has not been tuned", () => {
    expect(() => plan(tuned).compared({ full: { learningRate: 1 } })).toThrow(SpecError)
    expect(() => plan(tuned).compared({ full: { learningRate: 1 } })).toThrow(/"lora".*\n.*"snella"/)
  })

  test("a sweep makes every point a condition of every arm it applies to", () => {
    const swept = Experiment.make("toy.swept", {
      task: Toy,
      base: { ...base, learningRate: 1 },
      arms: { full: { tuner: Full() }, lora: { tuner: Lora({ rank: 1 }) } },
      sweep: { epochs: [1, 2], "tuner.rank": when({ "tuner._tag": "Lora" }, [2, 4]) },
      seeds: [7, 3],
      compare: "test/accuracy",
    })
    expect(plan(swept).conditions.map((condition) => condition.label)).toEqual([
      "full epochs=1",
      "full epochs=2",
      "lora epochs=1 tuner.rank=2",
      "lora epochs=1 tuner.rank=4",
      "lora epochs=2 tuner.rank=2",
      "lora epochs=2 tuner.rank=4",
    ])
    const compared = plan(swept).compared()
    expect(compared).toHaveLength(12)
    expect(compared[0]!.seed).toBe(7)
    expect(compared[3]).toMatchObject({
      arm: "lora",
      point: { epochs: 1, "tuner.rank": 4 },
      config: { epochs: 1, tuner: { rank: 4, alpha: 1 } },
    })
  })

  test("tunes every point of a sweep by itself", () => {
    const both = Experiment.make("toy.both", {
      task: Toy,
      base,
      arms: { lora: { tuner: Lora({ rank: 1 }) } },
      sweep: { "tuner.rank": [2, 4] },
      tune: { over: { learningRate: [1, 2, 3] }, by: "val/accuracy" },
      seeds: 1,
      compare: "test/accuracy",
    })
    const planned = plan(both)
    expect(planned.count).toEqual({ tune: 6, compare: 2 })
    const compared = planned.compared({
      "lora tuner.rank=2": { learningRate: 1 },
      "lora tuner.rank=4": { learningRate: 3 },
    })
    expect(compared.map((trial) => trial.point)).toEqual([
      { "tuner.rank": 2, learningRate: 1 },
      { "tuner.rank": 4, learningRate: 3 },
    ])
  })

  test("a budget makes unequal spaces equal", () => {
    const wide = Experiment.make("toy.wide", {
      task: Toy,
      base,
      arms: { full: { tuner: Full() }, lora: { tuner: Lora({ rank: 1 }) } },
      tune: {
        over: { learningRate: [1, 2, 3, 4], "tuner.rank": byArm({ lora: [1, 2, 4] }) },
        by: "val/accuracy",
        budget: 4,
      },
      seeds: 1,
      compare: "test/accuracy",
    })
    expect(plan(wide).conditions.map((condition) => condition.candidates.length)).toEqual([4, 4])
  })
})

describe("profiles and overrides", () => {
  test("a profile changes base, arms, seeds and tuning", () => {
    const quick = plan(tuned, { profile: "quick" })
    expect(quick.count).toEqual({ tune: 4, compare: 2 })
    expect(quick.tuning.every((trial) => trial.config["epochs"] === 1)).toBe(true)
  })

  test("a profile may set what it does not tune, arm by arm", () => {
    const fixed = plan(tuned, { profile: "fixed" })
    expect(fixed.tuning).toEqual([])
    expect(
      fixed
        .compared()
        .slice(0, 2)
        .map((trial) => trial.config["learningRate"]),
    ).toEqual([1e-4, 1e-2])
  })

  test("--set wins over everything, and what it sets is not searched", () => {
    const set = plan(tuned, { profile: "quick", set: { epochs: "7", learningRate: "0.5" } })
    expect(set.tuning).toEqual([])
    expect(set.compared().map((trial) => [trial.config["epochs"], trial.config["learningRate"]])).toEqual([
      [7, 0.5],
      [7, 0.5],
    ])
    const one = plan(tuned, { set: { "arms.lora.tuner.rank": "8" }, arms: ["lora"], seeds: 1 })
    expect(one.compared(choice)[0]!.config["tuner"]).toEqual({ _tag: "Lora", alpha: 1, rank: 8 })
    const swapped = plan(tuned, { set: { "tuner._tag": "Lora", "tuner.rank": "2" }, arms: ["snella"], seeds: 1 })
    expect(swapped.compared(choice)[0]!.config["tuner"]).toEqual({ _tag: "Lora", alpha: 1, rank: 2 })
  })

  test("values are JSON where they are JSON", () => {
    expect(["3", "1e-3", "true", "null", '"3"', "[1,2]", "tiny", "NaN", ""].map(parseValue)).toEqual([
      3,
      1e-3,
      true,
      null,
      "3",
      [1, 2],
      "tiny",
      "NaN",
      "",
    ])
  })

  test("arms keep the order of the declaration, and the baseline falls back to the first that takes part", () => {
    expect(plan(tuned).baseline).toBe("full")
    const some = plan(tuned, { arms: ["snella", "lora"] })
    expect(some.conditions.map((condition) => condition.arm)).toEqual(["lora", "snella"])
    expect(some.baseline).toBe("lora")
  })

  test("policy has defaults and reads time limits", () => {
    expect(plan(tuned).policy).toMatchObject({ retry: 1, timeout: undefined, onFailure: "continue", device: undefined })
    expect(plan({ ...tuned, timeout: "1.5h", retry: 0 }).policy).toMatchObject({ retry: 0, timeout: 5400 })
  })

  test("shares of the device and priorities are given for all or by arm", () => {
    const some = { arms: ["lora", "snella"] }
    expect(plan(tuned, some).policy).toMatchObject({
      deviceShare: { lora: 1, snella: 1 },
      priority: { experiment: 0, arms: { lora: 0, snella: 0 } },
    })
    const all = plan({ ...tuned, resources: { device: 0.5 }, priority: 3 }, some).policy
    expect(all).toMatchObject({
      deviceShare: { lora: 0.5, snella: 0.5 },
      priority: { experiment: 3, arms: { lora: 0, snella: 0 } },
    })
    const single = plan({ ...tuned, resources: { device: { lora: 0.25 } }, priority: { snella: 2 } }, some).policy
    expect(single).toMatchObject({
      deviceShare: { lora: 0.25, snella: 1 },
      priority: { experiment: 0, arms: { lora: 0, snella: 2 } },
    })
    const wrong = analyse({ ...tuned, resources: { device: { lroa: 1, lora: 0 } }, priority: Number.NaN }).issues
    expect(wrong.map((issue) => issue.path)).toEqual(
      expect.arrayContaining(["resources.device", "resources.device.lora", "priority"]),
    )
  })
})

const finished = (score: number | undefined) =>
  score === undefined ? undefined : ({ status: "finished", score } as const)

describe("choosing winners", () => {
  const planned = plan(tuned)
  const scores = (f: (arm: string, rate: number, seed: number) => number | undefined) => {
    const byId = new Map(planned.tuning.map((t) => [t.id, f(t.arm, t.config["learningRate"] as number, t.seed)]))
    return chooseWinners(planned, (id) => finished(byId.get(id)))
  }

  test("the best mean over seeds wins, in the metric's direction", () => {
    const { selection, choices } = scores((_, rate, seed) => (rate === 1e-3 ? 0.5 : seed === 0 ? 0.9 : 0.2))
    expect(selection).toEqual({
      full: { learningRate: 1e-4 },
      lora: { learningRate: 1e-2 },
      snella: { learningRate: 1e-2 },
    })
    expect(choices[0]!.candidates.map((candidate) => candidate.score)).toEqual([0.55, 0.5])
    expect(planned.compared(selection)).toHaveLength(9)
  })

  test("of equals the first declared wins; NaN, missing and half-finished candidates lose", () => {
    expect(scores(() => 1).selection["lora"]).toEqual({ learningRate: 1e-3 })
    expect(scores((_, rate) => (rate === 1e-3 ? Number.NaN : 0)).selection["lora"]).toEqual({ learningRate: 1e-2 })
    expect(scores((_, rate, seed) => (rate === 1e-2 ? (seed === 0 ? 1 : undefined) : 0.1)).selection["lora"]).toEqual({
      learningRate: 1e-3,
    })
  })

  test("an arm without any result has no winner and says so", () => {
    const { selection, choices } = scores((arm) => (arm === "lora" ? undefined : 1))
    expect(Object.keys(selection)).toEqual(["full", "snella"])
    expect(choices.find((one) => one.condition === "lora")!.winner).toBeUndefined()
  })

  test("a metric to be minimised", () => {
    const task = Task.make("min", {
      version: 1,
      config: Schema.Struct({ rate: Schema.Number }),
      metrics: { "val/loss": Metric.min(), "test/loss": Metric.min() },
      run: () => Effect.void,
    })
    const experiment = Experiment.make("min", {
      task,
      base: {},
      arms: { a: {} },
      tune: { over: { rate: [1, 2, 3] }, by: "val/loss" },
      seeds: 1,
      compare: "test/loss",
    })
    const small = plan(experiment)
    const value = new Map(small.tuning.map((t) => [t.id, Math.abs((t.config["rate"] as number) - 2)]))
    expect(chooseWinners(small, (id) => finished(value.get(id))).selection).toEqual({ a: { rate: 2 } })
  })
})

describe("metrics and fields", () => {
  test("families cover the names below them and nothing else", () => {
    expect(declaredMetric(Toy.metrics, "layer/sparsity/3")).toBeDefined()
    expect(declaredMetric(Toy.metrics, "layer/sparsity/mlp/3")).toBeDefined()
    for (const name of ["layer/sparsity", "layer/sparsity/", "layer/sparsity/*", "layer/3", "toString", ""])
      expect(declaredMetric(Toy.metrics, name)).toBeUndefined()
    expect(UndeclaredMetric.of("toy", Toy.metrics, "test/acuracy").message).toMatch(/did you mean "test\/accuracy"/)
  })

  test("a config describes its fields with type, default, bounds and description", () => {
    const fields = new Map(describeConfig(Toy.config).map((field) => [field.path, field]))
    expect([...fields.keys()]).toEqual([
      "model",
      "epochs",
      "learningRate",
      "holdout",
      "schedule",
      "schedule.kind",
      "schedule.warmup",
      "tuner",
      "tuner<Lora>.rank",
      "tuner<Lora>.alpha",
      "tuner<Snella>.rank",
      "tuner<Snella>.sparsity",
      "note",
    ])
    expect(fields.get("model")).toEqual({
      path: "model",
      type: '"tiny" | "small"',
      required: true,
      description: "which network",
      bounds: [],
    })
    expect(fields.get("epochs")).toMatchObject({
      type: "number",
      description: "passes over the data",
      bounds: ["an integer", "a value greater than or equal to 1"],
    })
    expect(fields.get("holdout")).toMatchObject({ required: false, default: 0 })
    expect(fields.get("tuner")).toMatchObject({ type: "Lora | Snella | Full", required: true })
    expect(fields.get("tuner<Lora>.rank")).toMatchObject({ description: "rank of the update" })
    expect(fields.get("tuner<Lora>.alpha")).toMatchObject({
      required: false,
      default: 1,
      bounds: ["a value greater than 0"],
    })
    expect(fields.get("note")).toEqual({ path: "note", type: "string", required: false, bounds: [] })
  })

  test("Schema classes describe and plan like structs", () => {
    class Inner extends Schema.Class<Inner>("Inner")({ size: Schema.Int.annotate({ description: "how large" }) }) {}
    class Config extends Schema.Class<Config>("Config")({ inner: Inner, rate: Schema.Number }) {}
    const task = Task.make("classy", {
      version: 1,
      config: Config,
      metrics: { loss: Metric.min() },
      run: () => Effect.void,
    })
    const experiment = Experiment.make("classy", {
      task,
      base: { inner: new Inner({ size: 2 }) },
      arms: { a: { rate: 1 } },
      seeds: 1,
      compare: "loss",
    })
    expect(plan(experiment).compared()[0]!.config).toEqual({ inner: { size: 2 }, rate: 1 })
    expect(describeConfig(Config).map((field) => `${field.path}: ${field.type}`)).toEqual([
      "inner: object",
      "inner.size: number",
      "rate: number",
    ])
    const set = { "inner.sise": "3" }
    expect(() => plan(experiment, { set })).toThrow(/--set inner\.sise: .*did you mean "size"\?/)
  })
})
