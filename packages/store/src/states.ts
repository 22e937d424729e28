/** The life of a run and of a stage: the only place that says which change of state is lawful. */

export const runStates = ["queued", "running", "completed", "failed", "cancelled", "interrupted"] as const
/** Where a run stands. `lost` is not among them: it is what readers call a live run whose lease has run out. */
export type RunState = (typeof runStates)[number]

export const stageStates = ["running", "completed", "failed"] as const
export type StageState = (typeof stageStates)[number]

const next: { readonly [S in RunState]: readonly RunState[] } = {
  queued: ["running", "failed", "cancelled", "interrupted"],
  running: ["completed", "failed", "cancelled", "interrupted"],
  // An interrupted run goes on where its checkpoint stands: same run, same series. A failed one gets a new attempt.
  interrupted: ["queued", "running", "cancelled"],
  completed: [],
  failed: [],
  cancelled: [],
}

/** May a run go from `from` to `to`? Staying where it is is not a change and not lawful. */
export function canTransition(from: RunState, to: RunState): boolean {
  return next[from].includes(to)
}

/** The states from which `to` may be entered. */
export function sourcesOf(to: RunState): readonly RunState[] {
  return runStates.filter((from) => canTransition(from, to))
}

/** A live run holds its trial: nobody else may start another. */
export function isLive(state: RunState): boolean {
  return state === "queued" || state === "running"
}

/** Nothing follows a final state. */
export function isFinal(state: RunState): boolean {
  return next[state].length === 0
}
