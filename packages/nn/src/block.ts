/** The pre-norm transformer block: x + attention(norm1(x)), then x + mlp(norm2(x)), with exact GELU. */
import {
  absorbNorm,
  attention,
  gelu,
  layerNorm,
  linear,
  mergeHeads,
  splitHeads,
  type Tensors,
  unscaledLayerNorm,
  worthAbsorbing,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

/** Places where a method can change a block. Each function must be pure. */
export interface BlockHooks {
  /**
   * After each linear map of a block.
   *
   * @param name "blocks.0.attention.query", …
   * @param x input of the map, [batch, tokens, in]
   * @param y its output, bias included, [batch, tokens, out]
   * @returns the output to use
   */
  readonly linear?: (name: string, x: tf.Tensor, y: tf.Tensor) => tf.Tensor
  /** After fc2 of a block, before the residual sum: [batch, tokens, width]. */
  readonly afterMlp?: (block: number, z: tf.Tensor) => tf.Tensor
  /** Last on each residual branch, for stochastic depth: [batch, tokens, width]. */
  readonly residual?: (block: number, branch: "attention" | "mlp", z: tf.Tensor) => tf.Tensor
}

/** What a block needs beside its parameters. */
export interface BlockOptions {
  readonly heads: number
  /** Added to variances in layer norms. Default 1e-6. */
  readonly epsilon?: number
  /** Added to the attention scores; see `attention`. */
  readonly mask?: tf.Tensor
  readonly hooks?: BlockHooks
}

/**
 * One block.
 *
 * @param params with `blocks.{block}.norm1.scale`, `.attention.query.weight`, … as `initVit` names them
 * @param x [batch, tokens, width]
 * @returns [batch, tokens, width]
 * @throws RangeError when a parameter is missing
 */
export function transformerBlock(params: Tensors, block: number, x: tf.Tensor, options: BlockOptions): tf.Tensor {
  const { heads, epsilon = 1e-6, mask, hooks = {} } = options
  const at = `blocks.${block}`
  const p = (name: string): tf.Tensor => {
    const tensor = params[name]
    if (!tensor) throw new RangeError(`transformer block: the parameter "${name}" is missing`)
    return tensor
  }
  const map = (name: string, x: tf.Tensor): tf.Tensor => {
    const y = linear(x, p(`${name}.weight`), p(`${name}.bias`))
    return hooks.linear ? hooks.linear(name, x, y) : y
  }
  /** Linear maps of one normalised input. A method that changes the maps needs that input as it is. */
  const normalisedMaps = (norm: string, x: tf.Tensor, names: readonly string[]): readonly tf.Tensor[] => {
    const [scale, shift] = [p(`${norm}.scale`), p(`${norm}.bias`)]
    const columns = names.reduce((n, name) => n + p(`${name}.weight`).shape[1]!, 0)
    if (hooks.linear || !worthAbsorbing(x.size / scale.size, columns)) {
      const h = layerNorm(x, scale, shift, epsilon)
      return names.map((name) => map(name, h))
    }
    const normal = unscaledLayerNorm(x, epsilon)
    return names.map((name) => {
      const { weight, bias } = absorbNorm(p(`${name}.weight`), p(`${name}.bias`), scale, shift)
      return linear(normal, weight, bias)
    })
  }
  const residual = (x: tf.Tensor, branch: "attention" | "mlp", z: tf.Tensor) =>
    tf.add(x, hooks.residual ? hooks.residual(block, branch, z) : z)

  const [query, key, value] = normalisedMaps(
    `${at}.norm1`,
    x,
    (["query", "key", "value"] as const).map((name) => `${at}.attention.${name}`),
  ).map((y) => splitHeads(y, heads))
  const mixed = mergeHeads(attention(query!, key!, value!, mask))
  const y = residual(x, "attention", map(`${at}.attention.output`, mixed))
  const hidden = gelu(normalisedMaps(`${at}.norm2`, y, [`${at}.mlp.fc1`])[0]!)
  const z = map(`${at}.mlp.fc2`, hidden)
  return residual(y, "mlp", hooks.afterMlp ? hooks.afterMlp(block, z) : z)
}
