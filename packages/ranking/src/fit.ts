/**
 * Maximum-likelihood Bradley–Terry strengths from a matrix of wins: the maximum of Σ A[a,b] ln( w_a / (w_a + w_b) )
 * with θ = ln w of mean 0.
 */
import { connectivityOfWins } from "./connectivity.ts"
import { NotConverged, NotIdentifiable } from "./errors.ts"

export interface Fit {
  /** Natural-log strengths, mean 0. */
  readonly theta: Float64Array
  readonly rounds: number
  readonly method: "newton" | "chord" | "newman"
}

export interface FitOptions {
  /** Start values; zeros by default. */
  readonly start?: ArrayLike<number>
  /** Greatest number of Newton rounds, 100 by default. */
  readonly rounds?: number
}

/** The last Newton step changes no strength by more than this; what remains is its square. */
const stepTolerance = 1e-9

function centre(theta: Float64Array): void {
  let sum = 0
  for (let a = 0; a < theta.length; a++) sum += theta[a]!
  const mean = sum / theta.length
  for (let a = 0; a < theta.length; a++) theta[a]! -= mean
}

/** Probability that a beats b for a strength difference d = θ_a − θ_b. */
export function winProbability(d: number): number {
  return 1 / (1 + Math.exp(-d))
}

/** Gradient of the log-likelihood: Σ_b A_ab − n_ab p_ab for every a, written to `gradient`. */
export function gradientOf(wins: Float64Array, theta: Float64Array, gradient: Float64Array): void {
  const m = theta.length
  gradient.fill(0)
  let low = Infinity
  let high = -Infinity
  for (let a = 0; a < m; a++) {
    if (theta[a]! < low) low = theta[a]!
    if (theta[a]! > high) high = theta[a]!
  }
  if (high - low < 600) {
    // One exponential a competitor and one division a pair.
    const middle = (low + high) / 2
    const w = new Float64Array(m)
    for (let a = 0; a < m; a++) w[a] = Math.exp(theta[a]! - middle)
    for (let a = 0; a < m; a++) {
      const wa = w[a]!
      let own = 0
      for (let b = a + 1; b < m; b++) {
        const won = wins[a * m + b]!
        const lost = wins[b * m + a]!
        const excess = (won * w[b]! - lost * wa) / (wa + w[b]!)
        own += excess
        gradient[b]! -= excess
      }
      gradient[a]! += own
    }
    return
  }
  for (let a = 0; a < m; a++) {
    for (let b = a + 1; b < m; b++) {
      const won = wins[a * m + b]!
      const lost = wins[b * m + a]!
      if (won === 0 && lost === 0) continue
      const d = theta[a]! - theta[b]!
      const excess = won * winProbability(-d) - lost * winProbability(d)
      gradient[a]! += excess
      gradient[b]! -= excess
    }
  }
}

/** The log-likelihood Σ A[a,b] ln p_ab, computed without overflow. */
export function logLikelihood(wins: Float64Array, theta: ArrayLike<number>): number {
  const m = theta.length
  let sum = 0
  for (let a = 0; a < m; a++) {
    for (let b = a + 1; b < m; b++) {
      const won = wins[a * m + b]!
      const lost = wins[b * m + a]!
      if (won === 0 && lost === 0) continue
      const d = theta[a]! - theta[b]!
      const small = Math.log1p(Math.exp(-Math.abs(d)))
      sum -= d > 0 ? won * small + lost * (small + d) : won * (small - d) + lost * small
    }
  }
  return sum
}

/**
 * The information matrix H = Σ n p (1−p) (e_a−e_b)(e_a−e_b)ᵀ plus κ·11ᵀ/M, which makes it invertible without touching
 * the space of mean zero; κ is the mean of H's diagonal, for a good condition number.
 */
export function information(wins: Float64Array, theta: ArrayLike<number>): { matrix: Float64Array; kappa: number } {
  const m = theta.length
  const matrix = new Float64Array(m * m)
  let trace = 0
  for (let a = 0; a < m; a++) {
    for (let b = a + 1; b < m; b++) {
      const n = wins[a * m + b]! + wins[b * m + a]!
      if (n === 0) continue
      // p (1 − p) from the exponential of −|d|: symmetric and without overflow.
      const e = Math.exp(-Math.abs(theta[a]! - theta[b]!))
      const h = (n * e) / ((1 + e) * (1 + e))
      matrix[a * m + b] = matrix[b * m + a] = -h
      matrix[a * m + a]! += h
      matrix[b * m + b]! += h
      trace += 2 * h
    }
  }
  const kappa = trace > 0 ? trace / m : 1
  const shift = kappa / m
  for (let k = 0; k < matrix.length; k++) matrix[k]! += shift
  return { matrix, kappa }
}

/** In-place lower Cholesky factor of a symmetric positive definite matrix; false when a pivot is not positive. */
export function cholesky(matrix: Float64Array, m: number): boolean {
  for (let i = 0; i < m; i++) {
    const rowI = i * m
    for (let j = 0; j <= i; j++) {
      const rowJ = j * m
      // Four running sums break the chain of dependent additions.
      let s0 = 0
      let s1 = 0
      let s2 = 0
      let s3 = 0
      let k = 0
      for (; k + 3 < j; k += 4) {
        s0 += matrix[rowI + k]! * matrix[rowJ + k]!
        s1 += matrix[rowI + k + 1]! * matrix[rowJ + k + 1]!
        s2 += matrix[rowI + k + 2]! * matrix[rowJ + k + 2]!
        s3 += matrix[rowI + k + 3]! * matrix[rowJ + k + 3]!
      }
      for (; k < j; k++) s0 += matrix[rowI + k]! * matrix[rowJ + k]!
      const rest = matrix[rowI + j]! - (s0 + s1 + (s2 + s3))
      if (i === j) {
        if (!(rest > 0)) return false
        matrix[rowI + i] = Math.sqrt(rest)
      } else matrix[rowI + j] = rest / matrix[rowJ + j]!
    }
  }
  return true
}

/** Solves L Lᵀ x = b in place of `x`, L from {@link cholesky}. */
export function choleskySolve(factor: Float64Array, m: number, x: Float64Array): void {
  for (let i = 0; i < m; i++) {
    let sum = x[i]!
    for (let k = 0; k < i; k++) sum -= factor[i * m + k]! * x[k]!
    x[i] = sum / factor[i * m + i]!
  }
  for (let i = m - 1; i >= 0; i--) {
    const xi = x[i]! / factor[i * m + i]!
    x[i] = xi
    for (let k = 0; k < i; k++) x[k]! -= factor[i * m + k]! * xi
  }
}

/** The inverse from a Cholesky factor, in full symmetric storage. */
export function choleskyInverse(factor: Float64Array, m: number): Float64Array {
  // Rows of Z = L⁻ᵀ (upper triangular), then inverse = Z Zᵀ by rows, all accesses along rows.
  const z = new Float64Array(m * m)
  const column = new Float64Array(m)
  for (let j = 0; j < m; j++) {
    // Forward substitution for L y = e_j gives column j of L⁻¹, stored as row j.
    column.fill(0)
    column[j] = 1 / factor[j * m + j]!
    for (let i = j + 1; i < m; i++) {
      let sum = 0
      const row = i * m
      for (let k = j; k < i; k++) sum += factor[row + k]! * column[k]!
      column[i] = -sum / factor[row + i]!
    }
    z.set(column, j * m)
  }
  const inverse = new Float64Array(m * m)
  for (let i = 0; i < m; i++) {
    for (let j = i; j < m; j++) {
      let sum = 0
      for (let k = j; k < m; k++) sum += z[i * m + k]! * z[j * m + k]!
      inverse[i * m + j] = inverse[j * m + i] = sum
    }
  }
  return inverse
}

/** Pseudo-inverse H⁺ of the information matrix at `theta`; undefined when it is numerically singular. */
export function informationInverse(wins: Float64Array, theta: ArrayLike<number>): Float64Array | undefined {
  const m = theta.length
  const { matrix, kappa } = information(wins, theta)
  if (!cholesky(matrix, m)) return undefined
  const inverse = choleskyInverse(matrix, m)
  // (H + κ 11ᵀ/M)⁻¹ = H⁺ + 11ᵀ/(κ M)
  const shift = 1 / (kappa * m)
  for (let k = 0; k < inverse.length; k++) inverse[k]! -= shift
  return inverse
}

/**
 * Strengths of maximum likelihood.
 *
 * @param wins M × M, wins[a·M + b] = (possibly fractional) wins of a over b, diagonal 0
 * @throws NotIdentifiable when the graph of wins is not strongly connected; NotConverged rather than an approximate answer
 */
export function fitStrengths(wins: Float64Array, competitors: number, options: FitOptions = {}): Fit {
  const { components, unranked } = connectivityOfWins(wins, competitors)
  if (components.length !== 1 || unranked.length > 0) {
    throw new NotIdentifiable([...components, ...unranked.map((a) => [a])])
  }
  return fitConnected(wins, competitors, options)
}

/** {@link fitStrengths} for wins that are known to be strongly connected. */
export function fitConnected(wins: Float64Array, competitors: number, options: FitOptions = {}): Fit {
  const m = competitors
  const theta = options.start === undefined ? new Float64Array(m) : Float64Array.from(options.start)
  centre(theta)
  const step = new Float64Array(m)
  const trial = new Float64Array(m)
  let likelihood = logLikelihood(wins, theta)
  const limit = options.rounds ?? 100
  for (let round = 1; round <= limit; round++) {
    gradientOf(wins, theta, step)
    const { matrix } = information(wins, theta)
    if (!cholesky(matrix, m)) break
    choleskySolve(matrix, m, step)
    let largest = 0
    for (let a = 0; a < m; a++) largest = Math.max(largest, Math.abs(step[a]!))
    if (!Number.isFinite(largest)) break
    if (largest <= stepTolerance) {
      for (let a = 0; a < m; a++) theta[a]! += step[a]!
      centre(theta)
      return { theta, rounds: round, method: "newton" }
    }
    // The likelihood is concave: a step of Newton's direction that is short enough raises it. Rounding of the sum is allowed for.
    let scale = 1
    let accepted = false
    for (let halving = 0; halving < 40; halving++, scale /= 2) {
      for (let a = 0; a < m; a++) trial[a] = theta[a]! + scale * step[a]!
      const next = logLikelihood(wins, trial)
      if (next >= likelihood - 1e-12 * Math.abs(likelihood)) {
        likelihood = next
        accepted = true
        break
      }
    }
    if (!accepted) break
    theta.set(trial)
    centre(theta)
  }
  return fitNewman(wins, m, theta)
}

/**
 * Newman's iteration (2023) w_a := Σ_b A_ab w_b/(w_a+w_b) / Σ_b A_ba/(w_a+w_b), in sweeps: no linear algebra, sure but
 * slow. Used where the information matrix is numerically singular. Ends when the gradient of every competitor is below
 * 1e-11 of its games and a sweep changes no strength by more than 1e-12.
 * @throws NotConverged after `limit` sweeps
 */
export function fitNewman(wins: Float64Array, competitors: number, start?: ArrayLike<number>, limit = 200_000): Fit {
  const m = competitors
  const theta = start === undefined ? new Float64Array(m) : Float64Array.from(start)
  const gradient = new Float64Array(m)
  const games = new Float64Array(m)
  for (let a = 0; a < m; a++) for (let b = 0; b < m; b++) games[a]! += wins[a * m + b]! + wins[b * m + a]!
  let change = Infinity
  for (let round = 1; round <= limit; round++) {
    change = 0
    for (let a = 0; a < m; a++) {
      let up = 0
      let down = 0
      for (let b = 0; b < m; b++) {
        if (a === b) continue
        const won = wins[a * m + b]!
        const lost = wins[b * m + a]!
        if (won === 0 && lost === 0) continue
        // Relative to w_a = 1: w_b/(w_a+w_b) = q and 1/(w_a+w_b) = 1−q.
        const q = winProbability(theta[b]! - theta[a]!)
        up += won * q
        down += lost * (1 - q)
      }
      const move = Math.log(up / down)
      if (!Number.isFinite(move)) throw new NotConverged(round, Number.NaN)
      theta[a]! += move
      change = Math.max(change, Math.abs(move))
    }
    centre(theta)
    if (change <= 1e-12) {
      gradientOf(wins, theta, gradient)
      let worst = 0
      for (let a = 0; a < m; a++) worst = Math.max(worst, Math.abs(gradient[a]!) / games[a]!)
      if (worst <= 1e-11) return { theta, rounds: round, method: "newman" }
    }
  }
  throw new NotConverged(limit, change)
}

/**
 * Strengths near known ones, for resamples and updates: Newton's iteration with the inverse information of the old fit
 * kept fixed, O(M²) a round. Falls back on the full fit when that does not contract.
 *
 * @param inverse H⁺ at `start` for data of about the same size, from {@link informationInverse}
 */
export function fitNear(wins: Float64Array, start: Float64Array, inverse: Float64Array): Fit {
  const m = start.length
  const theta = Float64Array.from(start)
  const gradient = new Float64Array(m)
  let previous = Infinity
  for (let round = 1; round <= 60; round++) {
    gradientOf(wins, theta, gradient)
    let largest = 0
    for (let a = 0; a < m; a++) {
      let move = 0
      const row = a * m
      for (let b = 0; b < m; b++) move += inverse[row + b]! * gradient[b]!
      theta[a]! += move
      largest = Math.max(largest, Math.abs(move))
    }
    if (!(largest < previous * 0.9 || largest <= stepTolerance) || largest > 5) break
    // Convergence is linear with the observed factor; the error left is about factor/(1−factor) of the last move.
    const factor = Number.isFinite(previous) ? largest / previous : 0.5
    if (largest * (factor / (1 - factor)) <= stepTolerance && largest <= 1e-7) {
      centre(theta)
      return { theta, rounds: round, method: "chord" }
    }
    previous = largest
  }
  return fitConnected(wins, m, { start })
}
