/**
 * Which layers are trained at each step, as typed config values: all of them, the ones that IST draws, and the
 * baselines it is compared with.
 */
import { derive, type Key, key, permutation } from "@exp/random"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, positive, ratio } from "../config-fields.ts"
import {
  layerCounts,
  officialLayerSampling,
  suppressedSets,
  TooFewLayers,
  trainedLayers,
  updateScores,
} from "./layer-importance.ts"

const share = ratio.pipe(
  described("share of the layers that is trained at a step; their number is truncated"),
  defaultsTo(officialLayerSampling.trainedShare),
)

/** Which layers are trained: a union tagged by strategy. */
export const LayerChoice = Schema.TaggedUnion({
  AllLayers: {},
  Ist: {
    trainedShare: share,
    suppressedShare: ratio.pipe(
      described("share of the layers that is suppressed in a candidate; their number is truncated"),
      defaultsTo(officialLayerSampling.suppressedShare),
    ),
    candidates: atLeast(2).pipe(
      described("suppressed sets that are compared in a round"),
      defaultsTo(officialLayerSampling.candidates),
    ),
    suppression: ratio.pipe(
      described("ρ, the factor on the modules of a suppressed layer"),
      defaultsTo(officialLayerSampling.suppression),
    ),
    stepSize: positive.pipe(described("μ, step size of the scores"), defaultsTo(officialLayerSampling.stepSize)),
    interval: atLeast(1).pipe(
      described("τ, optimiser steps between importance rounds"),
      defaultsTo(officialLayerSampling.interval),
    ),
    importanceBatch: atLeast(1).pipe(described("training samples on which a round compares losses"), defaultsTo(16)),
  },
  RandomLayers: { trainedShare: share },
  FirstLayers: { trainedShare: share },
  LastLayers: { trainedShare: share },
  GivenLayers: { layers: Schema.Array(atLeast(0)).pipe(described("the layers that are trained, e.g. the true ones")) },
})
export type LayerChoice = typeof LayerChoice.Type
/** A choice as it is written in an experiment. */
export type LayerChoiceInput = typeof LayerChoice.Encoded

type Input<Tag extends LayerChoiceInput["_tag"]> = Extract<LayerChoiceInput, { readonly _tag: Tag }>
type Fields<Tag extends LayerChoiceInput["_tag"]> = Omit<Input<Tag>, "_tag">

/** All layers at every step: ordinary tuning. */
export const AllLayers = (): Input<"AllLayers"> => ({ _tag: "AllLayers" })
/** Importance-aware sparse tuning (arXiv 2410.11772): layers are drawn by learned scores. */
export const Ist = (fields: Fields<"Ist"> = {}): Input<"Ist"> => ({ _tag: "Ist", ...fields })
/** Random sparse tuning, IST's ablation: a uniform draw at every step. */
export const RandomLayers = (fields: Fields<"RandomLayers"> = {}): Input<"RandomLayers"> => ({
  _tag: "RandomLayers",
  ...fields,
})
/** The same first layers at every step. */
export const FirstLayers = (fields: Fields<"FirstLayers"> = {}): Input<"FirstLayers"> => ({
  _tag: "FirstLayers",
  ...fields,
})
/** The same last layers at every step. */
export const LastLayers = (fields: Fields<"LastLayers"> = {}): Input<"LastLayers"> => ({
  _tag: "LastLayers",
  ...fields,
})
/** The same given layers at every step. */
export const GivenLayers = (layers: readonly number[]): Input<"GivenLayers"> => ({ _tag: "GivenLayers", layers })

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

/** The layers that a choice without draws trains; undefined where layers are drawn at every step. */
export function fixedLayers(choice: LayerChoice, layers: number): readonly number[] | undefined {
  switch (choice._tag) {
    case "AllLayers":
      return range(0, layers)
    case "FirstLayers":
      return range(0, trainedCount(choice, layers))
    case "LastLayers":
      return range(layers - trainedCount(choice, layers), layers)
    case "GivenLayers": {
      const chosen = [...new Set(choice.layers)].sort((a, b) => a - b)
      const wrong = chosen.find((layer) => layer >= layers)
      if (wrong !== undefined || chosen.length === 0)
        throw new TooFewLayers(
          wrong === undefined
            ? "GivenLayers names no layer; name at least one"
            : `GivenLayers names layer ${wrong}, but the model has ${layers} layers, 0 to ${layers - 1}`,
        )
      return chosen
    }
    case "Ist":
    case "RandomLayers":
      return undefined
  }
}

/**
 * How many layers are trained at a step.
 *
 * @throws TooFewLayers when the share leaves none, or allows fewer distinct suppressed sets than candidates
 */
export function trainedCount(choice: LayerChoice, layers: number): number {
  switch (choice._tag) {
    case "AllLayers":
      return layers
    case "GivenLayers":
      return fixedLayers(choice, layers)!.length
    case "Ist":
      return layerCounts(layers, choice).trained
    default:
      return layerCounts(layers, { ...officialLayerSampling, ...choice, candidates: 1 }).trained
  }
}

/** Why a model of so many layers does not allow a choice; undefined when it does. For the checks of configs. */
export function layerObjection(choice: LayerChoice, layers: number): string | undefined {
  try {
    trainedCount(choice, layers)
    return undefined
  } catch (error) {
    if (error instanceof TooFewLayers) return `a choice that suits the model (${error.message})`
    throw error
  }
}

/**
 * The state of a layer choice during a training: the scores, and how often each layer was trained. Every draw is a
 * function of seed, step and scores, so that scores and counts are all there is to save.
 */
export class LayerSampler {
  readonly choice: LayerChoice
  readonly layers: number
  /** z of each layer; high means unimportant. */
  scores: Float64Array
  /** Steps at which each layer was trained. */
  readonly counts: Float64Array
  readonly #fixed: readonly number[] | undefined
  readonly #trained: number
  readonly #key: Key

  /** @throws TooFewLayers when the model has too few layers for the choice */
  constructor(choice: LayerChoice, layers: number, seed: number) {
    this.choice = choice
    this.layers = layers
    this.scores = new Float64Array(layers)
    this.counts = new Float64Array(layers)
    this.#trained = trainedCount(choice, layers)
    this.#fixed = fixedLayers(choice, layers)
    this.#key = key(seed, "layer choice")
  }

  /** The layers trained at a step, given the scores as they are now. Sorted. */
  active(step: number): readonly number[] {
    return this.#fixed ?? trainedLayers(this.scores, this.#trained, derive(this.#key, "trained", step))
  }

  /** The number of the importance round that precedes a step, or undefined where none does. */
  roundBefore(step: number): number | undefined {
    if (this.choice._tag !== "Ist" || step === 0 || step % this.choice.interval !== 0) return undefined
    return step / this.choice.interval - 1
  }

  /** The suppressed sets that a round compares. */
  candidates(round: number): readonly (readonly number[])[] {
    const choice = this.#ist()
    const { suppressed } = layerCounts(this.layers, choice)
    return suppressedSets(this.scores, suppressed, choice.candidates, derive(this.#key, "suppressed", round))
  }

  /** ρ for the layers of a set, 1 for the others. */
  multipliers(set: readonly number[]): Float32Array {
    const { suppression } = this.#ist()
    return Float32Array.from({ length: this.layers }, (_, layer) => (set.includes(layer) ? suppression : 1))
  }

  /** Updates the scores by the losses that the candidates of a round had. A round with a loss that is no number is void. */
  learn(sets: readonly (readonly number[])[], losses: readonly number[]): void {
    if (losses.every(Number.isFinite)) this.scores = updateScores(this.scores, sets, losses, this.#ist().stepSize)
  }

  /** Counts a finished step. */
  count(active: readonly number[]): void {
    for (const layer of active) this.counts[layer]!++
  }

  save(): { readonly scores: number[]; readonly counts: number[] } {
    return { scores: [...this.scores], counts: [...this.counts] }
  }

  restore(saved: { readonly scores: readonly number[]; readonly counts: readonly number[] }): void {
    this.scores = Float64Array.from(saved.scores)
    this.counts.set(saved.counts)
  }

  #ist() {
    if (this.choice._tag !== "Ist") throw new RangeError(`${this.choice._tag} has no importance rounds`)
    return this.choice
  }
}

/**
 * The samples of an importance round: batches of `size` in turn, without replacement over a pass, each pass in an order
 * of its own. What does not fill a batch at the end of a pass is left out.
 */
export function roundSamples(samples: number, size: number, round: number, seed: number): Uint32Array {
  const taken = Math.min(size, samples)
  const perPass = Math.floor(samples / taken)
  const pass = Math.floor(round / perPass)
  const at = (round % perPass) * taken
  return permutation(key(seed, "importance samples", pass), samples).subarray(at, at + taken)
}
