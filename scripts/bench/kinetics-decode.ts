/**
 * One decode step of one attention layer over caches of 1k to 32k positions: 8 query heads, 2 KV heads of 64, batch 4.
 * Block top-k (64 blocks of 16, cached mean keys) and a local window of 1,024 against dense, alternating, medians.
 * Each comes twice: "graph", compiled for the cpu device, all sequences at once; and "walk", our loops over the kept
 * positions of one sequence after the other, which the reasoning experiment uses at its short contexts.
 *
 * Last comes this machine's intensity I, FLOP for each byte: the rate of a compiled matrix product over the rate at which
 * one thread reads a large array. The Kinetics law uses 562.5, that of a B200.
 *
 * `ratio` is time over dense time. `idealSpeedup` is dense rows over rows read (a mean key is half a position: it has no
 * value row); `share` is the achieved part of it.
 */
import { fillUniform, key } from "@exp/random"
import { type HostTensor, matMul, openDevice, type Program, type Step } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { DecodeScratch, decodeAttention } from "../../packages/methods/src/attention/decode-attention.ts"
import {
  BlockTopK,
  type DecodeAttention,
  Dense,
  Local,
} from "../../packages/methods/src/attention/decode-attention-kinds.ts"
import { blockTopKDecode, denseDecode } from "../../packages/methods/src/attention/decode-graph.ts"
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

const device = await openDevice("cpu")

/** A graph whose caches stay in place; random numbers, since only the time is wanted. */
const compiled = (step: Step, shapes: Readonly<Record<string, readonly number[]>>): Program => {
  const program = device.compile(step)
  const filled = Object.entries(shapes).map(([name, shape]): [string, HostTensor] => {
    const data = fillUniform(key(3, name), new Float32Array(shape.reduce((a, b) => a * b)))
    return [name, { data, shape, dtype: "float32" }]
  })
  program.load(Object.fromEntries(filled))
  return program
}
const denseGraph = (length: number) =>
  compiled(
    (state, { q }) => ({
      state,
      metrics: {
        out: denseDecode(q as tf.Tensor4D, state["keys"] as tf.Tensor4D, state["values"] as tf.Tensor4D),
      },
    }),
    { keys: [batch, kvHeads, length, headSize], values: [batch, kvHeads, length, headSize] },
  )
const blockGraph = (length: number) =>
  compiled(
    (state, { q }) => ({
      state,
      metrics: {
        out: blockTopKDecode(
          q as tf.Tensor4D,
          state["keys"] as tf.Tensor5D,
          state["values"] as tf.Tensor5D,
          state["means"] as tf.Tensor4D,
          Math.min(blocks, length / blockSize),
        ),
      },
    }),
    {
      keys: [batch, kvHeads, length / blockSize, blockSize, headSize],
      values: [batch, kvHeads, length / blockSize, blockSize, headSize],
      means: [batch, kvHeads, length / blockSize, headSize],
    },
  )
const queries = { q: { data: query, shape: [batch, kvHeads, group, headSize], dtype: "float32" } } as const
const runGraph = async (program: Program): Promise<number> => {
  const start = performance.now()
  await program.run(queries, { seed: 0, step: 0 })
  return ((performance.now() - start) * 1000) / batch
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!

const print = (row: object) => process.stdout.write(`${JSON.stringify(row)}\n`)
const crossings: Record<string, number | null> = { graph: null, walk: null }
for (const context of contexts) {
  grow(context)
  const graphs = { dense: denseGraph(context), block: blockGraph(context) }
  const graphTimes: Record<keyof typeof graphs, number[]> = { dense: [], block: [] }
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
    for (const kind of ["dense", "block"] as const) {
      const time = await runGraph(graphs[kind])
      if (round >= 0) graphTimes[kind].push(time)
    }
  }
  graphs.dense.dispose()
  graphs.block.dispose()
  const report = (how: "graph" | "walk", kind: Kind, ours: number, dense: number) => {
    const ratio = ours / dense
    const idealSpeedup = rows.dense / rows[kind]
    if (kind === "block" && ratio < 1) crossings[how] ??= context
    print({
      name: `kinetics decode ${how} ${kind === "block" ? "block top-k" : "local"} ${context / 1024}k`,
      unit: "us/token",
      ours,
      peer: dense,
      peerName: `dense (${how})`,
      ratio,
      rounds,
      speedup: 1 / ratio,
      idealSpeedup,
      share: 1 / ratio / idealSpeedup,
      rowsPerHead: rows[kind],
      denseRowsPerHead: rows.dense,
    })
  }
  report("graph", "block", median(graphTimes.block), median(graphTimes.dense))
  for (const kind of ["block", "local"] as const) report("walk", kind, median(times[kind]), median(times.dense))
}
for (const [how, ours] of Object.entries(crossings))
  print({ name: `kinetics decode ${how} crossing`, unit: "positions", ours, peer: null, ratio: null, rounds })

/** Rates of one thread, medians of five: FLOP/s of a matrix product of side 1,024, bytes/s of summing 256 MB. */
const side = 1024
const product = device.compile((state, { x }) => ({ state, metrics: { sum: tf.sum(matMul(x!, state["w"]!)) } }))
product.load({ w: { data: new Float32Array(side * side).fill(0.5), shape: [side, side], dtype: "float32" } })
const large = device.compile((state) => ({ state, metrics: { sum: tf.sum(state["x"]!) } }))
large.load({ x: { data: new Float32Array(2 ** 26), shape: [2 ** 26], dtype: "float32" } })
const x = { x: { data: new Float32Array(side * side), shape: [side, side], dtype: "float32" } } as const
const seconds = async (program: Program, batchOf: Parameters<Program["run"]>[0]) => {
  const times: number[] = []
  for (let round = -1; round < 5; round++) {
    const start = performance.now()
    await program.run(batchOf, { seed: 0, step: 0 })
    if (round >= 0) times.push((performance.now() - start) / 1000)
  }
  return median(times)
}
const flops = (2 * side ** 3) / (await seconds(product, x))
const bytes = (4 * 2 ** 26) / (await seconds(large, {}))
print({
  name: "kinetics decode intensity",
  unit: "FLOP/B",
  ours: flops / bytes,
  peer: 562.5,
  peerName: "B200",
  ratio: flops / bytes / 562.5,
  rounds: 5,
  gigaFlops: flops / 1e9,
  gigaBytes: bytes / 1e9,
})
device.dispose()
