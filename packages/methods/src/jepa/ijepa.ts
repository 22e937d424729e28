/**
 * The networks of I-JEPA: the vision transformer that encodes visible tokens, and the predictor that guesses the
 * embeddings of hidden ones.
 *
 * Source: Assran et al., arXiv 2301.08243, and its reference code. Parameters are flat trees, encoder and predictor each
 * with their own: `patch.weight` [patch·patch·channels, width], `blocks.{i}.…`, `norm.…`; `embed.…`, `mask_token`,
 * `blocks.{i}.…`, `norm.…`, `head.…`.
 */
import { initialise, transformerBlock } from "@exp/nn"
import { derive, type Key } from "@exp/random"
import { type HostTensor, type HostTensors, layerNorm, linear, type Tensors, unscaledLayerNorm } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { sincosPositions } from "./sincos-positions.ts"

/** Sizes of encoder and predictor. */
export interface JepaSizes {
  /** Height and width of the square images. */
  readonly imageSize: number
  readonly channels: number
  readonly patchSize: number
  /** Width of the encoder, D. */
  readonly width: number
  readonly depth: number
  /** Heads of encoder and predictor. */
  readonly heads: number
  /** Hidden width of a block's perceptron over its width. */
  readonly mlpRatio: number
  /** Width of the predictor, P. */
  readonly predictorWidth: number
  readonly predictorDepth: number
  /** Factor of the fixed position tables: 1 in the reference. */
  readonly positionScale: number
}

/** Tokens on a side of the grid. */
export const gridSide = (sizes: JepaSizes): number => sizes.imageSize / sizes.patchSize

type Shapes = Record<string, readonly number[]>

const blockShapes = (width: number, depth: number, hidden: number): Shapes => {
  const shapes: Shapes = {}
  for (let block = 0; block < depth; block++) {
    const at = `blocks.${block}`
    for (const norm of ["norm1", "norm2"]) {
      shapes[`${at}.${norm}.scale`] = [width]
      shapes[`${at}.${norm}.bias`] = [width]
    }
    const map = (name: string, from: number, to: number) => {
      shapes[`${at}.${name}.weight`] = [from, to]
      shapes[`${at}.${name}.bias`] = [to]
    }
    for (const name of ["query", "key", "value", "output"]) map(`attention.${name}`, width, width)
    map("mlp.fc1", width, hidden)
    map("mlp.fc2", hidden, width)
  }
  shapes["norm.scale"] = [width]
  shapes["norm.bias"] = [width]
  return shapes
}

/** Shapes of the encoder's parameters. */
export function encoderShapes(sizes: JepaSizes): Readonly<Shapes> {
  const { width, depth, mlpRatio, patchSize, channels, heads, imageSize } = sizes
  if (imageSize % patchSize !== 0 || width % heads !== 0 || width % 4 !== 0)
    throw new RangeError(
      `jepa: images of ${imageSize} must be whole patches of ${patchSize}, and the width ${width} a multiple of 4 and of the ${heads} heads`,
    )
  return {
    "patch.weight": [patchSize * patchSize * channels, width],
    "patch.bias": [width],
    ...blockShapes(width, depth, Math.round(width * mlpRatio)),
  }
}

/** Shapes of the predictor's parameters. */
export function predictorShapes(sizes: JepaSizes): Readonly<Shapes> {
  const { width, predictorWidth: p, predictorDepth, mlpRatio, heads } = sizes
  if (p % heads !== 0 || p % 4 !== 0)
    throw new RangeError(`jepa: the predictor's width ${p} must be a multiple of 4 and of the ${heads} heads`)
  return {
    "embed.weight": [width, p],
    "embed.bias": [p],
    mask_token: [p],
    ...blockShapes(p, predictorDepth, Math.round(p * mlpRatio)),
    "head.weight": [p, width],
    "head.bias": [width],
  }
}

/**
 * How weights start. `reference`: N(0, 0.02²) everywhere, as the official entry point leaves them (it draws anew over
 * the rescaled residual branches). `small`: Xavier-uniform maps and patches N(0, 0.25²), without which narrow models
 * see little but their positions and collapse.
 */
export type JepaInit = "reference" | "small"

/** Initial values of parameters with the given shapes; each depends on `key` and its own name alone. */
export function initJepa(shapes: Readonly<Shapes>, init: JepaInit, key: Key): HostTensors {
  const initial = (name: string, shape: readonly number[]): HostTensor => {
    if (name.endsWith(".scale")) return initialise.ones(shape)
    if (name.endsWith(".bias")) return initialise.zeros(shape)
    const own = derive(key, name)
    if (init === "reference" || name === "mask_token") return initialise.normal(own, shape, 0.02)
    if (name === "patch.weight") return initialise.normal(own, shape, 0.25)
    return initialise.glorotUniform(own, [shape[0]!, shape[1]!])
  }
  return Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, initial(name, shape)]))
}

/** Rows of images in a flattened [batch·tokens, …] tensor: b·tokens + index. */
const flatRows = (indices: tf.Tensor, tokens: number): tf.Tensor => {
  const [batch] = indices.shape as [number, number]
  return tf.add(indices, tf.mul(tf.reshape(tf.range(0, batch, 1, "int32"), [batch, 1]), tf.scalar(tokens, "int32")))
}

/**
 * The given tokens of each image.
 *
 * @param x [batch, tokens, width]
 * @param indices int32 [batch, kept]
 * @returns [batch, kept, width]
 */
export function gatherTokens(x: tf.Tensor, indices: tf.Tensor): tf.Tensor3D {
  const [batch, tokens, width] = x.shape as [number, number, number]
  const rows = tf.reshape(flatRows(indices, tokens), [-1])
  const picked = tf.gather(tf.reshape(x, [batch * tokens, width]), rows as tf.Tensor1D)
  return tf.reshape(picked, [batch, indices.shape[1]!, width])
}

const positionsAt = (sizes: JepaSizes, width: number, indices?: tf.Tensor): tf.Tensor => {
  const side = gridSide(sizes)
  const table = tf.tensor2d(sincosPositions(side, side, width, sizes.positionScale), [side * side, width])
  if (!indices) return table
  const rows = tf.gather(table, tf.reshape(indices, [-1]) as tf.Tensor1D)
  return tf.reshape(rows, [...indices.shape, width])
}

const blocks = (params: Tensors, depth: number, heads: number, x: tf.Tensor): tf.Tensor => {
  let y = x
  for (let block = 0; block < depth; block++) y = transformerBlock(params, block, y, { heads, epsilon: 1e-6 })
  return layerNorm(y, params["norm.scale"]!, params["norm.bias"]!, 1e-6)
}

/**
 * Embeddings of the visible tokens. Hidden tokens are gathered out, not zeroed: before the patch map, which sees each
 * patch alone, so that nothing is computed for them.
 *
 * @param patches [batch, tokens, patch·patch·channels]
 * @param visible int32 [batch, kept]; all tokens when left out
 * @returns [batch, kept, width]
 */
export function encode(params: Tensors, patches: tf.Tensor3D, sizes: JepaSizes, visible?: tf.Tensor): tf.Tensor3D {
  const seen = visible ? gatherTokens(patches, visible) : patches
  const x = tf.add(
    linear(seen, params["patch.weight"]!, params["patch.bias"]),
    positionsAt(sizes, sizes.width, visible),
  )
  return blocks(params, sizes.depth, sizes.heads, x) as tf.Tensor3D
}

/**
 * The predictor's normalised outputs at the hidden tokens of each target block, before its head. Blocks are predicted
 * apart from each other: the batch is repeated for each.
 *
 * @param embedded [batch, context, width] from {@link encode}
 * @param context int32 [batch, context], where they are
 * @param target int32 [targets·batch, hidden], mask-major: all images of block 1 first
 * @returns [targets·batch, hidden, predictorWidth]
 */
export function predictorTokens(
  params: Tensors,
  embedded: tf.Tensor3D,
  context: tf.Tensor,
  target: tf.Tensor,
  sizes: JepaSizes,
): tf.Tensor3D {
  const { predictorWidth: p } = sizes
  const [batch, kept] = embedded.shape
  const [repeated, hidden] = target.shape as [number, number]
  const z = tf.add(linear(embedded, params["embed.weight"]!, params["embed.bias"]), positionsAt(sizes, p, context))
  const contexts = tf.tile(z as tf.Tensor3D, [repeated / batch, 1, 1])
  const masks = tf.add(positionsAt(sizes, p, target), params.mask_token!)
  const out = blocks(params, sizes.predictorDepth, sizes.heads, tf.concat([contexts, masks], 1))
  return tf.slice(out, [0, kept, 0], [repeated, hidden, p]) as tf.Tensor3D
}

/** The plain head: predicted embeddings [targets·batch, hidden, width]. */
export const predictorHead = (params: Tensors, tokens: tf.Tensor): tf.Tensor =>
  linear(tokens, params["head.weight"]!, params["head.bias"])

/** Layer norm over the last axis without parameters (ε 1e-5): what targets go through, so that they cannot collapse. */
export function normaliseTargets(x: tf.Tensor): tf.Tensor {
  return unscaledLayerNorm(x, 1e-5)
}

/**
 * Embeddings to predict: [batch, tokens, width] → [targets·batch, hidden, width], mask-major.
 *
 * @param target int32 [targets·batch, hidden]
 */
export function gatherTargets(x: tf.Tensor, target: tf.Tensor): tf.Tensor3D {
  const [batch, tokens, width] = x.shape as [number, number, number]
  const [repeated, hidden] = target.shape as [number, number]
  const images = tf.tile(tf.range(0, batch, 1, "int32"), [repeated / batch])
  const rows = tf.add(target, tf.mul(tf.reshape(images, [repeated, 1]), tf.scalar(tokens, "int32")))
  const picked = tf.gather(tf.reshape(x, [batch * tokens, width]), tf.reshape(rows, [-1]) as tf.Tensor1D)
  return tf.reshape(picked, [repeated, hidden, width])
}

/** Mean squared error, or mean smooth L1 with β = 1 (½d² for |d| < 1, else |d| − ½), over all elements. */
export function predictionLoss(kind: "mse" | "smooth-l1", predicted: tf.Tensor, target: tf.Tensor): tf.Scalar {
  const d = tf.sub(predicted, target)
  if (kind === "mse") return tf.mean(tf.square(d))
  const size = tf.abs(d)
  const near = tf.minimum(size, 1)
  // ½·min(|d|,1)² + (|d| − min(|d|,1)) is the same function without a branch.
  return tf.mean(tf.add(tf.mul(tf.square(near), 0.5), tf.sub(size, near)))
}
