import { key, uniform } from "@exp/random"
import { describe, expect, it } from "vitest"
import {
  attentionRatio,
  blockSizeFor,
  budgetReads,
  coverage,
  denseReads,
  flopsLawCost,
  inferenceCost,
  kvCacheBytes,
  logSpaced,
  oracleFrontier,
  paretoFront,
  qwen3Models,
} from "../../src/attention/cost-model.ts"
import published from "../../src/attention/published-results.json" with { type: "json" }

const model = (name: string) => qwen3Models.find((m) => m.name === name || m.name === `Qwen3-${name}`)!

const relative = (got: number, want: number) => Math.abs(got - want) / Math.abs(want)

describe("costs against the published worked examples", () => {
  for (const example of published.cost_model_examples_tera_eflops) {
    const { kind } = example
    it(`${example.model} ${kind} L=${example.L_in} D=${example.L_out} N=${example.N}`, () => {
      const attention =
        kind === "dense"
          ? ({ kind: "dense" } as const)
          : kind === "topk"
            ? ({ kind: "topk", budget: example.budget! } as const)
            : ({
                kind: "block-topk",
                blockSize: example.block_size!,
                blocks: example.block_topk!,
                local: example.local!,
              } as const)
      const cost = inferenceCost(model(example.model), {
        context: example.L_in,
        generated: example.L_out,
        trials: example.N,
        attention,
      })
      expect(relative(cost.compute, example.compute_TFLOP)).toBeLessThan(1e-5)
      expect(relative(cost.memory, example.memory_TeFLOP)).toBeLessThan(1e-5)
      expect(relative(cost.total, example.total_TeFLOP)).toBeLessThan(1e-5)
    })
  }
  it("32,768 tokens take 3.5 GiB in the 0.6B model and 8 GiB in the 32B one", () => {
    expect(kvCacheBytes(model("0.6B"), 32768) / 2 ** 30).toBe(3.5)
    expect(kvCacheBytes(model("32B"), 32768) / 2 ** 30).toBe(8)
  })
})

describe("KV positions read with a budget", () => {
  it("are the sum over the steps of min(budget, positions there are), up to half a position a step", () => {
    for (const [context, generated, budget] of [
      [100, 50, 30],
      [100, 50, 120],
      [100, 50, 200],
      [0, 64, 64],
    ] as const) {
      let sum = 0
      for (let step = 0; step < generated; step++) sum += Math.min(budget, context + step + 0.5)
      expect(Math.abs(budgetReads(context, generated, budget) - sum)).toBeLessThanOrEqual(0.5)
    }
  })
  it("equal dense reads once the budget covers everything, and are continuous in the budget", () => {
    expect(budgetReads(512, 1000, 1512)).toBe(denseReads(512, 1000))
    expect(budgetReads(512, 1000, 4096)).toBe(denseReads(512, 1000))
    expect(budgetReads(512, 1000, 1511.999999)).toBeCloseTo(denseReads(512, 1000), 3)
    expect(budgetReads(512, 1000, 512)).toBe(512_000)
  })
  it("in repo mode reproduce the published sign", () => {
    expect(budgetReads(512, 8192, 1024, "repo") - budgetReads(512, 8192, 1024)).toBe(512 * 512)
  })
})

describe("laws of the cost", () => {
  const base = { context: 2048, generated: 1000, trials: 1 } as const
  it("block top-k without its search equals top-k of the same budget", () => {
    const m = model("8B")
    const topk = inferenceCost(m, { ...base, attention: { kind: "topk", budget: 1024 } })
    const block = inferenceCost(m, {
      ...base,
      attention: { kind: "block-topk", blockSize: 16, blocks: 64, local: 0 },
    })
    const d = m.headSize * m.layers
    const searched = Math.floor((2 * 2048 + 1000) / 16) * 1000
    expect(block.compute - (searched * m.queryHeads * d) / 1e12).toBeCloseTo(topk.compute, 9)
    expect(block.memory - (562.5 * searched * m.kvHeads * d) / 1e12).toBeCloseTo(topk.memory, 9)
  })
  it("the prompt's part of dense traffic does not depend on the number of trials", () => {
    const m = model("4B")
    const bytes = (context: number, trials: number) =>
      (inferenceCost(m, { context, generated: 1000, trials, attention: { kind: "dense" } }).memory * 1e12) / 562.5
    for (const trials of [1, 8]) {
      expect(bytes(512, trials) - bytes(0, trials)).toBeCloseTo(4 * 512 * 1000 * m.kvHeads * m.headSize * m.layers, -3)
    }
  })
  it("the attention ratio is attention cost over parameter cost", () => {
    const m = model("14B")
    const cost = inferenceCost(m, { context: 512, generated: 8192, trials: 1, attention: { kind: "dense" } })
    const parameters = (2 * m.parameters * 8192) / 1e12
    // The paper's Φ leaves out the traffic of the prompt's cache.
    const prompt = (562.5 * 4 * 512 * 8192 * m.kvHeads * m.headSize * m.layers) / 1e12
    expect(relative(attentionRatio(m, 512, 8192), (cost.total - prompt - parameters) / parameters)).toBeLessThan(1e-9)
  })
  it("block sizes go with budgets as in the paper", () => {
    for (const [budget, size] of Object.entries(published.block_size_for_budget))
      expect(blockSizeFor(Number(budget))).toBe(size)
  })
})

describe("coverage", () => {
  it("is c/n at k = 1, 0 without a correct trial, non-decreasing in k, and 1 when misses run out", () => {
    expect(coverage(32, 8, 1)).toBeCloseTo(0.25, 12)
    expect(coverage(32, 0, 16)).toBe(0)
    expect(coverage(8, 3, 6)).toBe(1)
    for (let k = 2; k <= 32; k++) expect(coverage(32, 5, k)).toBeGreaterThanOrEqual(coverage(32, 5, k - 1))
    expect(() => coverage(4, 1, 5)).toThrow(RangeError)
  })
  it("equals the share of random draws of k that hold a correct one", () => {
    const [n, c, k] = [12, 3, 4]
    let hits = 0
    const draws = 20_000
    for (let i = 0; i < draws; i++) {
      const stream = key(1, "coverage", i)
      const left = Array.from({ length: n }, (_, j) => j)
      for (let j = 0; j < k; j++) {
        const at = Math.floor(uniform(stream, j) * left.length)
        if (left.splice(at, 1)[0]! < c) {
          hits++
          break
        }
      }
    }
    expect(Math.abs(hits / draws - coverage(n, c, k))).toBeLessThan(0.01)
  })
})

describe("law replay on the published results (card A)", () => {
  const ks = published.figure_pass_at_k.k
  const items = (generated: number, law: "flops" | "eflops") =>
    Object.entries(published.figure_pass_at_k.acc).flatMap(([name, acc]) =>
      ks.map((trials, i) => {
        const inference = { context: 512, generated, trials, attention: { kind: "dense" } } as const
        const m = model(name)
        return {
          label: `${name}@${trials}`,
          cost: law === "flops" ? flopsLawCost(m, inference) : inferenceCost(m, inference).total,
          accuracy: acc[i]!,
        }
      }),
    )
  const front = (generated: number, law: "flops" | "eflops") => paretoFront(items(generated, law)).map((x) => x.label)
  const flops = "1.7B@1 1.7B@2 4B@1 8B@1 4B@2 14B@1 8B@2 4B@4 14B@2 4B@8 14B@4 14B@8 32B@4 14B@16 32B@8".split(" ")
  const eflops = "1.7B@1 4B@1 8B@1 14B@1 32B@1 14B@2 32B@2 14B@4 32B@4 32B@8".split(" ")

  it("gives the published order of Pareto-optimal choices under both laws", () => {
    expect(front(12288, "flops").slice(0, flops.length)).toEqual(flops)
    expect(front(12288, "eflops").slice(0, eflops.length)).toEqual(eflops)
  })
  it("keeps the FLOPs order for other lengths; the eFLOPs order changes in one place at 4,096", () => {
    for (const generated of [4096, 24576]) expect(front(generated, "flops").slice(0, flops.length)).toEqual(flops)
    expect(front(24576, "eflops").slice(0, eflops.length)).toEqual(eflops)
    const shorter = front(4096, "eflops")
    expect(shorter.indexOf("8B@2")).toBe(shorter.indexOf("32B@1") - 1)
  })
  it("has the card's costs at N = 1", () => {
    for (const [name, f, e] of [
      ["1.7B", 68.6, 5345],
      ["4B", 147.0, 6931],
      ["32B", 976.6, 13037],
    ] as const) {
      const inference = { context: 512, generated: 12288, trials: 1, attention: { kind: "dense" } } as const
      expect(relative(flopsLawCost(model(name), inference), f)).toBeLessThan(1e-3)
      expect(relative(inferenceCost(model(name), inference).total, e)).toBeLessThan(1e-3)
    }
  })
})

describe("frontiers", () => {
  it("never fall with the cost, and choose per query", () => {
    const results = [
      { query: "a", cost: 1, accuracy: 0.2 },
      { query: "a", cost: 5, accuracy: 0.9 },
      { query: "b", cost: 2, accuracy: 0.7 },
      { query: "b", cost: 3, accuracy: 0.1 },
    ]
    expect([...oracleFrontier(results, [0.5, 1, 2, 4, 10])].map((x) => +x.toFixed(6))).toEqual([
      0, 0.1, 0.45, 0.45, 0.8,
    ])
    const costs = logSpaced(45, 4e4, 100)
    expect(costs[0]).toBe(45)
    expect(costs[99]).toBeCloseTo(4e4, 6)
  })
})
