/** Distribution functions used by the statistics of this package, over the jStat library. */
import jstat from "jstat"

const { jStat } = jstat

/** P(T ≤ t) of Student's t distribution with `degrees` degrees of freedom (any positive real). */
export function tCdf(t: number, degrees: number): number {
  if (t === Infinity) return 1
  if (t === -Infinity) return 0
  // The lower tail is computed directly, so that small probabilities keep their relative precision.
  const lower = jStat.studentt.cdf(-Math.abs(t), degrees)
  return t > 0 ? 1 - lower : lower
}

/** The t with P(T ≤ t) = p, 0 < p < 1, to a relative 1e-7. */
export function tQuantile(p: number, degrees: number): number {
  return p > 0.5 ? -jStat.studentt.inv(1 - p, degrees) : jStat.studentt.inv(p, degrees)
}

/** P(Z ≤ z) of the standard normal distribution. */
export function normalCdf(z: number): number {
  const lower = jStat.normal.cdf(-Math.abs(z), 0, 1)
  return z > 0 ? 1 - lower : lower
}

/** The z with P(Z ≤ z) = p, 0 < p < 1. */
export function normalQuantile(p: number): number {
  return jStat.normal.inv(p, 0, 1)
}

/** P(T ≤ t) of the non-central t distribution. */
export function noncentralTCdf(t: number, degrees: number, noncentrality: number): number {
  return jStat.noncentralt.cdf(t, degrees, noncentrality)
}

/** ln Γ(x), x > 0. */
export function logGamma(x: number): number {
  return jStat.gammaln(x)
}
