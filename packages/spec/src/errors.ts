import * as Data from "effect/Data"
import type { Metrics } from "./metric.ts"
import { nearest } from "./nearest.ts"

/** One mistake in a declaration. */
export interface SpecIssue {
  /** Where: `base.epochs`, `arms.snella.tuner.rank`, `tune.by`, `--set model`. */
  readonly path: string
  /** What would be right there. */
  readonly expected: string
  /** What is there, printed. */
  readonly got: string
  /** The valid name that was probably meant. */
  readonly nearest?: string
}

/** One issue as one line: where, expected, got, and the name that was probably meant. */
export function formatIssue(issue: SpecIssue): string {
  const meant = issue.nearest === undefined ? "" : `; did you mean ${JSON.stringify(issue.nearest)}?`
  return `${issue.path}: expected ${issue.expected}, got ${issue.got}${meant}`
}

/**
 * A declaration that cannot be planned. It lists every mistake that was found, not the first one. A spec error is
 * never retried: the file has to change.
 */
export class SpecError extends Data.TaggedError("SpecError")<{
  readonly experiment: string
  readonly issues: ReadonlyArray<SpecIssue>
}> {
  override get message(): string {
    const count = this.issues.length
    const head = `${this.experiment || "the experiment"} has ${count === 1 ? "a mistake" : `${count} mistakes`}:`
    return [head, ...this.issues.map((issue) => `  ${formatIssue(issue)}`)].join("\n")
  }
}

/** A value was logged under a name that the task does not declare. */
export class UndeclaredMetric extends Data.TaggedError("UndeclaredMetric")<{
  readonly task: string
  readonly metric: string
  readonly declared: ReadonlyArray<string>
}> {
  static of(task: string, metrics: Metrics, metric: string): UndeclaredMetric {
    return new UndeclaredMetric({ task, metric, declared: Object.keys(metrics) })
  }
  override get message(): string {
    const meant = nearest(this.metric, this.declared)
    return (
      `task ${JSON.stringify(this.task)} declares no metric ${JSON.stringify(this.metric)}` +
      (meant === undefined ? "" : `; did you mean ${JSON.stringify(meant)}?`) +
      ` Declared: ${this.declared.join(", ") || "none"}. Add it to the metrics of the task, or log it under a declared name.`
    )
  }
}

/** A value that has no canonical JSON form: NaN, an infinity, a function, a Date, a cycle, … */
export class NotJson extends Data.TaggedError("NotJson")<{
  /** Dotted path inside the value; empty for the value itself. */
  readonly path: string
  /** What is there, printed. */
  readonly got: string
}> {
  override get message(): string {
    return `${this.path === "" ? "the value" : this.path} is ${this.got}, which JSON cannot hold; identity needs plain finite numbers, strings, booleans, null, arrays and objects`
  }
}

/** A value printed for a message: short, on one line, strings quoted. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing"
  if (typeof value === "bigint") return `${value}n`
  if (typeof value === "number" || typeof value === "boolean" || value === null) return String(value)
  if (typeof value === "function") return `a function${value.name ? ` ${value.name}` : ""}`
  if (typeof value === "symbol") return value.toString()
  if (typeof value === "object" && !Array.isArray(value)) {
    const prototype = Object.getPrototypeOf(value)
    if (prototype !== null && prototype !== Object.prototype) {
      const name: unknown = prototype.constructor?.name
      if (typeof name === "string" && !("_tag" in value)) return `a ${name}`
    }
  }
  let text: string
  try {
    text = JSON.stringify(value) ?? typeof value
  } catch {
    return "an object that refers to itself"
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
