/**
 * The sparse latent module of SparseJEPA: a low-dimensional stochastic latent between predictor and prediction, whose
 * connections to groups of embedding features are penalised by a group lasso.
 *
 * Source: Hartman and Varshney, arXiv 2504.16140; generator and penalty as in oi-VAE, Ainsworth et al., arXiv 1802.06765.
 * μ = A_μ·p, log σ² = clamp(A_σ·p, −6, 2), z = μ + σ⊙ε, ŝ^(g) = B_g·(W^(g)·z) + c_g.
 */
import { initialise } from "@exp/nn"
import { derive, type Key } from "@exp/random"
import { type HostTensors, linear, matMul, type Tensors } from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"

/** Sizes of the module. */
export interface SparseModuleSizes {
  /** Width of its input. */
  readonly input: number
  /** Width of the embedding, D, a multiple of `groups`. */
  readonly width: number
  /** Latents, K. */
  readonly latents: number
  /** Groups of embedding features, G. */
  readonly groups: number
  /** Width of a group's generator, q. */
  readonly groupWidth: number
}

/**
 * Initial parameters: maps Xavier-uniform, W ~ N(0, 1) (smaller columns would be gone after a few proximal steps),
 * B ~ N(0, 1/(q·K)), c 0.
 *
 * @returns mean.weight [input, K], mean.bias, variance.weight, variance.bias, group.weight W [G, q, K],
 *   output.weight B [G, D/G, q], output.bias c [D]
 */
export function initSparseModule(sizes: SparseModuleSizes, key: Key): HostTensors {
  const { input, width, latents, groups, groupWidth } = sizes
  if (width % groups !== 0)
    throw new RangeError(`sparse module: the embedding's width ${width} must be a multiple of the ${groups} groups`)
  const features = width / groups
  return {
    "mean.weight": initialise.glorotUniform(derive(key, "mean"), [input, latents]),
    "mean.bias": initialise.zeros([latents]),
    "variance.weight": initialise.glorotUniform(derive(key, "variance"), [input, latents]),
    "variance.bias": initialise.zeros([latents]),
    "group.weight": initialise.normal(derive(key, "group"), [groups, groupWidth, latents], 1),
    // W·z has a variance near K, so that this makes predictions of the size of their targets.
    "output.weight": initialise.normal(
      derive(key, "output"),
      [groups, features, groupWidth],
      1 / Math.sqrt(groupWidth * latents),
    ),
    "output.bias": initialise.zeros([width]),
  }
}

/** What the module makes of its input. */
export interface SparseModuleOutput {
  /** ŝ, [..., D] */
  readonly embedding: tf.Tensor
  /** [rows, K] */
  readonly mean: tf.Tensor
  /** log σ², [rows, K] */
  readonly logVariance: tf.Tensor
}

/** The linear map from latents to embedding, all groups in one matrix: row g·D/G + i is (B_g·W^(g))_i. [D, K] */
export function generatorMatrix(params: Tensors): tf.Tensor2D {
  const b = params["output.weight"]!
  const [groups, features] = b.shape as [number, number, number]
  const product = matMul(b, params["group.weight"]!)
  return tf.reshape(product, [groups * features, product.shape[2]!])
}

/**
 * The module on rows of features.
 *
 * @param x [..., input]
 * @param noise standard normal [rows, K]; left out at evaluation, where z = μ
 */
export function sparseModule(params: Tensors, x: tf.Tensor, noise?: tf.Tensor): SparseModuleOutput {
  const rows = tf.reshape(x, [-1, x.shape[x.rank - 1]!])
  const mean = linear(rows, params["mean.weight"]!, params["mean.bias"])
  const logVariance = tf.clipByValue(linear(rows, params["variance.weight"]!, params["variance.bias"]), -6, 2)
  const z = noise ? tf.add(mean, tf.mul(tf.exp(tf.mul(logVariance, 0.5)), noise)) : mean
  const generator = generatorMatrix(params)
  const embedding = tf.add(matMul(z, generator, false, true), params["output.bias"]!)
  return { embedding: tf.reshape(embedding, [...x.shape.slice(0, -1), generator.shape[0]]), mean, logVariance }
}

/** KL divergence of N(μ, σ²) from N(0, 1), ½Σ_k(μ² + σ² − 1 − log σ²), averaged over the rows, in nats. */
export function latentDivergence({ mean, logVariance }: Pick<SparseModuleOutput, "mean" | "logVariance">): tf.Scalar {
  const terms = tf.sub(tf.add(tf.square(mean), tf.exp(logVariance)), tf.add(logVariance, 1))
  return tf.mul(tf.mean(tf.sum(terms, -1)), 0.5)
}
