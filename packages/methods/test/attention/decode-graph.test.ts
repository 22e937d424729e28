import { fillNormal, key } from "@exp/random"
import { type HostTensor, openDevice } from "@exp/tensor"
import type * as tf from "@tensorflow/tfjs-core"
import { expect, it } from "vitest"
import { DecodeScratch, decodeAttention } from "../../src/attention/decode-attention.ts"
import { BlockTopK, Dense } from "../../src/attention/decode-attention-kinds.ts"
import { blockTopKDecode, denseDecode } from "../../src/attention/decode-graph.ts"
import { KvCache } from "../../src/attention/kv-cache.ts"

const [batch, kvHeads, group, headSize, blockSize, count] = [2, 2, 3, 8, 4, 12]
const positions = count * blockSize
const width = kvHeads * headSize

/** Caches of a batch, and the same numbers as tensors. */
function world() {
  const caches = Array.from({ length: batch }, (_, b) => {
    const cache = new KvCache({ kvHeads, headSize, capacity: positions, blockSize, sink: 0 })
    const rows = (name: string) => fillNormal(key(5, name, b), new Float32Array(positions * width))
    const [k, v] = [rows("k"), rows("v")]
    for (let i = 0; i < positions; i++) cache.append(k.subarray(i * width), v.subarray(i * width))
    return cache
  })
  const stack = (of: (cache: KvCache) => Float32Array, shape: number[]): HostTensor => ({
    data: Float32Array.from(caches.flatMap((cache) => [...of(cache)])),
    shape,
    dtype: "float32",
  })
  return {
    caches,
    query: fillNormal(key(5, "q"), new Float32Array(batch * kvHeads * group * headSize)),
    state: {
      keys: stack((c) => c.keys, [batch, kvHeads, positions, headSize]),
      values: stack((c) => c.values, [batch, kvHeads, positions, headSize]),
      blocks: stack((c) => c.keys, [batch, kvHeads, count, blockSize, headSize]),
      blockValues: stack((c) => c.values, [batch, kvHeads, count, blockSize, headSize]),
      means: stack((c) => c.meanKeys, [batch, kvHeads, count, headSize]),
    },
  }
}

it.each(["cpu", "js"] as const)("graphs attend as the walk over kept positions does, on %s", async (name) => {
  const { caches, query, state } = world()
  const device = await openDevice(name)
  const program = device.compile((caches, { q }) => {
    const [query, keys, values] = [
      q as tf.Tensor4D,
      caches["blocks"] as tf.Tensor5D,
      caches["blockValues"] as tf.Tensor5D,
    ]
    const sparse = (kept: number) => blockTopKDecode(query, keys, values, caches["means"] as tf.Tensor4D, kept)
    return {
      state: caches,
      metrics: {
        dense: denseDecode(query, caches["keys"] as tf.Tensor4D, caches["values"] as tf.Tensor4D),
        sparse: sparse(3),
        all: sparse(count),
      },
    }
  })
  program.load(state)
  const q = { data: query, shape: [batch, kvHeads, group, headSize], dtype: "float32" } as const
  const out = await program.run({ q }, { seed: 0, step: 0 })
  const scratch = new DecodeScratch(group, headSize, positions)
  const walked = (attention: Parameters<typeof decodeAttention>[2]["attention"]) => {
    const rows = new Float32Array(query.length)
    for (const [b, cache] of caches.entries())
      decodeAttention(query, cache, { attention, layer: 0 }, scratch, rows, b * kvHeads * group * headSize)
    return rows
  }
  const kept = BlockTopK({ blockSize, blocks: 3, sink: 0, local: 0, skipLayers: [] })
  for (const [graph, walk] of [
    [out["dense"]!, walked(Dense())],
    [out["all"]!, walked(Dense())],
    [out["sparse"]!, walked(kept)],
  ] as const)
    walk.forEach((value, i) => {
      expect(graph.data[i]).toBeCloseTo(value, 5)
    })
  // Three blocks of twelve are not everything.
  expect(Math.abs(out["sparse"]!.data[0]! - out["dense"]!.data[0]!)).toBeGreaterThan(1e-4)
  program.dispose()
  device.dispose()
})
