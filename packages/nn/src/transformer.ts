/**
 * A decoder-only language model: token embedding, optional learned positions, pre-norm blocks with causal attention
 * whose query heads share fewer key and value heads (Ainslie et al. 2023, arXiv 2305.13245), and a tied or untied head.
 */
import { derive, type Key } from "@exp/random"
import {
  attention,
  gelu,
  type HostTensors,
  layerNorm,
  linear,
  matMul,
  mergeHeads,
  rmsNorm,
  splitHeads,
  type Tensors,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { ones, truncatedNormal, zeros } from "./initialisers.ts"

/** The sizes and variants of a language model. */
export interface LanguageModelConfig {
  readonly vocabulary: number
  readonly width: number
  readonly depth: number
  /** Query heads; divides `width`. */
  readonly heads: number
  /** Key and value heads; divides `heads`. Default: as many. */
  readonly keyValueHeads?: number
  readonly mlpWidth: number
  /** Longest sequence, the number of learned positions. */
  readonly context: number
  /** Default "learned". */
  readonly positions?: "learned" | "none"
  /** Default "layer". */
  readonly norm?: "layer" | "rms"
  /** Default "gelu". */
  readonly activation?: "gelu" | "relu"
  /** Whether the head is the transposed embedding. Default true. */
  readonly tiedHead?: boolean
  /** Width of an untied head, where fewer outputs than tokens are scored. Default: the vocabulary. */
  readonly outputs?: number
  /** Whether linear maps have biases. Default true. */
  readonly biases?: boolean
  /** Default 1e-6. */
  readonly epsilon?: number
  /** Standard deviation of the initial weights. Default 0.02. */
  readonly sigma?: number
}

/** Places where a method can change the forward pass. */
export interface LanguageModelHooks {
  /** After each linear map of a block; see `VitHooks.linear`. */
  readonly linear?: (name: string, x: tf.Tensor, y: tf.Tensor) => tf.Tensor
  /** Instead of the whole perceptron of a block, e.g. a mixture of experts: normalised input to output. */
  readonly mlp?: (block: number, x: tf.Tensor) => tf.Tensor
  /**
   * Instead of dense causal attention.
   *
   * @param query [batch, heads, n, width]; heads of one group are adjacent
   * @param key [batch, keyValueHeads, n, width]
   * @param value as `key`
   * @returns [batch, heads, n, width]
   */
  readonly attention?: (block: number, query: tf.Tensor4D, key: tf.Tensor4D, value: tf.Tensor4D) => tf.Tensor4D
}

/** Shapes of all parameters by name. */
export function languageModelShapes(config: LanguageModelConfig): Readonly<Record<string, readonly number[]>> {
  const { vocabulary, width: d, depth, heads, mlpWidth, context } = config
  const keyValueHeads = config.keyValueHeads ?? heads
  if (d % heads !== 0 || heads % keyValueHeads !== 0)
    throw new RangeError(
      `language model: the heads ${heads} must divide the width ${d}, and the key-value heads ${keyValueHeads} the heads`,
    )
  const biases = config.biases ?? true
  const shapes: Record<string, readonly number[]> = { "embedding.weight": [vocabulary, d] }
  if ((config.positions ?? "learned") === "learned") shapes["positions"] = [context, d]
  const map = (name: string, from: number, to: number) => {
    shapes[`${name}.weight`] = [from, to]
    if (biases) shapes[`${name}.bias`] = [to]
  }
  const norm = (name: string) => {
    shapes[`${name}.scale`] = [d]
    if ((config.norm ?? "layer") === "layer") shapes[`${name}.bias`] = [d]
  }
  const small = (d / heads) * keyValueHeads
  for (let block = 0; block < depth; block++) {
    const at = `blocks.${block}`
    norm(`${at}.norm1`)
    map(`${at}.attention.query`, d, d)
    map(`${at}.attention.key`, d, small)
    map(`${at}.attention.value`, d, small)
    map(`${at}.attention.output`, d, d)
    norm(`${at}.norm2`)
    map(`${at}.mlp.fc1`, d, mlpWidth)
    map(`${at}.mlp.fc2`, mlpWidth, d)
  }
  norm("norm")
  if (!(config.tiedHead ?? true)) map("head", d, config.outputs ?? vocabulary)
  return shapes
}

/** Initial parameters: weights, embedding and positions truncated normal, biases 0, norm scales 1; keyed by name. */
export function initLanguageModel(config: LanguageModelConfig, key: Key): HostTensors {
  return Object.fromEntries(
    Object.entries(languageModelShapes(config)).map(([name, shape]) => [
      name,
      name.endsWith(".scale")
        ? ones(shape)
        : name.endsWith(".bias")
          ? zeros(shape)
          : truncatedNormal(derive(key, name), shape, config.sigma ?? 0.02),
    ]),
  )
}

/**
 * Causal attention with shared key and value heads: query head h reads key-value head ⌊h/group⌋.
 *
 * @param query [batch, heads, n, width]
 * @param key [batch, keyValueHeads, n, width]
 * @param value [batch, keyValueHeads, n, width]
 * @returns [batch, heads, n, width]
 */
export function causalGroupedAttention(query: tf.Tensor4D, key: tf.Tensor4D, value: tf.Tensor4D): tf.Tensor4D {
  const [batch, heads, n, width] = query.shape
  const keyValueHeads = key.shape[1]
  const group = heads / keyValueHeads
  // The queries of a group are stacked along the token axis, so keys and values are not repeated.
  const rows = tf.reshape(query, [batch, keyValueHeads, group * n, width])
  const at = tf.range(0, n, 1, "int32")
  const later = tf.greater(tf.reshape(at, [1, n]), tf.reshape(at, [n, 1]))
  const mask = tf.mul(tf.cast(later, "float32"), -1e9)
  const stacked = group === 1 ? mask : tf.concat(new Array<tf.Tensor>(group).fill(mask), 0)
  return tf.reshape(attention(rows, key, value, stacked), [batch, heads, n, width])
}

/**
 * Scores of the next token at every position.
 *
 * @param params the parameters of {@link languageModelShapes}
 * @param tokens [batch, n], int32, in 0..vocabulary−1, n ≤ context
 * @returns [batch, n, vocabulary], or [batch, n, outputs]
 * @throws RangeError when a parameter is missing or the sequence is longer than the context
 */
export function languageModel(
  params: Tensors,
  tokens: tf.Tensor2D,
  config: LanguageModelConfig,
  hooks: LanguageModelHooks = {},
): tf.Tensor3D {
  const { heads, depth, width: d, context, epsilon = 1e-6, activation = "gelu" } = config
  const keyValueHeads = config.keyValueHeads ?? heads
  const [batch, n] = tokens.shape
  if (n > context) throw new RangeError(`language model: ${n} tokens do not fit the context of ${context}`)
  const p = (name: string): tf.Tensor => {
    const tensor = params[name]
    if (!tensor) throw new RangeError(`language model: the parameter "${name}" is missing`)
    return tensor
  }
  const map = (name: string, x: tf.Tensor): tf.Tensor => {
    const y = linear(x, p(`${name}.weight`), params[`${name}.bias`])
    return hooks.linear ? hooks.linear(name, x, y) : y
  }
  const norm = (name: string, x: tf.Tensor) =>
    (config.norm ?? "layer") === "layer"
      ? layerNorm(x, p(`${name}.scale`), p(`${name}.bias`), epsilon)
      : rmsNorm(x, p(`${name}.scale`), epsilon)
  const act = (x: tf.Tensor) => (activation === "gelu" ? gelu(x) : tf.relu(x))
  const mix = hooks.attention ?? ((_block, q, k, v) => causalGroupedAttention(q, k, v))

  const embedded = tf.gather(p("embedding.weight"), tf.reshape(tokens, [batch * n]))
  let x: tf.Tensor = tf.reshape(embedded, [batch, n, d])
  if ((config.positions ?? "learned") === "learned") x = tf.add(x, tf.slice(p("positions"), [0, 0], [n, d]))
  for (let block = 0; block < depth; block++) {
    const at = `blocks.${block}`
    const h = norm(`${at}.norm1`, x)
    const query = splitHeads(map(`${at}.attention.query`, h), heads)
    const key = splitHeads(map(`${at}.attention.key`, h), keyValueHeads)
    const value = splitHeads(map(`${at}.attention.value`, h), keyValueHeads)
    x = tf.add(x, map(`${at}.attention.output`, mergeHeads(mix(block, query, key, value))))
    const g = norm(`${at}.norm2`, x)
    x = tf.add(x, hooks.mlp ? hooks.mlp(block, g) : map(`${at}.mlp.fc2`, act(map(`${at}.mlp.fc1`, g))))
  }
  const last = norm("norm", x)
  const scores =
    (config.tiedHead ?? true)
      ? matMul(last, p("embedding.weight"), false, true)
      : linear(last, p("head.weight"), params["head.bias"])
  return scores as tf.Tensor3D
}
