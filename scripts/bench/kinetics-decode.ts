/**
 * One decode step of one attention layer over caches of 1k to 32k positions: 8 query heads, 2 KV heads of 64, batch 4.
 * Block top-k (64 blocks of 16, cached mean keys) and a local window of 1,024 against dense, alternating, medians.
 *
 * `ratio` is time over dense time. `idealSpeedup` is dense rows over rows read (a mean key is half a position: it has no
 * value row); `share` is the achieved part of it.
 */
import { fillUniform, key } from "@exp/random"
import { DecodeScratch, decodeAttention } from "../../packages/methods/src/attention/decode-attention.ts"
import {
  BlockTopK,
  type DecodeAttention,
  Dense,
  Local,
} from "../../packages/methods/src/attention/decode-attention-kinds.ts"
import { KvCache } from "../../packages/methods/src/attention/kv-cache.ts"

const [queryHeads, kvHeads, headSize, batch] = [8, 2, 64, 4]
const [blockSize, blocks] = [16, 64]
const contexts = [1024, 2048, 4096, 8192, 16_384, 32_768]
const [warmup, rounds] = [5, 20]
const group = queryHeads / kvHeads

const kinds = {
  dense: Dense(),
  block: BlockTopK({ blockSize, blocks, sink: 0, local: 0, skipLayers: [] }),
  local: Local({ local: 1024, sink: 0, skipLayers: [] }),
} satisfies Record<string, DecodeAttention>
type Kind = keyof typeof kinds

const caches = Array.from(
  { length: batch },
  () => new KvCache({ kvHeads, headSize, capacity: contexts.at(-1)!, blockSize, sink: 0 }),
)
const scratch = new DecodeScratch(group, headSize, contexts.at(-1)!)
const query = fillUniform(key(1, "query"), new Float32Array(batch * queryHeads * headSize)).map((x) => 4 * x - 2)
const out = new Float32Array(query.length)
const row = new Float32Array(2 * kvHeads * headSize)

const grow = (length: number) => {
  for (const [b, cache] of caches.entries()) {
    while (cache.length < length) {
      fillUniform(key(2, b, cache.length), row)
      for (let i = 0; i < row.length; i++) row[i] = 2 * row[i]! - 1
      cache.append(row, row.subarray(kvHeads * headSize))
    }
  }
}

const step = (attention: DecodeAttention): number => {
  const start = performance.now()
  for (const [b, cache] of caches.entries())
    decodeAttention(query, cache, { attention, layer: 0 }, scratch, out, b * queryHeads * headSize)
  return ((performance.now() - start) * 1000) / batch
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!

let crossing: number | undefined
for (const context of contexts) {
  grow(context)
  const times: Record<Kind, number[]> = { dense: [], block: [], local: [] }
  const rows: Record<Kind, number> = { dense: 0, block: 0, local: 0 }
  for (let round = -warmup; round < rounds; round++) {
    for (const kind of Object.keys(kinds) as Kind[]) {
      Object.assign(scratch.read, { keys: 0, values: 0, means: 0 })
      const time = step(kinds[kind])
      if (round >= 0) times[kind].push(time)
      const { keys, values, means } = scratch.read
      rows[kind] = (keys + values + means) / (batch * kvHeads)
    }
  }
  const dense = median(times.dense)
  for (const kind of ["block", "local"] as const) {
    const ours = median(times[kind])
    const ratio = ours / dense
    const idealSpeedup = rows.dense / rows[kind]
    if (kind === "block" && crossing === undefined && ratio < 1) crossing = context
    process.stdout.write(
      `${JSON.stringify({
        name: `kinetics decode ${kind === "block" ? "block top-k" : "local"} ${context / 1024}k`,
        unit: "us/token",
        ours,
        peer: dense,
        peerName: "dense",
        ratio,
        rounds,
        speedup: 1 / ratio,
        idealSpeedup,
        share: 1 / ratio / idealSpeedup,
        rowsPerHead: rows[kind],
        denseRowsPerHead: rows.dense,
      })}\n`,
    )
  }
}
process.stdout.write(
  `${JSON.stringify({ name: "kinetics decode crossing", unit: "positions", ours: crossing ?? null, peer: null, ratio: null, rounds })}\n`,
)
