/**
 * Competition between layers: SNELLA's importance scores, its shrinking budget, and the division of the budget
 * (arXiv 2510.24037, read from the official code). Everything here runs on the host in float64, once an epoch; only
 * {@link importanceStep} is part of a training step.
 */
import * as tf from "@tensorflow/tfjs-core"

/** Decay of both moving averages, β1 = β2. */
export const importanceDecay = 0.85

/** What importance is measured by: `sensitivity` is |p·g| ("ipt"), `magnitude` is |p| ("mag"). */
export type ImportanceMeasure = "sensitivity" | "magnitude"

/** The moving averages of one factor: Ī (importance) and Ū (uncertainty), both of the factor's shape, starting at 0. */
export interface Importance {
  readonly importance: tf.Tensor
  readonly uncertainty: tf.Tensor
}

/**
 * One update of the moving averages, after an optimiser step:
 * I = |p·g| (NaN → 0); Ī ← β·Ī + (1−β)·I; Ū ← β·Ū + (1−β)·|I − Ī| with the new Ī. No bias correction.
 *
 * @param parameter p, already updated by this step
 * @param gradient g of this step, taken at the old p
 */
export function importanceStep(
  before: Importance,
  parameter: tf.Tensor,
  gradient: tf.Tensor,
  measure: ImportanceMeasure = "sensitivity",
): Importance {
  const raw = measure === "magnitude" ? tf.abs(parameter) : tf.abs(tf.mul(parameter, gradient))
  // NaN is the only value that differs from itself.
  const now = tf.where(tf.equal(raw, raw), raw, tf.zerosLike(raw))
  const mix = (old: tf.Tensor, fresh: tf.Tensor) =>
    tf.add(tf.mul(old, importanceDecay), tf.mul(fresh, 1 - importanceDecay))
  const importance = mix(before.importance, now)
  return { importance, uncertainty: mix(before.uncertainty, tf.abs(tf.sub(now, importance))) }
}

/**
 * The score of a layer: Σ over its factors of mean(Ī·Ū).
 *
 * @param factors for each factor (A, B) its Ī and Ū, equally long
 */
export function layerScore(
  factors: ReadonlyArray<{ readonly importance: ArrayLike<number>; readonly uncertainty: ArrayLike<number> }>,
): number {
  let score = 0
  for (const { importance, uncertainty } of factors) {
    let sum = 0
    for (let i = 0; i < importance.length; i++) sum += importance[i]! * uncertainty[i]!
    score += importance.length === 0 ? 0 : sum / importance.length
  }
  return score
}

/** Scores divided by their sum; the same for all when no score is positive and finite. */
export function normalisedScores(scores: ReadonlyArray<number>): Float64Array {
  const clean = Float64Array.from(scores, (score) => (Number.isFinite(score) && score > 0 ? score : 0))
  const sum = clean.reduce((a, b) => a + b, 0)
  return sum > 0 ? clean.map((score) => score / sum) : clean.fill(1 / clean.length)
}

/** How the budget shrinks along the epochs. */
export interface BudgetSchedule {
  /** E, the number of epochs. */
  readonly epochs: number
  /** s at the start and at the end. */
  readonly initialSparsity: number
  readonly sparsity: number
  /** w0: epochs after the first one without re-allocation. Default 0. */
  readonly warmupEpochs?: number
  /** w1: epochs at the end at the final budget. Default 0. */
  readonly finalEpochs?: number
  /** k: allocate every k-th epoch while the budget shrinks. Default 1. */
  readonly interval?: number
}

/** Added before truncating a budget or a share, so that 34.9999999 is 35. */
const truncationSlack = 1e-6

/**
 * The budget of surviving weights at an epoch, V(e), and whether it is divided anew:
 * e ≤ w0: V0, no division (every layer keeps s_init); e > E − w1: V1; else
 * trunc(V1 + (V0 − V1)·(1 − (e−w0)/(E−w0−w1))³), divided when e mod k = 0.
 *
 * @param epoch e = 0..E−1
 * @param weights Σ n_l, the number of weights of all layers
 */
export function budgetAt(
  schedule: BudgetSchedule,
  epoch: number,
  weights: number,
): { readonly budget: number; readonly divide: boolean } {
  const { epochs, warmupEpochs: w0 = 0, finalEpochs: w1 = 0, interval = 1 } = schedule
  const v0 = (1 - schedule.initialSparsity) * weights
  const v1 = (1 - schedule.sparsity) * weights
  if (epoch <= w0) return { budget: Math.trunc(v0 + truncationSlack), divide: false }
  if (epoch > epochs - w1) return { budget: Math.trunc(v1 + truncationSlack), divide: true }
  const left = 1 - (epoch - w0) / (epochs - w0 - w1)
  return { budget: Math.trunc(v1 + (v0 - v1) * left ** 3 + truncationSlack), divide: epoch % interval === 0 }
}

/**
 * Divides a budget of V weights among layers in proportion to their scores, at most `sizes[l]` to each.
 *
 * v_l = min(n_l, trunc(V·σ_l)); while R = V − Σv > 0, every layer with room and a positive score gets
 * min(R·σ_l/Σσ_room, room) at the same time; shares stay fractional until the end and are truncated once. Deviations
 * from the code for robustness: no positive score at all → equal scores; no room with a positive score → stop; the loop
 * ends when R ≤ 1e-6 or after 100 rounds; 1e-6 is added before each truncation.
 *
 * @returns whole numbers v_l with Σ v_l ≤ V
 */
export function divideBudget(
  budget: number,
  sizes: ReadonlyArray<number>,
  scores: ReadonlyArray<number>,
): Float64Array {
  if (sizes.length !== scores.length) throw new RangeError(`${sizes.length} layers but ${scores.length} scores`)
  const sigma = normalisedScores(scores)
  const share = Float64Array.from(sizes, (size, l) => Math.min(size, Math.trunc(budget * sigma[l]! + truncationSlack)))
  for (let round = 0; round < 100; round++) {
    const rest = budget - share.reduce((a, b) => a + b, 0)
    if (rest <= 1e-6) break
    let open = 0
    for (let l = 0; l < share.length; l++) if (sizes[l]! - share[l]! > 0) open += sigma[l]!
    if (open <= 0) break
    for (let l = 0; l < share.length; l++) {
      const room = sizes[l]! - share[l]!
      if (room > 0) share[l] = share[l]! + Math.min((rest * sigma[l]!) / open, room)
    }
  }
  return share.map((v, l) => Math.min(sizes[l]!, Math.trunc(v + truncationSlack)))
}

/** The sparsity that leaves `kept` of `size` weights: clip(1 − v/n, 0, 1). */
export function sparsityOf(kept: number, size: number): number {
  return Math.min(1, Math.max(0, 1 - kept / size))
}
