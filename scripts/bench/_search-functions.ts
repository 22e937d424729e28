/** Functions to be minimised, with their spaces and least values; `_optuna_search.py` has the same ones. */
import type { Parameter, SearchPoint, SearchSpace } from "@exp/spec/search/parameter"

export interface SearchFunction {
  readonly name: string
  readonly space: SearchSpace
  readonly value: (point: SearchPoint) => number
  readonly least: number
  /** A point at which both implementations are compared. */
  readonly probe: SearchPoint
}

const between = (
  from: number,
  to: number,
  more: { readonly scale?: "log"; readonly integer?: true } = {},
): Parameter => ({
  kind: "number",
  from,
  to,
  scale: "linear",
  integer: false,
  ...more,
})
const names = (d: number) => Array.from({ length: d }, (_, i) => `x${i}`)
const box = (d: number, from: number, to: number): SearchSpace => {
  const side = between(from, to)
  return { names: names(d), parameter: () => side }
}
const vector = (point: SearchPoint): number[] => Object.values(point) as number[]
const probe = (d: number): SearchPoint => Object.fromEntries(names(d).map((name, i) => [name, 0.25 + 0.125 * i]))

/** Σ (x − 1)². */
const sphere = (d: number): SearchFunction => ({
  name: `sphere-${d}d`,
  space: box(d, -5, 5),
  value: (point) => vector(point).reduce((sum, x) => sum + (x - 1) ** 2, 0),
  least: 0,
  probe: probe(d),
})

/** Rosenbrock's curved valley. */
const rosenbrock = (d: number): SearchFunction => ({
  name: `rosenbrock-${d}d`,
  space: box(d, -2, 2),
  value: (point) => {
    const x = vector(point)
    let sum = 0
    for (let i = 0; i + 1 < d; i++) sum += 100 * (x[i + 1]! - x[i]! ** 2) ** 2 + (1 - x[i]!) ** 2
    return sum
  },
  least: 0,
  probe: probe(d),
})

const braninSides: Readonly<Record<string, Parameter>> = { x0: between(-5, 10), x1: between(0, 15) }
/** Branin's function: three equal minima. */
const branin: SearchFunction = {
  name: "branin-2d",
  space: { names: names(2), parameter: (name) => braninSides[name] },
  value: (point) => {
    const [x, y] = vector(point) as [number, number]
    const valley = y - (5.1 / (4 * Math.PI ** 2)) * x ** 2 + (5 / Math.PI) * x - 6
    return valley ** 2 + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10
  },
  least: 0.39788735772973816,
  probe: probe(2),
}

const hartmannA = [
  [10, 3, 17, 3.5, 1.7, 8],
  [0.05, 10, 17, 0.1, 8, 14],
  [3, 3.5, 1.7, 10, 17, 8],
  [17, 8, 0.05, 10, 0.1, 14],
]
const hartmannP = [
  [1312, 1696, 5569, 124, 8283, 5886],
  [2329, 4135, 8307, 3736, 1004, 9991],
  [2348, 1451, 3522, 2883, 3047, 6650],
  [4047, 8828, 8732, 5743, 1091, 381],
]
/** Hartmann's function of six variables. */
const hartmann: SearchFunction = {
  name: "hartmann-6d",
  space: box(6, 0, 1),
  value: (point) => {
    const x = vector(point)
    return -[1, 1.2, 3, 3.2].reduce((sum, height, i) => {
      const distance = hartmannA[i]!.reduce((s, a, j) => s + a * (x[j]! - hartmannP[i]![j]! / 1e4) ** 2, 0)
      return sum + height * Math.exp(-distance)
    }, 0)
  },
  least: -3.322368011391339,
  probe: probe(6),
}

const mixedSides: Readonly<Record<string, Parameter>> = {
  rate: between(1e-5, 1, { scale: "log" }),
  depth: between(1, 12, { integer: true }),
  optimizer: { kind: "unordered", values: ["sgd", "adam", "none"] },
  momentum: between(0, 1),
  beta: between(0.5, 0.999),
  activation: { kind: "unordered", values: ["relu", "gelu", "tanh", "silu"] },
}
const activationLoss: Readonly<Record<string, number>> = { relu: 0.3, gelu: 0, tanh: 0.8, silu: 0.1 }
/** Like the tuning of a network: a rate on a logarithmic scale, a whole number, two categories, two conditional fields. */
const mixed: SearchFunction = {
  name: "mixed-conditional",
  space: {
    names: Object.keys(mixedSides),
    parameter: (name, point) =>
      (name === "momentum" && point["optimizer"] !== "sgd") || (name === "beta" && point["optimizer"] !== "adam")
        ? undefined
        : mixedSides[name],
  },
  value: (point) => {
    const rate = Math.log10(point["rate"] as number)
    const inner =
      point["optimizer"] === "sgd"
        ? (rate + 1.2) ** 2 + 4 * ((point["momentum"] as number) - 0.9) ** 2 + 0.05
        : point["optimizer"] === "adam"
          ? (rate + 3) ** 2 + 20 * ((point["beta"] as number) - 0.9) ** 2
          : 1 + 0.2 * (rate + 2) ** 2
    return inner + 0.05 * ((point["depth"] as number) - 7) ** 2 + activationLoss[point["activation"] as string]!
  },
  least: 0,
  probe: { rate: 0.01, depth: 4, optimizer: "sgd", momentum: 0.5, activation: "silu" },
}

export const searchFunctions: readonly SearchFunction[] = [
  sphere(5),
  rosenbrock(2),
  rosenbrock(4),
  branin,
  hartmann,
  mixed,
]
