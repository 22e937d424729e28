import { describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { expect, test } from "vitest"
import { expand, type Point } from "../src/expand.ts"
import { byArm, choice, logUniform, range, type SpecIssue, uniform, when } from "../src/spec.ts"

const points = (
  space: Record<string, unknown>,
  options: { arm?: string; budget?: number; issues?: SpecIssue[] } = {},
) =>
  expand(space, {
    arm: options.arm ?? "a",
    at: "sweep",
    place: () => "sweep",
    lookUp: (path, point) => point[path],
    issue: (issue) => options.issues?.push(issue),
    ...(options.budget === undefined ? {} : { budget: options.budget }),
  })
const column = (space: Record<string, unknown>, path: string, options?: { arm?: string; budget?: number }) =>
  points(space, options).map((point) => point[path])

describe("spaces", () => {
  test("lists make a grid, the last axis moving fastest", () => {
    expect(points({ a: [1, 2], b: ["x", "y"] })).toEqual([
      { a: 1, b: "x" },
      { a: 1, b: "y" },
      { a: 2, b: "x" },
      { a: 2, b: "y" },
    ])
    expect(points({})).toEqual([{}])
  })

  test("ranges include both ends and are free of rounding noise", () => {
    expect(column({ a: range(0, 0.5, { step: 0.1 }) }, "a")).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    expect(column({ a: range(0, 1, { step: 0.4 }) }, "a")).toEqual([0, 0.4, 0.8])
    expect(column({ a: range(5, 1, { step: -2 }) }, "a")).toEqual([5, 3, 1])
    expect(column({ a: range(1, 2, { count: 5 }) }, "a")).toEqual([1, 1.25, 1.5, 1.75, 2])
    expect(column({ a: range(7, 9, { count: 1 }) }, "a")).toEqual([7])
  })

  test("drawn numbers stay within bounds and follow their scale", () => {
    const log = column({ a: logUniform(1e-4, 1, { samples: 4000 }) }, "a") as number[]
    expect(log.every((x) => x >= 1e-4 && x <= 1)).toBe(true)
    // A quarter of the draws in each of the four decades; four standard deviations of a binomial count are 110.
    for (let decade = -4; decade < 0; decade++) {
      const inside = log.filter((x) => x >= 10 ** decade && x < 10 ** (decade + 1)).length
      expect(Math.abs(inside - 1000)).toBeLessThan(110)
    }
    const linear = column({ a: uniform(10, 20, { samples: 4000 }) }, "a") as number[]
    // Four standard errors of the mean of 4000 draws: 4 · (10 / √12) / √4000.
    expect(Math.abs(linear.reduce((sum, x) => sum + x, 0) / 4000 - 15)).toBeLessThan(0.183)
    expect(
      column({ a: uniform(1, 3, { samples: 50, integer: true }) }, "a").every((x) => [1, 2, 3].includes(x as number)),
    ).toBe(true)
  })

  test("draws depend on path and seed, not on the arm or on other axes", () => {
    const space = { a: logUniform(1, 9, { samples: 3 }) }
    expect(column(space, "a", { arm: "x" })).toEqual(column(space, "a", { arm: "y" }))
    expect([...new Set(column({ ...space, b: [1, 2] }, "a"))]).toEqual(column(space, "a"))
    expect(column({ a: logUniform(1, 9, { samples: 3, seed: 1 }) }, "a")).not.toEqual(column(space, "a"))
    expect(column({ b: logUniform(1, 9, { samples: 3 }) }, "b")).not.toEqual(column(space, "a"))
    // Known values: a change here changes the trials of published experiments.
    expect(column(space, "a")).toMatchInlineSnapshot(`
      [
        1.32634,
        6.79834,
        2.01582,
      ]
    `)
  })

  test("choice draws without replacement, in the order of its list", () => {
    const drawn = column({ a: choice([1, 2, 3, 4, 5, 6], { samples: 3 }) }, "a") as number[]
    expect(new Set(drawn).size).toBe(3)
    expect(drawn).toEqual(drawn.toSorted((x, y) => x - y))
    expect(column({ a: choice(["x", "y"]) }, "a")).toEqual(["x", "y"])
  })

  test("conditions on the arm and on other fields", () => {
    const space = { kind: ["sgd", "adam"], momentum: when({ kind: "sgd" }, [0, 0.9]), rank: when(["lora"], [2, 4]) }
    expect(points(space)).toEqual([{ kind: "sgd", momentum: 0 }, { kind: "sgd", momentum: 0.9 }, { kind: "adam" }])
    expect(points(space, { arm: "lora" })).toHaveLength(6)
    const rates = { rate: byArm({ full: [0.1] }, [1, 10]) }
    expect(column(rates, "rate", { arm: "full" })).toEqual([0.1])
    expect(column(rates, "rate", { arm: "lora" })).toEqual([1, 10])
    expect(points({ rate: byArm({ full: [0.1] }) }, { arm: "lora" })).toEqual([{}])
  })

  test("a budget draws that many different points of a grid, and whole points of a continuous space", () => {
    const grid = { a: [1, 2, 3, 4], b: [1, 2, 3, 4] }
    const some = points(grid, { budget: 5 })
    expect(new Set(some.map((point) => JSON.stringify(point))).size).toBe(5)
    const all = points(grid).map((point) => JSON.stringify(point))
    expect(some.every((point) => all.includes(JSON.stringify(point)))).toBe(true)
    const joint = points({ rate: logUniform(1e-4, 1), rank: [1, 2, 4] }, { budget: 30 })
    expect(joint).toHaveLength(30)
    expect(new Set(joint.map((point) => point["rate"])).size).toBe(30)
    expect(new Set(joint.map((point) => point["rank"])).size).toBe(3)
  })

  test("a space too large to mean is refused instead of filling the memory", () => {
    const issues: SpecIssue[] = []
    const axis = range(1, 1000, { count: 1000 })
    expect(points({ a: axis, b: axis, c: axis }, { issues })).toEqual([])
    expect(issues.map((issue) => issue.expected)).toEqual(["a space of at most 100000 points"])
  })

  it.prop(
    "expansion is pure, and a grid has as many different points as the product of its lists",
    { a: Schema.Array(Schema.Int), b: Schema.Array(Schema.String) },
    ({ a, b }) => {
      const space = { a: [...new Set(a)], b: [...new Set(b)] }
      if (space.a.length === 0 || space.b.length === 0) return true
      const before = JSON.stringify(space)
      const first: ReadonlyArray<Point> = points(space)
      return (
        JSON.stringify(points(space)) === JSON.stringify(first) &&
        JSON.stringify(space) === before &&
        new Set(first.map((point) => JSON.stringify(point))).size === space.a.length * space.b.length
      )
    },
  )
})
