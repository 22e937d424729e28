import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { describe, expect, test } from "vitest"
import { candidateOutcome } from "../src/search-plan.ts"
import {
  asha,
  byArm,
  chooseWinners,
  Experiment,
  logUniform,
  Metric,
  medianRule,
  type Outcome,
  type PlannedTrial,
  plan,
  type SpecError,
  Task,
  type TuningResult,
  tpe,
  uniform,
  when,
} from "../src/spec.ts"

const Bowl = Task.make("bowl", {
  version: 1,
  config: Schema.Struct({
    rate: Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0))),
    depth: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 12 }))),
    optimizer: Schema.Literals(["sgd", "adam"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("adam" as const))),
    momentum: Schema.Finite.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  }),
  metrics: { "val/loss": Metric.min(), "test/loss": Metric.min() },
  run: () => Effect.void,
})

const experiment = Experiment.make("bowl", {
  task: Bowl,
  base: {},
  arms: { one: { depth: 3 }, other: { optimizer: "sgd", tune: { rate: logUniform(1e-3, 10) } } },
  tune: {
    over: {
      rate: logUniform(1e-4, 1),
      depth: when("other", uniform(1, 12, { integer: true })),
      optimizer: when("one", ["sgd", "adam"]),
      momentum: when({ optimizer: "sgd" }, uniform(0, 1)),
    },
    by: "val/loss",
    search: tpe({ trials: 14 }),
    stop: asha({ min: 1, reduction: 2 }),
  },
  seeds: 2,
  compare: "test/loss",
})

/** What a trial would come to: a curve of four steps towards a loss that its config decides. */
const result = (trial: PlannedTrial): TuningResult => {
  const { rate, momentum, depth } = trial.config as { rate: number; momentum: number; depth: number }
  const loss = (Math.log10(rate) + 2) ** 2 + momentum / 10 + depth / 100
  if (rate > 0.5) return { outcome: { status: "failed" } }
  return {
    outcome: { status: "finished", score: loss },
    curve: { finished: true, points: [1, 2, 3, 4].map((step) => [step, loss + 1 / step]) },
  }
}

function carryOut(planned: ReturnType<typeof plan>, cutAt = Number.POSITIVE_INFINITY) {
  const trials: PlannedTrial[] = []
  const results = new Map<string, TuningResult>()
  const { rounds, round } = planned.search!
  for (let n = 0; n < Math.min(rounds, cutAt); n++) {
    const next = round(n, [...trials].reverse(), (id) => results.get(id))
    for (const trial of next.trials) results.set(trial.id, result(trial))
    trials.push(...next.trials)
  }
  return { trials, results }
}

const issuesOf = (change: object) => {
  try {
    plan({ ...experiment, ...change } as Experiment)
    return []
  } catch (error) {
    return (error as SpecError).issues.map(({ path, expected, got }) => `${path}: ${expected}; ${got}`)
  }
}

describe("tuning in rounds", () => {
  test("every arm has the same number of candidates, each a trial that the task admits", () => {
    const planned = plan(experiment)
    expect(planned.count).toEqual({ tune: 28, compare: 4 })
    expect(planned.search).toMatchObject({ method: "TPE", candidates: 14, parallel: 4, rounds: 4 })
    const { trials } = carryOut(planned)
    for (const arm of ["one", "other"]) {
      const own = trials.filter((trial) => trial.arm === arm)
      expect(own.map((trial) => trial.candidate!.number)).toEqual(Array.from({ length: 14 }, (_, i) => i))
      expect(new Set(own.map((trial) => trial.id)).size).toBe(14)
    }
    // The condition on the optimizer holds in every candidate of both arms.
    for (const { config, candidate } of trials)
      expect(Object.hasOwn(candidate!.point, "momentum")).toBe(config["optimizer"] === "sgd")
    expect(trials.filter((t) => t.arm === "one").every((t) => !Object.hasOwn(t.candidate!.point, "depth"))).toBe(true)
    expect(trials.filter((t) => t.arm === "other").some((t) => (t.config["rate"] as number) > 1)).toBe(true)
  })

  test("the first round is in the plan; later ones follow from results alone", () => {
    const planned = plan(experiment)
    const whole = carryOut(planned)
    expect(planned.tuning).toEqual(whole.trials.slice(0, 8))
    for (const cut of [1, 2, 3]) {
      const part = carryOut(plan(experiment), cut)
      const again = plan(experiment).search!.round(cut, part.trials, (id) => part.results.get(id))
      expect(again).toEqual(planned.search!.round(cut, whole.trials.slice(0, 8 * cut), (id) => whole.results.get(id)))
      expect(again.trials).toEqual(whole.trials.slice(8 * cut, 8 * cut + again.trials.length))
    }
  })

  test("limits come from earlier rounds of the same arm and seed", () => {
    const planned = plan({ ...experiment, tune: { ...experiment.tune!, seeds: 2 } })
    expect(
      planned
        .search!.round(0, [], () => undefined)
        .judgements.values()
        .next().value!.limits,
    ).toEqual([])
    const { trials, results } = carryOut(planned, 1)
    const { judgements } = planned.search!.round(1, trials, (id) => results.get(id))
    const [first] = planned.search!.round(1, trials, (id) => results.get(id)).trials
    const own = trials.filter((trial) => trial.arm === first!.arm && trial.seed === first!.seed)
    const atOne = own.flatMap((trial) => results.get(trial.id)?.curve?.points[0]?.[1] ?? [])
    atOne.sort((a, b) => a - b)
    expect(judgements.get(first!.id)!.limits[0]).toEqual({
      step: 1,
      threshold: atOne[Math.floor((atOne.length + 1) / 2) - 1],
    })
  })

  test("a grid may be stopped early too, in rounds", () => {
    const grid = {
      ...experiment,
      tune: {
        over: { rate: [1, 2, 3, 4, 5], depth: [2] },
        by: "val/loss",
        stop: medianRule({ after: 1 }),
        parallel: 2,
      },
      arms: { one: {} },
    }
    const planned = plan(grid)
    expect(planned.search).toMatchObject({ method: undefined, candidates: 5, rounds: 3 })
    expect(planned.tuning).toHaveLength(5)
    expect(carryOut(planned).trials).toEqual(planned.tuning)
    expect(plan({ ...grid, tune: { over: grid.tune.over, by: "val/loss" } }).search).toBeUndefined()
  })

  test("a profile may shorten the search", () => {
    const quick = { profiles: { quick: { tune: { search: tpe({ trials: 3 }) } } } }
    expect(plan({ ...experiment, ...quick }, { profile: "quick" }).count.tune).toBe(6)
  })
})

describe("choosing after a search", () => {
  test("a candidate that was stopped early is never chosen, however good it looked", () => {
    const planned = plan(experiment)
    const { trials } = carryOut(planned)
    const outcome = (trial: PlannedTrial): Outcome => {
      const n = trial.candidate!.number
      return n === 3
        ? { status: "stopped", step: 2, score: -100 }
        : n === 5
          ? { status: "failed" }
          : { status: "finished", score: n === 7 ? 0 : 1 + n }
    }
    const byId = new Map(trials.map((trial) => [trial.id, outcome(trial)]))
    const { selection, choices } = chooseWinners(planned, (id) => byId.get(id), trials)
    const seventh = trials.find((trial) => trial.arm === "one" && trial.candidate!.number === 7)!
    expect(selection["one"]).toEqual(seventh.candidate!.point)
    expect(choices[0]!.candidates).toHaveLength(14)
    expect(choices[0]!.candidates[3]).toMatchObject({ stopped: 2, score: undefined, seeds: 0 })
    expect(choices[0]!.candidates[5]).toMatchObject({ score: undefined, seeds: 0 })
    expect(planned.compared(selection)[0]!.config).toMatchObject(seventh.candidate!.point)
  })

  test("the border of a searched range is told", () => {
    const planned = plan(experiment)
    expect(planned.atBorder("one", { rate: 0.95, optimizer: "adam" })).toBe(true)
    expect(planned.atBorder("one", { rate: 0.01, optimizer: "adam" })).toBe(false)
    expect(planned.atBorder("one", { rate: 0.01, optimizer: "sgd", momentum: 0.999 })).toBe(true)
    expect(planned.atBorder("other", { rate: 0.01, depth: 12 })).toBe(true)
  })

  test("a candidate's outcome over its seeds", () => {
    const done = (score: number) => ({ status: "finished", score }) as const
    expect(candidateOutcome([done(1), done(3)])).toEqual(done(2))
    expect(candidateOutcome([done(1), undefined])).toEqual({ status: "failed" })
    expect(candidateOutcome([done(1), done(Number.NaN)])).toEqual({ status: "failed" })
    expect(
      candidateOutcome([done(1), { status: "stopped", step: 9, score: 5 }, { status: "stopped", step: 3, score: 4 }]),
    ).toEqual({ status: "stopped", step: 3, score: 4 })
  })
})

describe("mistakes in a search", () => {
  const tune = experiment.tune!
  test("a search over less than it asks for", () => {
    expect(issuesOf({ arms: { one: { depth: 1 } }, tune: { ...tune, over: { rate: [1, 2, 3] } } })).toEqual([
      'tune.over: at least as many points as the search has trials, 14 (without search, each of them is tried); 3 for arm "one"',
    ])
  })

  test("a range that the task does not admit is found at its ends", () => {
    const found = issuesOf({
      tune: { ...tune, over: { ...tune.over, depth: when("other", uniform(1, 20, { integer: true })) } },
    })
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(/^tune\.over\.depth: a value between 1 and 12; 20$/)
    const typo = issuesOf({ tune: { ...tune, over: { ...tune.over, optimizer: when("one", ["sgd", "adma"]) } } })
    expect(typo.join()).toMatch(/tune\.over\.optimizer.*adma/)
  })

  test("flawed axes, options and combinations", () => {
    const over = { rate: logUniform(-1, 1), depth: [1] }
    expect(issuesOf({ arms: { one: {} }, tune: { ...tune, over } }).join()).toMatch(/tune\.over\.rate: bounds above 0/)
    expect(issuesOf({ tune: { ...tune, budget: 4 } }).join("\n")).toMatch(/tune\.budget: either a search/)
    expect(issuesOf({ tune: { ...tune, search: { _tag: "Tpe" } } }).join("\n")).toMatch(/tune\.search\.trials: a whole/)
    expect(issuesOf({ tune: { ...tune, search: "tpe" } }).join("\n")).toMatch(/tune\.search: tpe\(\{ trials/)
    expect(issuesOf({ tune: { ...tune, stop: asha({ min: 0 }) } }).join("\n")).toMatch(/tune\.stop\.min: a step/)
    expect(issuesOf({ tune: { ...tune, stop: asha({ min: 4, max: 2 }) } }).join("\n")).toMatch(
      /stop\.max: a step above/,
    )
    expect(issuesOf({ tune: { ...tune, stop: { ...asha({ min: 1 }), eta: 2 } } }).join("\n")).toMatch(
      /stop\.eta: one of/,
    )
    expect(issuesOf({ tune: { ...tune, parallel: 0 } }).join("\n")).toMatch(/tune\.parallel: a whole/)
  })

  test("an axis for each arm is searched like any other", () => {
    const planned = plan({
      ...experiment,
      arms: { one: { depth: 1 }, other: { depth: 2 } },
      tune: { ...tune, over: { rate: byArm({ one: logUniform(1e-4, 1e-3) }, logUniform(0.1, 1)) } },
    })
    for (const { arm, config } of planned.tuning) {
      expect(config["rate"]).toSatisfy((rate: number) => (arm === "one" ? rate <= 1e-3 : rate >= 0.1))
    }
    expect(planned.conditions.map(({ space }) => space)).toEqual([
      { rate: "0.0001 … 0.001 (log)" },
      { rate: "0.1 … 1 (log)" },
    ])
  })
})
