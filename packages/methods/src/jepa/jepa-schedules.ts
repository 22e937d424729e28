/**
 * The schedules of I-JEPA (arXiv 2301.08243, reference code). Steps are counted from 1 where the name is `call`, as the
 * reference advances its schedulers before the optimiser.
 */

/** Settings of the learning rate; the total includes the warm-up. */
export interface JepaLearningRate {
  readonly start: number
  readonly reference: number
  readonly final: number
  readonly warmup: number
  readonly total: number
}

/** Learning rate at call n ≥ 1: linear from `start` to `reference` over the warm-up, then a half cosine to `final`. */
export function jepaLearningRate(call: number, settings: JepaLearningRate): number {
  const { start, reference, final, warmup, total } = settings
  if (call <= warmup) return start + (call / warmup) * (reference - start)
  const progress = (call - warmup) / (total - warmup)
  return Math.max(final, final + (reference - final) * 0.5 * (1 + Math.cos(Math.PI * progress)))
}

/** Weight decay at call n ≥ 1: a half cosine from `start` (0.04) to `final` (0.4), without warm-up. */
export const jepaWeightDecay = (call: number, total: number, start = 0.04, final = 0.4): number =>
  final + (start - final) * 0.5 * (1 + Math.cos((Math.PI * call) / total))

/** Momentum of the target encoder after optimiser step i = 0…T−1: from `start` linearly towards `end`. */
export const targetMomentum = (step: number, total: number, start = 0.996, end = 1): number =>
  start + (step * (end - start)) / total
