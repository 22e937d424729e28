/**
 * The step of a model whose layers are trained a few at a time. What a call does is told by the NAMES in its batch, so
 * that each set of trained layers is a graph of its own, in which nothing of the frozen layers' backward work exists:
 *
 * - training: `learning_rate`, and a scalar `train.{l}` for each trained layer l. Gradients are asked for those layers'
 *   modules and for what is no module (a head) alone; everything else is a constant, without gradient, update or decay.
 * - importance: `suppression` [layers], a multiplier for each layer's modules. Gives the loss without dropout.
 * - evaluation: neither. Gives sums over the rows of the batch, and the predicted classes.
 */
import { adamw, decayMatrices, hostScalar, pick, underPrefix, withPrefix } from "@exp/nn"
import {
  type HostTensors,
  type Randomness,
  type Step,
  softmaxCrossEntropy,
  type Tensors,
  valueAndGradients,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { type LayerModules, layerOf, type ModuleHook, type ModulePlaces, moduleHook } from "./layer-modules.ts"

/** A classifier (of images, rows, next bytes) with modules in its layers. */
export interface LayeredModel extends ModulePlaces {
  /**
   * Class scores of a batch's rows [rows, classes], their labels int32 [rows], and their weights [rows] (0: padding).
   *
   * @param weights trained and frozen tensors under their own names
   */
  scores(
    weights: Tensors,
    batch: Tensors,
    hook: ModuleHook,
  ): { readonly logits: tf.Tensor; readonly labels: tf.Tensor; readonly weights: tf.Tensor }
}

/** What is constant in a training. */
export interface LayeredStepOptions {
  /** Decoupled weight decay of trained tensors with two or more axes but CLS. */
  readonly weightDecay: number
  /** Dropout of the modules' inputs. */
  readonly dropout: number
}

/** The marks of a batch that trains `layers`. */
export function trainingMarks(layers: readonly number[]): HostTensors {
  return Object.fromEntries(layers.map((layer) => [`train.${layer}`, hostScalar(1)]))
}

/** The layers that a batch trains. */
export function markedLayers(batch: Readonly<Record<string, unknown>>): readonly number[] {
  return Object.keys(batch).flatMap((name) => (name.startsWith("train.") ? [Number(name.slice("train.".length))] : []))
}

/** Names of the parameters that are trained when `layers` are: their modules, and all that is no module. */
export function trainedNames(params: Readonly<Record<string, unknown>>, layers: readonly number[]): readonly string[] {
  return Object.keys(params).filter((name) => {
    const layer = layerOf(name)
    return layer === undefined || layers.includes(layer)
  })
}

/** Cross-entropy, mean over the rows by weight. */
export function meanCrossEntropy(logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor): tf.Tensor {
  return tf.div(tf.sum(tf.mul(softmaxCrossEntropy(logits, labels), weights)), tf.sum(weights))
}

/** The state at the start: `params.*`, `frozen.*`, `optimiser.*` with the moments of all parameters. */
export function layeredState(params: HostTensors, frozen: HostTensors): HostTensors {
  return {
    ...withPrefix("params", params),
    ...withPrefix("frozen", frozen),
    ...withPrefix("optimiser", adamw.init(params)),
  }
}

/** The step of `model` with `modules`. Metrics: `loss`; in evaluation `loss`, `correct`, `count` (sums), `predicted`. */
export function layeredStep(model: LayeredModel, modules: LayerModules, options: LayeredStepOptions): Step {
  const loss = (
    weights: Tensors,
    batch: Tensors,
    training?: { readonly randomness: Randomness; readonly dropout: number },
  ) => {
    const hook = moduleHook(modules, model, weights, batch["suppression"], training)
    const { logits, labels, weights: rows } = model.scores(weights, batch, hook)
    return meanCrossEntropy(logits, labels, rows)
  }
  return (state, batch, randomness): ReturnType<Step> => {
    const params = underPrefix("params", state)
    const frozen = underPrefix("frozen", state)
    const rate = batch["learning_rate"]
    if (batch["suppression"]) return { state, metrics: { loss: loss({ ...frozen, ...params }, batch) } }
    if (!rate) {
      const weights = { ...frozen, ...params }
      const seen = model.scores(weights, batch, moduleHook(modules, model, weights))
      const predicted = tf.cast(tf.argMax(seen.logits, -1), "int32")
      const right = tf.cast(tf.equal(predicted, seen.labels), "float32")
      return {
        state,
        metrics: {
          loss: tf.sum(tf.mul(softmaxCrossEntropy(seen.logits, seen.labels), seen.weights)),
          correct: tf.sum(tf.mul(right, seen.weights)),
          count: tf.sum(seen.weights),
          predicted,
        },
      }
    }
    const names = new Set(trainedNames(params, markedLayers(batch)))
    const trained = pick(params, (name) => names.has(name))
    const still = pick(params, (name) => !names.has(name))
    const { value, gradients } = valueAndGradients(
      (now) => loss({ ...frozen, ...still, ...now }, batch, { randomness, dropout: options.dropout }),
      trained,
    )
    const next = adamw.update({
      params: trained,
      gradients,
      state: underPrefix("optimiser", state),
      learningRate: rate,
      options: { weightDecay: decayMatrices(options.weightDecay) },
    })
    return {
      state: { ...state, ...withPrefix("params", next.params), ...withPrefix("optimiser", next.state) },
      metrics: { loss: value },
    }
  }
}
