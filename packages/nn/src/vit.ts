/**
 * The vision transformer (Dosovitskiy et al. 2020, arXiv 2010.11929): patches, a class token, learned positions,
 * pre-norm blocks, a linear head on the normalised class token.
 */
import { derive, type Key } from "@exp/random"
import {
  dropPath,
  type HostTensor,
  type HostTensors,
  layerNorm,
  linear,
  type Randomness,
  type Tensors,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { type BlockHooks, transformerBlock } from "./block.ts"
import { ones, truncatedNormal, zeros } from "./initialisers.ts"

/** The sizes of a vision transformer. */
export interface VitConfig {
  /** Height and width of the square images, a multiple of `patchSize`. */
  readonly imageSize: number
  readonly channels: number
  readonly patchSize: number
  /** Width of the tokens. */
  readonly width: number
  /** Number of blocks. */
  readonly depth: number
  readonly heads: number
  /** Hidden width of the two-layer perceptron of a block. */
  readonly mlpWidth: number
  readonly classes: number
  /** Added to variances in layer norms. Default 1e-6. */
  readonly epsilon?: number
}

/** The small model of the transfer test bed: 28×28×1, patches 7×7, width 64, 4 heads, hidden width 128. */
export function tinyVit(classes: number, depth = 4): VitConfig {
  return { imageSize: 28, channels: 1, patchSize: 7, width: 64, depth, heads: 4, mlpWidth: 128, classes, epsilon: 1e-6 }
}

/** ViT-B/16, ViT-L/16 and ViT-H/14 at 224×224, for accounting. */
export function namedVit(name: "base" | "large" | "huge", classes = 0): VitConfig {
  const common = { imageSize: 224, channels: 3, classes, epsilon: 1e-6 }
  if (name === "base") return { ...common, patchSize: 16, width: 768, depth: 12, heads: 12, mlpWidth: 3072 }
  if (name === "large") return { ...common, patchSize: 16, width: 1024, depth: 24, heads: 16, mlpWidth: 4096 }
  return { ...common, patchSize: 14, width: 1280, depth: 32, heads: 16, mlpWidth: 5120 }
}

/** The six linear maps of a block, in the order in which they act. */
export const blockMaps = [
  "attention.query",
  "attention.key",
  "attention.value",
  "attention.output",
  "mlp.fc1",
  "mlp.fc2",
] as const

/** One linear map of a block. */
export interface BlockMap {
  /** "blocks.0.attention.query"; its parameters are `${name}.weight` [in, out] and `${name}.bias` [out]. */
  readonly name: string
  readonly block: number
  readonly in: number
  readonly out: number
}

/** All linear maps inside the blocks, which fine-tuning methods adapt. */
export function linearMaps(config: VitConfig): readonly BlockMap[] {
  const { width, mlpWidth, depth } = config
  return Array.from({ length: depth }, (_, block) =>
    blockMaps.map((map) => ({
      name: `blocks.${block}.${map}`,
      block,
      in: map === "mlp.fc2" ? mlpWidth : width,
      out: map === "mlp.fc1" ? mlpWidth : width,
    })),
  ).flat()
}

/** Places where a method can change the forward pass; see {@link BlockHooks}. */
export type VitHooks = BlockHooks

/** Shapes of all parameters by name; without the head when `classes` is 0. */
export function vitShapes(config: VitConfig): Readonly<Record<string, readonly number[]>> {
  const { width: d, patchSize, channels, depth } = config
  const tokens = (config.imageSize / patchSize) ** 2
  if (!Number.isInteger(Math.sqrt(tokens)) || d % config.heads !== 0)
    throw new RangeError(
      `vit: the image size ${config.imageSize} must be a multiple of the patch size ${patchSize}, and the width ${d} of the heads ${config.heads}`,
    )
  const shapes: Record<string, readonly number[]> = {
    "patch.weight": [patchSize * patchSize * channels, d],
    "patch.bias": [d],
    cls: [d],
    positions: [tokens + 1, d],
  }
  const maps = linearMaps(config)
  for (let block = 0; block < depth; block++) {
    for (const norm of ["norm1", "norm2"]) {
      shapes[`blocks.${block}.${norm}.scale`] = [d]
      shapes[`blocks.${block}.${norm}.bias`] = [d]
    }
    for (const map of maps.slice(block * 6, block * 6 + 6)) {
      shapes[`${map.name}.weight`] = [map.in, map.out]
      shapes[`${map.name}.bias`] = [map.out]
    }
  }
  shapes["norm.scale"] = [d]
  shapes["norm.bias"] = [d]
  if (config.classes > 0) {
    shapes["head.weight"] = [d, config.classes]
    shapes["head.bias"] = [config.classes]
  }
  return shapes
}

function initial(name: string, shape: readonly number[], key: Key): HostTensor {
  if (name.endsWith(".scale")) return ones(shape)
  if (name.endsWith(".bias")) return zeros(shape)
  return truncatedNormal(derive(key, name), shape, 0.02)
}

/**
 * Initial parameters: weights, class token and positions truncated normal (σ 0.02, cut at ±2σ), biases 0, layer norms
 * (1, 0). Every tensor depends on `key` and its own name alone.
 */
export function initVit(config: VitConfig, key: Key): HostTensors {
  return Object.fromEntries(Object.entries(vitShapes(config)).map(([name, shape]) => [name, initial(name, shape, key)]))
}

/** A new head ("head.weight", "head.bias"), equal to the one that {@link initVit} makes from the same key. */
export function initHead(config: VitConfig, key: Key): HostTensors {
  const shapes = { "head.weight": [config.width, config.classes], "head.bias": [config.classes] }
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, initial(name, shape, key)]))
}

/**
 * Cuts images into patches, grid and pixels in row-major order.
 *
 * @param images [batch, size, size, channels]
 * @returns [batch, (size/patch)², patch·patch·channels]
 */
export function patchify(images: tf.Tensor4D, patch: number): tf.Tensor3D {
  const [batch, height, width, channels] = images.shape
  const rows = height / patch
  const columns = width / patch
  const pixels = tf.reshape(images, [batch * rows, patch, columns, patch * channels])
  return tf.reshape(tf.transpose(pixels, [0, 2, 1, 3]), [batch, rows * columns, patch * patch * channels])
}

/**
 * The normalised class token, which the head reads.
 *
 * @param params at least all of {@link vitShapes} but the head
 * @param images [batch, size, size, channels]
 * @returns [batch, width]
 */
export function vitFeatures(
  params: Tensors,
  images: tf.Tensor4D,
  config: VitConfig,
  hooks: VitHooks = {},
): tf.Tensor2D {
  const { width: d, heads, depth, patchSize, epsilon = 1e-6 } = config
  const batch = images.shape[0]
  const p = (name: string): tf.Tensor => {
    const tensor = params[name]
    if (!tensor) throw new RangeError(`vit: the parameter "${name}" is missing`)
    return tensor
  }

  const patches = linear(patchify(images, patchSize), p("patch.weight"), p("patch.bias"))
  // A broadcast sum rather than a tile: its gradient is one sum over the batch.
  const cls = tf.add(tf.zeros([batch, 1, d]), p("cls"))
  let x: tf.Tensor = tf.add(tf.concat([cls, patches], 1), p("positions"))
  for (let block = 0; block < depth; block++) x = transformerBlock(params, block, x, { heads, epsilon, hooks })
  const first = tf.reshape(tf.slice(x, [0, 0, 0], [batch, 1, d]), [batch, d])
  return layerNorm(first, p("norm.scale"), p("norm.bias"), epsilon) as tf.Tensor2D
}

/**
 * Class scores of images.
 *
 * @param params the parameters of {@link vitShapes}
 * @param images [batch, size, size, channels], float32
 * @returns [batch, classes]
 * @throws RangeError when a parameter is missing
 */
export function vit(params: Tensors, images: tf.Tensor4D, config: VitConfig, hooks: VitHooks = {}): tf.Tensor2D {
  const features = vitFeatures(params, images, config, hooks)
  return linear(features, params["head.weight"]!, params["head.bias"]) as tf.Tensor2D
}

/**
 * Stochastic depth of the residual branches: the rate grows linearly over the blocks from 0 to `rate`.
 *
 * @returns a function for {@link VitHooks.residual}
 */
export function stochasticDepth(
  rate: number,
  depth: number,
  randomness: Randomness,
  stream = "stochastic-depth",
): NonNullable<VitHooks["residual"]> {
  return (block, branch, z) =>
    dropPath(z, depth > 1 ? (rate * block) / (depth - 1) : rate, randomness, `${stream}.${block}.${branch}`)
}
