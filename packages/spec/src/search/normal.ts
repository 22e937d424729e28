/** The normal distribution, as far as kernel densities need it. */

// Highest power first.
const fit = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
]

/**
 * Complementary error function with a relative error below 1.2e-7 everywhere, also far out where differences of
 * distribution functions would vanish (the Chebyshev fit of Press et al., Numerical Recipes, §6.2).
 */
export function erfc(x: number): number {
  const t = 1 / (1 + 0.5 * Math.abs(x))
  let sum = 0
  for (let i = 0; i < fit.length; i++) sum = sum * t + fit[i]!
  const tail = t * Math.exp(-x * x + sum)
  return x >= 0 ? tail : 2 - tail
}

/** Mass of the standard normal distribution between `a` and `b`, a ≤ b, without cancellation in the tails. */
export function normalMass(a: number, b: number): number {
  if (a > 0) return 0.5 * (erfc(a * Math.SQRT1_2) - erfc(b * Math.SQRT1_2))
  if (b < 0) return 0.5 * (erfc(-b * Math.SQRT1_2) - erfc(-a * Math.SQRT1_2))
  return 1 - 0.5 * (erfc(-a * Math.SQRT1_2) + erfc(b * Math.SQRT1_2))
}
