/** The task of the fair-selection study: what a guarantee for a group recovers when the rankings are biased against it. */
import { derive, key, uniform } from "@exp/random"
import {
  committeeScores,
  committeeValue,
  drawProfile,
  isAdditive,
  itemScores,
  latentQuality,
  orderAccuracy,
  orderedWeights,
  type Profile,
  positionHistogram,
  randomCommittee,
  selectAdditive,
  selectCommittee,
  selectGreedy,
  swapBias,
} from "@exp/ranking"
import { Metric, Task } from "@exp/spec"
import * as Schema from "effect/Schema"
import { atLeast, defaultsTo, described, nonNegative, positive, ratio } from "../config-fields.ts"

const CommitteeConfig = Schema.Struct({
  score: Schema.Literals(committeeScores as readonly ["sntv", "bloc", "borda", "cc", "acc", "hb"]).pipe(
    described("score function of a selection"),
    defaultsTo("borda"),
  ),
  items: atLeast(2).pipe(described("number of items; the second half is the group"), defaultsTo(40)),
  select: atLeast(1).pipe(described("how many are selected"), defaultsTo(8)),
  guarantee: atLeast(0).pipe(described("least number from the group"), defaultsTo(4)),
  sigma: nonNegative.pipe(described("standard deviation of a voter's noise"), defaultsTo(0.3)),
  noise: Schema.Literals(["normal", "gumbel"]).pipe(described("shape of a voter's noise"), defaultsTo("normal")),
  bias: Schema.Literals(["utility", "swap"]).pipe(
    described("utility: the group's utilities times theta; swap: random exchanges that lower the group"),
    defaultsTo("utility"),
  ),
  theta: Schema.Finite.pipe(
    Schema.check(Schema.isBetween({ minimum: 0.01, maximum: 1 })),
    described("factor on the group's utilities; 1 is no bias"),
    defaultsTo(0.5),
  ),
  swaps: atLeast(0).pipe(described("exchanges tried in each ranking"), defaultsTo(60)),
  phi: ratio.pipe(described("probability of a tried exchange"), defaultsTo(0.5)),
  voters: Schema.Array(atLeast(1)).pipe(
    described("numbers of biased rankings at which the selection is judged, ascending"),
    defaultsTo([1, 3, 10, 30, 100, 300, 1000, 3000]),
  ),
  population: atLeast(1).pipe(described("unbiased rankings that give the true score"), defaultsTo(4000)),
  target: positive.pipe(described("ratio for which the number of rankings needed is reported"), defaultsTo(0.95)),
})

/** The first `voters` rankings of a profile. */
const firstOf = (profile: Profile, voters: number): Profile => ({
  items: profile.items,
  voters,
  order: profile.order.subarray(0, voters * profile.items),
})

/**
 * Ratios of the unbiased score of selections to the best one. `ratio/free/<n>` and `ratio/fair/<n>` are those from the
 * first n biased rankings without and with the guarantee. The best selection of scores that are not additive is itself
 * greedy: ratios may exceed 1 slightly.
 */
export const CommitteeUnderBias = Task.make("committee-under-bias", {
  version: 1,
  description: "Selection from rankings that are biased against a group, with and without a guarantee for it",
  config: CommitteeConfig,
  metrics: {
    "ratio/free/*": Metric.max({ unit: "ratio", description: "without the guarantee, by number of rankings" }),
    "ratio/fair/*": Metric.max({ unit: "ratio", description: "with the guarantee, by number of rankings" }),
    "ratio/unbiased": Metric.max({ unit: "ratio", description: "from the largest number of unbiased rankings" }),
    "ratio/random": Metric.max({ unit: "ratio", description: "a random selection" }),
    "ratio/random_fair": Metric.max({ unit: "ratio", description: "a random selection that meets the guarantee" }),
    "ratio/group_unordered": Metric.max({
      unit: "ratio",
      description: "the guaranteed members at random, the rest best: what ordering inside the group is worth",
    }),
    gain: Metric.max({ description: "fair minus free at the largest number of rankings" }),
    n_to_target: Metric.min({ description: "least number of rankings tried with which fair reaches the target" }),
    n_to_target_free: Metric.min({ description: "the same without the guarantee" }),
    "share/group": Metric.max({ unit: "ratio", description: "of the group in the free selection, most rankings" }),
    "order_accuracy/*": Metric.max({
      unit: "ratio",
      description: "pairs of the group in true order, by number of rankings",
    }),
  },
  run: async (config, trial) => {
    const { score, items, select, guarantee, theta, sigma, noise, population } = config
    const group = Uint8Array.from({ length: items }, (_, i) => (i >= items - Math.floor(items / 2) ? 1 : 0))
    const stream = key(trial.seed, "committee-under-bias")
    const quality = latentQuality(items, derive(stream, "quality"))
    const rule = orderedWeights(score, items, select)
    const model = { items, group, sigma, noise }
    const truth = drawProfile(quality, { ...model, theta: 1 }, population, derive(stream, "population"))
    // Single votes leave masses of ties (items that are never first): they are broken at random.
    const ties = Float64Array.from({ length: items }, (_, i) => uniform(derive(stream, "ties"), i))
    const most = config.voters.reduce((a, b) => Math.max(a, b), 1)
    const unbiased = drawProfile(quality, { ...model, theta: 1 }, most, derive(stream, "voters"))
    const biased =
      config.bias === "utility"
        ? drawProfile(quality, { ...model, theta }, most, derive(stream, "voters"))
        : { ...unbiased, order: swapped(unbiased, group, config.swaps, config.phi, derive(stream, "swaps")) }
    const trueScores = isAdditive(score) ? itemScores(positionHistogram(truth), items, rule.points) : undefined
    const value = (chosen: readonly number[]): number =>
      trueScores === undefined
        ? committeeValue(truth, chosen, rule)
        : chosen.reduce((sum, i) => sum + trueScores[i]!, 0)
    const best = value(
      (trueScores === undefined ? selectGreedy(truth, select, rule) : selectAdditive(trueScores, select)).chosen,
    )
    const fairness = { group, atLeast: guarantee }
    let needed = Number.NaN
    let neededFree = Number.NaN
    for (const [done, n] of [...config.voters].sort((a, b) => a - b).entries()) {
      if (trial.signal.aborted) return
      const profile = firstOf(biased, n)
      const free = selectCommittee(profile, select, score, undefined, ties).chosen
      const fair = selectCommittee(profile, select, score, fairness, ties).chosen
      const ratioFree = value(free) / best
      const ratioFair = value(fair) / best
      if (Number.isNaN(needed) && ratioFair >= config.target) needed = n
      if (Number.isNaN(neededFree) && ratioFree >= config.target) neededFree = n
      const marginals = itemScores(positionHistogram(profile), items, rule.points)
      trial.log(n, {
        [`ratio/free/${n}`]: ratioFree,
        [`ratio/fair/${n}`]: ratioFair,
        [`order_accuracy/${n}`]: orderAccuracy(marginals, quality, group),
        ...(n === most
          ? { gain: ratioFair - ratioFree, "share/group": free.filter((i) => group[i] === 1).length / select }
          : {}),
      })
      trial.progress(done + 1, config.voters.length)
    }
    const random = randomCommittee(items, select, derive(stream, "random"))
    const randomFair = randomCommittee(items, select, derive(stream, "random"), fairness)
    const drawn = Array.from({ length: items }, (_, i) => i)
      .filter((i) => group[i] === 1)
      .sort((a, b) => uniform(derive(stream, "members"), a) - uniform(derive(stream, "members"), b))
      .slice(0, guarantee)
    const others = Float64Array.from({ length: items }, (_, i) =>
      group[i] === 1 ? Number.NEGATIVE_INFINITY : quality[i]!,
    )
    const unordered = [...drawn, ...selectAdditive(others, select - drawn.length).chosen]
    trial.log(most, {
      "ratio/unbiased": value(selectCommittee(unbiased, select, score, undefined, ties).chosen) / best,
      "ratio/random": value(random) / best,
      "ratio/random_fair": value(randomFair) / best,
      "ratio/group_unordered": value(unordered) / best,
      ...(Number.isNaN(needed) ? {} : { n_to_target: needed }),
      ...(Number.isNaN(neededFree) ? {} : { n_to_target_free: neededFree }),
    })
  },
})

function swapped(
  profile: Profile,
  group: ArrayLike<number>,
  swaps: number,
  phi: number,
  stream: ReturnType<typeof key>,
): Int32Array {
  const order = new Int32Array(profile.order.length)
  for (let v = 0; v < profile.voters; v++) {
    const row = profile.order.subarray(v * profile.items, (v + 1) * profile.items)
    order.set(swapBias(row, group, swaps, phi, derive(stream, v)), v * profile.items)
  }
  return order
}
