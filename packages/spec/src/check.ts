import { SpecError, type SpecIssue } from "./errors.ts"
import { Experiment } from "./experiment.ts"
import { analyse, type PlanOptions } from "./plan.ts"

/**
 * Checks what a file exports, without running anything: that it is an experiment, that its names, metrics, seeds, arms
 * and configs are right, in the declaration itself and in every one of its profiles.
 *
 * @returns the experiment
 * @throws SpecError with all mistakes that were found
 */
export function checkExperiment(value: unknown, options: PlanOptions = {}): Experiment {
  const issues = experimentIssues(value, options)
  if (issues.length > 0) {
    const name = Experiment.is(value) && typeof value.name === "string" ? value.name : ""
    throw new SpecError({ experiment: name, issues })
  }
  return value as Experiment
}

/** As {@link checkExperiment}, giving the mistakes instead of throwing them; empty when there are none. */
export function experimentIssues(value: unknown, options: PlanOptions = {}): ReadonlyArray<SpecIssue> {
  const experiment = value as Experiment
  const found = new Map<string, SpecIssue>()
  const collect = (issues: ReadonlyArray<SpecIssue>) => {
    for (const issue of issues) {
      const key = `${issue.path}\n${issue.expected}\n${issue.got}`
      if (!found.has(key)) found.set(key, issue)
    }
  }
  collect(analyse(experiment, options).issues)
  // A profile is part of the declaration: it has to plan as well. What the declaration itself gets wrong is said once.
  if (found.size === 0 && options.profile === undefined) {
    for (const profile of Object.keys(experiment.profiles ?? {}))
      collect(analyse(experiment, { ...options, profile }).issues)
  }
  return [...found.values()]
}
