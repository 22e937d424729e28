/** What a searched field may be, and its place on the unit interval, where the densities live. */

/** Numbers between two bounds, both included. */
export interface NumberParameter {
  readonly kind: "number"
  readonly from: number
  readonly to: number
  readonly scale: "linear" | "log"
  /** Whole numbers only. */
  readonly integer: boolean
}

/** Values in a meaningful order: a rising list of numbers. Neighbours are taken to be alike. */
export interface OrderedParameter {
  readonly kind: "ordered"
  readonly values: ReadonlyArray<unknown>
}

/** Values without an order: names, switches, methods. */
export interface UnorderedParameter {
  readonly kind: "unordered"
  readonly values: ReadonlyArray<unknown>
}

export type Parameter = NumberParameter | OrderedParameter | UnorderedParameter

/** A point of a search space: parameter name → value. Parameters that do not apply at the point are absent. */
export type SearchPoint = Readonly<Record<string, unknown>>

/**
 * A space whose parameters are decided one after another, so that whether one applies may depend on those before it.
 * A parameter is the same one wherever it applies.
 */
export interface SearchSpace {
  /** In the order in which they are decided. */
  readonly names: ReadonlyArray<string>
  /** The parameter at a point that is decided up to it; undefined where it does not apply. */
  parameter(name: string, point: SearchPoint): Parameter | undefined
}

/**
 * A value's six leading digits. The last bits of exp and log may differ between machines; rounded, they never reach a
 * trial's identity.
 */
const rounded = (x: number): number => Number(x.toPrecision(6))

/** The parameter as coordinates: a continuous one on [0, 1], a discrete one as cells that part [0, 1] between them. */
export interface Coordinates {
  readonly parameter: Parameter
  /** Number of distinct values; undefined for a continuous one. */
  readonly cells: number | undefined
  /** Lower and upper end of a cell. Only for ordered and whole numbers. */
  readonly edge: (cell: number) => number
  /** Cell of a value, or its place on [0, 1] where there are no cells; undefined for a value that is none. */
  readonly place: (value: unknown) => number | undefined
  /** The value at a place or in a cell. */
  readonly value: (place: number) => unknown
}

/** @see Coordinates */
export function coordinates(parameter: Parameter): Coordinates {
  if (parameter.kind !== "number") {
    const { values } = parameter
    const cells = values.length
    const index = new Map(values.map((value, i) => [typeof value === "object" ? JSON.stringify(value) : value, i]))
    return {
      parameter,
      cells,
      edge: (cell) => cell / cells,
      place: (value) => index.get(typeof value === "object" ? JSON.stringify(value) : value),
      value: (cell) => values[cell],
    }
  }
  const { from, to, scale, integer } = parameter
  const log = scale === "log"
  const first = integer ? Math.ceil(from) : from
  const last = integer ? Math.max(first, Math.floor(to)) : to
  // A whole number owns the half unit on either side of it, so the outermost ones are as likely as the others.
  const low = integer ? first - 0.5 : from
  const high = integer ? last + 0.5 : to
  const a = log ? Math.log(low) : low
  const width = (log ? Math.log(high) : high) - a
  const unit = (x: number) => (width > 0 ? ((log ? Math.log(x) : x) - a) / width : 0.5)
  const number = (place: number) => (log ? Math.exp(a + place * width) : a + place * width)
  const clamp = (x: number) => Math.min(last, Math.max(first, x))
  if (!integer) {
    return {
      parameter,
      cells: width > 0 ? undefined : 1,
      edge: (cell) => cell,
      place: (value) =>
        typeof value === "number" ? (width > 0 ? Math.min(1, Math.max(0, unit(value))) : 0) : undefined,
      value: (place) => (width > 0 ? clamp(rounded(number(place))) : from),
    }
  }
  const cells = last - first + 1
  return {
    parameter,
    cells,
    edge: (cell) => (cell <= 0 ? 0 : cell >= cells ? 1 : unit(first + cell - 0.5)),
    place: (value) => (typeof value === "number" ? clamp(Math.round(value)) - first : undefined),
    value: (cell) => first + cell,
  }
}

/** The cell that a place on [0, 1] falls into. */
export function cellAt({ cells, edge, parameter }: Coordinates, place: number): number {
  if (parameter.kind !== "number" || parameter.scale === "linear")
    return Math.min(cells! - 1, Math.floor(place * cells!))
  let low = 0
  let high = cells! - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (edge(middle) <= place) low = middle
    else high = middle - 1
  }
  return low
}

/** The value at the quantile `u` of the parameter's own distribution: even over [0, 1], over cells, or over values. */
export function valueAtQuantile(c: Coordinates, u: number): unknown {
  return c.value(c.cells === undefined ? u : cellAt(c, u))
}
