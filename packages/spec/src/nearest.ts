/** Number of single-character insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`. */
export function editDistance(a: string, b: string): number {
  const width = b.length + 1
  let before = new Uint32Array(width)
  let last = Uint32Array.from({ length: width }, (_, j) => j)
  let row = new Uint32Array(width)
  for (let i = 1; i <= a.length; i++) {
    row[0] = i
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1)
      row[j] = cost
    }
    const free = before
    before = last
    last = row
    row = free
  }
  return last[b.length]!
}

/**
 * The name among `names` that was probably meant by `wrong`: the closest one by edit distance, letter case counting
 * little, if it is close enough to be a slip of the pen (at most a third of the letters, and always two allowed for
 * words of four letters and more). Undefined when nothing is close.
 */
export function nearest(wrong: string, names: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const name of names) {
    const distance =
      editDistance(wrong.toLowerCase().replaceAll(/[-_ ]/g, ""), name.toLowerCase().replaceAll(/[-_ ]/g, "")) +
      (wrong === name ? 0 : 0.25)
    const allowed = Math.max(wrong.length < 4 ? 1 : 2, Math.floor(wrong.length / 3)) + 0.25
    if (distance < least && distance <= allowed) {
      best = name
      least = distance
    }
  }
  return best
}
