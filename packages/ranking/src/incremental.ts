/** Counts that follow single measurements: additions, corrections and removals, and a refit from the last strengths. */
import { applyTieRule, type Counts, emptyCounts, type TieRule } from "./counts.ts"
import { RankingInputError } from "./errors.ts"
import { type Fit, fitStrengths } from "./fit.ts"
import type { Results, Votes } from "./results.ts"

/**
 * Counts kept up to date. A measurement costs the number of competitors measured on its sample. Sample keys are any
 * strings or numbers; values are larger-is-better.
 */
export class LiveCounts {
  readonly counts: Counts
  readonly #samples = new Map<string | number, Map<number, number>>()
  readonly #tolerance: number
  #theta: Float64Array | undefined

  constructor(competitors: number, options: { tolerance?: number } = {}) {
    this.counts = emptyCounts(competitors)
    this.#tolerance = options.tolerance ?? 0
  }

  /** Live counts that hold all of `results` (and votes) already. */
  static from(results: Results, votes?: Votes, options: { tolerance?: number } = {}): LiveCounts {
    const live = new LiveCounts(results.competitors, options)
    for (let s = 0; s < results.samples; s++) {
      for (let e = results.start[s]!; e < results.start[s + 1]!; e++)
        live.set(results.competitor[e]!, s, results.value[e]!)
    }
    if (votes !== undefined)
      for (let i = 0; i < votes.outcome.length; i++) live.vote(votes.left[i]!, votes.right[i]!, votes.outcome[i]!)
    return live
  }

  /** Adds a measurement, or corrects it: the games of the old value are taken back first. */
  set(competitor: number, sample: string | number, value: number): void {
    this.#check(competitor)
    if (Number.isNaN(value)) throw new RankingInputError("NaN is not a measurement; leave missing measurements out")
    let cells = this.#samples.get(sample)
    if (cells === undefined) {
      cells = new Map()
      this.#samples.set(sample, cells)
    }
    const old = cells.get(competitor)
    if (old === value) return
    if (old !== undefined) this.#games(cells, competitor, old, -1)
    cells.set(competitor, value)
    this.#games(cells, competitor, value, 1)
  }

  /** Takes a measurement back. Returns false when there was none. */
  remove(competitor: number, sample: string | number): boolean {
    const cells = this.#samples.get(sample)
    const old = cells?.get(competitor)
    if (cells === undefined || old === undefined) return false
    this.#games(cells, competitor, old, -1)
    cells.delete(competitor)
    if (cells.size === 0) this.#samples.delete(sample)
    return true
  }

  /** Adds a vote (1 left, −1 right, 0 tie), or takes one back with `times` = −1. */
  vote(left: number, right: number, outcome: number, times = 1): void {
    this.#check(left)
    this.#check(right)
    if (left === right) throw new RankingInputError(`competitor ${left} is compared with itself`)
    this.#add(left, right, outcome, times)
  }

  /** Strengths of the present counts, from the strengths of the last call. Errors like {@link fitStrengths}. */
  fit(tie: TieRule = "one-each"): Fit {
    const fit = fitStrengths(
      applyTieRule(this.counts, tie),
      this.counts.competitors,
      this.#theta === undefined ? {} : { start: this.#theta },
    )
    this.#theta = fit.theta
    return fit
  }

  #check(competitor: number): void {
    if (!(Number.isInteger(competitor) && competitor >= 0 && competitor < this.counts.competitors)) {
      throw new RankingInputError(`competitor ${competitor} is not one of 0 … ${this.counts.competitors - 1}`)
    }
  }

  #games(cells: ReadonlyMap<number, number>, competitor: number, value: number, times: number): void {
    for (const [other, theirs] of cells) {
      if (other === competitor) continue
      const d = value - theirs
      this.#add(competitor, other, value === theirs || Math.abs(d) <= this.#tolerance ? 0 : Math.sign(d), times)
    }
  }

  #add(a: number, b: number, outcome: number, times: number): void {
    const m = this.counts.competitors
    if (outcome > 0) this.counts.wins[a * m + b]! += times
    else if (outcome < 0) this.counts.wins[b * m + a]! += times
    else {
      this.counts.ties[a * m + b]! += times
      this.counts.ties[b * m + a]! += times
    }
  }
}
