/** What is not measured, and what to measure next. */
import { applyTieRule, countResults, countVotes, informationInverse, mostInformative, type Ranking } from "@exp/ranking"
import type { Store } from "@exp/store"
import { programName } from "../program-name.ts"
import type { Pool } from "./pool.ts"

export interface Coverage {
  readonly name: string
  readonly measured: number
  readonly of: number
}

export interface NextMeasurement {
  readonly competitor: string
  /** What to measure: a data set and sample, or the trial of a seed. */
  readonly what: string
  /** Expected gain of information in nats; null when it would connect competitors that cannot be compared yet. */
  readonly gain: number | null
  /** A command that measures it, for trials. */
  readonly command: string | null
}

export interface MissingReport {
  readonly coverage: readonly Coverage[]
  readonly next: readonly NextMeasurement[]
}

const quoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)

/** Coverage of every competitor, and the measurements of the largest expected gain of information. */
export function missingReport(store: Store, pool: Pool, ranking: Ranking, limit = 10): MissingReport {
  const { results, names } = pool
  const measured = new Int32Array(names.length)
  for (const c of results.competitor) measured[c]!++
  const coverage = names.map((name, c) => ({ name, measured: measured[c]!, of: pool.samples.length }))
  const m = names.length
  if (m > 4096) return { coverage, next: [] }
  const theta = new Float64Array(m)
  const component = new Int32Array(m).fill(-1)
  for (const c of ranking.competitors) {
    theta[c.index] = c.score ?? 0
    component[c.index] = c.component ?? -1
  }
  const counts = countResults(results)
  if (pool.votes !== undefined) {
    const more = countVotes(pool.votes)
    for (let k = 0; k < counts.wins.length; k++) {
      counts.wins[k]! += more.wins[k]!
      counts.ties[k]! += more.ties[k]!
    }
  }
  const inverse = informationInverse(applyTieRule(counts, ranking.tie), theta) ?? new Float64Array(m * m).fill(0)
  return {
    coverage,
    next:
      pool.experiments.length > 0
        ? nextTrials(store, pool, theta, inverse, component, limit)
        : nextCells(store, pool, theta, inverse, component, limit),
  }
}

function nextCells(
  store: Store,
  pool: Pool,
  theta: Float64Array,
  inverse: Float64Array,
  component: Int32Array,
  limit: number,
): NextMeasurement[] {
  return mostInformative(pool.results, theta, inverse, component, limit).map(({ competitor, sample, gain }) => {
    const found = store.samples.get(pool.samples[sample]!.id)
    return {
      competitor: pool.names[competitor]!,
      what: `${found?.dataset ?? "?"}/${found?.key ?? "?"} (${pool.samples[sample]!.metric})`,
      gain: Number.isFinite(gain) ? gain : null,
      command: null,
    }
  })
}

/**
 * Trials of the plan without samples, by the information that all their samples would add; then, where every planned
 * trial is measured, one more seed of each arm.
 */
function nextTrials(
  store: Store,
  pool: Pool,
  theta: Float64Array,
  inverse: Float64Array,
  component: Int32Array,
  limit: number,
): NextMeasurement[] {
  const m = pool.names.length
  const { results } = pool
  const seeds = new Set<number>()
  const done = new Set<string>()
  for (let s = 0; s < pool.samples.length; s++) {
    seeds.add(pool.samples[s]!.seed)
    for (let e = results.start[s]!; e < results.start[s + 1]!; e++)
      done.add(`${results.competitor[e]!} ${pool.samples[s]!.seed}`)
  }
  const gainOf = (i: number, seed: number | undefined): number => {
    // A seed that nobody ran yet is as good as the mean of those that were run.
    let total = 0
    let runs = 0
    for (const one of seed === undefined ? seeds : [seed]) {
      runs++
      for (let s = 0; s < pool.samples.length; s++) {
        if (pool.samples[s]!.seed !== one) continue
        for (let e = results.start[s]!; e < results.start[s + 1]!; e++) {
          const b = results.competitor[e]!
          if (b === i) continue
          if (component[i] === -1 || component[i] !== component[b]) return Number.POSITIVE_INFINITY
          const t = Math.exp(-Math.abs(theta[i]! - theta[b]!))
          total += (t / ((1 + t) * (1 + t))) * (inverse[i * m + i]! + inverse[b * m + b]! - 2 * inverse[i * m + b]!)
        }
      }
    }
    return runs === 0 ? 0 : total / runs
  }
  const found: NextMeasurement[] = []
  for (const experiment of pool.experiments) {
    const row = store.experiments.get(experiment) as { file?: string | null } | undefined
    const file = row?.file ?? `${experiment}.ts`
    const planned = store.experiments.trials(experiment, pool.profile).filter((trial) => trial.phase === "compare")
    const profile = pool.profile === "default" ? "" : ` --profile ${quoted(pool.profile)}`
    const suffix = pool.experiments.length > 1 ? ` (${experiment})` : ""
    const nameOf = (arm: string, condition: string): string =>
      (condition === "" || condition === arm ? arm : condition.startsWith(arm) ? condition : `${arm} ${condition}`) +
      suffix
    const allSeeds = new Set<number>()
    const arms = new Map<string, string>()
    for (const { arm, condition, trialId } of planned) {
      const seed = store.trials.get(trialId)?.seed
      if (seed === undefined) continue
      allSeeds.add(seed)
      const name = nameOf(arm, condition)
      arms.set(name, arm)
      const i = pool.names.indexOf(name)
      if (i < 0 || done.has(`${i} ${seed}`)) continue
      const gain = gainOf(i, seeds.has(seed) ? seed : undefined)
      found.push({
        competitor: name,
        what: `the trial of seed ${seed}`,
        gain: Number.isFinite(gain) ? gain : null,
        // A number of seeds n + 1 means the seeds 0 … n, of which the finished ones are reused.
        command: `${programName()} run ${quoted(file)} --arm ${quoted(arm)} --seeds ${seed + 1}${profile}`,
      })
    }
    if (found.length === 0) {
      const next = Math.max(-1, ...allSeeds) + 1
      for (const [name, arm] of arms) {
        const i = pool.names.indexOf(name)
        if (i < 0) continue
        const gain = gainOf(i, undefined)
        found.push({
          competitor: name,
          what: `one more seed (${next})`,
          gain: Number.isFinite(gain) ? gain : null,
          command: `${programName()} run ${quoted(file)} --arm ${quoted(arm)} --seeds ${next + 1}${profile}`,
        })
      }
    }
  }
  return found
    .sort((x, y) => (y.gain ?? Number.POSITIVE_INFINITY) - (x.gain ?? Number.POSITIVE_INFINITY))
    .slice(0, limit)
}
