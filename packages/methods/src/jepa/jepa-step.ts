/**
 * One training step of I-JEPA, with or without the sparse module, as a pure function.
 *
 * State: `encoder.*`, `predictor.*`, `target.*` (moving average of the encoder), `sparse.*` (module), `optimiser.*`.
 * Batch: `images` [batch, size, size, channels], `context` int32 [batch, kept], `target` int32 [targets·batch, hidden],
 * and the scalars `learning_rate`, `weight_decay`, `momentum`, and with a module `group_rate` (learning rate of W) and
 * `threshold` (`group_rate`·λ).
 */
import { adamw, patchify, pick, underPrefix, withPrefix } from "@exp/nn"
import { derive, type Key } from "@exp/random"
import {
  type HostTensors,
  linear,
  type Randomness,
  type Step,
  softmaxCrossEntropy,
  stopGradient,
  type Tensors,
  valueAndGradients,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { columnNorms, groupLasso, proximalStep } from "./group-lasso.ts"
import {
  encode,
  encoderShapes,
  gatherTargets,
  initJepa,
  type JepaInit,
  type JepaSizes,
  normaliseTargets,
  predictionLoss,
  predictorHead,
  predictorShapes,
  predictorTokens,
} from "./ijepa.ts"
import { initSparseModule, latentDivergence, sparseModule } from "./sparse-module.ts"

/** The sparse module and its objective. */
export interface SparseOptions {
  /** `prediction`: in place of the predictor's head. `embedding`: on the outputs of both encoders. */
  readonly at: "prediction" | "embedding"
  readonly latents: number
  readonly groups: number
  readonly groupWidth: number
  /** β, weight of the latent's divergence. */
  readonly beta: number
  /** `proximal`: exact zeros by a proximal step on W. `subgradient`: λ·R(W) in the loss. */
  readonly penalty: "proximal" | "subgradient"
}

/** What a step computes. */
export interface JepaStepOptions {
  readonly sizes: JepaSizes
  readonly loss: "mse" | "smooth-l1"
  readonly sparse?: SparseOptions
  /** Weight of mean |embedding| of the visible tokens in the loss: the plain alternative to a group lasso. */
  readonly embeddingL1?: number
}

/** The state before the first step. The target encoder starts as a copy. */
export function initialJepaState(options: JepaStepOptions, init: JepaInit, key: Key): HostTensors {
  const { sizes, sparse } = options
  const encoder = initJepa(encoderShapes(sizes), init, derive(key, "encoder"))
  const predictor = initJepa(predictorShapes(sizes), init, derive(key, "predictor"))
  const head = (name: string) => name.startsWith("head.")
  // A module at the prediction stands in for the head.
  const kept = sparse?.at === "prediction" ? pick(predictor, (name) => !head(name)) : predictor
  const module = sparse
    ? initSparseModule(
        {
          input: sparse.at === "prediction" ? sizes.predictorWidth : sizes.width,
          width: sizes.width,
          latents: sparse.latents,
          groups: sparse.groups,
          groupWidth: sparse.groupWidth,
        },
        derive(key, "sparse"),
      )
    : {}
  const trained = {
    ...withPrefix("encoder", encoder),
    ...withPrefix("predictor", kept),
    ...withPrefix("sparse", module),
  }
  const target = {
    ...withPrefix("target", encoder),
    ...(sparse?.at === "embedding" ? withPrefix("target_sparse", module) : {}),
  }
  return {
    ...trained,
    ...target,
    ...withPrefix("optimiser", adamw.init(pick(trained, (name) => name !== groupWeight))),
  }
}

const groupWeight = "sparse.group.weight"

/** Tensors that weight decay acts on: those with two axes or more. The reference leaves out biases and 1-D parameters. */
const decayed = (shape: readonly number[]): boolean => shape.length >= 2

/** Terms of the objective, and what they are made of. */
export interface JepaObjective {
  /** To be differentiated: prediction + β·divergence (+ λ·R with `subgradient`). */
  readonly loss: tf.Scalar
  readonly prediction: tf.Scalar
  readonly divergence?: tf.Scalar
}

/**
 * The objective of a batch.
 *
 * @param trained `encoder.*`, `predictor.*`, `sparse.*`
 * @param target embeddings to predict, [targets·batch, hidden, width]
 */
export function jepaObjective(
  trained: Tensors,
  target: tf.Tensor,
  batch: Tensors,
  options: JepaStepOptions,
  randomness: Randomness,
): JepaObjective {
  const { sizes, sparse } = options
  const patches = patchify(batch["images"] as tf.Tensor4D, sizes.patchSize)
  const predictor = underPrefix("predictor", trained)
  const module = underPrefix("sparse", trained)
  const [context, hidden] = [batch["context"]!, batch["target"]!]
  const visible = encode(underPrefix("encoder", trained), patches, sizes, context)
  const noise = (rows: number) => randomness.normal("latent", [rows, sparse!.latents])
  let divergence: tf.Scalar | undefined
  let embedded = visible
  if (sparse?.at === "embedding") {
    const out = sparseModule(module, visible, noise(context.size))
    embedded = out.embedding as tf.Tensor3D
    divergence = latentDivergence(out)
  }
  const tokens = predictorTokens(predictor, embedded, context, hidden, sizes)
  let predicted: tf.Tensor
  if (sparse?.at === "prediction") {
    const out = sparseModule(module, tokens, noise(hidden.size))
    predicted = out.embedding
    divergence = latentDivergence(out)
  } else predicted = predictorHead(predictor, tokens)
  const prediction = predictionLoss(options.loss, predicted, target)
  let loss = prediction
  if (divergence) loss = tf.add(loss, tf.mul(divergence, sparse!.beta))
  if (sparse?.penalty === "subgradient") {
    // λ = threshold / group_rate; a host that trains without W's own rate gives λ as `lasso`.
    loss = tf.add(loss, tf.mul(groupLassoAway(module["group.weight"] as tf.Tensor3D), batch["lasso"]!))
  }
  if (options.embeddingL1) loss = tf.add(loss, tf.mul(tf.mean(tf.abs(embedded)), options.embeddingL1))
  return { loss, prediction, ...(divergence && { divergence }) }
}

/** R(W) with gradient 0 at zero columns: a subgradient, and no NaN. */
function groupLassoAway(weight: tf.Tensor3D): tf.Scalar {
  const squares = tf.sum(tf.square(weight), 1)
  return tf.sum(tf.sqrt(tf.maximum(squares, 1e-24)))
}

/** Embeddings of whole images by the target encoder (and its module): [batch, tokens, width]. Not normalised. */
export function targetEmbeddings(state: Tensors, images: tf.Tensor4D, options: JepaStepOptions): tf.Tensor3D {
  const { sizes, sparse } = options
  const encoded = encode(underPrefix("target", state), patchify(images, sizes.patchSize), sizes)
  if (sparse?.at !== "embedding") return encoded
  return sparseModule(underPrefix("target_sparse", state), encoded).embedding as tf.Tensor3D
}

/** Mean over features of the standard deviation over images of the mean-pooled embedding: near 0 means collapse. */
export function embeddingSpread(embeddings: tf.Tensor3D): tf.Scalar {
  const pooled = tf.mean(embeddings, 1)
  const centred = tf.sub(pooled, tf.mean(pooled, 0, true))
  return tf.mean(tf.sqrt(tf.mean(tf.square(centred), 0)))
}

/** θ_target ← m·θ_target + (1 − m)·θ, exactly θ_target at m = 1 and θ at m = 0. */
export function movingAverage(target: Tensors, online: Tensors, momentum: tf.Tensor): Tensors {
  return Object.fromEntries(
    Object.entries(target).map(([name, slow]) => [
      name,
      tf.add(tf.mul(slow, momentum), tf.mul(online[name]!, tf.sub(1, momentum))),
    ]),
  )
}

/** AdamW whose weight decay changes from step to step: it acts before the update, not as a constant inside it. */
function decayingAdamW(
  trained: Tensors,
  gradients: Tensors,
  state: Tensors,
  batch: Tensors,
): { readonly params: Tensors; readonly state: Tensors } {
  const keep = tf.sub(1, tf.mul(batch["learning_rate"]!, batch["weight_decay"]!))
  const params = Object.fromEntries(
    Object.entries(trained).map(([name, tensor]) => [
      name,
      gradients[name] && decayed(tensor.shape) ? tf.mul(tensor, keep) : tensor,
    ]),
  )
  return adamw.update({
    params,
    gradients,
    state: underPrefix("optimiser", state),
    learningRate: batch["learning_rate"]!,
  })
}

/**
 * The training step. Metrics (scalars): loss, pred_loss, emb_std, and with a module kl, group_lasso, cols_zero_frac,
 * latents_used.
 */
export function jepaStep(options: JepaStepOptions): Step {
  const { sparse } = options
  return (state, batch, randomness) => {
    const trained = pick(state, (name) => /^(encoder|predictor|sparse)\./.test(name))
    const embeddings = targetEmbeddings(state, batch["images"] as tf.Tensor4D, options)
    const target = stopGradient(gatherTargets(normaliseTargets(embeddings), batch["target"]!))

    const kept: { prediction?: tf.Tensor; divergence?: tf.Tensor } = {}
    const { value, gradients } = valueAndGradients((params) => {
      const { loss, prediction, divergence } = jepaObjective(params, target, batch, options, randomness)
      kept.prediction = tf.keep(prediction)
      if (divergence) kept.divergence = tf.keep(divergence)
      return loss
    }, trained)
    const release = (tensor: tf.Tensor): tf.Tensor => {
      const alias = tf.clone(tensor)
      tensor.dispose()
      return alias
    }
    const metrics: Record<string, tf.Tensor> = {
      loss: value,
      pred_loss: release(kept.prediction!),
      emb_std: embeddingSpread(embeddings),
    }
    if (kept.divergence) metrics.kl = release(kept.divergence)

    const { [groupWeight]: groupGradient, ...others } = gradients
    const next = decayingAdamW(trained, others, state, batch)
    const after: Record<string, tf.Tensor> = { ...next.params }
    if (sparse && groupGradient) {
      const moved = tf.sub(trained[groupWeight]!, tf.mul(groupGradient, batch["group_rate"]!)) as tf.Tensor3D
      const weight = sparse.penalty === "proximal" ? proximalStep(moved, batch["threshold"] as tf.Scalar) : moved
      after[groupWeight] = weight
      const norms = columnNorms(weight)
      metrics.group_lasso = groupLasso(weight)
      metrics.cols_zero_frac = tf.mean(tf.cast(tf.equal(norms, 0), "float32"))
      metrics.latents_used = tf.sum(tf.cast(tf.greater(tf.max(norms, 0), 0), "float32"))
    }
    const online = {
      ...withPrefix("target", underPrefix("encoder", after)),
      ...(sparse?.at === "embedding" ? withPrefix("target_sparse", underPrefix("sparse", after)) : {}),
    }
    const slow = pick(state, (name) => /^target(_sparse)?\./.test(name))
    return {
      state: {
        ...state,
        ...after,
        ...withPrefix("optimiser", next.state),
        ...movingAverage(slow, online, batch["momentum"]!),
      },
      metrics,
    }
  }
}

/** The state of {@link supervisedStep}: an encoder, its moving average, and a linear head on the mean token. */
export function initialSupervisedState(sizes: JepaSizes, classes: number, init: JepaInit, key: Key): HostTensors {
  const encoder = initJepa(encoderShapes(sizes), init, derive(key, "encoder"))
  const head = initJepa({ "head.weight": [sizes.width, classes], "head.bias": [classes] }, init, derive(key, "head"))
  const trained = { ...withPrefix("encoder", encoder), ...head }
  return { ...trained, ...withPrefix("target", encoder), ...withPrefix("optimiser", adamw.init(trained)) }
}

/**
 * The ceiling: the same encoder trained on labels, with the optimiser, schedules and moving average of {@link jepaStep}.
 * Batch: `images`, `labels` int32 [batch], `learning_rate`, `weight_decay`, `momentum`.
 */
export function supervisedStep(sizes: JepaSizes): Step {
  return (state, batch) => {
    const trained = pick(state, (name) => /^(encoder|head)\./.test(name))
    const patches = patchify(batch["images"] as tf.Tensor4D, sizes.patchSize)
    const { value, gradients } = valueAndGradients((params) => {
      const pooled = tf.mean(encode(underPrefix("encoder", params), patches, sizes), 1)
      return tf.mean(softmaxCrossEntropy(linear(pooled, params["head.weight"]!, params["head.bias"]), batch["labels"]!))
    }, trained)
    const next = decayingAdamW(trained, gradients, state, batch)
    const slow = pick(state, (name) => name.startsWith("target."))
    const online = withPrefix("target", underPrefix("encoder", next.params))
    return {
      state: {
        ...state,
        ...next.params,
        ...withPrefix("optimiser", next.state),
        ...movingAverage(slow, online, batch["momentum"]!),
      },
      metrics: { loss: value },
    }
  }
}
