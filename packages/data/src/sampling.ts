/**
 * Which items, in which order: splits, draws per class and epoch orders. Every function is a pure function of its
 * seed, through the counter-based streams of `@exp/random`, so a run can be resumed at any step without saved state.
 */
import { type Key, key, permutation } from "@exp/random"

/**
 * Splits 0..count-1 at random into parts of the given sizes (their sum may be less than `count`; the rest is left out).
 *
 * @throws RangeError when the sizes ask for more than there is
 */
export function splitIndices(count: number, sizes: readonly number[], seed: number): Uint32Array[] {
  const total = sizes.reduce((a, b) => a + b, 0)
  if (total > count || sizes.some((n) => !Number.isInteger(n) || n < 0))
    throw new RangeError(`cannot split ${count} items into parts of ${sizes.join(", ")}`)
  const order = permutation(key(seed, "split"), count)
  let at = 0
  return sizes.map((n) => {
    at += n
    return order.slice(at - n, at)
  })
}

/** A random subset of 0..count-1, ascending: the same for the same seed, e.g. a fixed small test set. */
export function drawSubset(count: number, size: number, seed: number): Uint32Array {
  return splitIndices(count, [size], seed)[0]!.sort()
}

/**
 * Draws `perClass` items of each class without replacement. Draws are interleaved, one of each class in turn, so that
 * every prefix is balanced: of 1000 = 10 × 100 the first 800 are a stratified training part and the last 200 a
 * stratified validation part.
 *
 * @param labels class of each item, 0..classes-1
 * @returns indices into `labels`, `classes · perClass` of them
 * @throws RangeError when a class has fewer items
 */
export function drawPerClass(
  labels: ArrayLike<number>,
  { classes, perClass, seed }: { readonly classes: number; readonly perClass: number; readonly seed: number },
): Uint32Array {
  const sizes = new Uint32Array(classes)
  for (let i = 0; i < labels.length; i++) sizes[labels[i]!]!++
  const members = Array.from(sizes, (n) => new Uint32Array(n))
  const filled = new Uint32Array(classes)
  for (let i = 0; i < labels.length; i++) {
    const label = labels[i]!
    members[label]![filled[label]!++] = i
  }
  const drawn = new Uint32Array(classes * perClass)
  for (let c = 0; c < classes; c++) {
    const all = members[c]!
    if (all.length < perClass) throw new RangeError(`class ${c} has ${all.length} items, ${perClass} were asked for`)
    const order = permutation(key(seed, "class", c), all.length)
    for (let i = 0; i < perClass; i++) drawn[i * classes + c] = all[order[i]!]!
  }
  return drawn
}

/** The order of `count` items in an epoch. `stream` tells apart orders that must be independent. */
export function epochOrder(count: number, seed: number, epoch: number, stream = "epoch"): Uint32Array {
  return permutation(orderKey(seed, epoch, stream), count)
}

function orderKey(seed: number, epoch: number, stream: string): Key {
  return key(seed, stream, epoch)
}
