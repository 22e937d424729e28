/** Choosing the best of many scores. */

/**
 * The indices of the `count` largest of `scores[0..n)`, in increasing order of index. Of equal scores the earlier index
 * wins. A bounded min-heap: n·log(count) at worst, nearly n when most candidates lose.
 *
 * @param into written over; the first `count` entries are the result
 */
export function largest(scores: Float32Array, n: number, count: number, into: Int32Array): Int32Array {
  const size = Math.min(count, n)
  // worse(a, b): a leaves the heap before b.
  const worse = (a: number, b: number) => scores[a]! < scores[b]! || (scores[a] === scores[b] && a > b)
  const sink = (start: number) => {
    let at = start
    const item = into[at]!
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && worse(into[child + 1]!, into[child]!)) child++
      if (!worse(into[child]!, item)) break
      into[at] = into[child]!
      at = child
    }
    into[at] = item
  }
  for (let i = 0; i < size; i++) into[i] = i
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i)
  if (size > 0) {
    let lowest = scores[into[0]!]!
    for (let i = size; i < n; i++) {
      // An equal score of a later index never replaces an earlier one.
      if (scores[i]! <= lowest) continue
      into[0] = i
      sink(0)
      lowest = scores[into[0]!]!
    }
  }
  return into.subarray(0, size).sort()
}
