/** Learning rates as functions of the step, in float64 on the host. */

/**
 * Linear warm-up over the first `warmup` steps (step 0 gets rate/warmup), then half a cosine from `rate` to `least`.
 *
 * @param step 0-based, below `steps`
 */
export function warmupCosine(rate: number, step: number, steps: number, warmup: number, least = 0): number {
  if (step < warmup) return (rate * (step + 1)) / warmup
  if (steps <= warmup) return rate
  const floor = Math.min(least, rate)
  return floor + 0.5 * (rate - floor) * (1 + Math.cos((Math.PI * (step - warmup)) / (steps - warmup)))
}

/** Half a cosine over all steps down to 0, times a linear warm-up over the first `warmup` steps. */
export function warmupTimesCosine(rate: number, step: number, steps: number, warmup: number): number {
  const warm = warmup > 0 ? Math.min(1, (step + 1) / warmup) : 1
  return rate * warm * 0.5 * (1 + Math.cos((Math.PI * step) / steps))
}
