/**
 * The Kinetics cost model: what one inference configuration costs in equivalent FLOPs,
 *
 *   eFLOPs = FLOPs + I × bytes of KV traffic.
 *
 * Source: "Kinetics: Rethinking Test-Time Scaling Laws", arXiv 2506.05333, and its published cost functions. Costs are
 * in tera (1e12) units. KV entries take two bytes. Prefill and the traffic of the parameters are not counted: batching
 * amortises them.
 */

/** The dimensions of a decoder that the cost depends on. */
export interface ModelDimensions {
  readonly name: string
  /** Number of parameters, the active ones for a mixture of experts. */
  readonly parameters: number
  readonly layers: number
  readonly queryHeads: number
  readonly kvHeads: number
  readonly headSize: number
}

/** How attention reads the KV cache while decoding. */
export type AttentionCost =
  | { readonly kind: "dense" }
  /** The `budget` best positions, found at no cost (an oracle). */
  | { readonly kind: "topk"; readonly budget: number }
  /** The best blocks of `blockSize` positions, `blocks` of them, beside `local` last positions; one mean key is read per block. */
  | { readonly kind: "block-topk"; readonly blockSize: number; readonly blocks: number; readonly local: number }
  /** The last `budget` positions: costs what top-k costs. */
  | { readonly kind: "local"; readonly budget: number }

/** One inference configuration. */
export interface Inference {
  /** Prompt tokens L. */
  readonly context: number
  /** Generated tokens D of one trial. */
  readonly generated: number
  /** Parallel trials N. */
  readonly trials: number
  readonly attention: AttentionCost
}

/** How a cost is counted. */
export interface CostOptions {
  /** I, in FLOP per byte; 562.5 for a B200 (4500 TFLOP/s over 8 TB/s). */
  readonly intensity?: number
  /**
   * `exact` (default) counts the KV positions that a budget really reads in all regimes. `repo` reproduces the published
   * code, whose top-k function adds the triangle of the first steps instead of subtracting it, and which does not treat a
   * budget that is never filled.
   */
  readonly compat?: "exact" | "repo"
}

/** A cost in tera units. */
export interface Cost {
  /** TFLOP of computation. */
  readonly compute: number
  /** I × TB of KV traffic, in tera-eFLOP. */
  readonly memory: number
  /** Tera-eFLOP in all. */
  readonly total: number
}

/** FLOP per byte of a B200, the accelerator of the paper. */
export const b200Intensity = 562.5
/** TFLOP/s of a B200: cost / 4500 is its time in seconds. */
export const b200TeraFlops = 4500

/** KV positions that one dense trial reads while generating `generated` tokens after a prompt: L·D + D²/2. */
export const denseReads = (context: number, generated: number): number =>
  context * generated + (generated * generated) / 2

/**
 * KV positions that one trial reads with a budget B.
 *
 * L ≥ B: B·D. L < B < L + D: B·D − (B − L)²/2 (the first steps read what there is). B ≥ L + D: dense.
 */
export function budgetReads(
  context: number,
  generated: number,
  budget: number,
  compat: "exact" | "repo" = "exact",
): number {
  const full = budget * generated
  if (context >= budget) return full
  const triangle = (budget - context) ** 2 / 2
  if (compat === "repo") return full + triangle
  return budget >= context + generated ? denseReads(context, generated) : full - triangle
}

/** The kept positions of a block top-k configuration: local + blockSize·blocks. */
const blockBudget = (attention: Extract<AttentionCost, { kind: "block-topk" }>): number =>
  attention.local + attention.blockSize * attention.blocks

/**
 * The cost of a configuration.
 *
 * With d = headSize·layers: compute = N·(2·P·D + 4·R·Hq·d); bytes = 2·(2L + N·D)·D·Hkv·d dense (the prompt's cache is
 * shared by the trials, each trial's own cache is read N times), N·4·R·Hkv·d with a budget; block top-k adds the search
 * over the mean keys.
 */
export function inferenceCost(model: ModelDimensions, inference: Inference, options: CostOptions = {}): Cost {
  const { context, generated, trials, attention } = inference
  const intensity = options.intensity ?? b200Intensity
  const compat = options.compat ?? "exact"
  const d = model.headSize * model.layers
  const parameterWork = 2 * model.parameters * generated
  let compute: number
  let bytes: number
  if (attention.kind === "dense") {
    compute = trials * (parameterWork + 4 * denseReads(context, generated) * model.queryHeads * d)
    bytes = 2 * (2 * context + trials * generated) * generated * model.kvHeads * d
  } else {
    const budget = attention.kind === "block-topk" ? blockBudget(attention) : attention.budget
    // The published block function subtracts the triangle, which is right; only its top-k function adds it.
    const reads =
      attention.kind === "block-topk" && compat === "repo"
        ? budget * generated - Math.max(0, budget - context) ** 2 / 2
        : budgetReads(context, generated, budget, compat)
    compute = trials * (parameterWork + 4 * reads * model.queryHeads * d)
    bytes = trials * 4 * reads * model.kvHeads * d
    if (attention.kind === "block-topk") {
      const { blockSize } = attention
      compute += trials * Math.floor((2 * context + generated) / blockSize) * generated * model.queryHeads * d
      bytes += Math.floor((2 * context + trials * generated) / blockSize) * generated * model.kvHeads * d
    }
  }
  return costOf(compute, bytes, intensity)
}

const costOf = (compute: number, bytes: number, intensity: number): Cost => {
  const memory = (intensity * bytes) / 1e12
  return { compute: compute / 1e12, memory, total: compute / 1e12 + memory }
}

/** The previous law: the FLOPs of dense attention alone, in TFLOP, whatever the attention kind. */
export function flopsLawCost(model: ModelDimensions, inference: Inference): number {
  return inferenceCost(model, { ...inference, attention: { kind: "dense" } }).compute
}

/** Mean cost over generations of different lengths (in tokens) at otherwise equal settings. */
export function meanCost(
  model: ModelDimensions,
  inference: Omit<Inference, "generated">,
  lengths: ArrayLike<number>,
  options: CostOptions = {},
): Cost {
  let compute = 0
  let memory = 0
  for (let i = 0; i < lengths.length; i++) {
    const cost = inferenceCost(model, { ...inference, generated: lengths[i]! }, options)
    compute += cost.compute / lengths.length
    memory += cost.memory / lengths.length
  }
  return { compute, memory, total: compute + memory }
}

/**
 * The paper's ratio of attention cost to parameter cost for one trial,
 * Φ = (2·r·Li·Dkv + (r + I)·Dkv·Lo) / (2·P), with Dkv = 2·Hkv·d and r = Hq/Hkv.
 */
export function attentionRatio(
  model: ModelDimensions,
  context: number,
  generated: number,
  intensity = b200Intensity,
): number {
  const kv = 2 * model.kvHeads * model.headSize * model.layers
  const r = model.queryHeads / model.kvHeads
  return (2 * r * context * kv + (r + intensity) * kv * generated) / (2 * model.parameters)
}

/** Bytes of the KV cache of one sequence: 2 (keys, values) × 2 bytes × Hkv × headSize × layers × tokens. */
export const kvCacheBytes = (model: ModelDimensions, tokens: number): number =>
  4 * model.kvHeads * model.headSize * model.layers * tokens

const qwen3 = (size: string, parameters: number, layers: number, queryHeads: number): ModelDimensions => ({
  name: `Qwen3-${size}`,
  parameters,
  layers,
  queryHeads,
  kvHeads: 8,
  headSize: 128,
})

/** The models of the paper, smallest first (figures of the Qwen3 model configurations). */
export const qwen3Models: readonly ModelDimensions[] = [
  qwen3("0.6B", 0.752e9, 28, 16),
  qwen3("1.7B", 2.03e9, 28, 16),
  qwen3("4B", 4.02e9, 36, 32),
  qwen3("8B", 8.19e9, 36, 32),
  qwen3("14B", 14.77e9, 40, 40),
  qwen3("32B", 32.76e9, 64, 64),
]

/** The block size that goes with a KV budget in the paper: 16384 / B. */
export const blockSizeFor = (budget: number): number => 16384 / budget

/**
 * Coverage (pass@k) from n trials of which c are correct: 1 − C(n−c, k)/C(n, k), as a product so that nothing overflows.
 *
 * @throws RangeError when k > n or c > n
 */
export function coverage(n: number, c: number, k: number): number {
  if (k > n || c > n || c < 0 || k < 1)
    throw new RangeError(`coverage needs 1 ≤ k ≤ n and 0 ≤ c ≤ n, got n=${n} c=${c} k=${k}`)
  if (n - c < k) return 1
  let miss = 1
  for (let i = 0; i < k; i++) miss *= (n - c - i) / (n - i)
  return 1 - miss
}

/** `count` costs from `low` to `high`, evenly spaced on a log scale, both ends included. */
export function logSpaced(low: number, high: number, count: number): Float64Array {
  const out = new Float64Array(count)
  const ratio = Math.log(high / low)
  for (let i = 0; i < count; i++) out[i] = low * Math.exp((ratio * i) / (count - 1))
  return out
}

/** One configuration evaluated on one query. */
export interface QueryResult {
  readonly query: string
  readonly cost: number
  readonly accuracy: number
}

/**
 * The oracle frontier of a family of configurations: for each cost the best accuracy that each query reaches with a
 * configuration of at most that cost (0 if there is none), averaged over the queries. Non-decreasing in the cost.
 */
export function oracleFrontier(results: readonly QueryResult[], costs: ArrayLike<number>): Float64Array {
  const byQuery = new Map<string, QueryResult[]>()
  for (const result of results) {
    const list = byQuery.get(result.query)
    if (list === undefined) byQuery.set(result.query, [result])
    else list.push(result)
  }
  const out = new Float64Array(costs.length)
  for (const list of byQuery.values()) {
    list.sort((a, b) => a.cost - b.cost)
    for (let i = 0; i < costs.length; i++) {
      let best = 0
      for (const { cost, accuracy } of list) {
        if (cost > costs[i]!) break
        if (accuracy > best) best = accuracy
      }
      out[i]! += best / byQuery.size
    }
  }
  return out
}

/**
 * The Pareto-optimal items in order of cost: those that are more accurate than everything cheaper. Items of equal cost
 * are represented by the most accurate of them.
 */
export function paretoFront<A extends { readonly cost: number; readonly accuracy: number }>(items: readonly A[]): A[] {
  const sorted = [...items].sort((a, b) => a.cost - b.cost || b.accuracy - a.accuracy)
  const front: A[] = []
  for (const item of sorted) {
    const last = front.at(-1)
    if (last === undefined || item.accuracy > last.accuracy) front.push(item)
  }
  return front
}
