/** Errors of the nn package. */

/** An optimiser was given a gradient for a parameter that it holds no state for. */
export class MissingOptimizerState extends Error {
  readonly _tag = "MissingOptimizerState"
  readonly optimizer: string
  readonly parameter: string
  constructor(optimizer: string, parameter: string) {
    super(
      `${optimizer}: there is a gradient for "${parameter}", but no such parameter or no state for it: ` +
        "give init() every parameter that is trained",
    )
    this.name = "MissingOptimizerState"
    this.optimizer = optimizer
    this.parameter = parameter
  }
}

/** The watched metric became NaN or infinite. */
export class Divergence extends Error {
  readonly _tag = "Divergence"
  /** The step (0-based) that produced the value. */
  readonly step: number
  readonly metric: string
  readonly value: number
  constructor(step: number, metric: string, value: number) {
    super(`training diverged: ${metric} is ${value} at step ${step}; try a smaller learning rate`)
    this.name = "Divergence"
    this.step = step
    this.metric = metric
    this.value = value
  }
}

/** Training was cancelled through its signal; a checkpoint was saved if there was somewhere to save it. */
export class Interrupted extends Error {
  readonly _tag = "Interrupted"
  /** Number of finished steps. */
  readonly step: number
  readonly saved: boolean
  constructor(step: number, saved: boolean) {
    super(`training was interrupted after ${step} steps${saved ? "; a checkpoint was saved" : ""}`)
    this.name = "Interrupted"
    this.step = step
    this.saved = saved
  }
}

/** A checkpoint belongs to another training. */
export class CheckpointMismatch extends Error {
  readonly _tag = "CheckpointMismatch"
  readonly field: string
  readonly expected: string
  readonly got: string
  constructor(field: string, expected: string, got: string) {
    super(`the checkpoint does not belong to this training: ${field} should be ${expected}, it is ${got}`)
    this.name = "CheckpointMismatch"
    this.field = field
    this.expected = expected
    this.got = got
  }
}
