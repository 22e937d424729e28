import { uniform as draw, integer, key, permutation } from "@exp/random"
import { type SpecIssue, show } from "./errors.ts"
import { canonicalJson } from "./identity.ts"
import type { Parameter, SearchSpace } from "./search/parameter.ts"
import type { ByArm, Choice, Range, Uniform, When } from "./space.ts"

/** One point of a space: dotted path → value. */
export type Point = Readonly<Record<string, unknown>>

/** More points than anyone means to run: expansion stops there and says so. */
const mostPoints = 100_000

const rounded = (x: number, digits: number) => Number(x.toPrecision(digits))

type Axis = ReadonlyArray<unknown> | Choice<unknown> | Range | Uniform

const tagOf = (axis: unknown): string | undefined =>
  typeof axis === "object" && axis !== null && "_tag" in axis && typeof axis._tag === "string" ? axis._tag : undefined

/** What is wrong with an axis taken by itself, as (expected, got); undefined when nothing is. */
function flaw(axis: unknown, needsSamples: boolean): Pick<SpecIssue, "expected" | "got"> | undefined {
  if (Array.isArray(axis)) return axis.length > 0 ? undefined : { expected: "at least one value", got: "an empty list" }
  const numbers = (...values: ReadonlyArray<unknown>) =>
    values.every((v) => typeof v === "number" && Number.isFinite(v))
  const count = (n: unknown) => Number.isSafeInteger(n) && (n as number) >= 1
  switch (tagOf(axis)) {
    case "Range": {
      const { from, to, step, count: points } = axis as Range
      if (!numbers(from, to)) return { expected: "finite bounds", got: `range(${from}, ${to})` }
      if (step !== undefined && (!numbers(step) || step === 0 || (to - from) * step < 0))
        return {
          expected: "a step that leads from the first bound to the second",
          got: `range(${from}, ${to}, { step: ${step} })`,
        }
      if (step === undefined && !count(points))
        return { expected: "a step or a count of at least 1", got: `count ${show(points)}` }
      const n = step === undefined ? points! : Math.abs((to - from) / step) + 1
      return n > mostPoints ? { expected: `at most ${mostPoints} points`, got: String(Math.floor(n)) } : undefined
    }
    case "Uniform": {
      const { from, to, samples, scale } = axis as Uniform
      const name = scale === "log" ? "logUniform" : "uniform"
      if (!numbers(from, to) || from > to)
        return { expected: "finite bounds in rising order", got: `${name}(${from}, ${to})` }
      if (scale === "log" && from <= 0)
        return { expected: "bounds above 0 on a logarithmic scale", got: `${name}(${from}, ${to})` }
      if (samples === undefined && needsSamples)
        return {
          expected: "samples, the number of values to draw (or a budget, in tune)",
          got: `${name}(${from}, ${to})`,
        }
      return samples === undefined || count(samples)
        ? undefined
        : { expected: "samples of at least 1", got: show(samples) }
    }
    case "Choice": {
      const { values, samples } = axis as Choice<unknown>
      if (!Array.isArray(values) || values.length === 0)
        return { expected: "at least one value to choose from", got: show(values) }
      if (samples !== undefined && (!count(samples) || samples > values.length))
        return { expected: `samples between 1 and ${values.length}, the number of values`, got: show(samples) }
      return undefined
    }
    default:
      return { expected: "a list of values, range, uniform, logUniform, choice, when or byArm", got: show(axis) }
  }
}

function drawn(axis: Uniform, path: string, i: number): number {
  const u = draw(key(axis.seed, "space", path), i)
  const raw =
    axis.scale === "log"
      ? Math.exp(Math.log(axis.from) + u * (Math.log(axis.to) - Math.log(axis.from)))
      : axis.from + u * (axis.to - axis.from)
  // Rounded, so that the last bits of exp and log, which differ between machines, never reach a trial's identity.
  const value = axis.integer ? Math.round(raw) : rounded(raw, 6)
  return Math.min(axis.to, Math.max(axis.from, value))
}

function valuesOf(axis: Axis, path: string): ReadonlyArray<unknown> {
  if (!("_tag" in axis)) return axis
  switch (axis._tag) {
    case "Range": {
      const { from, to, step, count } = axis
      if (step !== undefined) {
        const n = Math.floor((to - from) / step + 1e-9) + 1
        return Array.from({ length: n }, (_, i) => rounded(from + i * step, 12))
      }
      if (count === 1) return [from]
      return Array.from({ length: count! }, (_, i) => rounded(from + ((to - from) * i) / (count! - 1), 12))
    }
    case "Uniform":
      return Array.from({ length: axis.samples! }, (_, i) => drawn(axis, path, i))
    case "Choice": {
      if (axis.samples === undefined) return axis.values
      const order = permutation(key(axis.seed, "choice", path), axis.values.length)
        .slice(0, axis.samples)
        .sort()
      return Array.from(order, (i) => axis.values[i])
    }
  }
}

/** Where a space is expanded, and how. */
export interface Expansion {
  readonly arm: string
  /** The value of another field at this point, for `when`. */
  readonly lookUp: (path: string, point: Point) => unknown
  /** Draw this many whole points instead of taking the grid. */
  readonly budget?: number
  /** Where the space stands in the declaration, for issues. */
  readonly at: string
  /** Where the axis of a path stands. */
  readonly place: (path: string) => string
  readonly issue: (issue: SpecIssue) => void
}

/** The axis for this arm and point with `when` and `byArm` resolved; undefined where the field is left alone. */
function resolve(axis: unknown, point: Point, how: Expansion): unknown {
  if (tagOf(axis) === "ByArm") {
    const { arms, otherwise } = axis as ByArm<unknown>
    const mine = Object.hasOwn(arms, how.arm) ? arms[how.arm] : otherwise
    return mine === undefined ? undefined : resolve(mine, point, how)
  }
  if (tagOf(axis) === "When") {
    const condition = axis as When<unknown>
    if (condition.arms !== undefined && !condition.arms.includes(how.arm)) return undefined
    for (const [path, wanted] of Object.entries(condition.where ?? {})) {
      const actual = canonicalJson(how.lookUp(path, point) ?? null)
      const anyOf: ReadonlyArray<unknown> = Array.isArray(wanted) ? wanted : [wanted]
      if (!anyOf.some((value) => canonicalJson(value) === actual)) return undefined
    }
    return resolve(condition.axis, point, how)
  }
  return axis
}

function isContinuous(axis: unknown): boolean {
  const inner = axis as { arms?: Record<string, unknown>; otherwise?: unknown; axis?: unknown; samples?: number }
  switch (tagOf(axis)) {
    case "Uniform":
      return inner.samples === undefined
    case "When":
      return isContinuous(inner.axis)
    case "ByArm":
      return [...Object.values(inner.arms ?? {}), inner.otherwise].some(isContinuous)
    default:
      return false
  }
}

/**
 * The points of a space for one arm, in the order of its declaration, the last axis moving fastest. A pure function:
 * drawn values depend on their path, their seed and their number alone, so all arms are tried with the same ones.
 *
 * With a budget, a finite space gives that many of its points, drawn without replacement; a space with an axis without
 * `samples` gives that many points with every axis drawn by itself.
 */
export function expand(space: Readonly<Record<string, unknown>>, how: Expansion): ReadonlyArray<Point> {
  const paths = Object.keys(space)
  const joint = how.budget !== undefined && paths.some((path) => isContinuous(space[path]))
  const flawed = new Set<string>()
  const axisAt = (path: string, point: Point): Axis | undefined => {
    const axis = resolve(space[path], point, how)
    if (axis === undefined || flawed.has(path)) return undefined
    const wrong = flaw(axis, !joint)
    if (wrong === undefined) return axis as Axis
    flawed.add(path)
    how.issue({ path: `${how.place(path)}.${path}`, ...wrong })
    return undefined
  }
  if (joint) {
    return Array.from({ length: how.budget! }, (_, i) => {
      let point: Point = {}
      for (const path of paths) {
        const axis = axisAt(path, point)
        if (axis === undefined) continue
        let value: unknown
        if ("_tag" in axis && axis._tag === "Uniform" && axis.samples === undefined) value = drawn(axis, path, i)
        else {
          const values = valuesOf(axis, path)
          value = values[integer(key(0, "space", path), values.length, i)]
        }
        point = { ...point, [path]: value }
      }
      return point
    })
  }
  let points: ReadonlyArray<Point> = [{}]
  for (const path of paths) {
    const next: Point[] = []
    for (const point of points) {
      const axis = axisAt(path, point)
      if (axis === undefined) next.push(point)
      else for (const value of valuesOf(axis, path)) next.push({ ...point, [path]: value })
      if (next.length > mostPoints) {
        how.issue({ path: how.at, expected: `a space of at most ${mostPoints} points`, got: "more" })
        return []
      }
    }
    points = next
  }
  if (how.budget === undefined || flawed.size > 0 || how.budget === points.length) return points
  if (how.budget > points.length) {
    how.issue({
      path: `${how.at}`,
      expected: `at least as many points as the budget of ${how.budget}`,
      got: `${points.length} for arm ${JSON.stringify(how.arm)}`,
    })
    return points
  }
  const kept = permutation(key(0, "budget", ...paths), points.length)
    .slice(0, how.budget)
    .sort()
  return Array.from(kept, (i) => points[i]!)
}

const parameters = new WeakMap<object, Parameter>()

/** An axis as a searched parameter: numbers as they are drawn, else its values, in order where they rise or fall. */
function parameterOf(axis: Axis, path: string): Parameter {
  const known = parameters.get(axis)
  if (known !== undefined) return known
  let made: Parameter
  if ("_tag" in axis && axis._tag === "Uniform" && axis.samples === undefined) {
    const { from, to, scale, integer } = axis
    made = { kind: "number", from, to, scale, integer }
  } else {
    const byText = new Map(valuesOf(axis, path).map((value) => [canonicalJson(value ?? null), value]))
    const values = [...byText.values()]
    const steps = values.slice(1).map((value, i) => Math.sign(Number(value) - Number(values[i])))
    const ordered = values.every((value) => typeof value === "number") && steps.every((s) => s !== 0 && s === steps[0])
    made = { kind: ordered ? "ordered" : "unordered", values }
  }
  parameters.set(axis, made)
  return made
}

/**
 * A space of axes as one that can be searched, for one arm. Axes without `samples` are searched as a whole; those with
 * some are the values drawn. Flawed axes are reported when a point first comes to them, and left out.
 */
export function searchSpace(space: Readonly<Record<string, unknown>>, how: Expansion): SearchSpace {
  const flawed = new Set<string>()
  return {
    names: Object.keys(space),
    parameter(path, point) {
      const axis = resolve(space[path], point, how)
      if (axis === undefined || flawed.has(path)) return undefined
      const wrong = flaw(axis, false)
      if (wrong === undefined) return parameterOf(axis as Axis, path)
      flawed.add(path)
      how.issue({ path: `${how.place(path)}.${path}`, ...wrong })
      return undefined
    },
  }
}

/** A parameter in a few words: `0.0001 … 0.1 (log)`, `2 | 4 | 8`. */
export function describeParameter(parameter: Parameter): string {
  if (parameter.kind !== "number") return parameter.values.map(show).join(" | ")
  const kind = [parameter.scale === "log" ? "log" : "", parameter.integer ? "whole" : ""].filter((w) => w !== "")
  return `${parameter.from} … ${parameter.to}${kind.length === 0 ? "" : ` (${kind.join(", ")})`}`
}

/** The arms and config paths that the conditions of an axis name, to be checked for misspellings. */
export function namesIn(axis: unknown): {
  readonly arms: ReadonlyArray<string>
  readonly paths: ReadonlyArray<string>
} {
  if (tagOf(axis) === "ByArm") {
    const { arms, otherwise } = axis as ByArm<unknown>
    const inner = [...Object.values(arms), otherwise].map(namesIn)
    return { arms: [...Object.keys(arms), ...inner.flatMap((i) => i.arms)], paths: inner.flatMap((i) => i.paths) }
  }
  if (tagOf(axis) === "When") {
    const { arms, where, axis: conditional } = axis as When<unknown>
    const inner = namesIn(conditional)
    return { arms: [...(arms ?? []), ...inner.arms], paths: [...Object.keys(where ?? {}), ...inner.paths] }
  }
  return { arms: [], paths: [] }
}
