/** Learning rates as pure functions of the step or the epoch, in double precision. */

/** The learning rate at a step or epoch, counted from 0. */
export type Schedule = (at: number) => number

/** The same at every step. */
export function constantRate(learningRate: number): Schedule {
  return () => learningRate
}

/**
 * Per step: linear warm-up `lr·(t+1)/W` for t < W, then `min + ½(lr − min)(1 + cos(π(t−W)/(T−W)))`.
 *
 * @param steps T, the number of steps in all
 * @param warmup W, the number of warm-up steps
 * @param minimum where the cosine ends
 */
export function warmupCosine(options: {
  readonly learningRate: number
  readonly steps: number
  readonly warmup: number
  readonly minimum?: number
}): Schedule {
  const { learningRate: lr, steps, warmup, minimum = 0 } = options
  return (t) => {
    if (t < warmup) return (lr * (t + 1)) / warmup
    const span = Math.max(1, steps - warmup)
    return minimum + 0.5 * (lr - minimum) * (1 + Math.cos((Math.PI * Math.min(t - warmup, span)) / span))
  }
}

/** Per step: a warm-up factor times a half-cosine to 0 over the whole run, `lr·min(1, (t+1)/W)·½(1 + cos(πt/T))`. */
export function warmupTimesCosine(options: {
  readonly learningRate: number
  readonly steps: number
  readonly warmup: number
}): Schedule {
  const { learningRate, steps, warmup } = options
  return (t) => {
    const factor = warmup > 0 ? Math.min(1, (t + 1) / warmup) : 1
    return learningRate * factor * 0.5 * (1 + Math.cos((Math.PI * Math.min(t, steps)) / steps))
  }
}

/**
 * Per epoch, constant within one (SNELL and SNELLA, arXiv 2411.01800 and 2510.24037): with k the scheduler's counter,
 * `start + (lr − start)·k/W` for k < W, then `min + ½(lr − min)(1 + cos(πk/E))`, the warm-up included in k. The
 * scheduler is stepped after the epoch with the epoch's own number, so epoch e runs at k = max(0, e − 1): epochs 0 and
 * 1 both run at `start`.
 *
 * @param epochs E
 * @param warmup W, default 10
 * @param start default 1e-6
 * @param minimum default 1e-5
 */
export function epochWarmupCosine(options: {
  readonly learningRate: number
  readonly epochs: number
  readonly warmup?: number
  readonly start?: number
  readonly minimum?: number
}): Schedule {
  const { learningRate: lr, epochs, warmup = 10, start = 1e-6, minimum = 1e-5 } = options
  return (epoch) => {
    const k = Math.max(0, epoch - 1)
    if (k < warmup) return start + ((lr - start) * k) / warmup
    return minimum + 0.5 * (lr - minimum) * (1 + Math.cos((Math.PI * k) / epochs))
  }
}

/** Per step: optional warm-up `lr·(t+1)/W`, then linearly to `minimum`, reached at step T. */
export function linearDecay(options: {
  readonly learningRate: number
  readonly steps: number
  readonly warmup?: number
  readonly minimum?: number
}): Schedule {
  const { learningRate: lr, steps, warmup = 0, minimum = 0 } = options
  return (t) => {
    if (t < warmup) return (lr * (t + 1)) / warmup
    const span = Math.max(1, steps - warmup)
    return lr + ((minimum - lr) * Math.min(t - warmup, span)) / span
  }
}
