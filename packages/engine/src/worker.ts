/** Entry of a worker process. The way of resolving has to stand before anything else is imported. */
import "./quick-resolution.ts"

await import("./serve-trials.ts")
