import { fillNormal, key } from "@exp/random"
import { describe, expect, it } from "vitest"
import { DecodeScratch, decodeAttention, keptRanges } from "../../src/attention/decode-attention.ts"
import {
  attentionCostOf,
  BlockTopK,
  type DecodeAttention,
  Dense,
  Local,
  RandomTokens,
  TopK,
} from "../../src/attention/decode-attention-kinds.ts"
import { KvCache, KvCacheFull } from "../../src/attention/kv-cache.ts"
import { largest } from "../../src/attention/select-positions.ts"

const normals = (n: number, ...path: (string | number)[]) => fillNormal(key(7, ...path), new Float32Array(n))

const filled = (
  length: number,
  { kvHeads = 2, headSize = 16, blockSize = 0, sink = 0, seed = 0 }: Partial<Record<string, number>> = {},
) => {
  const cache = new KvCache({ kvHeads, headSize, capacity: length + 3, blockSize, sink })
  const width = kvHeads * headSize
  const [k, v] = [normals(length * width, "k", seed), normals(length * width, "v", seed)]
  for (let i = 0; i < length; i++) cache.append(k, v, i * width)
  return cache
}

const run = (attention: DecodeAttention, cache: KvCache, query: Float32Array, group: number) => {
  const out = new Float32Array(query.length)
  const scratch = new DecodeScratch(group, cache.headSize, cache.capacity)
  decodeAttention(query, cache, { attention, layer: 1, key: key(1, "random", cache.length) }, scratch, out)
  return { out, read: scratch.read }
}

/** The rules as the card states them, in double precision, with a mask of −∞ on all scores. */
function reference(attention: DecodeAttention, cache: KvCache, query: Float32Array, group: number) {
  const { length: S, headSize, capacity, kvHeads } = cache
  const out = new Float64Array(query.length)
  const masks: boolean[][] = []
  for (let kv = 0; kv < kvHeads; kv++) {
    const score = (h: number, j: number) => {
      let sum = 0
      for (let i = 0; i < headSize; i++)
        sum += query[(kv * group + h) * headSize + i]! * cache.keys[(kv * capacity + j) * headSize + i]!
      return sum / Math.sqrt(headSize)
    }
    const mean = (j: number) => {
      let sum = 0
      for (let h = 0; h < group; h++) sum += score(h, j)
      return sum / group
    }
    const keep = new Array<boolean>(S).fill(true)
    const best = (values: number[], count: number) =>
      new Set(
        values
          .map((value, i) => ({ value, i }))
          .sort((a, b) => b.value - a.value || a.i - b.i)
          .slice(0, count)
          .map(({ i }) => i),
      )
    if (attention._tag === "TopK" && S > attention.sink + attention.k + attention.local) {
      const dynamic = Array.from({ length: S - attention.local - attention.sink }, (_, i) => mean(attention.sink + i))
      const kept = best(dynamic, attention.k)
      for (let i = 0; i < dynamic.length; i++) keep[attention.sink + i] = kept.has(i)
    }
    if (attention._tag === "BlockTopK") {
      const { sink, local, blockSize: bs, blocks: kb } = attention
      if (S > Math.ceil((sink + local + kb * bs) / bs) * bs) {
        const nd = Math.floor((S - local - sink) / bs) * bs
        const blockScores = Array.from({ length: nd / bs }, (_, b) => {
          let sum = 0
          for (let j = 0; j < bs; j++) sum += mean(sink + b * bs + j)
          return sum / bs
        })
        const kept = best(blockScores, kb)
        for (let j = 0; j < nd; j++) keep[sink + j] = kept.has(Math.floor(j / bs))
      }
    }
    if (attention._tag === "Local" && S > attention.sink + attention.local)
      for (let j = attention.sink; j < S - attention.local; j++) keep[j] = false
    masks.push(keep)
    for (let h = 0; h < group; h++) {
      const scores = keep.map((kept, j) => (kept ? score(h, j) : Number.NEGATIVE_INFINITY))
      const top = Math.max(...scores)
      const weights = scores.map((x) => Math.exp(x - top))
      const sum = weights.reduce((a, b) => a + b, 0)
      for (let i = 0; i < headSize; i++) {
        let y = 0
        for (let j = 0; j < S; j++) y += (weights[j]! / sum) * cache.values[(kv * capacity + j) * headSize + i]!
        out[(kv * group + h) * headSize + i] = y
      }
    }
  }
  return { out, masks }
}

const difference = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let most = 0
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i]! - b[i]!))
  return most
}

const rangesOf = (attention: DecodeAttention, cache: KvCache, query: Float32Array, group: number, head: number) => {
  const scratch = new DecodeScratch(group, cache.headSize, cache.capacity)
  const from = head * group * cache.headSize
  const n = keptRanges(query, from, group, cache, head, { attention, layer: 1, key: key(3) }, scratch)
  const kept: number[] = []
  for (let i = 0; i < n; i++) for (let j = scratch.ranges[2 * i]!; j < scratch.ranges[2 * i + 1]!; j++) kept.push(j)
  return kept
}

describe("sparse decoding", () => {
  const kinds: readonly DecodeAttention[] = [
    Dense(),
    TopK({ k: 12 }),
    TopK({ k: 5, sink: 0, local: 1 }),
    TopK({ k: 7, sink: 3, local: 6 }),
    BlockTopK({ blockSize: 4, blocks: 3 }),
    BlockTopK({ blockSize: 8, blocks: 1, sink: 0, local: 5 }),
    BlockTopK({ blockSize: 5, blocks: 2, sink: 2, local: 1 }),
    Local({ local: 9 }),
    Local({ local: 1, sink: 0 }),
  ]
  it.each(kinds.map((kind) => [JSON.stringify(kind), kind] as const))("%s follows its rule", (_, kind) => {
    for (const group of [1, 2, 4, 5]) {
      for (const length of [1, 5, 13, 17, 18, 24, 40, 67]) {
        const sizes = kind._tag === "BlockTopK" ? { blockSize: kind.blockSize, sink: kind.sink } : {}
        const cache = filled(length, { ...sizes, seed: length })
        const query = normals(2 * group * 16, "q", length, group)
        const expected = reference(kind, cache, query, group)
        expect(difference(run(kind, cache, query, group).out, expected.out)).toBeLessThan(1e-6)
        for (let head = 0; head < 2; head++) {
          expect(rangesOf(kind, cache, query, group, head)).toEqual(
            expected.masks[head]!.flatMap((kept, j) => (kept ? [j] : [])),
          )
        }
      }
    }
  })

  it("equals dense at a full budget", () => {
    const cache = filled(50, { blockSize: 8, sink: 4 })
    const query = normals(2 * 4 * 16, "full")
    const dense = run(Dense(), cache, query, 4).out
    for (const kind of [
      TopK({ k: 46 }),
      TopK({ k: 1000 }),
      BlockTopK({ blockSize: 8, blocks: 6 }),
      BlockTopK({ blockSize: 8, blocks: 100 }),
      Local({ local: 46 }),
      RandomTokens({ k: 46 }),
    ]) {
      expect(difference(run(kind, cache, query, 4).out, dense)).toBeLessThan(1e-6)
    }
    // One position short of it, the answer differs.
    expect(difference(run(TopK({ k: 45 }), cache, query, 4).out, dense)).toBeGreaterThan(1e-6)
  })

  it("keeps exactly sink + k + local positions, the sink and the last ones always", () => {
    const cache = filled(80)
    const query = normals(2 * 4 * 16, "count")
    for (const kind of [TopK({ k: 10, sink: 3, local: 5 }), RandomTokens({ k: 10, sink: 3, local: 5 })]) {
      const kept = rangesOf(kind, cache, query, 4, 1)
      expect(kept).toHaveLength(18)
      expect(kept.slice(0, 3)).toEqual([0, 1, 2])
      expect(kept.slice(-5)).toEqual([75, 76, 77, 78, 79])
    }
    expect(run(TopK({ k: 10, sink: 3, local: 5 }), cache, query, 4).read.values).toBe(2 * 18)
  })

  it("chooses for the group, by the mean of its heads", () => {
    // Head 0 wants position 10 and head 1 its opposite: the group wants neither, but position 20, which both like a bit.
    const cache = new KvCache({ kvHeads: 1, headSize: 2, capacity: 40 })
    for (let i = 0; i < 40; i++) {
      const k = i === 10 ? [9, 0] : i === 20 ? [0, 1] : [0, 0]
      cache.append(Float32Array.from(k), Float32Array.of(i, 1))
    }
    const query = Float32Array.of(5, 1, -5, 1)
    expect(rangesOf(TopK({ k: 1, sink: 0, local: 1 }), cache, query, 2, 0)).toEqual([20, 39])
  })

  it("draws random positions evenly, and the same ones for the same key", () => {
    const cache = filled(24, { kvHeads: 1 })
    const query = normals(16, "r")
    const counts = new Array<number>(24).fill(0)
    const scratch = new DecodeScratch(1, 16, cache.capacity)
    const attention = RandomTokens({ k: 5, sink: 2, local: 2 })
    const draw = (i: number) => {
      const n = keptRanges(query, 0, 1, cache, 0, { attention, layer: 1, key: key(i) }, scratch)
      return [...scratch.ranges.subarray(0, 2 * n)]
    }
    for (let i = 0; i < 4000; i++) {
      const ranges = draw(i)
      for (let p = 0; p < ranges.length; p += 2) for (let j = ranges[p]!; j < ranges[p + 1]!; j++) counts[j]!++
    }
    for (let j = 2; j < 22; j++) expect(Math.abs(counts[j]! / 4000 - 0.25)).toBeLessThan(0.035)
    expect(draw(5)).toEqual(draw(5))
  })

  it("leaves skipped layers dense", () => {
    const cache = filled(60)
    const query = normals(2 * 2 * 16, "skip")
    const scratch = new DecodeScratch(2, 16, cache.capacity)
    const out = [new Float32Array(64), new Float32Array(64)]
    decodeAttention(query, cache, { attention: TopK({ k: 3 }), layer: 0 }, scratch, out[0]!)
    decodeAttention(query, cache, { attention: Dense(), layer: 0 }, scratch, out[1]!)
    expect(out[0]).toEqual(out[1])
  })
})

describe("mean keys", () => {
  it("are the means of full blocks, kept through truncation and new positions", () => {
    const cache = filled(40, { blockSize: 6, sink: 4 })
    expect(cache.fullBlocks).toBe(6)
    cache.truncate(30)
    expect(cache.fullBlocks).toBe(4)
    const [k, v] = [normals(10 * 32, "again-k"), normals(10 * 32, "again-v")]
    for (let i = 0; i < 10; i++) cache.append(k, v, i * 32)
    for (let head = 0; head < 2; head++)
      for (let block = 0; block < cache.fullBlocks; block++)
        for (let i = 0; i < 16; i++) {
          let sum = 0
          for (let j = 0; j < 6; j++) sum += cache.keys[(head * cache.capacity + 4 + block * 6 + j) * 16 + i]!
          expect(cache.meanKeys[(head * cache.blockCapacity + block) * 16 + i]!).toBeCloseTo(sum / 6, 6)
        }
  })
  it("do not depend on the order inside a block", () => {
    const build = (order: readonly number[]) => {
      const cache = new KvCache({ kvHeads: 1, headSize: 8, capacity: 64, blockSize: 4, sink: 0 })
      const [k, v] = [normals(64 * 8, "pk"), normals(64 * 8, "pv")]
      for (let i = 0; i < 64; i++) cache.append(k, v, order[i]! * 8)
      return cache
    }
    const plain = Array.from({ length: 64 }, (_, i) => i)
    const shuffled = plain.map((i) => i - (i % 4) + (((i % 4) * 3 + 1) % 4))
    expect(difference(build(plain).meanKeys, build(shuffled).meanKeys)).toBeLessThan(1e-6)
  })
  it("of other blocks than asked for are refused", () => {
    const cache = filled(60, { blockSize: 4, sink: 4 })
    expect(() => run(BlockTopK({ blockSize: 8, blocks: 2 }), cache, normals(64, "x"), 2)).toThrow(/blocks of 8/)
  })
  it("stop at the capacity", () => {
    const cache = new KvCache({ kvHeads: 1, headSize: 2, capacity: 1 })
    cache.append(new Float32Array(2), new Float32Array(2))
    expect(() => cache.append(new Float32Array(2), new Float32Array(2))).toThrow(KvCacheFull)
    expect(() => cache.truncate(2)).toThrow(RangeError)
  })
})

describe("the largest scores", () => {
  it("are those of a full sort, earlier ones first where equal", () => {
    for (let round = 0; round < 200; round++) {
      const n = 1 + (round % 40)
      const scores = normals(n, "s", round).map((x) => Math.round(x * 2))
      for (const count of [1, 2, 7, n]) {
        const sorted = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b)
        const expected = sorted.slice(0, count).sort((a, b) => a - b)
        expect([...largest(scores, n, count, new Int32Array(n + 1))]).toEqual(expected)
      }
    }
  })
})

describe("prices", () => {
  it("follow what is read", () => {
    expect(attentionCostOf(Dense())).toEqual({ kind: "dense" })
    expect(attentionCostOf(TopK({ k: 8, sink: 0, local: 1 }))).toEqual({ kind: "topk", budget: 9 })
    expect(attentionCostOf(BlockTopK({ blockSize: 4, blocks: 2, sink: 0, local: 1 }))).toEqual({
      kind: "block-topk",
      blockSize: 4,
      blocks: 2,
      local: 1,
    })
    expect(attentionCostOf(Local({ local: 8, sink: 4 }))).toEqual({ kind: "local", budget: 12 })
  })
})
