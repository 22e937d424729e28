/** The ways of reading a KV cache while decoding, as typed config values. */
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described } from "../config-fields.ts"
import type { AttentionCost } from "./cost-model.ts"

const sink = atLeast(0).pipe(described("first positions that are always kept"), defaultsTo(4))
const local = atLeast(0).pipe(described("last positions that are always kept"), defaultsTo(0))
const skipLayers = Schema.Array(atLeast(0)).pipe(described("layers that stay dense"), defaultsTo([0]))
const k = atLeast(1).pipe(described("positions kept beside sink and local ones, for each KV head"))

/** What a new token attends to. Prefill is always dense. */
export const DecodeAttention = Schema.TaggedUnion({
  /** Every position. */
  Dense: {},
  /** The k best positions by the mean score of a group of heads: an oracle, since all scores are computed. */
  TopK: { k, sink, local, skipLayers },
  /** The best blocks by the score of their mean keys, and everything behind the last full block. */
  BlockTopK: {
    blockSize: atLeast(1).pipe(described("positions of a block")),
    blocks: atLeast(1).pipe(described("blocks kept for each KV head")),
    sink,
    local,
    skipLayers,
  },
  /** The first and the last positions only. */
  Local: {
    local: atLeast(1).pipe(described("last positions that are kept")),
    sink,
    skipLayers,
  },
  /** k positions drawn anew for each token. */
  RandomTokens: { k, sink, local, skipLayers },
})
export type DecodeAttention = typeof DecodeAttention.Type

/** Fields shared by the sparse kinds; the defaults are the paper's: 4 sink tokens, layer 0 dense. */
interface Kept {
  readonly sink?: number
  readonly local?: number
  readonly skipLayers?: readonly number[]
}

/** Attention to every position. */
export const Dense = (): DecodeAttention => ({ _tag: "Dense" })
/** Oracle top-k. */
export const TopK = (fields: { readonly k: number } & Kept): DecodeAttention => ({
  _tag: "TopK",
  sink: 4,
  local: 0,
  skipLayers: [0],
  ...fields,
})
/** Block top-k over mean keys. */
export const BlockTopK = (fields: { readonly blockSize: number; readonly blocks: number } & Kept): DecodeAttention => ({
  _tag: "BlockTopK",
  sink: 4,
  local: 0,
  skipLayers: [0],
  ...fields,
})
/** A window of the last positions. */
export const Local = (fields: { readonly local: number } & Omit<Kept, "local">): DecodeAttention => ({
  _tag: "Local",
  sink: 4,
  skipLayers: [0],
  ...fields,
})
/** Random positions. */
export const RandomTokens = (fields: { readonly k: number } & Kept): DecodeAttention => ({
  _tag: "RandomTokens",
  sink: 4,
  local: 0,
  skipLayers: [0],
  ...fields,
})

/** Positions that a kind keeps beyond which it is sparse: sink, local ones and the chosen ones together. */
export function keptPositions(attention: DecodeAttention): number {
  switch (attention._tag) {
    case "Dense":
      return Number.POSITIVE_INFINITY
    case "TopK":
    case "RandomTokens":
      return attention.sink + attention.k + attention.local
    case "BlockTopK":
      return attention.sink + attention.blockSize * attention.blocks + attention.local
    case "Local":
      return attention.sink + attention.local
  }
}

/** How the cost model prices a kind. Random tokens cost what top-k costs: the positions read. */
export function attentionCostOf(attention: DecodeAttention): AttentionCost {
  switch (attention._tag) {
    case "Dense":
      return { kind: "dense" }
    case "TopK":
    case "RandomTokens":
      return { kind: "topk", budget: keptPositions(attention) }
    case "BlockTopK":
      return {
        kind: "block-topk",
        blockSize: attention.blockSize,
        blocks: attention.blocks,
        local: attention.local + attention.sink,
      }
    case "Local":
      return { kind: "local", budget: keptPositions(attention) }
  }
}

/** Whether the kind is applied in a layer. */
export const isSparseIn = (attention: DecodeAttention, layer: number): boolean =>
  attention._tag !== "Dense" && !attention.skipLayers.includes(layer)
