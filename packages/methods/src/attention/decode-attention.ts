/**
 * Attention of one new token over a KV cache with grouped-query heads: dense, top-k, block top-k, local, random.
 *
 * Source of the rules: "Kinetics", arXiv 2506.05333, and its evaluation code. Scores are averaged over the heads of a
 * group BEFORE the softmax, all heads of a group share one choice, and what is not chosen takes no part in the softmax.
 */
import { derive, integer, type Key } from "@exp/random"
import { type DecodeAttention, isSparseIn } from "./decode-attention-kinds.ts"
import type { KvCache } from "./kv-cache.ts"
import { largest } from "./select-positions.ts"

/** Rows of the cache that were read, counted over the KV heads. */
export interface RowsRead {
  keys: number
  values: number
  means: number
}

/** Buffers for one decoder, reused from call to call. */
export class DecodeScratch {
  /** Query heads of a KV head. */
  readonly group: number
  readonly capacity: number
  /** [group, capacity] */
  readonly scores: Float32Array
  /** Group means, or block scores. */
  readonly choices: Float32Array
  readonly chosen: Int32Array
  readonly order: Int32Array
  readonly queryMean: Float32Array
  /** Kept pieces: start, end, start, end, … */
  readonly ranges: Int32Array
  readonly read: RowsRead = { keys: 0, values: 0, means: 0 }

  constructor(group: number, headSize: number, capacity: number) {
    this.group = group
    this.capacity = capacity
    this.scores = new Float32Array(group * capacity)
    this.choices = new Float32Array(capacity)
    this.chosen = new Int32Array(capacity)
    this.order = new Int32Array(capacity)
    this.queryMean = new Float32Array(headSize)
    this.ranges = new Int32Array(2 * capacity + 4)
  }
}

/** What to attend to. */
export interface DecodeCall {
  readonly attention: DecodeAttention
  readonly layer: number
  /** For random positions: the stream of this token; the KV head is added. */
  readonly key?: Key
}

/**
 * Attention output of one token: out[h] = Σ_j softmax_j(q_h·k_j/√hd)·v_j over the kept positions j.
 *
 * @param query [queryHeads · headSize] from `at` on; query head h reads KV head ⌊h / group⌋
 * @param cache its last position is the new token
 * @param scratch for the group size of the model; its `read` counts go up
 * @param out the same layout and offset as `query`, written over
 */
export function decodeAttention(
  query: Float32Array,
  cache: KvCache,
  call: DecodeCall,
  scratch: DecodeScratch,
  out: Float32Array,
  at = 0,
): void {
  const { kvHeads, headSize } = cache
  const { group } = scratch
  const attention: DecodeAttention = isSparseIn(call.attention, call.layer) ? call.attention : dense
  for (let head = 0; head < kvHeads; head++) {
    const from = at + head * group * headSize
    const count = keptRanges(query, from, group, cache, head, { ...call, attention }, scratch)
    attend(query, from, group, cache, head, scratch, count, out)
  }
}

const dense: DecodeAttention = { _tag: "Dense" }

/**
 * The pieces [start, end) of positions that one KV head keeps, in increasing order, written to `scratch.ranges`.
 *
 * @param from where the first query head of the group starts in `query`
 * @returns how many pieces there are
 */
export function keptRanges(
  query: Float32Array,
  from: number,
  group: number,
  cache: KvCache,
  head: number,
  call: DecodeCall,
  scratch: DecodeScratch,
): number {
  const { attention } = call
  const { ranges } = scratch
  const length = cache.length
  ranges[0] = 0
  ranges[1] = length
  switch (attention._tag) {
    case "Dense":
      return 1
    case "Local": {
      const { sink, local } = attention
      return length > sink + local ? twoPieces(ranges, sink, length - local, length) : 1
    }
    case "TopK":
    case "RandomTokens": {
      const { sink, local, k } = attention
      if (length <= sink + k + local) return 1
      const dynamic = length - local - sink
      let chosen: Int32Array
      if (attention._tag === "TopK") {
        groupMeanScores(query, from, group, cache, head, sink, dynamic, scratch)
        chosen = largest(scratch.choices, dynamic, k, scratch.chosen)
      } else {
        chosen = randomChoice(dynamic, k, derive(call.key!, head), scratch)
      }
      return pieces(ranges, sink, chosen, 1, length - local, length)
    }
    case "BlockTopK": {
      const { sink, local, blockSize, blocks } = attention
      if (length <= Math.ceil((sink + local + blocks * blockSize) / blockSize) * blockSize) return 1
      if (cache.blockSize !== blockSize || cache.sink !== sink)
        throw new RangeError(
          `block top-k with blocks of ${blockSize} after ${sink} sink positions needs a cache that keeps those mean keys; this one has ${cache.blockSize} after ${cache.sink}`,
        )
      const candidates = Math.floor((length - local - sink) / blockSize)
      blockScores(query, from, group, cache, head, candidates, scratch)
      const chosen = largest(scratch.choices, candidates, blocks, scratch.chosen)
      return pieces(ranges, sink, chosen, blockSize, sink + candidates * blockSize, length)
    }
  }
}

/** The first `sink` positions and those from `tail` on; one piece where they touch. */
function twoPieces(ranges: Int32Array, sink: number, tail: number, length: number): number {
  let n = 0
  if (sink > 0) {
    ranges[0] = 0
    ranges[1] = sink
    n = 1
  }
  ranges[2 * n] = tail
  ranges[2 * n + 1] = length
  return n + 1
}

/** Sink, chosen units of `unit` positions counted from the sink, and the tail, with neighbours joined. */
function pieces(
  ranges: Int32Array,
  sink: number,
  chosen: Int32Array,
  unit: number,
  tail: number,
  length: number,
): number {
  let n = 0
  let start = 0
  let end = sink
  for (let i = 0; i <= chosen.length; i++) {
    const first = i < chosen.length ? sink + chosen[i]! * unit : tail
    const last = i < chosen.length ? first + unit : length
    if (first === end) {
      end = last
      continue
    }
    if (end > start) {
      ranges[2 * n] = start
      ranges[2 * n + 1] = end
      n++
    }
    start = first
    end = last
  }
  if (end > start) {
    ranges[2 * n] = start
    ranges[2 * n + 1] = end
    n++
  }
  return n
}

/** Mean over the group of the scores of positions first … first+count−1, into `scratch.choices`. */
function groupMeanScores(
  query: Float32Array,
  from: number,
  group: number,
  cache: KvCache,
  head: number,
  first: number,
  count: number,
  scratch: DecodeScratch,
): void {
  // The mean of the scores is the score of the mean query: one pass over the keys for the choice.
  meanQuery(query, from, group, cache.headSize, scratch.queryMean)
  const base = (head * cache.capacity + first) * cache.headSize
  dots(scratch.queryMean, cache.keys, base, count, cache.headSize, scratch.choices, 1 / Math.sqrt(cache.headSize))
  scratch.read.keys += count
}

/** Score of each of the first `count` blocks: mean query · mean key / √hd, into `scratch.choices`. */
function blockScores(
  query: Float32Array,
  from: number,
  group: number,
  cache: KvCache,
  head: number,
  count: number,
  scratch: DecodeScratch,
): void {
  meanQuery(query, from, group, cache.headSize, scratch.queryMean)
  const base = head * cache.blockCapacity * cache.headSize
  dots(scratch.queryMean, cache.meanKeys, base, count, cache.headSize, scratch.choices, 1 / Math.sqrt(cache.headSize))
  scratch.read.means += count
}

function meanQuery(query: Float32Array, from: number, group: number, headSize: number, into: Float32Array): void {
  for (let i = 0; i < headSize; i++) {
    let sum = 0
    for (let h = 0; h < group; h++) sum += query[from + h * headSize + i]!
    into[i] = sum / group
  }
}

/** `k` of 0 … n−1 without repetition, in increasing order (the first k steps of a Fisher–Yates shuffle). */
function randomChoice(n: number, k: number, stream: Key, scratch: DecodeScratch): Int32Array {
  const { order, chosen } = scratch
  for (let i = 0; i < n; i++) order[i] = i
  for (let i = 0; i < k; i++) {
    const j = i + integer(stream, n - i, i)
    chosen[i] = order[j]!
    order[j] = order[i]!
  }
  return chosen.subarray(0, k).sort()
}

/** out[r] = scale · q·rows[r] for `count` rows of `width` numbers from `base` on. */
function dots(
  q: Float32Array,
  rows: Float32Array,
  base: number,
  count: number,
  width: number,
  out: Float32Array,
  scale: number,
): void {
  let r = 0
  for (; r + 4 <= count; r += 4) {
    const a = base + r * width
    const b = a + width
    const c = b + width
    const d = c + width
    let [s0, s1, s2, s3] = [0, 0, 0, 0]
    for (let i = 0; i < width; i++) {
      const x = q[i]!
      s0 += x * rows[a + i]!
      s1 += x * rows[b + i]!
      s2 += x * rows[c + i]!
      s3 += x * rows[d + i]!
    }
    out[r] = s0 * scale
    out[r + 1] = s1 * scale
    out[r + 2] = s2 * scale
    out[r + 3] = s3 * scale
  }
  for (; r < count; r++) {
    const a = base + r * width
    let sum = 0
    for (let i = 0; i < width; i++) sum += q[i]! * rows[a + i]!
    out[r] = sum * scale
  }
}

/** Scores, softmax and weighted values over the first `count` pieces of `scratch.ranges`, for one group. */
function attend(
  query: Float32Array,
  from: number,
  group: number,
  cache: KvCache,
  head: number,
  scratch: DecodeScratch,
  count: number,
  out: Float32Array,
): void {
  const { headSize, capacity, keys, values } = cache
  const { scores, ranges } = scratch
  const stride = scratch.capacity
  const scale = 1 / Math.sqrt(headSize)
  let n = 0
  for (let piece = 0; piece < count; piece++) {
    const start = ranges[2 * piece]!
    const size = ranges[2 * piece + 1]! - start
    const base = (head * capacity + start) * headSize
    let h = 0
    for (; h + 4 <= group; h += 4)
      scoresOfFour(query, from + h * headSize, keys, base, size, headSize, scores, h * stride + n, stride, scale)
    for (; h < group; h++)
      scoresOfOne(query, from + h * headSize, keys, base, size, headSize, scores, h * stride + n, scale)
    n += size
  }
  for (let h = 0; h < group; h++) softmax(scores, h * stride, n)
  out.fill(0, from, from + group * headSize)
  n = 0
  for (let piece = 0; piece < count; piece++) {
    const start = ranges[2 * piece]!
    const size = ranges[2 * piece + 1]! - start
    const base = (head * capacity + start) * headSize
    let h = 0
    for (; h + 4 <= group; h += 4)
      mixFour(scores, h * stride + n, stride, values, base, size, headSize, out, from + h * headSize)
    for (; h < group; h++) mixOne(scores, h * stride + n, values, base, size, headSize, out, from + h * headSize)
    n += size
  }
  scratch.read.keys += n
  scratch.read.values += n
}

/** Turns scores[at … at+n) into weights that sum to 1. */
function softmax(scores: Float32Array, at: number, n: number): void {
  let top = Number.NEGATIVE_INFINITY
  for (let i = at; i < at + n; i++) if (scores[i]! > top) top = scores[i]!
  let sum = 0
  for (let i = at; i < at + n; i++) {
    const e = Math.exp(scores[i]! - top)
    scores[i] = e
    sum += e
  }
  const inverse = 1 / sum
  for (let i = at; i < at + n; i++) scores[i]! *= inverse
}

/** Scores of four heads: a key row is loaded once for all of them. */
function scoresOfFour(
  q: Float32Array,
  from: number,
  keys: Float32Array,
  base: number,
  count: number,
  width: number,
  out: Float32Array,
  at: number,
  stride: number,
  scale: number,
): void {
  const [q0, q1, q2, q3] = [from, from + width, from + 2 * width, from + 3 * width]
  for (let r = 0; r < count; r++) {
    const row = base + r * width
    let s0 = 0
    let s1 = 0
    let s2 = 0
    let s3 = 0
    for (let i = 0; i < width; i++) {
      const k = keys[row + i]!
      s0 += q[q0 + i]! * k
      s1 += q[q1 + i]! * k
      s2 += q[q2 + i]! * k
      s3 += q[q3 + i]! * k
    }
    out[at + r] = s0 * scale
    out[at + stride + r] = s1 * scale
    out[at + 2 * stride + r] = s2 * scale
    out[at + 3 * stride + r] = s3 * scale
  }
}

function scoresOfOne(
  q: Float32Array,
  from: number,
  keys: Float32Array,
  base: number,
  count: number,
  width: number,
  out: Float32Array,
  at: number,
  scale: number,
): void {
  for (let r = 0; r < count; r++) {
    const row = base + r * width
    let sum = 0
    for (let i = 0; i < width; i++) sum += q[from + i]! * keys[row + i]!
    out[at + r] = sum * scale
  }
}

/** out_h += Σ_r w_h[r]·values[r] for four heads, two rows at a time: a value is loaded once for all heads. */
function mixFour(
  weights: Float32Array,
  at: number,
  stride: number,
  values: Float32Array,
  base: number,
  count: number,
  width: number,
  out: Float32Array,
  to: number,
): void {
  const [o0, o1, o2, o3] = [to, to + width, to + 2 * width, to + 3 * width]
  let r = 0
  for (; r + 2 <= count; r += 2) {
    const a = base + r * width
    const b = a + width
    const w0 = weights[at + r]!
    const w1 = weights[at + stride + r]!
    const w2 = weights[at + 2 * stride + r]!
    const w3 = weights[at + 3 * stride + r]!
    const u0 = weights[at + r + 1]!
    const u1 = weights[at + stride + r + 1]!
    const u2 = weights[at + 2 * stride + r + 1]!
    const u3 = weights[at + 3 * stride + r + 1]!
    for (let i = 0; i < width; i++) {
      const x = values[a + i]!
      const y = values[b + i]!
      out[o0 + i]! += w0 * x + u0 * y
      out[o1 + i]! += w1 * x + u1 * y
      out[o2 + i]! += w2 * x + u2 * y
      out[o3 + i]! += w3 * x + u3 * y
    }
  }
  for (let h = 0; r < count && h < 4; h++)
    mixOne(weights, at + h * stride + r, values, base + r * width, count - r, width, out, to + h * width)
}

function mixOne(
  weights: Float32Array,
  at: number,
  values: Float32Array,
  base: number,
  count: number,
  width: number,
  out: Float32Array,
  to: number,
): void {
  for (let r = 0; r < count; r++) {
    const w = weights[at + r]!
    const row = base + r * width
    for (let i = 0; i < width; i++) out[to + i]! += w * values[row + i]!
  }
}
