/** Token-by-token decoding of a language model over KV caches, on typed arrays, with any decode attention. */
import type { LanguageModelConfig } from "@exp/nn"
import { derive, type Key } from "@exp/random"
import { erf, type HostTensors } from "@exp/tensor"
import { DecodeScratch, decodeAttention } from "./decode-attention.ts"
import type { DecodeAttention } from "./decode-attention-kinds.ts"
import { KvCache } from "./kv-cache.ts"

/** y = x·W + b for one row; `weight` [x.length, y.length]. */
function affine(x: Float32Array, weight: Float32Array, bias: Float32Array | undefined, y: Float32Array): void {
  const n = y.length
  if (bias) y.set(bias)
  else y.fill(0)
  for (let i = 0; i < x.length; i++) {
    const v = x[i]!
    const row = i * n
    for (let o = 0; o < n; o++) y[o]! += v * weight[row + o]!
  }
}

function layerNorm(x: Float32Array, scale: Float32Array, bias: Float32Array, epsilon: number, y: Float32Array): void {
  let mean = 0
  for (let i = 0; i < x.length; i++) mean += x[i]! / x.length
  let variance = 0
  for (let i = 0; i < x.length; i++) variance += (x[i]! - mean) ** 2 / x.length
  const inverse = 1 / Math.sqrt(variance + epsilon)
  for (let i = 0; i < x.length; i++) y[i] = (x[i]! - mean) * inverse * scale[i]! + bias[i]!
}

const dense: DecodeAttention = { _tag: "Dense" }

/**
 * A decoder with its caches. It serves models with layer norm, GELU and an untied head (see `languageModel`), and gives
 * what `languageModel` gives at the last position when attention is dense.
 */
export class CachedDecoder {
  readonly #params: Readonly<Record<string, Float32Array>>
  readonly #config: LanguageModelConfig
  readonly #caches: readonly KvCache[]
  readonly #scratch: DecodeScratch
  readonly #rows: Record<"x" | "h" | "q" | "k" | "v" | "mixed" | "out" | "hidden" | "logits", Float32Array>

  /**
   * @param attention decides which mean keys the caches keep
   * @throws RangeError for variants that it does not serve, or a missing parameter
   */
  constructor(params: HostTensors, config: LanguageModelConfig, attention: DecodeAttention = dense) {
    const { norm = "layer", activation = "gelu", tiedHead = true, width, heads, context, depth, mlpWidth } = config
    if (norm !== "layer" || activation !== "gelu" || tiedHead)
      throw new RangeError("the cached decoder serves models with layer norm, GELU and an untied head")
    this.#config = config
    this.#params = Object.fromEntries(Object.entries(params).map(([name, t]) => [name, t.data as Float32Array]))
    const kvHeads = config.keyValueHeads ?? heads
    const headSize = width / heads
    const blocks = attention._tag === "BlockTopK" ? { blockSize: attention.blockSize, sink: attention.sink } : {}
    this.#caches = Array.from({ length: depth }, () => new KvCache({ kvHeads, headSize, capacity: context, ...blocks }))
    this.#scratch = new DecodeScratch(heads / kvHeads, headSize, context)
    const row = (n: number) => new Float32Array(n)
    this.#rows = {
      x: row(width),
      h: row(width),
      q: row(width),
      k: row(kvHeads * headSize),
      v: row(kvHeads * headSize),
      mixed: row(width),
      out: row(width),
      hidden: row(mlpWidth),
      logits: row(config.outputs ?? config.vocabulary),
    }
  }

  /** Positions in the caches. */
  get length(): number {
    return this.#caches[0]!.length
  }

  /** Value rows read so far, over all layers and KV heads. */
  get rowsRead(): number {
    return this.#scratch.read.values
  }

  /** Forgets all positions from `length` on. */
  truncate(length: number): void {
    for (const cache of this.#caches) cache.truncate(length)
  }

  /**
   * Appends a token and returns the scores of the next one. The array is written over by the next call.
   *
   * @param key randomness of this token, for random positions
   * @throws KvCacheFull at the model's context
   */
  next(token: number, attention: DecodeAttention = dense, key?: Key): Float32Array {
    const { width, depth, epsilon = 1e-6, positions = "learned" } = this.#config
    const { x, h, q, k, v, mixed, out, hidden, logits } = this.#rows
    const p = (name: string): Float32Array => {
      const data = this.#params[name]
      if (!data) throw new RangeError(`cached decoder: the parameter "${name}" is missing`)
      return data
    }
    const map = (name: string, from: Float32Array, to: Float32Array) =>
      affine(from, p(`${name}.weight`), this.#params[`${name}.bias`], to)
    const norm = (name: string, to: Float32Array) => layerNorm(x, p(`${name}.scale`), p(`${name}.bias`), epsilon, to)
    x.set(p("embedding.weight").subarray(token * width, (token + 1) * width))
    if (positions === "learned") {
      const table = p("positions")
      const at = this.length * width
      for (let i = 0; i < width; i++) x[i]! += table[at + i]!
    }
    for (let layer = 0; layer < depth; layer++) {
      const at = `blocks.${layer}`
      norm(`${at}.norm1`, h)
      map(`${at}.attention.query`, h, q)
      map(`${at}.attention.key`, h, k)
      map(`${at}.attention.value`, h, v)
      const cache = this.#caches[layer]!
      cache.append(k, v)
      const call = { attention, layer, ...(key && { key: derive(key, layer) }) }
      decodeAttention(q, cache, call, this.#scratch, mixed)
      map(`${at}.attention.output`, mixed, out)
      for (let i = 0; i < width; i++) x[i]! += out[i]!
      norm(`${at}.norm2`, h)
      map(`${at}.mlp.fc1`, h, hidden)
      for (let i = 0; i < hidden.length; i++) hidden[i]! *= 0.5 * (1 + erf(hidden[i]! / Math.SQRT2))
      map(`${at}.mlp.fc2`, hidden, out)
      for (let i = 0; i < width; i++) x[i]! += out[i]!
    }
    norm("norm", h)
    map("head", h, logits)
    return logits
  }
}

/** How a token is drawn from scores. */
export interface Sampling {
  /** 0: the best token. */
  readonly temperature: number
  /** Smallest set of tokens with at least this probability; 1: all. */
  readonly topP: number
  /** At most so many of the best tokens; 0: all. */
  readonly topK: number
}

/**
 * Draws a token: softmax(scores/temperature), cut to the topK best, then to the fewest that hold topP together.
 *
 * @param u uniform in [0, 1)
 */
export function sampleToken(scores: ArrayLike<number>, { temperature, topP, topK }: Sampling, u: number): number {
  const order = Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b)
  if (temperature === 0) return order[0]!
  const kept = topK > 0 ? order.slice(0, topK) : order
  const top = scores[kept[0]!]!
  const weights = kept.map((i) => Math.exp((scores[i]! - top) / temperature))
  const total = weights.reduce((a, b) => a + b, 0)
  let n = 0
  let held = 0
  while (n < kept.length && (n === 0 || held < topP * total)) held += weights[n++]!
  let left = u * held
  for (let i = 0; i < n; i++) {
    left -= weights[i]!
    if (left < 0) return kept[i]!
  }
  return kept[n - 1]!
}
