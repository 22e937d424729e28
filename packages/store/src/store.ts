export type { ArtifactInfo } from "./artifacts.ts"
export type { Checkpoint } from "./checkpoints.ts"
export type { Connection, SqlValue, Statement } from "./connection.ts"
export * from "./errors.ts"
export type {
  ExperimentRegistration,
  ExperimentRow,
  Membership,
  Progress,
  SelectionRegistration,
  TrialRegistration,
} from "./experiments.ts"
export type { LogLevel, LogLine } from "./logs.ts"
export type { MetricDeclaration } from "./metric-names.ts"
export type { MetricWriter } from "./metric-writer.ts"
export type { MetricSummary, SeriesColumn, SeriesRange } from "./metrics.ts"
export { openStore, type SqlResult, Store, type StoreOptions } from "./open-store.ts"
export type { ArmSummary, FinalValue, RunFilter, RunListItem } from "./queries.ts"
export type { Run, RunStart, TransitionOptions } from "./runs.ts"
export type { ImportedResult, ImportedVote, ResultMatrix, Sample, SampleFilter, SampleTags } from "./samples.ts"
export type { StageBegin, StageClaim, StageRow } from "./stages.ts"
export { canTransition, isFinal, isLive, type RunState, runStates, type StageState, sourcesOf } from "./states.ts"
export type { Taggable } from "./tags.ts"
export { BadFilter, type Comparison, parseWhere, type WhereTerm } from "./where.ts"
