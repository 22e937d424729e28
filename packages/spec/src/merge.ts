/** Partial configs laid over one another. */

/**
 * Whether a value merges field by field: a record or an instance of a Schema class, but no list and nothing whose state
 * is hidden from its keys (a Date, a Map, a typed array).
 */
export function isFields(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && Object.prototype.toString.call(value) === "[object Object]"
}

const isTagged = (value: Readonly<Record<string, unknown>>) => Object.hasOwn(value, "_tag")

/**
 * `over` laid over `under`. Objects merge field by field; all else replaces: numbers, strings, lists, and tagged
 * values (`Lora({ rank: 8 })` over `FullFineTune()` leaves nothing of the latter). An object without a tag over a tagged
 * value changes its fields. Fields that are `undefined` count as absent. Neither argument is changed.
 *
 * Merging is associative where a path is an object in all layers or in none, as it is in layers of one Schema.
 */
export function merge(under: unknown, over: unknown): unknown {
  if (over === undefined) return under
  if (!isFields(over)) return over
  const replaces = !isFields(under) || isTagged(over)
  const merged: Record<string, unknown> = {}
  if (!replaces) for (const key of Object.keys(under)) set(merged, key, under[key])
  for (const key of Object.keys(over)) {
    if (over[key] !== undefined)
      set(merged, key, merge(Object.hasOwn(merged, key) ? merged[key] : undefined, over[key]))
  }
  return merged
}

// A key named __proto__ becomes a member like any other.
function set(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
}

/** The value at a dotted path, undefined when there is none. */
export function valueAt(value: unknown, path: ReadonlyArray<string>): unknown {
  let here = value
  for (const key of path) {
    if (typeof here !== "object" || here === null || !Object.hasOwn(here, key)) return undefined
    here = (here as Record<string, unknown>)[key]
  }
  return here
}

/** Whether a dotted path is present, whatever its value but `undefined`. */
export const hasPath = (value: unknown, path: ReadonlyArray<string>): boolean =>
  path.length === 0 || valueAt(value, path) !== undefined

/** `nest({ "tuner.rank": 4, epochs: 3 })` is `{ tuner: { rank: 4 }, epochs: 3 }`. Later paths win. */
export function nest(flat: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  let nested: unknown = {}
  for (const path of Object.keys(flat)) {
    const keys = path.split(".")
    const one = keys.reduceRight<unknown>((inner, key) => {
      const outer: Record<string, unknown> = {}
      set(outer, key, inner)
      return outer
    }, flat[path])
    nested = merge(nested, one)
  }
  return nested as Readonly<Record<string, unknown>>
}
