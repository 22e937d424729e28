import { searchFlaws, stopFlaws } from "./adaptive.ts"
import type { SpecIssue } from "./errors.ts"
import { show } from "./errors.ts"
import { Experiment } from "./experiment.ts"
import { isFields } from "./merge.ts"
import { declaredMetric } from "./metric.ts"
import { nearest } from "./nearest.ts"
import type { PlanOptions } from "./plan.ts"
import { Task } from "./task.ts"

/** More seeds than anyone means to run. */
export const mostSeeds = 10_000

const experimentName = /^[a-z0-9]+([._-][a-z0-9]+)*$/
const armName = /^[A-Za-z0-9][A-Za-z0-9._+@-]*$/
const metricName = /^[a-z0-9_]+([/.-][a-z0-9_]+)*(\/\*)?$/

const known = [
  "name", "question", "task", "base", "arms", "sweep", "tune", "seeds", "compare", "baseline", "profiles", "retry",
  "timeout", "onFailure", "device", "resources", "priority",
] // biome-ignore format: a list of words
const knownTune = ["over", "by", "with", "seeds", "budget", "search", "stop", "parallel"]
const knownProfile = ["base", "arms", "seeds", "sweep", "tune", "timeout", "retry"]

const list = (names: Iterable<string>) => [...names].map((name) => JSON.stringify(name)).join(", ") || "none"

/** The issue of a name that is none of those known. */
export function unknownName(path: string, what: string, name: unknown, names: ReadonlyArray<string>): SpecIssue {
  const meant = typeof name === "string" ? nearest(name, names) : undefined
  return {
    path,
    expected: `${what}: ${list(names)}`,
    got: show(name),
    ...(meant === undefined ? {} : { nearest: meant }),
  }
}

/** Seconds of a time limit: a number, or text such as `90s`, `20m`, `1.5h`. NaN when it is neither. */
export function parseTimeout(timeout: number | string | undefined): number | undefined {
  if (timeout === undefined || typeof timeout === "number") return timeout
  const parts = /^\s*(\d+(?:\.\d+)?)\s*(s|m|h|d)\s*$/.exec(timeout)
  return parts === null ? Number.NaN : Number(parts[1]) * { s: 1, m: 60, h: 3600, d: 86_400 }[parts[2] as "s"]
}

function seedIssue(path: string, seeds: unknown): SpecIssue | undefined {
  if (typeof seeds === "number")
    return Number.isSafeInteger(seeds) && seeds >= 1 && seeds <= mostSeeds
      ? undefined
      : { path, expected: `a whole number of seeds from 1 to ${mostSeeds}, or a list of seeds`, got: show(seeds) }
  if (!Array.isArray(seeds)) return { path, expected: "a number of seeds, or a list of seeds", got: show(seeds) }
  if (seeds.length === 0) return { path, expected: "at least one seed", got: "an empty list" }
  const bad = seeds.find((seed) => !Number.isSafeInteger(seed) || seed < 0)
  if (bad !== undefined) return { path, expected: "whole numbers from 0 as seeds", got: show(bad) }
  if (new Set(seeds).size < seeds.length) return { path, expected: "different seeds", got: show(seeds) }
  return undefined
}

/** What is wrong with a declaration apart from its configs: names, metrics, seeds, arms, profiles, options. */
export function declarationIssues(value: unknown, options: PlanOptions = {}): ReadonlyArray<SpecIssue> {
  if (!Experiment.is(value))
    return [{ path: "", expected: "an experiment made by Experiment.make(...)", got: describe(value) }]
  const issues: SpecIssue[] = []
  const add = (issue: SpecIssue | undefined) => {
    if (issue !== undefined) issues.push(issue)
  }
  // The compiler saw none of this when the file is JavaScript, or when types were cast away.
  const loose: Readonly<Record<string, unknown>> = { ...value }
  const { name, task, base, arms, sweep, tune, compare, profiles, baseline } = value
  if (typeof name !== "string" || !experimentName.test(name))
    add({
      path: "name",
      expected: 'lower-case words joined by dots, dashes or underscores, such as "snella.vit"',
      got: show(name),
    })
  for (const key of Object.keys(loose))
    if (!known.includes(key)) add(unknownName(key, "one of the parts of an experiment", key, known))

  if (!Task.is(task)) {
    add({ path: "task", expected: "a task made by Task.make(...)", got: describe(task) })
    return issues
  }
  if (typeof task.name !== "string" || !experimentName.test(task.name))
    add({
      path: "task.name",
      expected: 'lower-case words joined by dashes, such as "vision-transfer"',
      got: show(task.name),
    })
  if (!Number.isSafeInteger(task.version) || task.version < 0)
    add({ path: "task.version", expected: "a whole number", got: show(task.version) })
  if (!isFields(task.config) && typeof task.config !== "function") {
    add({ path: "task", expected: "a task whose config is a Schema", got: show(task.config) })
    return issues
  }
  if (typeof task.run !== "function") add({ path: "task.run", expected: "a function", got: show(task.run) })
  const metrics = isFields(task.metrics) ? task.metrics : {}
  if (Object.keys(metrics).length === 0)
    add({ path: "task.metrics", expected: "at least one metric", got: show(task.metrics) })
  for (const [metric, declared] of Object.entries(metrics)) {
    if (!metricName.test(metric))
      add({ path: `task.metrics.${metric}`, expected: "a name such as test/accuracy", got: show(metric) })
    if (declared?.goal !== "max" && declared?.goal !== "min")
      add({ path: `task.metrics.${metric}`, expected: "Metric.max(...) or Metric.min(...)", got: show(declared) })
  }
  const metric = (path: string, wanted: unknown) => {
    if (typeof wanted !== "string" || declaredMetric(metrics, wanted) === undefined)
      add(unknownName(path, "a metric that the task declares", wanted, Object.keys(metrics)))
  }

  if (!isFields(base)) add({ path: "base", expected: "an object with config fields", got: show(base) })
  const armNames = isFields(arms) ? Object.keys(arms) : []
  if (armNames.length === 0) add({ path: "arms", expected: "at least one named arm", got: show(arms) })
  for (const arm of armNames) {
    if (!armName.test(arm))
      add({ path: `arms.${arm}`, expected: "a name of letters, digits and . _ + @ -", got: show(arm) })
    if (!isFields(arms[arm])) {
      add({ path: "arms", expected: "an object with config fields for every arm", got: `${arm}: ${show(arms[arm])}` })
    }
  }
  const space = (path: string, axes: unknown) => {
    if (axes !== undefined && axes !== false && !isFields(axes))
      add({ path, expected: "a record from config paths to values", got: show(axes) })
  }
  space("sweep", sweep)

  const tuning = (path: string, part: unknown, whole: boolean) => {
    if (part === undefined || (part === false && !whole)) return
    if (!isFields(part)) {
      add({ path, expected: "{ over, by }", got: show(part) })
      return
    }
    for (const key of Object.keys(part))
      if (!knownTune.includes(key)) add(unknownName(`${path}.${key}`, "one of the parts of tune", key, knownTune))
    if (whole && !isFields(part["over"]))
      add({ path: `${path}.over`, expected: "a record from config paths to values", got: show(part["over"]) })
    else space(`${path}.over`, part["over"])
    if (whole || part["by"] !== undefined) {
      metric(`${path}.by`, part["by"])
      const compared = Array.isArray(compare) ? compare : [compare]
      if (compared.includes(part["by"] as string))
        add({
          path: `${path}.by`,
          expected: "a validation metric: tuning must not look at what is compared",
          got: show(part["by"]),
        })
    }
    if (part["with"] !== undefined && !isFields(part["with"]))
      add({ path: `${path}.with`, expected: "an object with config fields", got: show(part["with"]) })
    if (part["seeds"] !== undefined) add(seedIssue(`${path}.seeds`, part["seeds"]))
    const budget = part["budget"]
    if (budget !== undefined && !(Number.isSafeInteger(budget) && (budget as number) >= 1))
      add({ path: `${path}.budget`, expected: "a whole number of candidates, at least 1", got: show(budget) })
    const at = (name: string, field: string) => `${path}.${name}${field === "" ? "" : `.${field}`}`
    if (part["search"] !== undefined) {
      for (const { field, ...wrong } of searchFlaws(part["search"])) add({ path: at("search", field), ...wrong })
      if (budget !== undefined)
        add({ path: `${path}.budget`, expected: "either a search with its trials, or a budget", got: show(budget) })
    }
    if (part["stop"] !== undefined)
      for (const { field, ...wrong } of stopFlaws(part["stop"])) add({ path: at("stop", field), ...wrong })
    const parallel = part["parallel"]
    if (parallel !== undefined && !(Number.isSafeInteger(parallel) && (parallel as number) >= 1))
      add({ path: `${path}.parallel`, expected: "a whole number of candidates, at least 1", got: show(parallel) })
  }
  tuning("tune", tune, true)
  add(seedIssue("seeds", value.seeds))
  const compared: ReadonlyArray<unknown> = Array.isArray(compare) ? compare : [compare]
  if (compared.length === 0) add({ path: "compare", expected: "at least one metric", got: "an empty list" })
  for (const [i, wanted] of compared.entries()) metric(Array.isArray(compare) ? `compare.${i}` : "compare", wanted)
  if (baseline !== undefined && !armNames.includes(baseline))
    add(unknownName("baseline", "one of the arms", baseline, armNames))

  const policy = (path: string, part: Readonly<Record<string, unknown>>) => {
    const { retry, timeout } = part
    if (retry !== undefined && !(Number.isSafeInteger(retry) && (retry as number) >= 0 && (retry as number) <= 100))
      add({ path: `${path}retry`, expected: "a whole number from 0 to 100", got: show(retry) })
    if (timeout !== undefined && !((parseTimeout(timeout as number | string) ?? Number.NaN) > 0))
      add({
        path: `${path}timeout`,
        expected: 'seconds above 0, or text such as "90s", "20m", "2h"',
        got: show(timeout),
      })
  }
  policy("", loose)
  if (value.onFailure !== undefined && value.onFailure !== "continue" && value.onFailure !== "stop")
    add(unknownName("onFailure", "one of", value.onFailure, ["continue", "stop"]))
  if (value.device !== undefined && typeof value.device !== "string")
    add({ path: "device", expected: "the name of a device", got: show(value.device) })
  const perArm = (path: string, given: unknown, expected: string, fits: (n: number) => boolean) => {
    const right = (n: unknown) => typeof n === "number" && fits(n)
    if (given === undefined || right(given)) return
    if (!isFields(given)) return add({ path, expected: `${expected}, or a record from arm to it`, got: show(given) })
    for (const [arm, n] of Object.entries(given)) {
      if (!armNames.includes(arm)) add(unknownName(path, "one of the arms", arm, armNames))
      else if (!right(n)) add({ path: `${path}.${arm}`, expected, got: show(n) })
    }
  }
  perArm("priority", value.priority, "a finite number", Number.isFinite)
  if (value.resources !== undefined && !isFields(value.resources))
    add({ path: "resources", expected: "a record such as { device: 0.5 }", got: show(value.resources) })
  else if (isFields(value.resources)) {
    for (const name of Object.keys(value.resources))
      if (name !== "device") add(unknownName(`resources.${name}`, "one of the resources", name, ["device"]))
    const { device } = value.resources
    perArm("resources.device", device, "a share above 0, at most 1024", (n) => n > 0 && n <= 1024)
  }

  const profileNames = isFields(profiles) ? Object.keys(profiles) : []
  if (profiles !== undefined && !isFields(profiles))
    add({ path: "profiles", expected: "a record from name to profile", got: show(profiles) })
  for (const profile of profileNames) {
    const at = `profiles.${profile}`
    const part: unknown = profiles![profile]
    if (!armName.test(profile))
      add({ path: at, expected: "a name of letters, digits and . _ + @ -", got: show(profile) })
    if (!isFields(part)) {
      add({ path: at, expected: "an object", got: show(part) })
      continue
    }
    for (const key of Object.keys(part))
      if (!knownProfile.includes(key))
        add(unknownName(`${at}.${key}`, "one of the parts of a profile", key, knownProfile))
    if (part["base"] !== undefined && !isFields(part["base"]))
      add({ path: `${at}.base`, expected: "an object with config fields", got: show(part["base"]) })
    const some = part["arms"]
    if (some !== undefined) {
      const names = Array.isArray(some) ? some : isFields(some) ? Object.keys(some) : []
      if (names.length === 0) add({ path: `${at}.arms`, expected: "a list or a record of arms", got: show(some) })
      for (const arm of names)
        if (!armNames.includes(arm)) add(unknownName(`${at}.arms`, "one of the arms", arm, armNames))
      if (isFields(some)) {
        for (const [arm, change] of Object.entries(some))
          if (!isFields(change))
            add({ path: `${at}.arms.${arm}`, expected: "an object with config fields", got: show(change) })
      }
    }
    if (part["seeds"] !== undefined) add(seedIssue(`${at}.seeds`, part["seeds"]))
    space(`${at}.sweep`, part["sweep"])
    tuning(`${at}.tune`, part["tune"], false)
    policy(`${at}.`, part)
  }

  if (options.profile !== undefined && !profileNames.includes(options.profile)) {
    const path = options.profile === "quick" ? "--quick" : "--profile"
    add(unknownName(path, "one of the experiment's profiles", options.profile, profileNames))
  }
  if (options.arms !== undefined && options.arms.length === 0)
    add({ path: "--arm", expected: "at least one arm", got: "none" })
  for (const arm of options.arms ?? [])
    if (!armNames.includes(arm)) add(unknownName("--arm", "one of the arms", arm, armNames))
  if (options.seeds !== undefined) add(seedIssue("--seeds", options.seeds))
  return issues
}

/** What somebody exported instead of what was asked for. */
function describe(value: unknown): string {
  if (value === undefined) return "nothing"
  if (Task.is(value)) return `the task ${show(value.name)}`
  if (value instanceof Promise) return "a promise (await it before exporting)"
  if (isFields(value) && "task" in value && "arms" in value)
    return "a plain object that was not passed to Experiment.make"
  return show(value)
}
