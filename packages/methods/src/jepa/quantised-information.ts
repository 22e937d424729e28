/** Multi-information of quantised variables by plug-in entropies, and the data-processing inequality for it. */

/** Bin of each value by the quantiles of its column: [count, n] → codes 0 … bins−1, about equally filled. */
export function quantise(data: ArrayLike<number>, count: number, n: number, bins: number): Uint8Array {
  const codes = new Uint8Array(count * n)
  const column = new Float64Array(count)
  for (let j = 0; j < n; j++) {
    for (let i = 0; i < count; i++) column[i] = data[i * n + j]!
    const sorted = column.toSorted()
    const cuts = Array.from({ length: bins - 1 }, (_, b) => sorted[Math.floor(((b + 1) * count) / bins)]!)
    for (let i = 0; i < count; i++) {
      let code = 0
      while (code < bins - 1 && column[i]! >= cuts[code]!) code++
      codes[i * n + j] = code
    }
  }
  return codes
}

const entropyOf = (counts: Iterable<number>, count: number): number => {
  let sum = 0
  for (const c of counts) sum -= (c / count) * Math.log(c / count)
  return sum
}

/** T = Σ H(Z_i) − H(Z) in nats of discrete variables [count, n], with the entropies of the empirical distribution. */
export function discreteMultiInformation(codes: Uint8Array, count: number, n: number): number {
  const joint = new Map<string, number>()
  const single = Array.from({ length: n }, () => new Map<number, number>())
  for (let i = 0; i < count; i++) {
    const row = codes.subarray(i * n, (i + 1) * n)
    const name = row.join(",")
    joint.set(name, (joint.get(name) ?? 0) + 1)
    row.forEach((code, j) => {
      single[j]!.set(code, (single[j]!.get(code) ?? 0) + 1)
    })
  }
  return single.reduce((sum, counts) => sum + entropyOf(counts.values(), count), 0) - entropyOf(joint.values(), count)
}

/**
 * T(X) − T(Y) where X are variables in four bins and Y the same in two: Y_i depends on X_i alone, so the difference is
 * never negative, for the empirical distribution exactly.
 *
 * @param data [count, n]; few variables, since the joint histogram has 4ⁿ cells
 */
export function processingGap(data: ArrayLike<number>, count: number, n: number): number {
  const fine = quantise(data, count, n, 4)
  const coarse = fine.map((code) => code >> 1)
  return discreteMultiInformation(fine, count, n) - discreteMultiInformation(coarse, count, n)
}
