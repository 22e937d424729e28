/**
 * A Parzen estimator over points whose parameters may come and go: an even mixture of one product kernel around each
 * observed point and one that is the space itself (the prior). A parameter that an observed point does not have is
 * drawn from the prior in its component, since the point says nothing about it.
 */
import { derive, type Key, normal, uniform } from "@exp/random"
import { normalMass } from "./normal.ts"
import { type Coordinates, cellAt, type SearchPoint } from "./parameter.ts"

/** Kernels narrower than this part of the range would follow single points. */
const narrowest = 0.01
/** Cells up to this many have their kernel masses tabulated; among more, a cell is narrow beside a kernel. */
const mostTabulated = 64
const logRootTwoPi = 0.5 * Math.log(2 * Math.PI)

/** One parameter in an estimator. */
interface Dimension {
  readonly coordinates: Coordinates
  /** For each observed point: its cell or category, or its place; NaN where it does not have the parameter. */
  readonly at: Float64Array
  /** The same on the unit interval: the middle of the cell. */
  readonly centre: Float64Array
  readonly sigma: number
  /** For each observed point: minus the logarithm of the kernel's mass inside the unit interval. */
  readonly inside: Float64Array
  /** Log mass of the observed category, and of each other one. */
  readonly same: number
  readonly other: number
  /** Cell → log masses there of kernels around each cell. */
  readonly rows: Map<number, Float64Array>
}

export class ParzenEstimator {
  readonly #dimensions = new Map<string, Dimension>()
  readonly #size: number
  readonly #cumulative: Float64Array
  readonly #logWeights: Float64Array
  readonly #sums: Float64Array

  /**
   * @param points the observed points
   * @param weights one for each of them; the prior's is 1
   * @param parameters coordinates of every parameter that any point may have
   * @param width kernel width as a part of the range for a single observation in the limit of many parameters; it
   * narrows with the number of observations n as n^(-1/(d+4)) for d parameters (Scott's rule)
   */
  constructor(
    points: ReadonlyArray<SearchPoint>,
    weights: ReadonlyArray<number>,
    parameters: ReadonlyMap<string, Coordinates>,
    width: number,
  ) {
    const size = points.length
    this.#size = size
    this.#sums = new Float64Array(size + 1)
    this.#cumulative = new Float64Array(size + 1)
    let total = 0
    for (let i = 0; i <= size; i++) this.#cumulative[i] = total += i < size ? weights[i]! : 1
    this.#logWeights = Float64Array.from({ length: size + 1 }, (_, i) => Math.log((i < size ? weights[i]! : 1) / total))
    for (const [name, coordinates] of parameters) {
      const at = new Float64Array(size).fill(Number.NaN)
      let present = 0
      for (let i = 0; i < size; i++) {
        const value = points[i]![name]
        const place = value === undefined ? undefined : coordinates.place(value)
        if (place === undefined) continue
        at[i] = place
        present++
      }
      const { cells, edge } = coordinates
      const scott = width * Math.max(1, present) ** (-1 / (parameters.size + 4))
      // Between cells there must remain a way from one to the next.
      const sigma = Math.max(narrowest, scott, cells === undefined ? 0 : 0.5 / cells)
      const centre = cells === undefined ? at : new Float64Array(size)
      const inside = new Float64Array(size)
      for (let i = 0; i < size; i++) {
        const x = cells === undefined ? at[i]! : (edge(at[i]!) + edge(at[i]! + 1)) / 2
        centre[i] = x
        // Six deviations from both ends nothing is outside.
        if (x < 6 * sigma || x > 1 - 6 * sigma) inside[i] = -Math.log(normalMass(-x / sigma, (1 - x) / sigma))
      }
      const smoothing = 1 / (present + 1)
      const categories = cells ?? 1
      this.#dimensions.set(name, {
        coordinates,
        at,
        centre,
        sigma,
        inside,
        same: Math.log((1 + smoothing) / (1 + categories * smoothing)),
        other: Math.log(smoothing / (1 + categories * smoothing)),
        rows: new Map(),
      })
    }
  }

  /** The component that a uniform number falls on. */
  component(u: number): number {
    const target = u * this.#cumulative[this.#size]!
    const found = this.#cumulative.findIndex((sum) => target < sum)
    return found < 0 ? this.#size : found
  }

  /** A place (or cell) of a parameter, drawn from a component. */
  draw(name: string, component: number, stream: Key): number {
    const { coordinates, at, centre, sigma, other } = this.#dimensions.get(name)!
    const { cells, parameter } = coordinates
    const around = component < this.#size ? centre[component]! : Number.NaN
    if (Number.isNaN(around)) {
      const u = uniform(stream)
      return cells === undefined ? u : cellAt(coordinates, u)
    }
    if (parameter.kind === "unordered") {
      // Every category has the mass of an unobserved one; what remains is the observed one's.
      const category = Math.floor(uniform(stream) / Math.exp(other))
      return category < cells! ? category : at[component]!
    }
    const draws = derive(stream, "kernel")
    let x = around
    // At least a third of the kernel lies inside, since its centre does and it is no wider than the interval.
    for (let i = 0; i < 1000; i++) {
      x = around + sigma * normal(draws, i)
      if (x >= 0 && x <= 1) break
    }
    x = Math.min(1, Math.max(0, x))
    return cells === undefined ? x : cellAt(coordinates, x)
  }

  /** Logarithm of the density at a point, given as places by parameter name; in cells and categories, of the mass. */
  logDensity(point: ReadonlyMap<string, number>): number {
    const sums = this.#sums
    const size = this.#size
    sums.set(this.#logWeights)
    for (const [name, x] of point) {
      const { coordinates, at, centre, sigma, inside, same, other, rows } = this.#dimensions.get(name)!
      const { cells, parameter, edge } = coordinates
      if (parameter.kind === "unordered") {
        const prior = -Math.log(cells!)
        for (let i = 0; i < size; i++) {
          const a = at[i]!
          sums[i] = sums[i]! + (a === x ? same : Number.isNaN(a) ? prior : other)
        }
        sums[size] = sums[size]! + prior
        continue
      }
      const prior = cells === undefined ? 0 : Math.log(edge(x + 1) - edge(x))
      if (cells !== undefined && cells <= mostTabulated) {
        const row = rowOf(rows, x, cells, edge, sigma)
        for (let i = 0; i < size; i++) {
          const a = at[i]!
          sums[i] = sums[i]! + (Number.isNaN(a) ? prior : row[a]! + inside[i]!)
        }
      } else {
        const middle = cells === undefined ? x : (edge(x) + edge(x + 1)) / 2
        const scale = prior - Math.log(sigma) - logRootTwoPi
        const narrow = 1 / sigma
        for (let i = 0; i < size; i++) {
          const a = centre[i]!
          if (Number.isNaN(a)) sums[i] = sums[i]! + prior
          else {
            const z = (middle - a) * narrow
            sums[i] = sums[i]! + scale + inside[i]! - 0.5 * z * z
          }
        }
      }
      sums[size] = sums[size]! + prior
    }
    let most = Number.NEGATIVE_INFINITY
    for (let i = 0; i <= size; i++) if (sums[i]! > most) most = sums[i]!
    let sum = 0
    for (let i = 0; i <= size; i++) {
      const below = sums[i]! - most
      // What is smaller vanishes beside the greatest.
      if (below > -40) sum += Math.exp(below)
    }
    return most + Math.log(sum)
  }
}

/** Log masses in cell `x` of normal kernels around the middle of each cell, computed once per cell. */
function rowOf(
  rows: Map<number, Float64Array>,
  x: number,
  cells: number,
  edge: (cell: number) => number,
  sigma: number,
): Float64Array {
  const known = rows.get(x)
  if (known !== undefined) return known
  const [low, high] = [edge(x), edge(x + 1)]
  const row = Float64Array.from({ length: cells }, (_, cell) => {
    const centre = (edge(cell) + edge(cell + 1)) / 2
    // Far from the kernel the mass underflows; its logarithm must not become minus infinity.
    return Math.log(Math.max(1e-300, normalMass((low - centre) / sigma, (high - centre) / sigma)))
  })
  rows.set(x, row)
  return row
}
