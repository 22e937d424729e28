export * from "./comparison.ts"
