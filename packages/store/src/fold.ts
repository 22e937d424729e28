/** Running aggregates of one series, by step order: the row of `metric_summaries` and of `metric_blocks`. */
export interface Fold {
  count: number
  nanCount: number
  firstStep: number
  first: number
  lastStep: number
  last: number
  /** NaN until a number that is not NaN has come. */
  min: number
  max: number
  sum: number
}

export function emptyFold(): Fold {
  return {
    count: 0,
    nanCount: 0,
    firstStep: Number.POSITIVE_INFINITY,
    first: Number.NaN,
    lastStep: Number.NEGATIVE_INFINITY,
    last: Number.NaN,
    min: Number.NaN,
    max: Number.NaN,
    sum: 0,
  }
}

/** Takes in one value of a step that the fold does not hold yet. */
export function foldIn(fold: Fold, step: number, value: number): void {
  fold.count++
  if (step < fold.firstStep) {
    fold.firstStep = step
    fold.first = value
  }
  if (step > fold.lastStep) {
    fold.lastStep = step
    fold.last = value
  }
  if (Number.isNaN(value)) fold.nanCount++
  else {
    if (!(value >= fold.min)) fold.min = value
    if (!(value <= fold.max)) fold.max = value
    fold.sum += value
  }
}

/** NaN as SQLite keeps it. */
export const toReal = (value: number): number | null => (Number.isNaN(value) ? null : value)
/** The number that a REAL column holds. */
export const fromReal = (value: number | null): number => value ?? Number.NaN
