/** The task that replays the Kinetics law on published results: no model runs, it takes milliseconds. */
import { Metric, Task } from "@exp/spec"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, positive, ratio } from "../config-fields.ts"
import { type AttentionCost, b200Intensity, blockSizeFor, logSpaced } from "./cost-model.ts"
import {
  affordable,
  b200Seconds,
  type Choice,
  frontierSummary,
  publishedAime24,
  publishedChoices,
} from "./law-replay.ts"

const KineticsLawConfig = Schema.Struct({
  results: Schema.Literals(["livecodebench", "aime24-8b"]).pipe(
    described(
      "livecodebench: coverage of five Qwen3 sizes, accuracies of dense decoding whatever the attention; aime24-8b: frontiers of Qwen3-8B as measured for each attention",
    ),
    defaultsTo("livecodebench"),
  ),
  law: Schema.Literals(["flops", "eflops"]).pipe(
    described("what a choice costs: computation alone, or with the KV traffic"),
    defaultsTo("eflops"),
  ),
  attention: Schema.Literals(["dense", "topk", "block-topk", "local"]).pipe(
    described("how the KV cache is read"),
    defaultsTo("dense"),
  ),
  budget: atLeast(1).pipe(described("KV positions kept by sparse attention"), defaultsTo(1024)),
  context: atLeast(0).pipe(described("prompt tokens"), defaultsTo(512)),
  generated: atLeast(1).pipe(
    described("tokens of one generation; the published figures do not say, 12,288 is an assumption"),
    defaultsTo(12_288),
  ),
  intensity: positive.pipe(described("FLOP for each byte of KV traffic"), defaultsTo(b200Intensity)),
  compat: Schema.Literals(["exact", "repo"]).pipe(
    described("repo reproduces the published cost functions, their top-k term included"),
    defaultsTo("exact"),
  ),
  costs: Schema.Struct({
    from: positive.pipe(defaultsTo(45)),
    to: positive.pipe(defaultsTo(1e6)),
    count: atLeast(2).pipe(defaultsTo(100)),
  }).pipe(described("log-spaced costs (in the law's unit) at which the frontier is read"), defaultsTo({})),
  target: ratio.pipe(described("accuracy whose real cost is reported"), defaultsTo(0.72)),
})

const attentionCost = (kind: "dense" | "topk" | "block-topk" | "local", budget: number): AttentionCost => {
  if (kind === "dense") return { kind }
  if (kind === "block-topk") {
    // Block sizes of the paper, at least one position and one block.
    const blockSize = Math.max(1, Math.min(budget, Math.round(blockSizeFor(budget))))
    return { kind, blockSize, blocks: Math.floor(budget / blockSize), local: budget % blockSize }
  }
  return { kind, budget }
}

/**
 * Optimal choices of model and number of trials under a cost law, from published accuracies.
 *
 * Logged at each cost of the grid (the step is its index): the accuracy that the cost buys and what is bought. Every
 * choice on the frontier is recorded as a sample of `frontier`, named "14B@2".
 */
export const KineticsLaw = Task.make("kinetics-law", {
  version: 1,
  description: "Replays the Kinetics scaling law on published accuracies",
  config: KineticsLawConfig,
  metrics: {
    "frontier/cost": Metric.min({ unit: "T", description: "cost at this point of the grid, in the law's unit" }),
    "frontier/accuracy": Metric.max({ unit: "ratio", description: "best accuracy for that cost" }),
    "frontier/parameters": Metric.max({ unit: "1e9", description: "size of the model that is bought" }),
    "frontier/trials": Metric.max({ description: "parallel trials that are bought" }),
    "frontier/eflops": Metric.min({ unit: "Te", description: "real cost of what is bought, in tera-eFLOP" }),
    "frontier/mean_accuracy": Metric.max({ unit: "ratio", description: "mean over the log-spaced costs" }),
    "frontier/choices": Metric.max({ description: "number of Pareto-optimal choices" }),
    "frontier/smallest_scaled": Metric.max({
      unit: "1e9",
      description: "smallest model that is worth more than one trial",
    }),
    "time/b200_seconds_at_target": Metric.min({
      unit: "s",
      description: "B200 time of the law's cheapest choice that reaches the target accuracy",
    }),
  },
  run: async (config, trial) => {
    const { results, law, attention, budget, context, generated, intensity, compat, costs, target } = config
    const grid = logSpaced(costs.from, costs.to, costs.count)
    let mean = 0
    if (results === "aime24-8b") {
      if (law === "flops") throw new RangeError("the aime24-8b curves are priced in eFLOPs: law must be eflops")
      let reached = Number.NaN
      for (const [i, cost] of grid.entries()) {
        const accuracy = publishedAime24(attention, cost)
        mean += accuracy / grid.length
        if (Number.isNaN(reached) && accuracy >= target) reached = cost
        trial.log(i, { "frontier/cost": cost, "frontier/accuracy": accuracy, "frontier/eflops": cost })
      }
      trial.log(grid.length, {
        "frontier/mean_accuracy": mean,
        ...(Number.isNaN(reached) ? {} : { "time/b200_seconds_at_target": b200Seconds(reached) }),
      })
      return
    }
    const choices = publishedChoices(
      { kind: law, intensity, compat },
      { context, generated },
      attentionCost(attention, budget),
    )
    const summary = frontierSummary(choices)
    for (const [i, cost] of grid.entries()) {
      const bought: Choice | undefined = affordable(summary.front, cost)
      mean += (bought?.accuracy ?? 0) / grid.length
      trial.log(i, {
        "frontier/cost": cost,
        "frontier/accuracy": bought?.accuracy ?? 0,
        ...(bought && {
          "frontier/parameters": bought.model.parameters / 1e9,
          "frontier/trials": bought.trials,
          "frontier/eflops": bought.eflops,
        }),
      })
    }
    for (const choice of summary.front) {
      trial.samples.record(
        "frontier",
        choice.label,
        { "frontier/accuracy": choice.accuracy, "frontier/cost": choice.cost, "frontier/eflops": choice.eflops },
        { model: choice.model.name, trials: choice.trials },
      )
    }
    const reached = summary.costAt(target)
    trial.log(grid.length, {
      "frontier/mean_accuracy": mean,
      "frontier/choices": summary.front.length,
      "frontier/smallest_scaled": summary.smallestScaled,
      ...(Number.isNaN(reached) ? {} : { "time/b200_seconds_at_target": b200Seconds(reached) }),
    })
  },
})
