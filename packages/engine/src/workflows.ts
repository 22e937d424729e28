/**
 * The workflows of an experiment. Their bodies only decide what comes next; everything that takes time or has an effect
 * is an activity, whose outcome is journalled and never repeated.
 */
import type { Choice, Plan, PlannedTrial, Selection as Points, Round, TuningResult } from "@exp/spec"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Activity from "effect/workflow/Activity"
import * as DurableClock from "effect/workflow/DurableClock"
import * as Workflow from "effect/workflow/Workflow"

const FailureData = Schema.Struct({
  kind: Schema.String,
  message: Schema.String,
  lastLines: Schema.Array(Schema.String),
  stack: Schema.optionalKey(Schema.String),
  exitCode: Schema.optionalKey(Schema.Number),
  signal: Schema.optionalKey(Schema.String),
  retriable: Schema.Boolean,
})

/** How one attempt, and in the end the trial, came out. An interrupted attempt has no outcome: it will go on. */
export const Outcome = Schema.Struct({
  status: Schema.Literals(["completed", "reused", "stopped", "failed", "cancelled"]),
  runId: Schema.String,
  durationMs: Schema.optionalKey(Schema.Number),
  failure: Schema.optionalKey(FailureData),
})
export type Outcome = typeof Outcome.Type

/** Where in its phase a list of trials stands. */
export interface Stage {
  /** Trials of the phase before these. */
  readonly from: number
  /** Number of the round, from 0, in a tuning that goes in rounds. */
  readonly round?: number
  readonly judgements?: Round["judgements"]
}

/** What the workflows need from the coordinator. */
export interface Coordinator {
  readonly plan: Plan
  /** Writes the experiment and the trials of a phase into runs.db. */
  register(phase: "tune" | "compare", trials: readonly PlannedTrial[], stage: Stage): void
  /** Which of the trials have a result that counts already; they need no workflow. */
  finished(trials: readonly PlannedTrial[], stage: Stage): ReadonlySet<string>
  /** How a tuning trial of an earlier round came out. */
  tuningResult(trialId: string): TuningResult | undefined
  /** Makes one attempt in a worker. Does not resolve when the experiment is interrupted or gives up. */
  attempt(trialId: string, attempt: number, retriesLeft: number): Promise<Outcome>
  /** Takes in how a trial came out; this process may not have seen it happen. */
  adopt(trialId: string, outcome: Outcome): void
  /** Chooses the tuned points from what runs.db holds, and records the choice there. */
  select(): { readonly selection: Points; readonly choices: readonly Choice[] }
  /** Tells observers what was chosen, now or by an earlier process. */
  announce(choices: readonly Choice[]): void
}

export class CurrentCoordinator extends Context.Service<CurrentCoordinator, Coordinator>()("exp/engine/Coordinator") {}

/** Pause before attempt `next` (from 2): 0.2 s, 0.4 s, …, at most 30 s. */
export const backoffMs = (next: number): number => Math.min(30_000, 200 * 2 ** (next - 2))

/** One trial: attempts until one succeeds or the retry policy is used up. */
export const TrialWorkflow = Workflow.make("exp/trial/1", {
  payload: {
    invocation: Schema.String,
    trialId: Schema.String,
    /** Carried out to its end, though as a candidate it may have been stopped early. */
    full: Schema.optionalKey(Schema.Boolean),
  },
  success: Outcome,
  idempotencyKey: ({ invocation, trialId, full }) => `${invocation}/${trialId}${full ? "/full" : ""}`,
})

const TrialLive = TrialWorkflow.toLayer(
  Effect.fnUntraced(function* ({ trialId }) {
    const coordinator = yield* CurrentCoordinator
    const { retry } = coordinator.plan.policy
    for (let attempt = 1; ; attempt++) {
      const outcome = yield* Activity.make({
        name: `attempt/${attempt}`,
        success: Outcome,
        execute: Effect.promise(() => coordinator.attempt(trialId, attempt, retry + 1 - attempt)),
      })
      if (outcome.status !== "failed" || outcome.failure?.retriable === false || attempt > retry) return outcome
      yield* DurableClock.sleep({ name: `backoff/${attempt}`, duration: Duration.millis(backoffMs(attempt + 1)) })
    }
  }),
)

/**
 * The compared trials. A condition all of whose candidates failed has no point to be compared at and is left out; the
 * others go on.
 */
export function comparable(plan: Plan, selection: Points): readonly PlannedTrial[] {
  const lacking = plan.conditions.filter((c) => c.candidates.length > 0 && !Object.hasOwn(selection, c.label))
  if (lacking.length === 0) return plan.compared(selection)
  const anyPoint = Object.fromEntries(lacking.map((c) => [c.label, c.candidates[0]!]))
  const labels = new Set(lacking.map((c) => c.label))
  return plan.compared({ ...selection, ...anyPoint }).filter((trial) => !labels.has(trial.condition))
}

/**
 * Trials that are under way at the same time, waiting ones included: for a worker, for the end of a pause before the next
 * attempt, or for another coordinator. Wide enough that the waiting do not hold up the others, and bounded, since a
 * thousand trials that wait for a worker need no thousand fibers.
 */
const window = 128

/** One experiment: tune, choose, compare. */
export const ExperimentWorkflow = Workflow.make("exp/experiment/1", {
  payload: { invocation: Schema.String },
  success: Schema.Void,
  idempotencyKey: ({ invocation }) => invocation,
})

const ExperimentLive = ExperimentWorkflow.toLayer(
  Effect.fnUntraced(function* ({ invocation }) {
    const coordinator = yield* CurrentCoordinator
    const { plan } = coordinator
    const carryOut = Effect.fnUntraced(function* (
      phase: "tune" | "compare",
      trials: readonly PlannedTrial[],
      stage: Stage = { from: 0 },
    ) {
      // Idempotent, and needed by this process whether or not an earlier one has done it: no activity.
      coordinator.register(phase, trials, stage)
      const done = coordinator.finished(trials, stage)
      const full = phase === "compare" && plan.search?.rule !== undefined ? { full: true } : {}
      const { arms: priority } = plan.policy.priority
      const inOrder = trials.toSorted((a, b) => (priority[b.arm] ?? 0) - (priority[a.arm] ?? 0))
      const open = [...new Set(inOrder.map((trial) => trial.id))].filter((id) => !done.has(id))
      yield* Effect.forEach(
        open,
        (trialId) =>
          Effect.map(TrialWorkflow.execute({ invocation, trialId, ...full }), (outcome) =>
            coordinator.adopt(trialId, outcome),
          ),
        { concurrency: window, discard: true },
      )
    })
    let selection: Points = {}
    if (plan.tuning.length > 0) {
      if (plan.search === undefined) yield* carryOut("tune", plan.tuning)
      else {
        // No round is journalled: it follows from the results of those before it, which runs.db holds.
        const earlier: PlannedTrial[] = []
        for (let round = 0; round < plan.search.rounds; round++) {
          const next = plan.search.round(round, earlier, (trialId) => coordinator.tuningResult(trialId))
          // A small space may be exhausted.
          if (next.trials.length === 0) break
          yield* carryOut("tune", next.trials, { from: earlier.length, round, judgements: next.judgements })
          earlier.push(...next.trials)
        }
      }
      // As text: a choice may hold absent scores, and any config value.
      const text = yield* Activity.make({
        name: "select",
        success: Schema.String,
        execute: Effect.sync(() => JSON.stringify(coordinator.select())),
      })
      const chosen = JSON.parse(text) as ReturnType<Coordinator["select"]>
      coordinator.announce(chosen.choices)
      selection = chosen.selection
    }
    yield* carryOut("compare", comparable(plan, selection))
  }),
)

export const layer = Layer.merge(TrialLive, ExperimentLive)
