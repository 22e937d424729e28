import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { describe, expect, test } from "vitest"
import {
  byArm,
  checkExperiment,
  Experiment,
  experimentIssues,
  formatIssue,
  logUniform,
  Metric,
  type PlanOptions,
  parseAssignments,
  plan,
  range,
  SpecError,
  Task,
  when,
} from "../src/spec.ts"
import { Full, Lora, Snella, Toy } from "./toy.ts"

const sound = {
  task: Toy,
  base: { model: "tiny", epochs: 3, learningRate: 0.1, schedule: { kind: "flat" } },
  arms: {
    full: { tuner: Full() },
    lora: { tuner: Lora({ rank: 4 }) },
    snella: { tuner: Snella({ rank: 4, sparsity: 0.5 }) },
  },
  seeds: 3,
  compare: "test/accuracy",
} as const

/** A declaration as an untyped file would make it. */
const loose = (change: Record<string, unknown>) =>
  (Experiment.make as unknown as (name: string, definition: unknown) => Experiment)("toy.report", {
    ...sound,
    ...change,
  })

const report = (change: Record<string, unknown>, options?: PlanOptions) =>
  experimentIssues(loose(change), options).map(formatIssue)

describe("mistakes in configs", () => {
  test("a sound experiment has none", () => {
    expect(report({})).toEqual([])
  })

  test("all of them come in one report, each at its place", () => {
    const issues = report({
      base: { model: "tinny", epoch: 3, learningRate: -1, schedule: { kind: "flat", warmpu: 2 } },
      arms: {
        full: { tuner: Full() },
        lora: { tuner: { _tag: "Lor", rank: 4 } },
        snella: { tuner: { _tag: "Snella", rnk: 0, sparsity: 1.5 } },
      },
    })
    expect(issues.toSorted()).toEqual([
      'arms.lora.tuner._tag: expected "Lora" | "Snella" | "Full", got "Lor"; did you mean "Lora"?',
      'arms.snella.tuner.rnk: expected one of the fields rank, sparsity, got "rnk": 0; did you mean "rank"?',
      "arms.snella.tuner.sparsity: expected a value between 0 and 1, got 1.5",
      'base.epoch: expected one of the fields model, epochs, learningRate, holdout, schedule, tuner, note, got "epoch": 3; did you mean "epochs"?',
      "base.learningRate: expected a value greater than 0, got -1",
      'base.model: expected "tiny" | "small", got "tinny"; did you mean "tiny"?',
      'base.schedule.warmpu: expected one of the fields kind, warmup, got "warmpu": 2; did you mean "warmup"?',
    ])
  })

  test("what only one arm lacks is said of that arm", () => {
    const { epochs: _, ...base } = sound.base
    expect(report({ base, arms: { a: { tuner: Full(), epochs: 1 }, b: { tuner: Full() } } })).toEqual([
      "arms.b.epochs: expected number, got nothing",
    ])
  })

  test("a value of another type than the field's", () => {
    expect(report({ base: { ...sound.base, epochs: "3" } })).toEqual(['base.epochs: expected number, got "3"'])
    expect(report({ base: { ...sound.base, epochs: 1.5 } })).toEqual(["base.epochs: expected an integer, got 1.5"])
    expect(report({ base: { ...sound.base, epochs: Number.NaN } })[0]).toMatch(/^base\.epochs: expected .*, got NaN$/)
    expect(report({ arms: { full: { tuner: 3 } } })).toEqual(["arms.full.tuner: expected Lora | Snella | Full, got 3"])
    expect(report({ arms: { full: { tuner: { rank: 3 } } } })[0]).toMatch(
      /^arms\.full\.tuner: expected a kind, as _tag/,
    )
  })

  test("points of sweep, tune, profiles and --set are named by their own places", () => {
    expect(report({ sweep: { epochs: [1, 0] } })).toEqual([
      "sweep.epochs: expected a value greater than or equal to 1, got 0",
    ])
    expect(report({ sweep: { "schedule.wramup": [1] } })[0]).toMatch(
      /^sweep\.schedule\.wramup: .*did you mean "warmup"\?$/,
    )
    expect(report({ tune: { over: { learningRate: [0] }, by: "val/accuracy" } })[0]).toMatch(
      /^tune\.over\.learningRate: /,
    )
    expect(report({ tune: { over: { learningRate: [1] }, by: "val/accuracy", with: { holdot: 1 } } })).toEqual([
      expect.stringMatching(/^tune\.with\.holdot: .*did you mean "holdout"\?$/),
    ])
    expect(report({ profiles: { quick: { base: { epoch: 1 } } } })[0]).toMatch(
      /^profiles\.quick\.base\.epoch: .*"epochs"\?$/,
    )
    expect(report({ profiles: { quick: { arms: { lora: { epoch: 1 } } } } })[0]).toMatch(
      /^profiles\.quick\.arms\.lora\.epoch: /,
    )
    expect(report({}, { set: { epoch: "1" } })[0]).toMatch(/^--set epoch: .*did you mean "epochs"\?$/)
    expect(report({}, { set: { "arms.lora.tuner.rank": "x" } })).toEqual([
      '--set arms.lora tuner.rank: expected number, got "x"',
    ])
    expect(report({}, { set: { "arms.lroa.tuner.rank": "1" } })[0]).toMatch(/did you mean "lora"\?$/)
    expect(report({}, { set: { "tuner.rank": "8" } })[0]).toMatch(
      /^--set tuner\.rank: expected no field here, got "rank": 8/,
    )
  })

  test("a config that JSON cannot hold is refused", () => {
    const task = Task.make("dated", {
      version: 1,
      config: Schema.Struct({ since: Schema.Date, rate: Schema.Number }),
      metrics: { loss: Metric.min() },
      run: async () => {},
    })
    const broken = loose({ task, base: { since: new Date(0), rate: 1 }, arms: { a: {} }, compare: "loss" })
    expect(experimentIssues(broken).map(formatIssue)[0]).toMatch(/^base\.since: expected a value that JSON can hold/)
    const infinite = loose({
      task,
      base: { since: "x", rate: Number.POSITIVE_INFINITY },
      arms: { a: {} },
      compare: "loss",
    })
    expect(experimentIssues(infinite).map(formatIssue)[0]).toMatch(/^base\.since: /)
  })
})

describe("mistakes in the declaration", () => {
  test("a default export that is no experiment", () => {
    for (const [value, got] of [
      [undefined, "nothing"],
      [3, "3"],
      [Toy, 'the task "toy"'],
      [{ task: Toy, arms: {} }, "a plain object that was not passed to Experiment.make"],
      [() => {}, "a function"],
      [Promise.resolve(), "a promise (await it before exporting)"],
    ] as const) {
      expect(() => checkExperiment(value)).toThrow(`expected an experiment made by Experiment.make(...), got ${got}`)
    }
  })

  test("nothing at all in the declaration", () => {
    const make = Experiment.make as unknown as (name?: unknown, definition?: unknown) => Experiment
    expect(experimentIssues(make()).map((issue) => issue.path)).toEqual(["name", "task"])
    expect(experimentIssues(make("a", { task: Toy })).map((issue) => issue.path)).toEqual([
      "base", "arms", "seeds", "compare",
    ]) // biome-ignore format: a list of words
  })

  test.each<[string, Record<string, unknown>, RegExp]>([
    ["an unknown part", { sweeps: {} }, /^sweeps: expected one of the parts.*did you mean "sweep"\?$/],
    ["an unknown metric", { compare: "test/acuracy" }, /^compare: expected a metric.*did you mean "test\/accuracy"\?$/],
    ["an unknown metric in a list", { compare: ["test/accuracy", "x"] }, /^compare\.1: /],
    ["a family as a metric", { compare: "layer/sparsity/*" }, /^compare: /],
    ["no seeds", { seeds: 0 }, /^seeds: expected a whole number of seeds from 1/],
    ["half a seed", { seeds: 1.5 }, /^seeds: /],
    ["the same seed twice", { seeds: [1, 1] }, /^seeds: expected different seeds/],
    ["no arms", { arms: {} }, /^arms: expected at least one named arm/],
    ["an arm that is no config", { arms: { a: 3 } }, /^arms: .*a: 3$/],
    ["a name that breaks tables", { arms: { "a b": { tuner: Full() } } }, /^arms\.a b: expected a name/],
    [
      "two arms that are the same",
      { arms: { a: { tuner: Full() }, b: { tuner: Full() } } },
      /^arms\.b: expected another config than "a"/,
    ],
    ["an unknown baseline", { baseline: "fulll" }, /^baseline: .*did you mean "full"\?$/],
    [
      "tuning by what is compared",
      { tune: { over: { learningRate: [1] }, by: "test/accuracy" } },
      /^tune\.by: expected a validation metric/,
    ],
    ["tuning by nothing", { tune: { over: { learningRate: [1] } } }, /^tune\.by: .*got nothing$/],
    ["tuning over nothing", { tune: { by: "val/accuracy" } }, /^tune\.over: /],
    ["an unknown part of tune", { tune: { over: {}, by: "val/accuracy", wiht: {} } }, /^tune\.wiht: .*"with"\?$/],
    ["an unknown part of a profile", { profiles: { quick: { bse: {} } } }, /^profiles\.quick\.bse: .*"base"\?$/],
    ["an unknown arm in a profile", { profiles: { quick: { arms: ["lore"] } } }, /^profiles\.quick\.arms: .*"lora"\?$/],
    ["an empty list in a sweep", { sweep: { epochs: [] } }, /^sweep\.epochs: expected at least one value/],
    ["a range that leads nowhere", { sweep: { epochs: range(1, 5, { step: -1 }) } }, /^sweep\.epochs: expected a step/],
    ["an axis that is none", { sweep: { epochs: 3 } }, /^sweep\.epochs: expected a list of values, range/],
    [
      "a logarithm of zero",
      { sweep: { learningRate: logUniform(0, 1, { samples: 2 }) } },
      /^sweep\.learningRate: expected bounds above 0/,
    ],
    ["how many to draw", { sweep: { learningRate: logUniform(0.1, 1) } }, /^sweep\.learningRate: expected samples/],
    ["a condition on an unknown arm", { sweep: { epochs: when("lroa", [1]) } }, /^sweep\.epochs: .*"lora"\?$/],
    [
      "another axis for an unknown arm",
      { sweep: { epochs: byArm({ lroa: [1] }, [2]) } },
      /^sweep\.epochs: .*"lora"\?$/,
    ],
    [
      "a condition on an unknown field",
      { sweep: { epochs: when({ "tuner.rnk": 3 }, [1]) } },
      /^sweep\.epochs: .*"tuner.rank"\?$/,
    ],
    ["retries without end", { retry: -1 }, /^retry: /],
    ["a time limit that is none", { timeout: "soon" }, /^timeout: /],
    [
      "unequal budgets",
      { tune: { over: { learningRate: byArm({ full: [1] }, [1, 2]) }, by: "val/accuracy" } },
      /^tune\.over: expected the same number of candidates/,
    ],
    [
      "a budget beyond the space",
      { tune: { over: { learningRate: [1, 2] }, by: "val/accuracy", budget: 3 } },
      /^tune\.over: expected at least as many points/,
    ],
  ])("%s", (_, change, line) => {
    expect(report(change)[0]).toMatch(line)
  })

  test("options of the command line", () => {
    expect(report({}, { profile: "quick" })).toEqual([
      '--quick: expected one of the experiment\'s profiles: none, got "quick"',
    ])
    expect(report({}, { arms: ["lor"] })[0]).toMatch(/^--arm: .*did you mean "lora"\?$/)
    expect(report({}, { seeds: 0 })[0]).toMatch(/^--seeds: /)
    expect(parseAssignments(["a.b=3", "c=x=y", "d", "=1"])).toEqual({
      set: { "a.b": "3", c: "x=y" },
      issues: [
        { path: "--set", expected: "PATH=VALUE, such as tuner.rank=4", got: '"d"' },
        { path: "--set", expected: "PATH=VALUE, such as tuner.rank=4", got: '"=1"' },
      ],
    })
  })

  test("the error lists every line under the experiment's name", () => {
    try {
      plan(loose({ seeds: 0, compare: "x" }))
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(SpecError)
      expect((error as SpecError)._tag).toBe("SpecError")
      expect((error as SpecError).message.split("\n")[0]).toBe("toy.report has 2 mistakes:")
      expect((error as SpecError).message.split("\n")).toHaveLength(3)
    }
  })
})

test("a task made in the experiment's own file is checked like any other", () => {
  const task = Task.make("own", {
    version: 1,
    config: Schema.Struct({ size: Schema.Int.pipe(Schema.withDecodingDefaultKey(Effect.succeed(3))) }),
    metrics: { loss: Metric.min() },
    run: () => Effect.void,
  })
  expect(report({ task, base: {}, arms: { a: { sise: 3 } }, compare: "loss" })).toEqual([
    'arms.a.sise: expected one of the fields size, got "sise": 3; did you mean "size"?',
  ])
})
