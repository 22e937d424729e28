export * from "./cost-model.ts"
export { KineticsLaw } from "./kinetics-law.ts"
export * from "./law-replay.ts"
