/**
 * Counter-based random numbers: `value = f(seed, stream, index)`.
 *
 * There is no generator state, so there is nothing to save in a checkpoint and nothing that depends on the order of
 * calls: the same key and index give the same value in every process and on every device.
 *
 * The bits come from Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
 * 1, 2, 3", SC 2011), checked against the authors' known-answer vectors.
 */

/** A 64-bit key as two unsigned 32-bit words. Make one with {@link key}. */
export interface Key {
  readonly k0: number
  readonly k1: number
}

const rotations = [13, 15, 26, 6, 17, 29, 16, 24] as const
const parity = 0x1bd11bda

/**
 * One Threefry-2x32-20 block: encrypts the counter `(c0, c1)` under `(k0, k1)` and writes two unsigned 32-bit words to
 * `out[at]` and `out[at + 1]`.
 */
export function threefry2x32(k0: number, k1: number, c0: number, c1: number, out: Uint32Array, at = 0): void {
  const k2 = k0 ^ k1 ^ parity
  let x0 = (c0 + k0) | 0
  let x1 = (c1 + k1) | 0
  for (let block = 0; block < 5; block++) {
    const first = (block & 1) * 4
    for (let i = first; i < first + 4; i++) {
      const r = rotations[i] as number
      x0 = (x0 + x1) | 0
      x1 = (x1 << r) | (x1 >>> (32 - r))
      x1 ^= x0
    }
    const step = block + 1
    const a = step % 3
    x0 = (x0 + (a === 0 ? k0 : a === 1 ? k1 : k2)) | 0
    x1 = (x1 + (a === 0 ? k1 : a === 1 ? k2 : k0) + step) | 0
  }
  out[at] = x0
  out[at + 1] = x1
}

const word = new Uint32Array(2)

/** Folds one path element into a key. Numbers and strings never collide: they are absorbed under different tags. */
function fold(k0: number, k1: number, part: string | number): Key {
  if (typeof part === "number") {
    if (!Number.isSafeInteger(part)) throw new RangeError(`a random key takes integers and strings, got ${part}`)
    threefry2x32(k0, k1, part >>> 0, Math.floor(part / 2 ** 32) >>> 0, word)
    return { k0: word[0]!, k1: word[1]! }
  }
  threefry2x32(k0, k1, part.length, 0x7374726e, word)
  let a = word[0]!
  let b = word[1]!
  for (let i = 0; i < part.length; i += 2) {
    threefry2x32(a, b, part.charCodeAt(i), i + 1 < part.length ? part.charCodeAt(i + 1) : 0x10000, word)
    a = word[0]!
    b = word[1]!
  }
  return { k0: a, k1: b }
}

/**
 * The key of a stream: `key(seed, "dropout", step)`. Every further element of the path gives an independent stream.
 *
 * @param seed any safe integer
 * @throws RangeError when a number of the path is not a safe integer
 */
export function key(seed: number, ...path: ReadonlyArray<string | number>): Key {
  let k = fold(0, 0, seed)
  for (const part of path) k = fold(k.k0, k.k1, part)
  return k
}

/** A key derived from another one, for handing a sub-stream to a function. */
export function derive(parent: Key, ...path: ReadonlyArray<string | number>): Key {
  let k = parent
  for (const part of path) k = fold(k.k0, k.k1, part)
  return k
}

/**
 * Consecutive Threefry-2x32-20 blocks: the counters (c, 0), (c + 1, 0), … under one key, two words each, over
 * `out[from … to)`. The rounds of {@link threefry2x32} written out, which is five times as fast.
 */
function fillBlocks(key0: number, key1: number, c: number, out: Uint32Array, from: number, to: number): void {
  // As signed words throughout, so that the loop stays in 32-bit arithmetic.
  const k0 = key0 | 0
  const k1 = key1 | 0
  const k2 = k0 ^ k1 ^ parity
  let counter = c | 0
  for (let at = from; at + 1 < to; at += 2) {
    let x0 = (counter + k0) | 0
    let x1 = k1
    counter = (counter + 1) | 0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0
    x0 = (x0 + k1) | 0
    x1 = (x1 + k2 + 1) | 0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0
    x0 = (x0 + k2) | 0
    x1 = (x1 + k0 + 2) | 0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0
    x0 = (x0 + k0) | 0
    x1 = (x1 + k1 + 3) | 0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 17) | (x1 >>> 15)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 29) | (x1 >>> 3)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 16) | (x1 >>> 16)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 24) | (x1 >>> 8)) ^ x0
    x0 = (x0 + k1) | 0
    x1 = (x1 + k2 + 4) | 0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 13) | (x1 >>> 19)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 15) | (x1 >>> 17)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 26) | (x1 >>> 6)) ^ x0
    x0 = (x0 + x1) | 0
    x1 = ((x1 << 6) | (x1 >>> 26)) ^ x0
    x0 = (x0 + k2) | 0
    x1 = (x1 + k0 + 5) | 0
    out[at] = x0
    out[at + 1] = x1
  }
}

/** The unsigned 32-bit words number `index` and following of the stream, written over the whole of `out`. */
export function fillBits(k: Key, out: Uint32Array, index = 0): Uint32Array {
  let i = 0
  let n = index
  if (n % 2 === 1 && out.length > 0) {
    threefry2x32(k.k0, k.k1, (n - 1) / 2, 0, word)
    out[i++] = word[1]!
    n++
  }
  const pairs = (out.length - i) >> 1
  fillBlocks(k.k0, k.k1, n / 2, out, i, i + 2 * pairs)
  if (i + 2 * pairs < out.length) {
    threefry2x32(k.k0, k.k1, n / 2 + pairs, 0, word)
    out[out.length - 1] = word[0]!
  }
  return out
}

/** The unsigned 32-bit word number `index` of the stream. */
export function bits(k: Key, index: number): number {
  threefry2x32(k.k0, k.k1, Math.floor(index / 2), 0, word)
  return word[index % 2]!
}

const toUnit24 = 2 ** -24

/** Uniform numbers in [0, 1), multiples of 2⁻²⁴ so that they are exact in float32, over the whole of `out`. */
export function fillUniform<A extends Float32Array | Float64Array>(k: Key, out: A, index = 0): A {
  // In place for float32: its words are the same four bytes.
  const raw =
    out instanceof Float32Array ? new Uint32Array(out.buffer, out.byteOffset, out.length) : new Uint32Array(out.length)
  fillBits(k, raw, index)
  for (let i = 0; i < raw.length; i++) out[i] = (raw[i]! >>> 8) * toUnit24
  return out
}

/** The uniform number in [0, 1) at `index` of the stream, with 24 bits. */
export function uniform(k: Key, index = 0): number {
  return (bits(k, index) >>> 8) * toUnit24
}

/**
 * Standard normal numbers over the whole of `out` (Box–Muller on one Threefry block per pair; pair p uses words 2p and
 * 2p+1, so element i depends on the key and on i alone).
 */
export function fillNormal<A extends Float32Array | Float64Array>(k: Key, out: A, index = 0): A {
  for (let i = 0; i < out.length; i++) {
    const n = index + i
    threefry2x32(k.k0, k.k1, Math.floor(n / 2), 0, word)
    const radius = Math.sqrt(-2 * Math.log((word[0]! + 1) / 2 ** 32))
    const angle = (2 * Math.PI * word[1]!) / 2 ** 32
    if (n % 2 === 1) out[i] = radius * Math.sin(angle)
    else {
      out[i] = radius * Math.cos(angle)
      if (i + 1 < out.length) out[++i] = radius * Math.sin(angle)
    }
  }
  return out
}

/** The standard normal number at `index` of the stream. */
export function normal(k: Key, index = 0): number {
  return fillNormal(k, new Float64Array(1), index)[0]!
}

/**
 * Normal numbers of standard deviation `sigma`, redrawn while outside ±`cut`·`sigma`, over the whole of `out`.
 * Redraws of element i come from the stream (key, "redraw", i), so that no element depends on another.
 */
export function fillTruncatedNormal<A extends Float32Array | Float64Array>(k: Key, out: A, sigma = 1, cut = 2): A {
  fillNormal(k, out)
  for (let i = 0; i < out.length; i++) {
    let x = out[i]!
    if (Math.abs(x) > cut) {
      const again = derive(k, "redraw", i)
      for (let n = 0; Math.abs(x) > cut; n++) x = normal(again, n)
    }
    out[i] = x * sigma
  }
  return out
}

/** The integer in [0, bound) at `index` of the stream: 53 random bits scaled, bias below 2⁻²¹ for bounds up to 2³². */
export function integer(k: Key, bound: number, index = 0): number {
  threefry2x32(k.k0, k.k1, index >>> 0, 1 + Math.floor(index / 2 ** 32), word)
  return Math.floor(((word[0]! >>> 5) * 2 ** 26 + (word[1]! >>> 6)) * 2 ** -53 * bound)
}

/** A uniformly random permutation of 0..n-1 (Fisher–Yates, one independent draw for each position). */
export function permutation(k: Key, n: number): Uint32Array {
  const order = new Uint32Array(n)
  for (let i = 0; i < n; i++) order[i] = i
  for (let i = n - 1; i > 0; i--) {
    const j = integer(k, i + 1, i)
    const held = order[i]!
    order[i] = order[j]!
    order[j] = held
  }
  return order
}
