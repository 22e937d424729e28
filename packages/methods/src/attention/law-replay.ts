/**
 * The scaling law replayed on the published results: which model with how many trials is worth its cost, when costs are
 * FLOPs (the previous law) and when they are equivalent FLOPs with the KV traffic priced in.
 *
 * Source of the accuracies: "Kinetics: Rethinking Test-Time Scaling Laws", arXiv 2506.05333, and its repository
 * Infini-AI-Lab/Kinetics (MIT licence); entries named "figure" are read off published plots (about ±0.01 in accuracy).
 */
import {
  type AttentionCost,
  b200Intensity,
  b200TeraFlops,
  flopsLawCost,
  inferenceCost,
  type ModelDimensions,
  paretoFront,
  qwen3Models,
} from "./cost-model.ts"
import published from "./published-results.json" with { type: "json" }

/** The published results, with their source and licence. */
export const publishedResults = published

/** How a configuration is priced. */
export interface Law {
  /** `flops`: computation of dense attention alone. `eflops`: computation and KV traffic of the attention used. */
  readonly kind: "flops" | "eflops"
  readonly intensity?: number
  readonly compat?: "exact" | "repo"
}

/** A model with a number of trials, its accuracy and both its prices. */
export interface Choice {
  /** "14B@2". */
  readonly label: string
  readonly model: ModelDimensions
  readonly trials: number
  readonly accuracy: number
  /** In the unit of the law: TFLOP or tera-eFLOP. */
  readonly cost: number
  /** Tera-eFLOP, whatever the law: what the choice really takes. */
  readonly eflops: number
}

/** Prompt and generation lengths that the published figures leave open. */
export interface AssumedLengths {
  readonly context: number
  readonly generated: number
}

/**
 * Every published (model, trials) pair of the coverage figure, priced under a law.
 *
 * The accuracies are those of dense attention. With another `attention` they are kept, as if the budget lost nothing:
 * the frontier is then an upper bound of what sparse attention can give.
 */
export function publishedChoices(
  law: Law,
  lengths: AssumedLengths,
  attention: AttentionCost = { kind: "dense" },
): readonly Choice[] {
  const { k, acc } = published.figure_pass_at_k
  const options = { intensity: law.intensity ?? b200Intensity, compat: law.compat ?? "exact" } as const
  return Object.entries(acc).flatMap(([size, accuracies]) => {
    const model = qwen3Models.find((m) => m.name === `Qwen3-${size}`)!
    return k.map((trials, i) => {
      const inference = { ...lengths, trials, attention }
      const eflops = inferenceCost(model, inference, options).total
      return {
        label: `${size}@${trials}`,
        model,
        trials,
        accuracy: accuracies[i]!,
        cost: law.kind === "flops" ? flopsLawCost(model, inference) : eflops,
        eflops,
      }
    })
  })
}

/** What a frontier says in a few numbers. */
export interface FrontierSummary {
  /** Choices that are more accurate than everything cheaper, cheapest first. */
  readonly front: readonly Choice[]
  /** Parameters of the smallest model that the frontier uses with more than one trial, in 1e9. */
  readonly smallestScaled: number
  /** Real cost (tera-eFLOP) of the cheapest choice under the law that reaches the accuracy asked for; NaN if none does. */
  readonly costAt: (accuracy: number) => number
}

/** The Pareto frontier of choices under their law. */
export function frontierSummary(choices: readonly Choice[]): FrontierSummary {
  const front = paretoFront(choices)
  const scaled = front.filter((choice) => choice.trials > 1).map((choice) => choice.model.parameters / 1e9)
  return {
    front,
    smallestScaled: scaled.length === 0 ? Number.NaN : Math.min(...scaled),
    costAt: (accuracy) => front.find((choice) => choice.accuracy >= accuracy)?.eflops ?? Number.NaN,
  }
}

/** The choice that a cost (in the law's unit) buys: the last one of the frontier that is not dearer. */
export const affordable = (front: readonly Choice[], cost: number): Choice | undefined =>
  front.findLast((choice) => choice.cost <= cost)

/** Attention kinds of the published AIME24 curves of Qwen3-8B. */
export type PublishedAttention = "dense" | "topk" | "block-topk" | "local"

/**
 * Accuracy of the published Best-of-N frontier of Qwen3-8B on AIME24 at a cost (tera-eFLOP), interpolated linearly in
 * the logarithm of the cost; the ends continue flat.
 */
export function publishedAime24(attention: PublishedAttention, cost: number): number {
  const figure = published.figure_aime24_8B_best_of_N
  const x = figure.x_tera_eflops
  const y = figure[attention === "block-topk" ? "blocktopk" : attention]
  if (cost <= x[0]!) return y[0]!
  for (let i = 1; i < x.length; i++) {
    if (cost > x[i]!) continue
    const share = Math.log(cost / x[i - 1]!) / Math.log(x[i]! / x[i - 1]!)
    return y[i - 1]! + share * (y[i]! - y[i - 1]!)
  }
  return y.at(-1)!
}

/** Seconds of a B200 for a cost in tera-eFLOP. */
export const b200Seconds = (cost: number): number => cost / b200TeraFlops
