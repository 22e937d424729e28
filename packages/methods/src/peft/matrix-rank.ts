/** Rank, norms and other summaries of values on the host, in float64. */
import { Matrix, SingularValueDecomposition } from "ml-matrix"

/** Singular values of a row-major matrix, descending. */
export function singularValues(values: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const matrix = Matrix.from1DArray(rows, columns, Array.from(values))
  // The decomposition wants at least as many rows as columns, and transposes by itself.
  const svd = new SingularValueDecomposition(matrix, {
    computeLeftSingularVectors: false,
    computeRightSingularVectors: false,
    autoTranspose: true,
  })
  return Float64Array.from(svd.diagonal).sort().reverse()
}

/** Singular values above max(rows, columns)·2⁻²³·σ_max: the numerical rank of float32 values. */
export function numericalRank(values: ArrayLike<number>, rows: number, columns: number): number {
  const sigma = singularValues(values, rows, columns)
  const tolerance = Math.max(rows, columns) * 2 ** -23 * sigma[0]!
  let rank = 0
  for (const s of sigma) if (s > tolerance) rank++
  return rank
}

/** The least mean squared error of any matrix of rank `rank`: Σ_{i>rank} σ_i² / (rows·columns) (Eckart and Young). */
export function leastErrorOfRank(values: ArrayLike<number>, rows: number, columns: number, rank: number): number {
  return (
    singularValues(values, rows, columns)
      .slice(rank)
      .reduce((sum, s) => sum + s * s, 0) /
    (rows * columns)
  )
}

/** √Σ x². */
export function frobeniusNorm(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! ** 2
  return Math.sqrt(sum)
}

/** Entries that are not exactly 0. */
export function nonZeros(values: ArrayLike<number>): number {
  let count = 0
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) count++
  return count
}

/** The middle value (the lower one of two); NaN of none. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort()
  return sorted.length === 0 ? Number.NaN : sorted[(sorted.length - 1) >> 1]!
}
