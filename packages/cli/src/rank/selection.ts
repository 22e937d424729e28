/** `exp rank --select`: k competitors from many rankings, with guarantees for groups. */
import { derive, key, uniform } from "@exp/random"
import {
  type CommitteeScore,
  committeeValue,
  type Fairness,
  orderedWeights,
  profileFromRankings,
  type Ranking,
  selectCommittee,
} from "@exp/ranking"
import { UsageError } from "../report-error.ts"
import type { Pool } from "./pool.ts"

export interface Selection {
  readonly k: number
  readonly voting: CommitteeScore
  readonly method: "exact" | "greedy" | "brute"
  /** Number of rankings, and of those that were left out because they do not rank everyone. */
  readonly voters: number
  readonly incomplete: number
  readonly chosen: readonly string[]
  /** The score of the selection over that of the best one without guarantees. */
  readonly ratio: number
  readonly free: readonly string[]
  readonly group:
    | { readonly pattern: string; readonly members: number; readonly atLeast: number; readonly chosen: number }
    | undefined
}

function matcher(pattern: string): (name: string) => boolean {
  const source = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
  const expression = new RegExp(`^${source.join(".*")}$`)
  return (name) => expression.test(name)
}

/** `Llama*` or `Llama*:2`; several patterns are one group, their numbers add up. */
export function readFairness(
  patterns: readonly string[],
  names: readonly string[],
  k: number,
): { fairness: Fairness; pattern: string; members: number } {
  const group = new Uint8Array(names.length)
  let atLeast = 0
  let counted = false
  for (const text of patterns) {
    const found = /^(.*?)(?::(\d+))?$/.exec(text)!
    const fits = matcher(found[1]!)
    let members = 0
    names.forEach((name, i) => {
      if (fits(name)) {
        group[i] = 1
        members++
      }
    })
    if (members === 0)
      throw new UsageError(
        `--fair ${text}: no competitor is called ${found[1]}; there are ${names.slice(0, 12).join(", ")}.`,
      )
    if (found[2] !== undefined) {
      atLeast += Number(found[2])
      counted = true
    }
  }
  const members = group.reduce((sum, x) => sum + x, 0)
  const wanted = counted ? atLeast : Math.round((k * members) / names.length)
  if (wanted > Math.min(k, members))
    throw new UsageError(`--fair asks for ${wanted} of a group of ${members} in a selection of ${k}.`)
  return { fairness: { group, atLeast: wanted }, pattern: patterns.join(" "), members }
}

/** Rankings of the samples that measured every competitor; ties in a sample are broken at random, from the seed. */
function rankingsOfSamples(pool: Pool, seed: number): { rankings: number[][]; incomplete: number } {
  const { results } = pool
  const rankings: number[][] = []
  let incomplete = 0
  const stream = key(seed, "selection-ties")
  for (let s = 0; s < results.samples; s++) {
    const from = results.start[s]!
    if (results.start[s + 1]! - from < results.competitors) {
      incomplete++
      continue
    }
    const ties = Float64Array.from({ length: results.competitors }, (_, i) => uniform(derive(stream, s), i))
    rankings.push(
      Array.from({ length: results.competitors }, (_, i) => i).sort(
        (a, b) => results.value[from + b]! - results.value[from + a]! || ties[b]! - ties[a]!,
      ),
    )
  }
  return { rankings, incomplete }
}

/**
 * Selects k competitors.
 * @param parts one ranking a voter (the values of --by); without, every fully measured sample is a voter
 * @throws UsageError when no voter ranks everyone, or the wish is impossible
 */
export function selectFrom(
  pool: Pool,
  parts: readonly Ranking[] | undefined,
  options: {
    readonly k: number
    readonly voting: CommitteeScore
    readonly fair: readonly string[] | undefined
    readonly seed: number
  },
): Selection {
  const { k, voting, seed } = options
  const { names } = pool
  if (k > names.length) throw new UsageError(`--select ${k}: there are only ${names.length} competitors.`)
  let rankings: number[][]
  let incomplete = 0
  if (parts === undefined) ({ rankings, incomplete } = rankingsOfSamples(pool, seed))
  else {
    rankings = []
    for (const ranking of parts) {
      if (ranking.identifiable && ranking.unranked.length === 0) rankings.push(ranking.competitors.map((c) => c.index))
      else incomplete++
    }
  }
  if (rankings.length === 0) {
    throw new UsageError(
      parts === undefined
        ? "--select needs samples on which every competitor was measured, and there is none: rank by the values of a tag instead (--by)."
        : "--select needs a ranking of all competitors for at least one value of --by, and there is none.",
    )
  }
  const profile = profileFromRankings(rankings, names.length)
  const ties = Float64Array.from({ length: names.length }, (_, i) => uniform(key(seed, "selection"), i))
  const fair = options.fair === undefined ? undefined : readFairness(options.fair, names, k)
  const free = selectCommittee(profile, k, voting, undefined, ties)
  const chosen = fair === undefined ? free : selectCommittee(profile, k, voting, fair.fairness, ties)
  const rule = orderedWeights(voting, names.length, k)
  const best = committeeValue(profile, free.chosen, rule)
  return {
    k,
    voting,
    method: chosen.method,
    voters: rankings.length,
    incomplete,
    chosen: chosen.chosen.map((i) => names[i]!),
    ratio: best === 0 ? 1 : committeeValue(profile, chosen.chosen, rule) / best,
    free: free.chosen.map((i) => names[i]!),
    group:
      fair === undefined
        ? undefined
        : {
            pattern: fair.pattern,
            members: fair.members,
            atLeast: fair.fairness.atLeast,
            chosen: chosen.chosen.filter((i) => fair.fairness.group[i] === 1).length,
          },
  }
}
