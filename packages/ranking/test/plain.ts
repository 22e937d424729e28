/** Plain second implementations of the numeric kernels: the formulas as written, no speed. */
import type { TieRule } from "../src/counts.ts"
import type { Results } from "../src/results.ts"

export function plainCounts(results: Results, tolerance = 0): { wins: number[][]; ties: number[][] } {
  const square = () => Array.from({ length: results.competitors }, () => new Array<number>(results.competitors).fill(0))
  const wins = square()
  const ties = square()
  for (let s = 0; s < results.samples; s++) {
    const seen = new Map<number, number>()
    for (let e = results.start[s]!; e < results.start[s + 1]!; e++) seen.set(results.competitor[e]!, results.value[e]!)
    for (const [a, x] of seen) {
      for (const [b, y] of seen) {
        if (a === b) continue
        if (Math.abs(x - y) <= tolerance || x === y) ties[a]![b]!++
        else if (x > y) wins[a]![b]!++
      }
    }
  }
  return { wins, ties }
}

export function plainWins(counts: { wins: number[][]; ties: number[][] }, tie: TieRule): number[][] {
  const share = { "one-each": 1, half: 0.5, drop: 0 }[tie]
  return counts.wins.map((row, a) => row.map((w, b) => w + share * counts.ties[a]![b]!))
}

/** Zermelo's iteration w_a := Σ_b A_ab / Σ_b n_ab/(w_a+w_b). */
export function plainFit(wins: number[][], sweeps = 200_000): number[] {
  const m = wins.length
  let w = new Array<number>(m).fill(1)
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const next = w.map((wa, a) => {
      let won = 0
      let expected = 0
      for (let b = 0; b < m; b++) {
        if (a === b) continue
        won += wins[a]![b]!
        expected += (wins[a]![b]! + wins[b]![a]!) / (wa + w[b]!)
      }
      return won / expected
    })
    const mean = Math.exp(next.reduce((s, x) => s + Math.log(x), 0) / m)
    const scaled = next.map((x) => x / mean)
    const change = Math.max(...scaled.map((x, a) => Math.abs(Math.log(x / w[a]!))))
    w = scaled
    if (change < 1e-14) break
  }
  return w.map(Math.log)
}

/** Sandwich covariance with dense Gauss–Jordan inversion of H + 11ᵀ/M, formula by formula. */
export function plainSandwich(results: Results, theta: ArrayLike<number>, wins: number[][], tie: TieRule): number[][] {
  const m = theta.length
  const share = { "one-each": 1, half: 0.5, drop: 0 }[tie]
  const p = (a: number, b: number) => 1 / (1 + Math.exp(theta[b]! - theta[a]!))
  const h = Array.from({ length: m }, () => new Array<number>(m).fill(1 / m))
  for (let a = 0; a < m; a++) {
    for (let b = 0; b < m; b++) {
      if (a === b) continue
      const v = (wins[a]![b]! + wins[b]![a]!) * p(a, b) * p(b, a)
      h[a]![a]! += v
      h[a]![b]! -= v
    }
  }
  const inverse = invert(h).map((row) => row.map((x) => x - 1 / m))
  const meat = Array.from({ length: m }, () => new Array<number>(m).fill(0))
  for (let s = 0; s < results.samples; s++) {
    const g = new Array<number>(m).fill(0)
    for (let e = results.start[s]!; e < results.start[s + 1]!; e++) {
      for (let f = results.start[s]!; f < results.start[s + 1]!; f++) {
        if (e === f) continue
        const a = results.competitor[e]!
        const b = results.competitor[f]!
        const x = results.value[e]!
        const y = results.value[f]!
        g[a]! += x > y ? 1 - p(a, b) : x < y ? -p(a, b) : share * (1 - 2 * p(a, b))
      }
    }
    for (let a = 0; a < m; a++) for (let b = 0; b < m; b++) meat[a]![b]! += g[a]! * g[b]!
  }
  return times(times(inverse, meat), inverse)
}

function times(x: number[][], y: number[][]): number[][] {
  return x.map((row) => y[0]!.map((_, j) => row.reduce((s, v, k) => s + v * y[k]![j]!, 0)))
}

function invert(matrix: number[][]): number[][] {
  const m = matrix.length
  const work = matrix.map((row, i) => [...row, ...row.map((_, j) => (i === j ? 1 : 0))])
  for (let c = 0; c < m; c++) {
    let pivot = c
    for (let r = c + 1; r < m; r++) if (Math.abs(work[r]![c]!) > Math.abs(work[pivot]![c]!)) pivot = r
    const held = work[c]!
    work[c] = work[pivot]!
    work[pivot] = held
    const lead = work[c]![c]!
    work[c] = work[c]!.map((x) => x / lead)
    for (let r = 0; r < m; r++) {
      if (r === c) continue
      const f = work[r]![c]!
      if (f !== 0) work[r] = work[r]!.map((x, k) => x - f * work[c]![k]!)
    }
  }
  return work.map((row) => row.slice(m))
}
