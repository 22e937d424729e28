import { languageModel } from "@exp/nn"
import { key, uniform } from "@exp/random"
import { plan } from "@exp/spec"
import { type HostTensors, openDevice } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { describe, expect, it } from "vitest"
import experiment from "../../../../experiments/kinetics.reasoning.ts"
import {
  BlockTopK,
  CachedDecoder,
  chaserConfig,
  Dense,
  initChaser,
  KineticsReasoning,
  Local,
  pointerBatch,
  pointerLayout,
  pointerProblem,
  sampleToken,
  TopK,
} from "../../src/attention/attention.ts"
import { last, runTrial } from "../trial-in-memory.ts"

await openDevice("js")
await tf.setBackend("cpu")

const { nodeToken, promptTokens } = pointerLayout()

describe("pointer chasing", () => {
  it("has chains that follow the edges of the prompt and end in a node that points at itself", () => {
    const hops = new Set<number>()
    for (let i = 0; i < 200; i++) {
      const { prompt, chain } = pointerProblem(key(1, i))
      const edges = [...prompt].filter((token) => token < 256)
      expect(edges).toHaveLength(16)
      expect(prompt).toHaveLength(promptTokens)
      const next = new Map(edges.map((token) => [token >> 4, token & 15]))
      for (let hop = 0; hop + 1 < chain.length; hop++) expect(next.get(chain[hop]!)).toBe(chain[hop + 1])
      expect(next.get(chain.at(-1)!)).toBe(chain.at(-1))
      expect(new Set(chain).size).toBe(chain.length)
      hops.add(chain.length - 1)
    }
    expect([...hops].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  })
  it("teaches the next node at chain positions only", () => {
    const { weights, labels, tokens } = pointerBatch(key(2), 0, 4)
    const { chain, prompt } = pointerProblem(key(2, 0, 1))
    expect([...tokens!.data.slice(75, 75 + 64)]).toEqual([...prompt])
    expect(tokens!.data[75 + 64]).toBe(nodeToken(chain[0]!))
    expect([...labels!.data.slice(11, 11 + chain.length)]).toEqual([...chain.slice(1), chain.at(-1)])
    expect([...weights!.data.slice(11, 22)].reduce((a, b) => a + b, 0)).toBe(chain.length)
  })
})

describe("larger problems", () => {
  it("have their own vocabulary and lengths, and one edge for each node", () => {
    const layout = pointerLayout({ nodes: 64, fillers: 100, hops: 40 })
    expect(layout.vocabulary).toBe(64 * 64 + 16 + 64 + 1)
    for (let i = 0; i < 20; i++) {
      const { prompt, chain } = pointerProblem(key(4, i), "edges-first", layout)
      expect(prompt).toHaveLength(164)
      const edges = [...prompt].slice(0, 64).map((token): [number, number] => [token >> 6, token & 63])
      expect(edges.map(([from]) => from).sort((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, n) => n))
      const next = new Map(edges)
      for (let hop = 0; hop + 1 < chain.length; hop++) expect(next.get(chain[hop]!)).toBe(chain[hop + 1])
    }
    const { tokens, labels } = pointerBatch(key(5), 0, 2, "shuffled", layout)
    expect(tokens!.shape).toEqual([2, 164 + 41])
    expect(labels!.shape).toEqual([2, 41])
  })
})

describe("cached decoding", () => {
  it("gives what a full recomputation gives, again after truncation", () => {
    const config = chaserConfig({ width: 16, depth: 2 })
    const host: HostTensors = initChaser(config, key(3))
    const params = Object.fromEntries(
      Object.entries(host).map(([name, t]) => [name, tf.tensor(t.data, [...t.shape], t.dtype)]),
    )
    const { prompt } = pointerProblem(key(4))
    const sequence = [...prompt, nodeToken(3), nodeToken(5)]
    const full = languageModel(params, tf.tensor2d(sequence, [1, sequence.length], "int32"), config)
    const expected = full.dataSync().slice(-32)
    const decoder = new CachedDecoder(host, config)
    for (const token of prompt) decoder.next(token)
    for (let round = 0; round < 2; round++) {
      decoder.truncate(promptTokens)
      for (const [i, node] of [3, 5].entries()) {
        const scores = decoder.next(nodeToken(node))
        for (let c = 0; c < 16; c++) expect(scores[c]!).toBeCloseTo(expected[16 * i + c]!, 5)
      }
    }
  })
})

describe("sampling", () => {
  const scores = [1, 3, 2, 0]
  const frequencies = (sampling: Parameters<typeof sampleToken>[1]) => {
    const counts = [0, 0, 0, 0]
    for (let i = 0; i < 4000; i++) counts[sampleToken(scores, sampling, uniform(key(5), i))]!++
    return counts.map((c) => c / 4000)
  }
  it("follows the softmax, cut by top-k and top-p", () => {
    const e = scores.map((s) => Math.exp(s))
    const total = e.reduce((a, b) => a + b, 0)
    frequencies({ temperature: 1, topP: 1, topK: 0 }).forEach((f, i) => {
      expect(Math.abs(f - e[i]! / total)).toBeLessThan(0.03)
    })
    expect(frequencies({ temperature: 1, topP: 1, topK: 2 })[0]).toBe(0)
    expect(frequencies({ temperature: 1, topP: 0.6, topK: 0 })).toEqual([0, 1, 0, 0])
    expect(frequencies({ temperature: 0, topP: 1, topK: 0 })).toEqual([0, 1, 0, 0])
  })
})

describe("kinetics-reasoning", () => {
  const small = {
    model: { width: 16, steps: 40, scheduleSteps: 40, batchSize: 8, warmup: 5 },
    problems: 12,
    sampling: { trials: 4 },
  }
  it("trains once, and is dense at a full budget, cheaper and shorter-sighted below", async () => {
    const stageCache = new Map<string, Uint8Array>()
    const run = (attention: ReturnType<typeof Dense>) =>
      runTrial(KineticsReasoning, { ...small, attention } as never, { seed: 2, device: "auto", stageCache })
    const dense = await run(Dense())
    const decode = { sink: 0, local: 1, skipLayers: [] }
    const full = await run(TopK({ k: 100, ...decode }))
    const sparse = await run(TopK({ k: 8, ...decode }))
    const block = await run(BlockTopK({ blockSize: 4, blocks: 2, ...decode }))
    const local = await run(Local({ local: 8, sink: 0, skipLayers: [] }))
    expect(stageCache.size).toBe(1)
    expect(full.samples).toEqual(dense.samples)
    expect(last(full, "gen/tokens_mean")).toBe(last(dense, "gen/tokens_mean"))
    expect(last(sparse, "cost/kv_read_mean")).toBe(9)
    expect(last(local, "cost/kv_read_mean")).toBe(8)
    expect(last(dense, "cost/kv_read_mean")).toBeGreaterThan(64)
    expect(last(block, "cost/kv_read_mean")).toBeLessThan(14)
    for (const record of [dense, sparse, block, local]) {
      const best = record.logged.get("best_of/accuracy")!.map(([, value]) => value)
      expect(best).toHaveLength(4)
      for (let i = 1; i < best.length; i++) expect(best[i]!).toBeGreaterThanOrEqual(best[i - 1]! - 1e-12)
      const cut = record.logged.get("cut/accuracy")!.map(([, value]) => value)
      for (let i = 1; i < cut.length; i++) expect(cut[i]!).toBeGreaterThanOrEqual(cut[i - 1]!)
      expect(record.samples).toHaveLength(12)
    }
    expect((await run(Dense())).logged).toEqual(dense.logged)
  })
  it("plans its experiment", () => {
    for (const profile of [undefined, ...Object.keys(experiment.profiles!)])
      expect(plan(experiment, profile === undefined ? {} : { profile }).compared().length).toBeGreaterThan(3)
  })
})
