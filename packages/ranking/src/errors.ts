/** The ways in which a ranking can fail. Every one is a tagged class that carries what its message says. */

/** Input that cannot be ranked: `row` is the index of the offending entry when there is one. */
export class RankingInputError extends Error {
  readonly _tag = "RankingInputError"
  readonly row: number | undefined
  constructor(message: string, row?: number) {
    super(message)
    this.name = "RankingInputError"
    this.row = row
  }
}

/** Two different values for the same competitor on the same sample. */
export class ContradictoryResult extends Error {
  readonly _tag = "ContradictoryResult"
  readonly competitor: number
  readonly sample: number
  readonly values: readonly [number, number]
  constructor(competitor: number, sample: number, values: readonly [number, number]) {
    super(
      `competitor ${competitor} has two different values on sample ${sample}: ${values[0]} and ${values[1]}; correct one of them`,
    )
    this.name = "ContradictoryResult"
    this.competitor = competitor
    this.sample = sample
    this.values = values
  }
}

/** The comparison graph does not determine strengths. `components` are its strongly connected parts. */
export class NotIdentifiable extends Error {
  readonly _tag = "NotIdentifiable"
  readonly components: readonly (readonly number[])[]
  constructor(components: readonly (readonly number[])[]) {
    super(
      `strengths do not exist: the comparisons fall into ${components.length} strongly connected components; rank inside each`,
    )
    this.name = "NotIdentifiable"
    this.components = components
  }
}

/** The fit ended without reaching its tolerance; no numbers are returned. */
export class NotConverged extends Error {
  readonly _tag = "NotConverged"
  readonly rounds: number
  readonly change: number
  constructor(rounds: number, change: number) {
    super(`the fit did not converge in ${rounds} rounds (last change ${change.toExponential(2)})`)
    this.name = "NotConverged"
    this.rounds = rounds
    this.change = change
  }
}
