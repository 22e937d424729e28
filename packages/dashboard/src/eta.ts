import type { ConditionProgress, WatchedRun } from "@exp/store/watching"

/**
 * When the open trials of an experiment will be through, in ms since 1970; NaN while nothing runs or nothing is measured.
 *
 * Every open trial is taken to last as long as the finished ones of its condition did on average (of its phase, of the
 * experiment, where its condition has none yet): arms may differ tenfold. What a running trial has behind it is
 * subtracted; once it is a tenth through, its own pace counts instead. As many trials as run now go on side by side.
 */
export function endsAt(groups: readonly ConditionProgress[], running: readonly WatchedRun[], now: number): number {
  if (running.length === 0) return Number.NaN
  const mean = meanSeconds(groups)
  let open = 0
  let longest = 0
  for (const run of running) {
    const spent = (now - (run.startedAt ?? now)) / 1000
    const share = run.progressTotal ? (run.progressDone ?? 0) / run.progressTotal : 0
    const whole = mean(run.phase ?? "compare", run.condition ?? "")
    const left = share >= 0.1 || (share > 0 && Number.isNaN(whole)) ? (spent * (1 - share)) / share : whole - spent
    if (Number.isNaN(left)) return Number.NaN
    open += Math.max(0, left)
    longest = Math.max(longest, left)
  }
  for (const { state, trials, phase, condition } of groups) {
    if (state !== "waiting" && state !== "queued") continue
    open += trials * mean(phase, condition)
  }
  return now + Math.max(open / running.length, longest) * 1000
}

/** The mean duration of finished trials, as near to a condition as there are any. */
function meanSeconds(groups: readonly ConditionProgress[]): (phase: string, condition: string) => number {
  const sums = new Map<string, { seconds: number; trials: number }>()
  for (const { state, trials, seconds, phase, condition } of groups) {
    if (state !== "completed" || seconds === null) continue
    for (const key of [`${phase} ${condition}`, `${phase} `, ""]) {
      const sum = sums.get(key) ?? { seconds: 0, trials: 0 }
      sum.seconds += seconds * trials
      sum.trials += trials
      sums.set(key, sum)
    }
  }
  return (phase, condition) => {
    for (const key of [`${phase} ${condition}`, `${phase} `, ""]) {
      const sum = sums.get(key)
      if (sum !== undefined) return sum.seconds / sum.trials
    }
    return Number.NaN
  }
}
