/** Random numbers of a step that runs eagerly. The numbers themselves are defined in draws.ts. */
import { eagerRandomness } from "./program.ts"
import type { Randomness } from "./step.ts"

/**
 * Randomness that computes its values at the call: element i of a request is a function of (seed, stream, step, i), so
 * the order of requests, the device and what else is asked for do not matter. A compiled program fills its noise
 * inputs from the same definition ({@link draw}), bit for bit.
 *
 * Two requests with the same stream name in one step give the same numbers: name streams after their use.
 */
export function makeRandomness(seed: number, step: number): Randomness {
  return eagerRandomness({ seed, step })
}
