import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, it } from "@effect/vitest"
import { key, permutation, uniform } from "@exp/random"
import * as Schema from "effect/Schema"
import { expect, test } from "vitest"
import { erfc, normalMass } from "../src/search/normal.ts"
import { type Goal, type Observation, type Outcome, ranked } from "../src/search/observation.ts"
import { coordinates, type Parameter, type SearchPoint, type SearchSpace } from "../src/search/parameter.ts"
import { ParzenEstimator } from "../src/search/parzen.ts"
import { pointKey, points } from "../src/search/points.ts"
import { type Curve, Judge, judgement, stands, stopMessage } from "../src/search/stopping.ts"
import { propose, type TpeSettings, tpeDefaults } from "../src/search/tpe.ts"

const number = (from: number, to: number, options: Partial<Parameter> = {}): Parameter =>
  ({ kind: "number", from, to, scale: "linear", integer: false, ...options }) as Parameter

const rate = number(1e-4, 1, { scale: "log" } as Partial<Parameter>)
const depth = number(1, 9, { integer: true } as Partial<Parameter>)
const width = number(16, 4096, { integer: true, scale: "log" } as Partial<Parameter>)
const method: Parameter = { kind: "unordered", values: ["sgd", "adam", { _tag: "Lion", beta: 0.9 }] }
const momentum = number(0, 1)
const rank: Parameter = { kind: "ordered", values: [2, 4, 8, 16] }

/** Every kind of parameter, one of them only where the method is sgd. */
const mixed: SearchSpace = {
  names: ["rate", "depth", "width", "method", "momentum", "rank"],
  parameter: (name, point) =>
    name === "momentum"
      ? point["method"] === "sgd"
        ? momentum
        : undefined
      : { rate, depth, width, method, rank }[name],
}

const fits = (parameter: Parameter, value: unknown): boolean => {
  if (parameter.kind !== "number") return parameter.values.includes(value)
  const { from, to, integer } = parameter
  return typeof value === "number" && value >= from && value <= to && (!integer || Number.isSafeInteger(value))
}
const inSpace = (space: SearchSpace, point: SearchPoint): boolean =>
  space.names.every((name) => {
    const parameter = space.parameter(name, point)
    return parameter === undefined ? !Object.hasOwn(point, name) : fits(parameter, point[name])
  }) && Object.keys(point).every((name) => space.names.includes(name))

const settings: TpeSettings = { ...tpeDefaults, goal: "min" }

/** A search in rounds; `outcome` says how a candidate came out. */
function search(
  space: SearchSpace,
  outcome: (point: SearchPoint, index: number) => Outcome,
  options: {
    trials: number
    parallel?: number
    seed?: number
    goal?: Goal
    tell?: (told: Observation[]) => Observation[]
  },
): Observation[] {
  const { trials, parallel = 1, seed = 0, goal = "min", tell = (told) => told } = options
  let known: Observation[] = []
  while (known.length < trials) {
    const round: Observation[] = []
    for (let i = known.length; i < Math.min(trials, known.length + parallel); i++) {
      const point = propose(space, [...known, ...round], i, { ...settings, seed, goal })
      if (point === undefined) return known
      round.push({ index: i, point })
    }
    if (round.length === 0) return known
    known = tell([...known, ...round.map((each) => ({ ...each, outcome: outcome(each.point, each.index) }))])
  }
  return [...known].sort((a, b) => a.index - b.index)
}

const score = (point: SearchPoint): Outcome => ({
  status: "finished",
  score:
    (Math.log10(point["rate"] as number) + 2) ** 2 +
    0.1 * ((point["depth"] as number) - 6) ** 2 +
    (point["method"] === "sgd" ? (1 - (point["momentum"] as number)) ** 2 : 1),
})

describe("the normal distribution", () => {
  test("erfc has its known values, far out too", () => {
    // Abramowitz and Stegun, table 7.1 and §7.1.23.
    const known = [
      [0, 1],
      [0.5, 0.4795001222],
      [1, 0.1572992071],
      [-1, 1.8427007929],
      [3, 2.209049699858544e-5],
      [6, 2.1519736712498913e-17],
    ] as const
    for (const [x, value] of known) expect(Math.abs(erfc(x) / value - 1)).toBeLessThan(2e-7)
  })

  test("masses add up and do not vanish in a tail", () => {
    expect(normalMass(-1, 1)).toBeCloseTo(0.6826894921, 6)
    expect(normalMass(8, 9) / normalMass(-9, -8)).toBeCloseTo(1, 12)
    expect(normalMass(8, 9)).toBeGreaterThan(6e-16)
    expect(normalMass(-2, 0.3) + normalMass(0.3, 1.5)).toBeCloseTo(normalMass(-2, 1.5), 6)
  })
})

describe("parameters", () => {
  it.prop(
    "every value has a place that leads back to it",
    [Schema.Literals(["rate", "depth", "width", "method", "momentum", "rank"]), Schema.Int],
    ([name, n]) => {
      const parameter = { rate, depth, width, method, momentum, rank }[name]
      const c = coordinates(parameter)
      const u = uniform(key(1, "place"), Math.abs(n))
      const value = c.value(c.cells === undefined ? u : Math.floor(u * c.cells))
      return fits(parameter, value) && c.value(c.place(value)!) === value
    },
  )

  test("whole numbers on a logarithmic scale part the range without gaps", () => {
    const { cells, edge, value } = coordinates(width)
    expect([cells, value(0), value(cells! - 1)]).toEqual([4081, 16, 4096])
    expect([edge(0), edge(cells!)]).toEqual([0, 1])
    for (let cell = 0; cell < cells!; cell += 97) expect(edge(cell + 1)).toBeGreaterThan(edge(cell))
  })
})

describe("the Parzen estimator", () => {
  test("is a density: it integrates to 1 over the space, cells and categories included", () => {
    const space: SearchSpace = {
      names: ["rate", "rank", "method"],
      parameter: (name) => ({ rate, rank, method })[name],
    }
    const some = [
      { rate: 0.01, rank: 4, method: "sgd" },
      { rate: 0.9, rank: 16 },
      { rate: 1e-4, method: "adam" },
      { rank: 2 },
    ]
    const parameters = new Map(space.names.map((name) => [name, coordinates(space.parameter(name, {})!)]))
    const estimator = new ParzenEstimator(some, [1, 0.5, 1, 0.2], parameters, 0.2)
    let mass = 0
    const steps = 400
    for (let i = 0; i < steps; i++)
      for (let r = 0; r < 4; r++)
        for (let m = 0; m < 3; m++)
          mass +=
            Math.exp(
              estimator.logDensity(
                new Map([
                  ["rate", (i + 0.5) / steps],
                  ["rank", r],
                  ["method", m],
                ]),
              ),
            ) / steps
    expect(mass).toBeCloseTo(1, 4)
  })

  test("draws what its density says", () => {
    const parameters = new Map([
      ["rank", coordinates(rank)],
      ["method", coordinates(method)],
    ])
    const estimator = new ParzenEstimator(
      [
        { rank: 4, method: "adam" },
        { rank: 4, method: "sgd" },
        { rank: 16, method: "adam" },
      ],
      [1, 1, 1],
      parameters,
      0.2,
    )
    const counts = new Map<string, number>()
    const n = 20_000
    for (let i = 0; i < n; i++) {
      const component = estimator.component(uniform(key(3, "component"), i))
      const place = `${estimator.draw("rank", component, key(3, "rank", i))}/${estimator.draw("method", component, key(3, "method", i))}`
      counts.set(place, (counts.get(place) ?? 0) + 1)
    }
    for (let r = 0; r < 4; r++)
      for (let m = 0; m < 3; m++) {
        const expected = Math.exp(
          estimator.logDensity(
            new Map([
              ["rank", r],
              ["method", m],
            ]),
          ),
        )
        // Five standard errors.
        expect(Math.abs((counts.get(`${r}/${m}`) ?? 0) / n - expected)).toBeLessThan(5 * Math.sqrt(expected / n) + 1e-4)
      }
  })
})

describe("a search by TPE", () => {
  it.prop(
    "proposes points of the space, none twice, whatever came out",
    [Schema.Int, Schema.Literals([1, 3, 4])],
    ([n, parallel]) => {
      const seed = Math.abs(n) % 1000
      const outcome = (point: SearchPoint, index: number): Outcome => {
        const u = uniform(key(seed, "outcome"), index)
        if (u < 0.1) return { status: "failed" }
        if (u < 0.2) return { status: "finished", score: Number.NaN }
        if (u < 0.4) return { status: "stopped", step: 1 + Math.floor(u * 50), score: u }
        return score(point)
      }
      const found = search(mixed, outcome, { trials: 32, parallel, seed })
      return (
        found.length === 32 &&
        found.every(({ point }) => inSpace(mixed, point)) &&
        new Set(found.map(({ point }) => pointKey(point))).size === 32
      )
    },
    { arbitrary: { runs: 15 } },
  )

  test("is a function of its seed; the order in which results are told does not matter", () => {
    const run = (seed: number, tell?: (told: Observation[]) => Observation[]) =>
      search(mixed, score, { trials: 40, parallel: 4, seed, ...(tell === undefined ? {} : { tell }) })
    const shuffled = (told: Observation[]) =>
      Array.from(permutation(key(told.length, "order"), told.length), (i) => told[i]!)
    expect(run(1, shuffled)).toEqual(run(1))
    expect(run(1, (told) => [...told].reverse())).toEqual(run(1))
    expect(run(2)).not.toEqual(run(1))
  })

  test("depends on earlier rounds only: cut off anywhere and begun again, it is the same search", () => {
    const whole = search(mixed, score, { trials: 40, parallel: 4 })
    for (const done of [0, 8, 20, 36]) {
      const observations: Observation[] = whole.slice(0, done)
      for (let i = done; i < done + 4; i++) {
        const point = propose(mixed, observations, i, settings)!
        expect(point).toEqual(whole[i]!.point)
        observations.push({ index: i, point })
      }
    }
  })

  test("scores count by their order alone, and a maximum is a minimum of the negative", () => {
    const monotone = search(
      mixed,
      (point) => ({ ...score(point), score: Math.exp((score(point) as { score: number }).score) }),
      {
        trials: 30,
      },
    )
    const upside = search(mixed, (point) => ({ ...score(point), score: -(score(point) as { score: number }).score }), {
      trials: 30,
      goal: "max",
    })
    const plain = search(mixed, score, { trials: 30 }).map(({ point }) => point)
    expect(monotone.map(({ point }) => point)).toEqual(plain)
    expect(upside.map(({ point }) => point)).toEqual(plain)
  })

  test("begins evenly: one candidate in each tenth of every range", () => {
    const opening = search(mixed, score, { trials: 10 }).map(({ point }) => point)
    const place = coordinates(rate).place
    expect(opening.map((point) => Math.floor(10 * place(point["rate"])!)).sort((a, b) => a - b)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    ])
  })

  test("finds a minimum, a good branch and a good category more often than chance", () => {
    const late = search(mixed, score, { trials: 60 }).slice(40)
    expect(late.filter(({ point }) => point["method"] === "sgd").length).toBeGreaterThan(14)
    const mean = (some: Observation[]) =>
      some.reduce((sum, { outcome }) => sum + (outcome as { score: number }).score, 0) / some.length
    expect(mean(late)).toBeLessThan(0.5 * mean(search(mixed, score, { trials: 10 })))
  })

  test("keeps away from where everything fails or is stopped early", () => {
    const outcome = (point: SearchPoint): Outcome =>
      (point["rate"] as number) > 0.01 ? { status: "failed" } : { status: "finished", score: 1 }
    const late = search(mixed, outcome, { trials: 60 }).slice(30)
    expect(late.filter(({ point }) => (point["rate"] as number) > 0.01).length).toBeLessThan(8)
    const halted = (point: SearchPoint): Outcome =>
      (point["rate"] as number) > 0.01 ? { status: "stopped", step: 1, score: -9 } : { status: "finished", score: 1 }
    const later = search(mixed, halted, { trials: 60 }).slice(30)
    expect(later.filter(({ point }) => (point["rate"] as number) > 0.01).length).toBeLessThan(8)
  })

  test("goes on when everything failed", () => {
    const found = search(mixed, () => ({ status: "failed" }), { trials: 15 })
    expect(new Set(found.map(({ point }) => pointKey(point))).size).toBe(15)
  })

  test("tries every point of a small space once, then ends", () => {
    const small: SearchSpace = {
      names: ["method", "momentum", "rank"],
      parameter: (name, point) =>
        name === "method"
          ? { kind: "unordered", values: ["sgd", "adam"] }
          : name === "rank"
            ? rank
            : point["method"] === "sgd"
              ? { kind: "ordered", values: [0, 0.5, 0.9] }
              : undefined,
    }
    const all = points(small)!
    expect(all).toHaveLength(16)
    const found = search(small, (_, i) => ({ status: "finished", score: i }), { trials: 100, parallel: 4 })
    expect(found.map(({ point }) => pointKey(point)).sort()).toEqual(all.map(pointKey).sort())
    expect(points(mixed)).toBeUndefined()
  })
})

test("finished before stopped before failed; the further stopped first; equals by number", () => {
  const observations: Observation[] = [
    { index: 0, point: {}, outcome: { status: "failed" } },
    { index: 1, point: {}, outcome: { status: "finished", score: Number.NaN } },
    { index: 2, point: {}, outcome: { status: "stopped", step: 3, score: 0.1 } },
    { index: 3, point: {}, outcome: { status: "stopped", step: 9, score: 0.9 } },
    { index: 4, point: {}, outcome: { status: "stopped", step: 9, score: 0.2 } },
    { index: 5, point: {}, outcome: { status: "finished", score: 5 } },
    { index: 6, point: {}, outcome: { status: "finished", score: 1 } },
    { index: 7, point: {}, outcome: { status: "finished", score: 1 } },
    { index: 8, point: {} },
    { index: 9, point: {}, outcome: { status: "finished", score: Number.NEGATIVE_INFINITY } },
  ]
  const order = (goal: Goal) => ranked([...observations].reverse(), goal).map(({ index }) => index)
  expect(order("min")).toEqual([6, 7, 5, 4, 3, 2, 0, 1, 9])
  expect(order("max")).toEqual([5, 6, 7, 3, 4, 2, 0, 1, 9])
})

const curve = (values: readonly number[], finished = true, steps = values.map((_, i) => i + 1)): Curve => ({
  points: values.map((value, i) => [steps[i]!, value]),
  finished,
})
const by = { metric: "val/accuracy", goal: "max" as const }
const walk = (judge: Judge, values: readonly number[]) => {
  for (const [i, value] of values.entries()) {
    const stop = judge.observe(i + 1, value)
    if (stop !== undefined) return stop
  }
  return undefined
}

describe("ASHA", () => {
  const rule = { _tag: "Asha", min: 1, reduction: 3 } as const
  const level = (x: number) => curve(Array.from({ length: 9 }, () => x))

  test("without earlier trials nothing is stopped", () => {
    expect(judgement(rule, [], by).limits).toEqual([])
    expect(walk(new Judge(judgement(rule, [], by)), [0, 0, 0])).toBeUndefined()
  })

  test("the best third of those at a rung, the trial itself among them, goes on", () => {
    // With five earlier trials there are six at each rung: two of them go on.
    const { limits } = judgement(rule, [0.1, 0.5, 0.4, 0.3, 0.2].map(level), by)
    expect(limits).toEqual([
      { step: 1, threshold: 0.4 },
      { step: 3, threshold: 0.4 },
    ])
    // Fewer than three: only one as good as the best.
    expect(judgement(rule, [level(0.1)], by).limits[0]).toEqual({ step: 1, threshold: 0.1 })
    // To be minimised, the other way round.
    expect(judgement(rule, [0.1, 0.5, 0.4, 0.3, 0.2].map(level), { ...by, goal: "min" }).limits[0]).toEqual({
      step: 1,
      threshold: 0.2,
    })
  })

  test("stopped trials count at the rungs they came to, and the last step is no rung", () => {
    const curves = [level(0.9), curve([0.5], false), curve([0.6, 0.6, 0.6], false), curve([], false)]
    expect(judgement(rule, curves, by).limits).toEqual([
      { step: 1, threshold: 0.9 },
      { step: 3, threshold: 0.9 },
    ])
    expect(judgement({ ...rule, max: 3 }, curves, by).limits).toHaveLength(1)
    expect(judgement(rule, [curve([0.5], false)], by).limits).toEqual([])
  })

  test("a trial stops at the first value at or after the rung that misses the limit; equals and better ones go on", () => {
    const { limits, ...rest } = judgement(rule, [level(0.5)], by)
    const judged = { ...rest, limits }
    expect(walk(new Judge(judged), [0.5, 0.1, 0.6, 0])).toBeUndefined()
    expect(walk(new Judge(judged), [0.6, 0.9, 0.4])).toMatchObject({ rung: 3, step: 3, value: 0.4, threshold: 0.5 })
    const sparse = new Judge(judged)
    expect(sparse.observe(2, 0.9)).toBeUndefined()
    expect(sparse.observe(8, 0.2)).toMatchObject({ rule: "ASHA", rung: 3, step: 8 })
    expect(new Judge(judged).observe(1, Number.NaN)).toMatchObject({ rung: 1, value: Number.NaN })
    expect(stopMessage(walk(new Judge(judged), [0.25])!)).toBe(
      "stopped early by the ASHA rule at step 1 (rung 1): val/accuracy 0.25 is worse than the limit 0.5 that earlier candidates set",
    )
  })

  it.prop("limits do not depend on the order of earlier trials", [Schema.Int], ([n]) => {
    const seed = Math.abs(n)
    const curves = Array.from({ length: 12 }, (_, i) =>
      curve(
        Array.from({ length: 1 + (i % 9) }, (_, j) => uniform(key(seed, "curve", i), j)),
        i % 3 === 0,
      ),
    )
    const shuffled = Array.from(permutation(key(seed, "order"), curves.length), (i) => curves[i]!)
    const median = { _tag: "MedianRule", after: 2, every: 2, trials: 2 } as const
    return (
      JSON.stringify(judgement(rule, shuffled, by)) === JSON.stringify(judgement(rule, curves, by)) &&
      JSON.stringify(judgement(median, shuffled, by)) === JSON.stringify(judgement(median, curves, by))
    )
  })
})

describe("the median rule", () => {
  const rule = { _tag: "MedianRule", after: 2, every: 1, trials: 3 } as const
  const three = [curve([0, 0.2, 0.4, 0.4]), curve([0.2, 0.4, 0.6, 0.6]), curve([0.4, 0.6, 0.8, 0.8])]

  test("the limit is the median of running averages of finished trials", () => {
    const { limits, by: what } = judgement(rule, three, by)
    expect(what).toBe("best")
    expect(limits.map(({ step }) => step)).toEqual([2, 3])
    expect(limits[0]!.threshold).toBeCloseTo(0.3, 12)
    expect(limits[1]!.threshold).toBeCloseTo(0.4, 12)
    expect(judgement(rule, [...three.slice(1), curve([0, 0], false)], by).limits).toEqual([])
    expect(judgement({ ...rule, every: 2 }, three, by).limits.map(({ step }) => step)).toEqual([2])
  })

  test("a trial is held to its best value so far", () => {
    const judged = judgement(rule, three, by)
    expect(walk(new Judge(judged), [0.5, 0.1, 0.1])).toBeUndefined()
    expect(walk(new Judge(judged), [0.1, 0.2, 0.9])).toMatchObject({ rule: "median rule", step: 2, value: 0.2 })
    expect(walk(new Judge(judgement(rule, three, { ...by, goal: "min" })), [0.9, 0.2, 0.5])).toBeUndefined()
  })
})

test("a recorded stop stands while the same limit would decide it again", () => {
  const rule = { _tag: "Asha", min: 1, reduction: 3 } as const
  const judged = judgement(rule, [curve([0.5, 0.5])], by)
  const stop = walk(new Judge(judged), [0.4])!
  expect(stands(stop, judged)).toBe(true)
  expect(stands(JSON.parse(JSON.stringify({ ...stop, value: Number.NaN })), judged)).toBe(true)
  expect(stands(stop, judgement(rule, [curve([0.3, 0.3])], by))).toBe(false)
  expect(stands(stop, judgement({ ...rule, min: 2 }, [curve([0.5, 0.5, 0.5])], by))).toBe(false)
  expect(stands(stop, { ...judged, metric: "val/loss" })).toBe(false)
})

test("the algorithms know nothing of experiments: they import random numbers, canonical JSON and one another", () => {
  const folder = join(import.meta.dirname, "../src/search")
  for (const file of readdirSync(folder)) {
    const text = readFileSync(join(folder, file), "utf8")
    for (const [, specifier] of text.matchAll(/from "([^"]+)"/g))
      expect(specifier, file).toMatch(/^(@exp\/random|\.\.\/identity\.ts|\.\/[a-z-]+\.ts)$/)
  }
})
