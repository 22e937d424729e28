/**
 * The input of a ranking: measurements of competitors on samples, stored by sample, and ready-made pairwise votes.
 * Competitors and samples are dense integers from 0; names live with the caller.
 */
import { ContradictoryResult, RankingInputError } from "./errors.ts"

export type Goal = "max" | "min"

/**
 * Measurements by sample (compressed columns). The entries of sample j are start[j] … start[j+1]−1, in ascending order
 * of competitor; larger values are better (values of a metric to minimise are negated on the way in).
 */
export interface Results {
  readonly competitors: number
  readonly samples: number
  readonly start: Float64Array
  readonly competitor: Int32Array
  readonly value: Float64Array
}

/** Pairwise votes: outcome 1 = left wins, −1 = right wins, 0 = tie. Every vote is a sample of its own. */
export interface Votes {
  readonly competitors: number
  readonly left: Int32Array
  readonly right: Int32Array
  readonly outcome: Int8Array
}

export interface Rows {
  readonly competitor: ArrayLike<number>
  readonly sample: ArrayLike<number>
  readonly value: ArrayLike<number>
}

/**
 * Sorts rows (in any order) into {@link Results}. Rows that repeat a measurement with the same value are merged.
 *
 * @param goal the direction of all values, or of each sample. Ranks (1 = best) are `min`.
 * @throws RankingInputError for NaN, infinite values of opposite meaning aside (±Infinity are ordered like numbers),
 *   indices out of range, arrays of different length; ContradictoryResult for two different values of one cell
 */
export function resultsFromRows(
  rows: Rows,
  shape: { readonly competitors: number; readonly samples: number },
  goal: Goal | ((sample: number) => Goal) = "max",
): Results {
  const count = rows.value.length
  const { competitors, samples } = shape
  if (rows.competitor.length !== count || rows.sample.length !== count) {
    throw new RankingInputError(
      `rows need as many competitors and samples as values, got ${rows.competitor.length}, ${rows.sample.length}, ${count}`,
    )
  }
  // Two stable counting sorts: by competitor, then by sample.
  const perCompetitor = new Float64Array(competitors + 1)
  const start = new Float64Array(samples + 1)
  for (let r = 0; r < count; r++) {
    const c = rows.competitor[r]!
    const s = rows.sample[r]!
    if (!(Number.isInteger(c) && c >= 0 && c < competitors)) {
      throw new RankingInputError(`row ${r}: competitor ${c} is not one of 0 … ${competitors - 1}`, r)
    }
    if (!(Number.isInteger(s) && s >= 0 && s < samples)) {
      throw new RankingInputError(`row ${r}: sample ${s} is not one of 0 … ${samples - 1}`, r)
    }
    if (Number.isNaN(rows.value[r]!)) {
      throw new RankingInputError(`row ${r}: NaN is not a measurement; leave missing measurements out`, r)
    }
    perCompetitor[c + 1]!++
    start[s + 1]!++
  }
  for (let c = 0; c < competitors; c++) perCompetitor[c + 1]! += perCompetitor[c]!
  for (let s = 0; s < samples; s++) start[s + 1]! += start[s]!
  const byCompetitor = new Uint32Array(count)
  for (let r = 0; r < count; r++) byCompetitor[perCompetitor[rows.competitor[r]!]!++] = r
  const at = start.slice(0, samples)
  const competitor = new Int32Array(count)
  const value = new Float64Array(count)
  const directions = new Float64Array(samples)
  for (let s = 0; s < samples; s++) directions[s] = (typeof goal === "string" ? goal : goal(s)) === "max" ? 1 : -1
  for (let i = 0; i < count; i++) {
    const r = byCompetitor[i]!
    const s = rows.sample[r]!
    const to = at[s]!++
    competitor[to] = rows.competitor[r]!
    value[to] = directions[s]! * rows.value[r]!
  }
  let kept = 0
  let from = 0
  for (let s = 0; s < samples; s++) {
    const end = start[s + 1]!
    const first = kept
    for (; from < end; from++) {
      if (kept > first && competitor[kept - 1] === competitor[from]) {
        if (value[kept - 1] !== value[from]) {
          throw new ContradictoryResult(competitor[from]!, s, [
            directions[s]! * value[kept - 1]!,
            directions[s]! * value[from]!,
          ])
        }
        continue
      }
      competitor[kept] = competitor[from]!
      value[kept++] = value[from]!
    }
    start[s + 1] = kept
  }
  return { competitors, samples, start, competitor: competitor.slice(0, kept), value: value.slice(0, kept) }
}

/** Results from a full matrix: `scores[i][j]` of competitor i on sample j; NaN, null and undefined are missing. */
export function resultsFromMatrix(
  scores: ReadonlyArray<ArrayLike<number | null | undefined>>,
  goal: Goal | ((sample: number) => Goal) = "max",
): Results {
  const samples = scores.reduce((most, row) => Math.max(most, row.length), 0)
  const start = new Float64Array(samples + 1)
  const present = (x: number | null | undefined): x is number => x !== null && x !== undefined && !Number.isNaN(x)
  let count = 0
  for (let j = 0; j < samples; j++) {
    for (const row of scores) if (present(row[j])) count++
    start[j + 1] = count
  }
  const competitor = new Int32Array(count)
  const value = new Float64Array(count)
  let to = 0
  for (let j = 0; j < samples; j++) {
    const sign = (typeof goal === "string" ? goal : goal(j)) === "max" ? 1 : -1
    for (let i = 0; i < scores.length; i++) {
      const x = scores[i]![j]
      if (!present(x)) continue
      competitor[to] = i
      value[to++] = sign * x
    }
  }
  return { competitors: scores.length, samples, start, competitor, value }
}

/**
 * Votes from arrays of indices and outcomes.
 * @throws RankingInputError for indices out of range, a competitor against itself, or an outcome that is not −1, 0, 1
 */
export function votesFromRows(
  competitors: number,
  left: ArrayLike<number>,
  right: ArrayLike<number>,
  outcome: ArrayLike<number>,
): Votes {
  const n = outcome.length
  if (left.length !== n || right.length !== n)
    throw new RankingInputError("votes need as many left and right sides as outcomes")
  for (let i = 0; i < n; i++) {
    for (const side of [left[i]!, right[i]!]) {
      if (!(Number.isInteger(side) && side >= 0 && side < competitors)) {
        throw new RankingInputError(`vote ${i}: competitor ${side} is not one of 0 … ${competitors - 1}`, i)
      }
    }
    if (left[i] === right[i]) throw new RankingInputError(`vote ${i}: competitor ${left[i]} is compared with itself`, i)
    if (outcome[i] !== 1 && outcome[i] !== -1 && outcome[i] !== 0) {
      throw new RankingInputError(`vote ${i}: the outcome is 1 (left), −1 (right) or 0 (tie), got ${outcome[i]}`, i)
    }
  }
  return { competitors, left: Int32Array.from(left), right: Int32Array.from(right), outcome: Int8Array.from(outcome) }
}

/** The entries for which `keep` holds, samples and competitors keeping their numbers. */
export function filterResults(
  results: Results,
  keep: (competitor: number, sample: number, value: number) => boolean,
): Results {
  const start = new Float64Array(results.samples + 1)
  const competitor = new Int32Array(results.competitor.length)
  const value = new Float64Array(results.value.length)
  let kept = 0
  for (let s = 0; s < results.samples; s++) {
    for (let e = results.start[s]!; e < results.start[s + 1]!; e++) {
      if (!keep(results.competitor[e]!, s, results.value[e]!)) continue
      competitor[kept] = results.competitor[e]!
      value[kept++] = results.value[e]!
    }
    start[s + 1] = kept
  }
  return { ...results, start, competitor: competitor.slice(0, kept), value: value.slice(0, kept) }
}

/** The results on the samples for which `keep` holds; these are renumbered in order. */
export function selectSamples(results: Results, keep: (sample: number) => boolean): Results {
  const chosen: number[] = []
  for (let s = 0; s < results.samples; s++) if (keep(s)) chosen.push(s)
  return takeSamples(results, chosen)
}

/** The results on the given samples in the given order; a sample may appear several times. */
export function takeSamples(results: Results, chosen: ArrayLike<number>): Results {
  const start = new Float64Array(chosen.length + 1)
  for (let k = 0; k < chosen.length; k++)
    start[k + 1] = start[k]! + results.start[chosen[k]! + 1]! - results.start[chosen[k]!]!
  const total = start[chosen.length]!
  const competitor = new Int32Array(total)
  const value = new Float64Array(total)
  for (let k = 0; k < chosen.length; k++) {
    const from = results.start[chosen[k]!]!
    const to = results.start[chosen[k]! + 1]!
    competitor.set(results.competitor.subarray(from, to), start[k]!)
    value.set(results.value.subarray(from, to), start[k]!)
  }
  return { competitors: results.competitors, samples: chosen.length, start, competitor, value }
}

/**
 * The results of the given competitors only, renumbered 0 … members.length−1 in the given (ascending) order. Samples
 * with fewer than two of them are left out: they hold no comparison.
 */
export function restrictResults(results: Results, members: ArrayLike<number>): Results {
  const position = positions(results.competitors, members)
  const starts: number[] = [0]
  const competitor = new Int32Array(results.competitor.length)
  const value = new Float64Array(results.value.length)
  let kept = 0
  for (let s = 0; s < results.samples; s++) {
    const first = kept
    for (let e = results.start[s]!; e < results.start[s + 1]!; e++) {
      const p = position[results.competitor[e]!]!
      if (p < 0) continue
      competitor[kept] = p
      value[kept++] = results.value[e]!
    }
    if (kept - first < 2) kept = first
    else starts.push(kept)
  }
  return {
    competitors: members.length,
    samples: starts.length - 1,
    start: Float64Array.from(starts),
    competitor: competitor.slice(0, kept),
    value: value.slice(0, kept),
  }
}

/** The votes among the given competitors, renumbered like {@link restrictResults}. */
export function restrictVotes(votes: Votes, members: ArrayLike<number>): Votes {
  const position = positions(votes.competitors, members)
  let kept = 0
  const left = new Int32Array(votes.left.length)
  const right = new Int32Array(votes.left.length)
  const outcome = new Int8Array(votes.left.length)
  for (let i = 0; i < votes.left.length; i++) {
    const a = position[votes.left[i]!]!
    const b = position[votes.right[i]!]!
    if (a < 0 || b < 0) continue
    left[kept] = a
    right[kept] = b
    outcome[kept++] = votes.outcome[i]!
  }
  return {
    competitors: members.length,
    left: left.slice(0, kept),
    right: right.slice(0, kept),
    outcome: outcome.slice(0, kept),
  }
}

function positions(competitors: number, members: ArrayLike<number>): Int32Array {
  const position = new Int32Array(competitors).fill(-1)
  for (let k = 0; k < members.length; k++) position[members[k]!] = k
  return position
}
