/**
 * The language of sweeps: what values a field takes. A space is a record from dotted paths to axes; an axis is a
 * plain list (a grid) or one of the values made here.
 */

/** Numbers from `from` to `to`, both included when the step meets `to`. */
export interface Range {
  readonly _tag: "Range"
  readonly from: number
  readonly to: number
  readonly step?: number
  readonly count?: number
}

/** Numbers drawn between two bounds, evenly on a linear or a logarithmic scale. */
export interface Uniform {
  readonly _tag: "Uniform"
  readonly scale: "linear" | "log"
  readonly from: number
  readonly to: number
  readonly samples?: number
  readonly seed: number
  readonly integer: boolean
}

/** Some of a list of values, drawn without replacement; all of them without `samples`. */
export interface Choice<T> {
  readonly _tag: "Choice"
  readonly values: ReadonlyArray<T>
  readonly samples?: number
  readonly seed: number
}

/** An axis for some arms only, or where another field has some value only. Elsewhere the field is left alone. */
export interface When<A> {
  readonly _tag: "When"
  readonly arms?: ReadonlyArray<string>
  readonly where?: Readonly<Record<string, unknown>>
  readonly axis: A
}

/** Another axis for each arm; `otherwise` for arms not named, which leave the field alone without it. */
export interface ByArm<A> {
  readonly _tag: "ByArm"
  readonly arms: Readonly<Record<string, A>>
  readonly otherwise?: A
}

type PlainAxis<T> = ReadonlyArray<T> | Choice<T> | (number extends T ? Range | Uniform : never)

/** What a field of type `T` may be swept over. */
export type Axis<T> = PlainAxis<T> | When<PlainAxis<T>> | ByArm<PlainAxis<T>>

/** `range(0, 1, { step: 0.25 })` or `range(0, 1, { count: 5 })`: evenly spaced numbers, both ends included. */
export function range(
  from: number,
  to: number,
  by: { readonly step: number; readonly count?: never } | { readonly count: number; readonly step?: never },
): Range {
  return { _tag: "Range", from, to, ...by }
}

/** How numbers are drawn. */
export interface DrawOptions {
  /** How many; may be left out in a `tune` with a `budget`, which draws whole points. */
  readonly samples?: number
  /** Another seed gives other numbers (default 0). They do not depend on the arm or on the experiment. */
  readonly seed?: number
  /** Rounds to whole numbers. */
  readonly integer?: boolean
}

/** Numbers drawn evenly from [from, to), rounded to six significant digits. */
export function uniform(from: number, to: number, options: DrawOptions = {}): Uniform {
  return { _tag: "Uniform", scale: "linear", from, to, seed: 0, integer: false, ...options }
}

/** Numbers whose logarithm is drawn evenly, from [from, to), rounded to six significant digits. */
export function logUniform(from: number, to: number, options: DrawOptions = {}): Uniform {
  return { _tag: "Uniform", scale: "log", from, to, seed: 0, integer: false, ...options }
}

/** `samples` of the listed values, drawn without replacement and kept in the order of the list. */
export function choice<const T>(
  values: ReadonlyArray<T>,
  options: { readonly samples?: number; readonly seed?: number } = {},
): Choice<T> {
  return { _tag: "Choice", values, seed: 0, ...options }
}

/**
 * An axis that exists only under a condition: for the arms named (`when("lora", …)`, `when(["lora", "snella"], …)`),
 * or where other fields have the values given (`when({ optimizer: "sgd" }, …)`, `when({ "tuner._tag": ["Lora"] }, …)`;
 * a list means any of its values).
 */
export function when<const A>(
  condition: string | ReadonlyArray<string> | Readonly<Record<string, unknown>>,
  axis: A,
): When<A> {
  if (typeof condition === "string") return { _tag: "When", arms: [condition], axis }
  if (Array.isArray(condition)) return { _tag: "When", arms: condition, axis }
  return { _tag: "When", where: condition as Readonly<Record<string, unknown>>, axis }
}

/** Another axis for each arm: `byArm({ full: [1e-4, 3e-4] }, [1e-3, 3e-3])`; the second argument serves all others. */
export function byArm<const A, const O = never>(arms: Readonly<Record<string, A>>, otherwise?: O): ByArm<A | O> {
  return { _tag: "ByArm", arms, ...(otherwise === undefined ? {} : { otherwise }) }
}
