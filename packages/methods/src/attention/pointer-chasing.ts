/**
 * Pointer chasing: a small task whose solutions are chains of thought of different lengths.
 *
 * A graph gives each of n nodes one edge a → b, written as ONE token. The prompt holds the n edges among fillers,
 * shuffled. A chain of k hops leads from the start to a node that points at itself. After the prompt comes the start
 * node; the solver writes node after node until it repeats one, which is the answer: k + 1 tokens.
 */
import { derive, integer, type Key, permutation } from "@exp/random"
import type { HostTensors } from "@exp/tensor"

/** How large problems are. */
export interface PointerSizes {
  /** Nodes of the graph. */
  readonly nodes: number
  /** Tokens of the prompt that are no edges. */
  readonly fillers: number
  /** Longest chain in hops, below `nodes`. */
  readonly hops: number
}

/** Sixteen nodes in prompts of 64 tokens. */
export const smallPointers: PointerSizes = { nodes: 16, fillers: 48, hops: 10 }

const fillerKinds = 16

/** The vocabulary and the lengths that sizes lead to. Tokens: edges nodes·a + b, then fillers, then nodes, then padding. */
export interface PointerLayout extends PointerSizes {
  readonly vocabulary: number
  readonly promptTokens: number
  /** Inputs of a training sequence: the prompt and the longest chain. */
  readonly trainingTokens: number
  /** Token of the first filler. */
  readonly firstFiller: number
  readonly padding: number
  /** The token of a node. */
  readonly nodeToken: (node: number) => number
}

/** The {@link PointerLayout} of sizes. */
export function pointerLayout(sizes: PointerSizes = smallPointers): PointerLayout {
  const { nodes, fillers, hops } = sizes
  const firstFiller = nodes * nodes
  const firstNode = firstFiller + fillerKinds
  const promptTokens = nodes + fillers
  return {
    ...sizes,
    firstFiller,
    padding: firstNode + nodes,
    vocabulary: firstNode + nodes + 1,
    promptTokens,
    trainingTokens: promptTokens + hops + 1,
    nodeToken: (node) => firstNode + node,
  }
}

/** Where edges stand in the prompt. `edges-first`: all edges before all fillers, which suits blocks. */
export type PromptOrder = "shuffled" | "edges-first"

/** One problem. */
export interface Problem {
  /** [promptTokens] */
  readonly prompt: Int32Array
  /** start, …, answer: k + 1 different nodes. */
  readonly chain: readonly number[]
}

/** The problem of a key. */
export function pointerProblem(
  key: Key,
  order: PromptOrder = "shuffled",
  { nodes, fillers, hops: mostHops, promptTokens, firstFiller }: PointerLayout = pointerLayout(),
): Problem {
  const hops = 1 + integer(derive(key, "hops"), mostHops)
  const chain = [...permutation(derive(key, "chain"), nodes)].slice(0, hops + 1)
  const edges = Array.from({ length: nodes }, (_, a) => integer(derive(key, "edge"), nodes, a))
  for (let i = 0; i < hops; i++) edges[chain[i]!] = chain[i + 1]!
  edges[chain[hops]!] = chain[hops]!
  const tokens = edges.map((b, a) => nodes * a + b)
  const others = Array.from({ length: fillers }, (_, i) => firstFiller + integer(derive(key, "filler"), fillerKinds, i))
  const prompt = new Int32Array(promptTokens)
  if (order === "edges-first") {
    permutation(derive(key, "order"), nodes).forEach((from, to) => {
      prompt[to] = tokens[from]!
    })
    prompt.set(others, nodes)
  } else {
    const all = [...tokens, ...others]
    permutation(derive(key, "order"), promptTokens).forEach((from, to) => {
      prompt[to] = all[from]!
    })
  }
  return { prompt, chain }
}

/**
 * A training batch: `tokens` int32 [batch, trainingTokens]; `labels` int32 and `weights` float32 [batch, hops + 1],
 * the next node and 1 at chain positions, from the start node on (0 behind the answer).
 */
export function pointerBatch(
  key: Key,
  step: number,
  size: number,
  order: PromptOrder = "shuffled",
  layout: PointerLayout = pointerLayout(),
): HostTensors {
  const { hops, trainingTokens, promptTokens, padding, nodeToken } = layout
  const places = hops + 1
  const tokens = new Int32Array(size * trainingTokens).fill(padding)
  const labels = new Int32Array(size * places)
  const weights = new Float32Array(size * places)
  for (let i = 0; i < size; i++) {
    const { prompt, chain } = pointerProblem(derive(key, step, i), order, layout)
    tokens.set(prompt, i * trainingTokens)
    chain.forEach((node, hop) => {
      tokens[i * trainingTokens + promptTokens + hop] = nodeToken(node)
      labels[i * places + hop] = chain[Math.min(hop + 1, chain.length - 1)]!
      weights[i * places + hop] = 1
    })
  }
  return {
    tokens: { data: tokens, shape: [size, trainingTokens], dtype: "int32" },
    labels: { data: labels, shape: [size, places], dtype: "int32" },
    weights: { data: weights, shape: [size, places], dtype: "float32" },
  }
}
