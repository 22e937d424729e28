/** Protocols that take measurements away, to see how a ranking holds. */
import { derive, type Key, permutation, uniform } from "@exp/random"
import { filterResults, type Results, takeSamples } from "./results.ts"

/**
 * The deterministic hash of the reference data: a number in [0, 1) from competitor i, sample j and a seed. 32-bit
 * mixing by murmur3's finaliser.
 */
export function dropHash(i: number, j: number, seed: number): number {
  let x = Math.imul(i, 73856093) ^ Math.imul(j, 19349663) ^ Math.imul(seed, 83492791)
  x ^= x >>> 16
  x = Math.imul(x, 0x85ebca6b)
  x ^= x >>> 13
  x = Math.imul(x, 0xc2b2ae35)
  x ^= x >>> 16
  return (x >>> 0) / 2 ** 32
}

/** Drops the cell (i, j) exactly when its hash is below `fraction`. */
export function dropByHash(results: Results, fraction: number, seed: number): Results {
  return filterResults(results, (i, j) => dropHash(i, j, seed) >= fraction)
}

/** Keeps category c of competitor i exactly when the hash of (i, c) is below `keep`: whole blocks are missing. */
export function dropBlocks(results: Results, category: ArrayLike<number>, keep: number, seed: number): Results {
  return filterResults(results, (i, j) => dropHash(i, category[j]!, seed) < keep)
}

/** Measurement sparsity: every competitor loses ⌈fraction · its measurements⌉ of them, without replacement. */
export function dropMeasurements(results: Results, fraction: number, stream: Key): Results {
  const owned = new Int32Array(results.competitors)
  for (const c of results.competitor) owned[c]!++
  const dropped = Array.from(owned, (n, c) => {
    const gone = new Uint8Array(n)
    const order = permutation(derive(stream, c), n)
    for (let k = 0; k < Math.ceil(fraction * n); k++) gone[order[k]!] = 1
    return gone
  })
  const seen = new Int32Array(results.competitors)
  return filterResults(results, (c) => dropped[c]![seen[c]!++] === 0)
}

/** Sample removal: keeps ⌊(1 − fraction) · samples⌋ random samples, in their order. */
export function dropSamples(results: Results, fraction: number, stream: Key): Results {
  const keep = Math.floor((1 - fraction) * results.samples)
  return takeSamples(results, permutation(stream, results.samples).slice(0, keep).sort())
}

/** Drops each cell with its own probability from a seeded stream (unlike {@link dropMeasurements}, counts vary). */
export function dropCells(results: Results, fraction: number, stream: Key): Results {
  return filterResults(results, (i, j) => uniform(derive(stream, i), j) >= fraction)
}
