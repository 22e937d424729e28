/** Which missing measurement would say most about the ranking. */
import type { Results } from "./results.ts"

export interface Suggestion {
  readonly competitor: number
  readonly sample: number
  /** Expected gain of ln det of the information, in nats (first order); Infinity when it would connect components. */
  readonly gain: number
}

/**
 * Missing cells (competitor i, sample j) by the expected information of the games that they would add: to first order
 * ln det H grows by Σ_b p_ib (1 − p_ib) Var(θ_i − θ_b) over the competitors b measured on j (D-optimal design).
 * Cells that would compare competitors of different components come first.
 *
 * @param theta strengths (any value where unknown), M
 * @param inverse H⁺ or a covariance of the strengths, M × M
 * @param component strong component of each competitor, −1 without a comparison
 * @param limit how many to return
 */
export function mostInformative(
  results: Results,
  theta: ArrayLike<number>,
  inverse: ArrayLike<number>,
  component: ArrayLike<number>,
  limit: number,
): Suggestion[] {
  const m = results.competitors
  const found: Suggestion[] = []
  let threshold = -Infinity
  const trim = (): void => {
    found.sort((x, y) => (x.gain === y.gain ? x.sample - y.sample || x.competitor - y.competitor : y.gain - x.gain))
    found.length = Math.min(found.length, limit)
    if (found.length === limit) threshold = found[limit - 1]!.gain
  }
  const present = new Int32Array(m).fill(-1)
  for (let s = 0; s < results.samples; s++) {
    const from = results.start[s]!
    const to = results.start[s + 1]!
    for (let e = from; e < to; e++) present[results.competitor[e]!] = s
    for (let i = 0; i < m; i++) {
      if (present[i] === s) continue
      let gain = 0
      for (let e = from; e < to; e++) {
        const b = results.competitor[e]!
        if (component[i] === -1 || component[i] !== component[b]) {
          gain = Infinity
          break
        }
        const t = Math.exp(-Math.abs(theta[i]! - theta[b]!))
        gain += (t / ((1 + t) * (1 + t))) * (inverse[i * m + i]! + inverse[b * m + b]! - 2 * inverse[i * m + b]!)
      }
      if (gain > threshold && to > from) {
        found.push({ competitor: i, sample: s, gain })
        if (found.length >= 4 * limit + 64) trim()
      }
    }
  }
  trim()
  return found
}
