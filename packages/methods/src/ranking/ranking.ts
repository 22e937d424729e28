export { CommitteeUnderBias } from "./committee-under-bias.ts"
export { estimate, estimators, RankRecovery } from "./rank-recovery.ts"
export * from "./result-pools.ts"
