/**
 * The training step of a tuned model: one pure function for every tuner, so that it compiles.
 *
 * The state is one flat tree: `params.*` (trained), `frozen.*`, `optimiser.*`, and for SNELLA `importance.*` and
 * `uncertainty.*` of each factor. A batch holds `learning_rate` (scalar), `positions` (int32 [maps], the place of each
 * map's threshold; SNELLA only), and what the model's loss asks for.
 */
import { adamw, decayMatrices, underPrefix, withPrefix } from "@exp/nn"
import {
  dropoutMask,
  dropPath as dropSamples,
  type HostTensor,
  type HostTensors,
  matMul,
  type Randomness,
  type Step,
  type Tensors,
  valueAndGradients,
} from "@exp/tensor"
import * as tf from "@tensorflow/tfjs-core"
import { adapter } from "./adapter.ts"
import { importanceStep } from "./allocation.ts"
import { factorName, factorsOf, hasFactors, type LinearMap, updateRule } from "./factors.ts"
import { maskedUpdate, scatteredUpdate } from "./gradient-mask.ts"
import type { Tuner } from "./tuners.ts"
import { updateBranch, updateMatrix } from "./update.ts"

/** What a tuner puts into a model's forward pass. */
export interface ModelHooks {
  /** Adds the branch of map `name`: x is its input, y its output. */
  linear(name: string, x: tf.Tensor, y: tf.Tensor): tf.Tensor
  /** What follows the MLP of a block, before the residual sum. */
  afterMlp(block: number, z: tf.Tensor): tf.Tensor
}

/** A model with frozen linear maps. */
export interface TunedModel {
  readonly maps: ReadonlyArray<LinearMap>
  /** The scalar loss of a batch. `weights` are trained and frozen tensors under their own names. */
  loss(weights: Tensors, batch: Tensors, randomness: Randomness, hooks: ModelHooks): tf.Tensor
}

/** Options of a training step. */
export interface StepOptions {
  /** Weight decay of a trained tensor. */
  readonly decay: (name: string, shape: readonly number[]) => number
  /** Dropout of the input of every tuned map but the attention output; one draw for query, key and value. Default 0. */
  readonly dropout?: number
  /** Probability of dropping a sample's whole ΔW output, each map on its own. Default 0. */
  readonly dropPath?: number
}

/** Decoupled weight decay on tensors with two or more axes but CLS, and on the values of compressed matrices. */
export function tunedDecay(weightDecay: number): (name: string, shape: readonly number[]) => number {
  const matrices = decayMatrices(weightDecay)
  return (name, shape) => (name.endsWith(".values") ? weightDecay : matrices(name, shape))
}

/** The state of a training step at the start. */
export function initialState(tuner: Tuner, params: HostTensors, frozen: HostTensors): HostTensors {
  const importance: Record<string, HostTensor> = {}
  if (tuner._tag === "Snella" && tuner.allocation === "competition")
    for (const [name, { shape, data }] of Object.entries(params))
      if (/^update\..*\.[ab]$/.test(name))
        for (const kind of ["importance", "uncertainty"])
          importance[`${kind}.${name}`] = { data: new Float32Array(data.length), shape, dtype: "float32" }
  return {
    ...withPrefix("params", params),
    ...withPrefix("frozen", frozen),
    ...withPrefix("optimiser", adamw.init(params)),
    ...importance,
  }
}

/** The sparsity of map number `index`: the tuner's own number, or this step's position. */
function sparsityFor(tuner: Tuner, index: number, positions: tf.Tensor | undefined): number | tf.Tensor | undefined {
  if (tuner._tag === "Snella") {
    if (!positions) throw new RangeError("a step of SNELLA needs `positions` in its batch")
    return tf.slice(positions, [index], [1])
  }
  return tuner._tag === "Snell" || tuner._tag === "SparsifiedLora" ? tuner.sparsity : undefined
}

/** ΔW of a map in its layout [inputs, outputs]; undefined where the tuner adds none. */
export function updateOf(
  tuner: Tuner,
  weights: Tensors,
  map: LinearMap,
  index: number,
  positions?: tf.Tensor,
): tf.Tensor | undefined {
  if (hasFactors(tuner))
    return updateMatrix(updateRule(tuner), factorsOf(weights, map.name), sparsityFor(tuner, index, positions))
  if (tuner._tag !== "GradientMask") return undefined
  const dense = weights[factorName(map.name, "dense")]
  if (dense) return maskedUpdate(dense, weights[`mask.${map.name}`]!)
  const values = weights[factorName(map.name, "values")]
  return values ? scatteredUpdate(values, weights[`indices.${map.name}`]!, [map.inputs, map.outputs]) : undefined
}

/** Which maps share one dropout draw: query, key and value have the same input; the attention output has none. */
function dropoutStream(map: string): string | undefined {
  if (/\.(query|key|value)$/.test(map)) return map.replace(/\.(query|key|value)$/, ".qkv")
  return map.endsWith(".output") ? undefined : map
}

/** The hooks of a tuner for given weights. Without `randomness` (evaluation) nothing is dropped. */
export function tunerHooks(
  tuner: Tuner,
  maps: ReadonlyArray<LinearMap>,
  weights: Tensors,
  positions?: tf.Tensor,
  training?: { readonly randomness: Randomness; readonly dropout: number; readonly dropPath: number },
): ModelHooks {
  const places = new Map(maps.map((map, index) => [map.name, { map, index }]))
  return {
    linear(name, x, y) {
      const place = places.get(name)
      if (!place) return y
      let input = x
      const stream = dropoutStream(name)
      const adds = hasFactors(tuner) || tuner._tag === "GradientMask"
      if (adds && training && training.dropout > 0 && stream)
        input = tf.mul(x, dropoutMask(training.randomness, `dropout.${stream}`, x.shape, training.dropout))
      const rows = tf.reshape(input, [-1, place.map.inputs])
      let branch: tf.Tensor | undefined
      if (hasFactors(tuner))
        branch = updateBranch(
          updateRule(tuner),
          rows,
          factorsOf(weights, name),
          sparsityFor(tuner, place.index, positions),
          tuner.recompute,
        )
      else {
        const update = updateOf(tuner, weights, place.map, place.index, positions)
        branch = update && matMul(rows, update)
      }
      if (!branch) return y
      branch = tf.reshape(branch, y.shape)
      if (training) branch = dropSamples(branch, training.dropPath, training.randomness, `drop_path.${name}`)
      return tf.add(y, branch)
    },
    afterMlp(block, z) {
      if (tuner._tag !== "Adapter") return z
      const at = (role: string) => weights[`adapter.${block}.${role}`]!
      return adapter(z, { down: at("down"), downBias: at("down_bias"), up: at("up"), upBias: at("up_bias") })
    },
  }
}

/** The training step of `model` under `tuner`. Its metrics: `loss` (scalar). */
export function tunedStep(model: TunedModel, tuner: Tuner, options: StepOptions): Step {
  const { decay, dropout = 0, dropPath = 0 } = options
  return (state, batch, randomness) => {
    const params = underPrefix("params", state)
    const frozen = underPrefix("frozen", state)
    const { value, gradients } = valueAndGradients((trained) => {
      const weights = { ...frozen, ...trained }
      const hooks = tunerHooks(tuner, model.maps, weights, batch["positions"], { randomness, dropout, dropPath })
      return model.loss(weights, batch, randomness, hooks)
    }, params)
    const next = adamw.update({
      params,
      gradients,
      state: underPrefix("optimiser", state),
      learningRate: batch["learning_rate"]!,
      options: { weightDecay: decay },
    })
    const averages: Record<string, tf.Tensor> = {}
    for (const name of Object.keys(underPrefix("importance", state))) {
      const before = { importance: state[`importance.${name}`]!, uncertainty: state[`uncertainty.${name}`]! }
      const gradient = gradients[name] ?? tf.zerosLike(params[name]!)
      const measure = tuner._tag === "Snella" ? tuner.importance : "sensitivity"
      const after = importanceStep(before, next.params[name]!, gradient, measure)
      averages[`importance.${name}`] = after.importance
      averages[`uncertainty.${name}`] = after.uncertainty
    }
    return {
      state: {
        ...state,
        ...withPrefix("params", next.params),
        ...withPrefix("optimiser", next.state),
        ...averages,
      },
      metrics: { loss: value },
    }
  }
}

/** A step that changes nothing and gives ΔW of every map as the metric of the map's name. */
export function updatesStep(maps: ReadonlyArray<LinearMap>, tuner: Tuner): Step {
  return (state, batch) => {
    const weights = { ...underPrefix("frozen", state), ...underPrefix("params", state) }
    const metrics: Record<string, tf.Tensor> = {}
    maps.forEach((map, index) => {
      const update = updateOf(tuner, weights, map, index, batch["positions"])
      if (update) metrics[map.name] = update
    })
    return { state, metrics }
  }
}
