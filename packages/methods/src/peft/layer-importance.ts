/**
 * The layer choice of IST (importance-aware sparse tuning): which layers are trained at a step, and how the scores that
 * decide it are learned.
 *
 * Source: "Layer-wise Importance Matters: Less Memory for Better Performance in Parameter-efficient Fine-tuning of Large
 * Language Models", arXiv 2410.11772, as its official code does it. SIGN: a high score means UNimportant.
 */
import { derive, type Key, uniform } from "@exp/random"

/** The constants of IST. */
export interface LayerSamplingOptions {
  /** Share of the layers trained at a step; their number is truncated. */
  readonly trainedShare: number
  /** Share of the layers suppressed in a candidate; their number is truncated. */
  readonly suppressedShare: number
  /** Candidate sets compared in one importance round. */
  readonly candidates: number
  /** Factor on the response of a suppressed layer, ρ. */
  readonly suppression: number
  /** Step size μ of the scores. */
  readonly stepSize: number
  /** Optimiser steps between importance rounds, τ. */
  readonly interval: number
}

/** The constants of the official code. */
export const officialLayerSampling: LayerSamplingOptions = {
  trainedShare: 0.25,
  suppressedShare: 0.5,
  candidates: 3,
  suppression: 0.25,
  stepSize: 10,
  interval: 10,
}

/** A layer choice that the number of layers does not allow. */
export class TooFewLayers extends Error {
  readonly _tag = "TooFewLayers"
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** Number of ways to choose k of n. */
const choose = (n: number, k: number): number => {
  let ways = 1
  for (let i = 1; i <= k; i++) ways = (ways * (n - k + i)) / i
  return Math.round(ways)
}

/**
 * How many layers are trained and suppressed.
 *
 * @throws TooFewLayers when no layer would be trained, or when there are fewer distinct suppressed sets than candidates
 * (the redraw for distinct sets would never end)
 */
export function layerCounts(
  layers: number,
  options: LayerSamplingOptions,
): { readonly trained: number; readonly suppressed: number } {
  const trained = Math.trunc(options.trainedShare * layers)
  const suppressed = Math.trunc(options.suppressedShare * layers)
  if (trained < 1) {
    throw new TooFewLayers(
      `${layers} layers with trainedShare ${options.trainedShare} train no layer at all; use more layers or a larger share`,
    )
  }
  if (choose(layers, suppressed) < options.candidates) {
    throw new TooFewLayers(
      `${layers} layers with ${suppressed} suppressed allow ${choose(layers, suppressed)} sets, fewer than the ${options.candidates} candidates`,
    )
  }
  return { trained, suppressed }
}

/**
 * Draws `count` distinct indices by successive draws, each in proportion to the weights that remain. Sorted.
 *
 * @param weights positive, any scale
 */
export function drawWithoutReplacement(weights: ArrayLike<number>, count: number, key: Key): number[] {
  const left = Float64Array.from(weights)
  const drawn: number[] = []
  for (let draw = 0; draw < count; draw++) {
    let total = 0
    for (const w of left) total += w
    let at = uniform(key, draw) * total
    let chosen = -1
    for (let i = 0; i < left.length; i++) {
      if (left[i]! <= 0) continue
      chosen = i // the last one with weight left, should rounding carry `at` past the end
      at -= left[i]!
      if (at < 0) break
    }
    drawn.push(chosen)
    left[chosen] = 0
  }
  return drawn.sort((a, b) => a - b)
}

/** Exact inclusion probabilities of {@link drawWithoutReplacement}, by enumeration; for few items. */
export function inclusionProbabilities(weights: ArrayLike<number>, count: number): Float64Array {
  const out = new Float64Array(weights.length)
  const visit = (taken: ReadonlySet<number>, probability: number) => {
    if (taken.size === count) {
      for (const i of taken) out[i]! += probability
      return
    }
    let total = 0
    for (let i = 0; i < weights.length; i++) if (!taken.has(i)) total += weights[i]!
    for (let i = 0; i < weights.length; i++) {
      if (!taken.has(i)) visit(new Set([...taken, i]), (probability * weights[i]!) / total)
    }
  }
  visit(new Set(), 1)
  return out
}

/** The layers trained at a step: weights σ(−z), so that important layers (low z) come more often. Sorted. */
export const trainedLayers = (scores: ArrayLike<number>, count: number, key: Key): number[] =>
  drawWithoutReplacement(
    Array.from(scores, (z) => sigmoid(-z)),
    count,
    key,
  )

/** The candidate sets of suppressed layers of one round: weights σ(z), all different. */
export function suppressedSets(scores: ArrayLike<number>, count: number, candidates: number, key: Key): number[][] {
  const weights = Array.from(scores, sigmoid)
  const seen = new Set<string>()
  const sets: number[][] = []
  for (let attempt = 0; sets.length < candidates; attempt++) {
    const set = drawWithoutReplacement(weights, count, derive(key, attempt))
    const name = set.join()
    if (seen.has(name)) continue
    seen.add(name)
    sets.push(set)
  }
  return sets
}

/**
 * The scores after one importance round: z_i += μ·a_k·p_i(1 − p_i) for every candidate k and every layer i it
 * suppressed, with a_k = R_k − mean(R), R_k = exp(−loss_k) and p = σ(z) as it was before the round.
 *
 * @param sets suppressed layers of each candidate
 * @param losses training loss of the same batch under each candidate, in nats
 */
export function updateScores(
  scores: ArrayLike<number>,
  sets: readonly (readonly number[])[],
  losses: ArrayLike<number>,
  stepSize: number,
): Float64Array {
  const rewards = Array.from(losses, (loss) => Math.exp(-loss))
  // Taken from the first reward, so that equal losses give advantages of exactly zero.
  const mean = rewards[0]! + rewards.reduce((sum, r) => sum + (r - rewards[0]!), 0) / rewards.length
  const before = Float64Array.from(scores)
  // The advantages of a layer are added up before they are applied: they sum to exactly zero over all candidates.
  const advantage = new Float64Array(before.length)
  const times = new Int32Array(before.length)
  for (const [k, set] of sets.entries()) {
    for (const layer of set) {
      advantage[layer]! += rewards[k]! - mean
      times[layer]!++
    }
  }
  return before.map((z, i) => {
    if (times[i] === 0 || times[i] === sets.length) return z
    const p = sigmoid(z)
    return z + stepSize * advantage[i]! * p * (1 - p)
  })
}
