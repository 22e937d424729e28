export { asha, medianRule, type Search, type StoppingRule, type Tpe, tpe } from "./adaptive.ts"
export * from "./check.ts"
export { formatIssue, NotJson, SpecError, type SpecIssue, UndeclaredMetric } from "./errors.ts"
export type { Point } from "./expand.ts"
export type { ArmSpaces, Policy, ProfileInput, Resources, TuneInput } from "./experiment.ts"
export { Experiment } from "./experiment.ts"
export { type ConfigField, describeConfig } from "./fields.ts"
export * from "./identity.ts"
export { declaredMetric, Metric, type MetricName, type Metrics } from "./metric.ts"
export { nearest } from "./nearest.ts"
export { parseAssignments, parseValue } from "./overrides.ts"
export * from "./plan.ts"
export { type Goal, type Observation, ranked } from "./search/observation.ts"
export { Judge, misses, ruleName, stands, stopMessage } from "./search/stopping.ts"
export type { Curve, EarlyStop, Judgement, Outcome, Round, SearchPlan, TuningResult } from "./search-plan.ts"
export { describeSearch } from "./search-plan.ts"
export { type Axis, byArm, choice, logUniform, range, uniform, when } from "./space.ts"
export { Stage, type StageContext } from "./stage.ts"
export {
  type AnyTask,
  type ConfigSchema,
  type NeededStage,
  type StepTensor,
  Task,
  type TaskOutlook,
  type TaskStep,
  type TrialContext,
  type TrialLogger,
  type TrialNeeds,
} from "./task.ts"
