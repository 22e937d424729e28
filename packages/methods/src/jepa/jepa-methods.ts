/** What is compared in representation learning by prediction, as typed config values. */
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, nonNegative, positive } from "../config-fields.ts"

/** How an encoder comes about. */
export const JepaMethod = Schema.TaggedUnion({
  /** I-JEPA. */
  Jepa: {
    embeddingL1: nonNegative.pipe(
      described("weight of mean |embedding| in the loss: plain L1 instead of groups"),
      defaultsTo(0),
    ),
  },
  /** I-JEPA with the sparse latent module. */
  SparseJepa: {
    at: Schema.Literals(["prediction", "embedding"]).pipe(
      described("where the module sits: in place of the predictor's head, or on both encoders"),
      defaultsTo("prediction"),
    ),
    latents: atLeast(1).pipe(described("latents K"), defaultsTo(16)),
    groups: atLeast(1).pipe(described("groups G of embedding features"), defaultsTo(8)),
    groupWidth: atLeast(1).pipe(described("width q of a group's generator"), defaultsTo(4)),
    beta: nonNegative.pipe(described("weight of the latent's divergence"), defaultsTo(1e-3)),
    shrink: nonNegative.pipe(
      described(
        "how much norm the proximal steps take from a column over the run, in units of √q, about its start; 0: no lasso",
      ),
      defaultsTo(1),
    ),
    groupRate: positive.pipe(described("learning rate of W, plain SGD"), defaultsTo(0.3)),
    penalty: Schema.Literals(["proximal", "subgradient"]).pipe(
      described("exact zeros by proximal steps, or the penalty in the loss"),
      defaultsTo("proximal"),
    ),
  },
  /** The encoder as it starts. */
  RandomEncoder: {},
  /** No encoder: standardised pixels. */
  RawPixels: {},
  /** The same encoder trained on the labels. */
  Supervised: {},
})
export type JepaMethod = typeof JepaMethod.Type

/** I-JEPA, optionally with plain L1 on the embeddings. */
export const Jepa = (fields: { readonly embeddingL1?: number } = {}): JepaMethod => ({
  _tag: "Jepa",
  embeddingL1: 0,
  ...fields,
})

/** SparseJEPA; see {@link JepaMethod} for the fields and their defaults. */
export const SparseJepa = (
  fields: Partial<Omit<Extract<JepaMethod, { readonly _tag: "SparseJepa" }>, "_tag">> = {},
): JepaMethod => ({
  _tag: "SparseJepa",
  at: "prediction",
  latents: 16,
  groups: 8,
  groupWidth: 4,
  beta: 1e-3,
  shrink: 1,
  groupRate: 0.3,
  penalty: "proximal",
  ...fields,
})

/** The encoder as it starts. */
export const RandomEncoder = (): JepaMethod => ({ _tag: "RandomEncoder" })
/** Standardised pixels. */
export const RawPixels = (): JepaMethod => ({ _tag: "RawPixels" })
/** The same encoder trained on the labels. */
export const Supervised = (): JepaMethod => ({ _tag: "Supervised" })

/**
 * λ of the group lasso for a method: a column loses at most `groupRate`·λ of its norm in a step, so that over `steps`
 * it loses `shrink`·√q.
 */
export const lassoStrength = (method: Extract<JepaMethod, { readonly _tag: "SparseJepa" }>, steps: number): number =>
  (method.shrink * Math.sqrt(method.groupWidth)) / (method.groupRate * steps)
