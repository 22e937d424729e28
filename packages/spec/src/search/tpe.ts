/**
 * The tree-structured Parzen estimator of Bergstra, Bardenet, Bengio and Kégl, "Algorithms for hyper-parameter
 * optimization" (NIPS 2011): candidates are drawn from the density l(x) of the better observations, and the one with
 * the greatest l(x) / g(x) is proposed, g being the density of the others; that ratio rises with the expected
 * improvement (their eq. 6).
 *
 * Here l and g are joint densities over all parameters (as in Falkner, Klein and Hutter, BOHB, ICML 2018), so that what
 * goes well together is found together. Scores count by their order alone.
 */
import { derive, integer, type Key, key, permutation, uniform } from "@exp/random"
import { type Goal, type Observation, ranked } from "./observation.ts"
import {
  type Coordinates,
  coordinates,
  type Parameter,
  type SearchPoint,
  type SearchSpace,
  valueAtQuantile,
} from "./parameter.ts"
import { ParzenEstimator } from "./parzen.ts"
import { pointKey, points } from "./points.ts"

/** How a search goes about it. */
export interface TpeSettings {
  readonly seed: number
  /** So many candidates come first that spread over the space evenly (a Latin hypercube), before any is inferred. */
  readonly startup: number
  /** The better part of the observations: `quantile` of them, at most 25 (γ of the paper). */
  readonly quantile: number
  /** Candidates drawn from l(x) for each proposal. */
  readonly draws: number
  readonly goal: Goal
}

export const tpeDefaults = { seed: 0, startup: 10, quantile: 0.15, draws: 24 } as const

/** The better observations are never more than this, so that late in a search l(x) still narrows. */
const mostBetter = 25
/** Observations beyond the last so many weigh less the older they are. */
const fullWeight = 25
/** Kernel width as a part of a parameter's range; see {@link ParzenEstimator}. */
const kernelWidth = 0.07

/**
 * The candidate number `index` of a search. A pure function of its arguments: not of the order of the observations, nor
 * of when they came. Observations without an outcome are under way; the proposal keeps away from them. A point that was
 * proposed before is not proposed again.
 *
 * @param observations candidates proposed so far
 * @returns the point; undefined when every point of a finite space has been proposed
 */
export function propose(
  space: SearchSpace,
  observations: ReadonlyArray<Observation>,
  index: number,
  settings: TpeSettings,
): SearchPoint | undefined {
  const seen = new Set(observations.map(({ point }) => pointKey(point)))
  const stream = key(settings.seed, "tpe", index)
  const order = ranked(observations, settings.goal)
  const known = order.some(({ outcome }) => outcome?.status !== "failed")
  if (index < settings.startup || !known) {
    const point = spread(space, index, settings, stream)
    return seen.has(pointKey(point)) ? fresh(space, seen, stream) : point
  }
  const better = Math.min(mostBetter, Math.ceil(settings.quantile * order.length))
  const pending = observations.filter(({ outcome }) => outcome === undefined)
  const others = [...order.slice(better), ...pending].sort((a, b) => a.index - b.index)
  const parameters = parametersOf(space, observations)
  const estimate = (some: ReadonlyArray<Observation>, weights: ReadonlyArray<number>) =>
    new ParzenEstimator(
      some.map(({ point }) => point),
      weights,
      parameters,
      kernelWidth,
    )
  const l = estimate(order.slice(0, better), weightsByRank(better))
  const g = estimate(others, weightsByAge(others.length))
  let best: SearchPoint | undefined
  let most = Number.NEGATIVE_INFINITY
  for (let draw = 0; draw < settings.draws; draw++) {
    const draws = derive(stream, draw)
    const component = l.component(uniform(derive(draws, "component")))
    const places = new Map<string, number>()
    const point = walk(space, (name, parameter) => {
      const own = derive(draws, "value", name)
      const coordinates = parameters.get(name)
      if (coordinates === undefined) return valueAtQuantile(coordinatesOf(parameter), uniform(own))
      const value = coordinates.value(l.draw(name, component, own))
      places.set(name, coordinates.place(value)!)
      return value
    })
    const gain = l.logDensity(places) - g.logDensity(places)
    if (gain > most && !seen.has(pointKey(point))) {
      best = point
      most = gain
    }
  }
  return best ?? fresh(space, seen, stream)
}

/** Decides the parameters of a space one after another: the point, whose parameters are those that apply to it. */
export function walk(space: SearchSpace, decide: (name: string, parameter: Parameter) => unknown): SearchPoint {
  const point: Record<string, unknown> = {}
  for (const name of space.names) {
    const parameter = space.parameter(name, point)
    if (parameter !== undefined) point[name] = decide(name, parameter)
  }
  return point
}

const made = new WeakMap<Parameter, Coordinates>()
const coordinatesOf = (parameter: Parameter): Coordinates => {
  let found = made.get(parameter)
  if (found === undefined) {
    found = coordinates(parameter)
    made.set(parameter, found)
  }
  return found
}

/** Coordinates of every parameter that some observation has. */
function parametersOf(space: SearchSpace, observations: ReadonlyArray<Observation>): ReadonlyMap<string, Coordinates> {
  const found = new Map<string, Coordinates>()
  for (const name of space.names) {
    const having = observations.find(({ point }) => Object.hasOwn(point, name))
    const parameter = having && space.parameter(name, having.point)
    if (parameter !== undefined) found.set(name, coordinatesOf(parameter))
  }
  return found
}

/** A point of the opening: in each parameter, one of `startup` equal parts of its range, each of them taken once. */
function spread(space: SearchSpace, index: number, { seed, startup }: TpeSettings, stream: Key): SearchPoint {
  return walk(space, (name, parameter) => {
    const u = uniform(derive(stream, "opening", name))
    if (index >= startup) return valueAtQuantile(coordinatesOf(parameter), u)
    const part = permutation(key(seed, "opening", name), startup)[index]!
    return valueAtQuantile(coordinatesOf(parameter), (part + u) / startup)
  })
}

/** A random point that was not proposed before. */
function fresh(space: SearchSpace, seen: ReadonlySet<string>, stream: Key): SearchPoint | undefined {
  for (let attempt = 0; attempt < 100; attempt++) {
    const draws = derive(stream, "fresh", attempt)
    const point = walk(space, (name, parameter) =>
      valueAtQuantile(coordinatesOf(parameter), uniform(derive(draws, name))),
    )
    if (!seen.has(pointKey(point))) return point
  }
  const left = points(space)?.filter((point) => !seen.has(pointKey(point))) ?? []
  return left[integer(derive(stream, "left"), left.length)]
}

/**
 * The best of n observations weighs most, as log((n + 1) / rank), one on average: what the weights by improvement of
 * Watanabe (arXiv 2304.11127, §3.2.3) are for, while scores still count by their order alone.
 */
function weightsByRank(n: number): ReadonlyArray<number> {
  const raw = Array.from({ length: n }, (_, rank) => Math.log((n + 1) / (rank + 1)))
  const mean = raw.reduce((sum, weight) => sum + weight, 0) / n
  return raw.map((weight) => weight / mean)
}

/** Full weight for the latest observations, rising to it from 1/n for the oldest. */
function weightsByAge(n: number): ReadonlyArray<number> {
  const older = n - fullWeight
  return Array.from({ length: n }, (_, i) => (i >= older ? 1 : 1 / n + (1 - 1 / n) * (older > 1 ? i / (older - 1) : 0)))
}
