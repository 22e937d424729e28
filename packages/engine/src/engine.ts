export * from "./errors.ts"
export type * from "./events.ts"
export type * from "./options.ts"
export { runExperiment } from "./run.ts"
