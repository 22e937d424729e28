/**
 * Multi-information (total correlation) of Gaussian variables, T(Z) = Σ H(Z_i) − H(Z), and its split over groups.
 */
import { CholeskyDecomposition, Matrix } from "ml-matrix"

/** Covariance [n, n] of the rows of `data` [count, n], divided by count − 1. */
export function covariance(data: ArrayLike<number>, count: number, n: number): Matrix {
  if (count < 2) throw new RangeError(`a covariance needs at least two rows, got ${count}`)
  const mean = new Float64Array(n)
  for (let i = 0; i < count; i++) for (let j = 0; j < n; j++) mean[j]! += data[i * n + j]! / count
  const centred = new Matrix(count, n)
  for (let i = 0; i < count; i++) for (let j = 0; j < n; j++) centred.set(i, j, data[i * n + j]! - mean[j]!)
  return centred
    .transpose()
    .mmul(centred)
    .div(count - 1)
}

/** S + 1e-6·tr(S)/n·I: keeps the determinant away from zero when variables are dependent or samples few. */
export function regularised(covariance: Matrix, strength = 1e-6): Matrix {
  const n = covariance.rows
  return Matrix.add(covariance, Matrix.eye(n).mul((strength * covariance.trace()) / n))
}

/** Logarithm of the determinant of a symmetric positive definite matrix, by Cholesky. */
export function logDeterminant(matrix: Matrix): number {
  const cholesky = new CholeskyDecomposition(matrix)
  if (!cholesky.isPositiveDefinite()) throw new RangeError("the covariance is not positive definite; regularise it")
  const factor = cholesky.lowerTriangularMatrix
  let sum = 0
  for (let i = 0; i < factor.rows; i++) sum += 2 * Math.log(factor.get(i, i))
  return sum
}

/** Multi-information in nats, in all, between groups, and within each group. */
export interface MultiInformation {
  /** T_G = ½(Σ log S_ii − log det S). */
  readonly total: number
  /** T_grp = ½(Σ_g log det S_gg − log det S) ≤ total. */
  readonly groups: number
  /** T_G of each group's own block; total = groups + Σ within. */
  readonly within: readonly number[]
}

const gaussianTotal = (s: Matrix): number => {
  let logs = 0
  for (let i = 0; i < s.rows; i++) logs += Math.log(s.get(i, i))
  return 0.5 * (logs - logDeterminant(s))
}

/**
 * Gaussian multi-information of a covariance for a partition of the variables.
 *
 * @param groups lists of variable indices that together hold every variable exactly once
 * @throws RangeError for lists that are no partition, or a covariance that is not positive definite
 */
export function multiInformation(s: Matrix, groups: readonly (readonly number[])[]): MultiInformation {
  const listed = groups.flat()
  if (listed.length !== s.rows || new Set(listed).size !== s.rows || listed.some((i) => i < 0 || i >= s.rows)) {
    throw new RangeError(`the groups must hold each of the ${s.rows} variables exactly once`)
  }
  const blocks = groups.map((group) => s.selection([...group], [...group]))
  const whole = logDeterminant(s)
  return {
    total: gaussianTotal(s),
    groups: 0.5 * (blocks.reduce((sum, block) => sum + logDeterminant(block), 0) - whole),
    within: blocks.map(gaussianTotal),
  }
}

/** Effective rank: exp of the entropy of the normalised eigenvalues (Roy and Vetterli, 2007). */
export function effectiveRank(eigenvalues: ArrayLike<number>): number {
  const positive = Array.from(eigenvalues).filter((x) => x > 0)
  const total = positive.reduce((sum, x) => sum + x, 0)
  return Math.exp(-positive.reduce((sum, x) => sum + (x / total) * Math.log(x / total), 0))
}
