/**
 * Who owns a trial: the claims of runs.db, the one source of truth.
 *
 * A trial is owned by the coordinator that holds its live (queued or running) run, and the database admits one live run
 * per trial. Claiming is one write transaction: it looks at the trial's runs, buries a live one whose owner is dead,
 * and makes or revives a run, or says that there is nothing to do. Whether an owner is dead is asked of the system (pid
 * and start time), not of a clock, so neither a stopped process nor a clock set back loses its trials; only owners on
 * other machines are judged by their lease.
 */
export type Claim =
  /** The caller owns the trial now. `resumed`: the run was interrupted and goes on, series and checkpoint included. */
  | { readonly type: "mine"; readonly runId: string; readonly attempt: number; readonly resumed: boolean }
  /** There is a result that counts. */
  | { readonly type: "done"; readonly runId: string }
  /** Another living coordinator is at it. */
  | { readonly type: "busy"; readonly owner: string }
