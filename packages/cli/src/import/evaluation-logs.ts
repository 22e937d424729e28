/**
 * Readers of per-sample logs of two evaluation programs.
 *
 * lm-evaluation-harness (`--log_samples`): `<model>/samples_<task>_<date>.jsonl`, one JSON object a line with `doc_id`,
 * `doc`, the metrics by name and, since 0.4.3, `filter` and the list `metrics`. The directory names the model. Goals
 * are read from `results_<date>.json` (`higher_is_better`) beside it.
 *
 * HELM: `<suite>/<run spec>/per_instance_stats.json` (a list of instances with their statistics), beside
 * `run_spec.json` (model) and `instances.json` (texts).
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import type { ImportedResult } from "@exp/store"
import { UsageError } from "../report-error.ts"
import { readLines } from "./lines.ts"
import type { Numbered, OnProblem, Rows } from "./rows.ts"

type Json = Readonly<Record<string, unknown>>

const isRecord = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"))
  } catch (problem) {
    throw new UsageError(`${path} is not JSON: ${problem instanceof Error ? problem.message : String(problem)}`)
  }
}

const harnessFile = /^samples_(.+?)(?:_\d{4}-\d\d-\d\dT[\d.:-]+)?\.jsonl$/
const longestText = 4000

/** Whether a file is a per-sample log of lm-evaluation-harness or of HELM, by its name. */
export function evaluationLog(path: string): "lm-eval" | "helm" | undefined {
  const file = basename(path)
  if (harnessFile.test(file)) return "lm-eval"
  if (file === "per_instance_stats.json") return "helm"
  return undefined
}

/** Per-sample logs below a directory, in order of their paths. */
export function findEvaluationLogs(directory: string): string[] {
  const found: string[] = []
  const walk = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const inside = join(path, entry.name)
      if (entry.isDirectory()) walk(inside)
      else if (evaluationLog(inside) !== undefined) found.push(inside)
    }
  }
  walk(directory)
  return found.sort()
}

// Fields of a harness log line that are not metrics, for logs without the list of metrics.
const harnessFields = new Set([
  "doc_id",
  "doc",
  "target",
  "arguments",
  "resps",
  "filtered_resps",
  "filter",
  "metrics",
  "doc_hash",
  "prompt_hash",
  "target_hash",
])

/** Goals that the harness wrote beside its logs: metric name to goal. */
export function harnessGoals(path: string): ReadonlyMap<string, "max" | "min"> {
  const goals = new Map<string, "max" | "min">()
  const folder = dirname(path)
  const files = readdirSync(folder)
    .filter((name) => /^results.*\.json$/.test(name))
    .sort()
  for (const file of files) {
    const content = readJson(join(folder, file))
    if (!isRecord(content) || !isRecord(content["higher_is_better"])) continue
    for (const metrics of Object.values(content["higher_is_better"])) {
      if (!isRecord(metrics)) continue
      for (const [metric, higher] of Object.entries(metrics))
        if (typeof higher === "boolean") goals.set(metric, higher ? "max" : "min")
    }
  }
  return goals
}

/** The text of a harness document: its question, or what the model was asked. */
function harnessText(record: Json): string | undefined {
  const doc = record["doc"]
  if (isRecord(doc)) {
    for (const field of [
      "question",
      "query",
      "text",
      "prompt",
      "problem",
      "input",
      "ctx",
      "sentence",
      "passage",
      "goal",
    ]) {
      if (typeof doc[field] === "string" && doc[field] !== "") return doc[field].slice(0, longestText)
    }
  }
  // arguments: a list of argument lists, or an object gen_args_0: { arg_0: … }.
  const given = record["arguments"]
  const first = Array.isArray(given) ? given[0] : isRecord(given) ? given["gen_args_0"] : undefined
  const asked = Array.isArray(first) ? first[0] : isRecord(first) ? first["arg_0"] : undefined
  return typeof asked === "string" ? asked.slice(0, longestText) : undefined
}

/** One per-sample log of lm-evaluation-harness. A filter other than `none` becomes part of the metric: `exact_match,strict-match`. */
export function readHarnessLog(path: string, onProblem: OnProblem): Rows {
  const dataset = harnessFile.exec(basename(path))![1]!
  // Names of local models are paths with / replaced by __; the first __ of a hub name was a slash.
  const competitor = basename(dirname(path)).replace("__", "/")
  function* rows(): Generator<Numbered<ImportedResult>[]> {
    let batch: Numbered<ImportedResult>[] = []
    for (const { text: line, number } of readLines(path)) {
      if (line.trim() === "") continue
      let record: unknown
      try {
        record = JSON.parse(line)
      } catch {
        onProblem({ line: number, problem: "the line is not JSON" })
        continue
      }
      if (!isRecord(record) || (typeof record["doc_id"] !== "number" && typeof record["doc_id"] !== "string")) {
        onProblem({ line: number, problem: "the line has no doc_id" })
        continue
      }
      const listed = record["metrics"]
      const names = Array.isArray(listed)
        ? listed.filter((name): name is string => typeof name === "string")
        : Object.keys(record).filter((name) => !harnessFields.has(name))
      const filter = record["filter"]
      const suffix = typeof filter === "string" && filter !== "none" ? `,${filter}` : ""
      const text = harnessText(record)
      let scalars = 0
      for (const name of names) {
        // Corpus-level metrics log lists to be aggregated; they are no measurement of one sample.
        const value = typeof record[name] === "boolean" ? Number(record[name]) : record[name]
        if (typeof value !== "number") continue
        scalars++
        if (Number.isNaN(value)) {
          onProblem({ line: number, problem: `${name}: NaN is not a measurement` })
          continue
        }
        batch.push({
          line: number,
          row: {
            competitor,
            dataset,
            sample: String(record["doc_id"]),
            metric: name + suffix,
            value,
            ...(text === undefined ? {} : { text }),
          },
        })
      }
      if (scalars === 0) onProblem({ line: number, problem: "no metric of the line is a single number" })
      if (batch.length >= 10_000) {
        yield batch
        batch = []
      }
    }
    if (batch.length > 0) yield batch
  }
  return { kind: "results", rows: rows() }
}

// Statistics that HELM records beside metrics: costs, lengths, book-keeping.
const helmBookkeeping =
  /^(num_|inference_|batch_size|prompt_|training_|estimated_|finish_reason|max_prob|predicted_index|logprob|perplexity_|bits_per_byte_|request_|denoised_)/

/** One HELM run. Perturbed instances are left out; of several training trials each is a sample of its own. */
export function readHelmRun(path: string, onProblem: OnProblem): Rows {
  const folder = dirname(path)
  const stats = readJson(path)
  if (!Array.isArray(stats))
    throw new UsageError(`${path} is not a list of instances, as HELM's per_instance_stats.json is.`)
  const specPath = join(folder, "run_spec.json")
  const spec = existsSync(specPath) && statSync(specPath).isFile() ? readJson(specPath) : undefined
  const specName = isRecord(spec) && typeof spec["name"] === "string" ? spec["name"] : basename(folder)
  const adapter = isRecord(spec) && isRecord(spec["adapter_spec"]) ? spec["adapter_spec"] : undefined
  const fromName = /(?:^|[:,])model=([^,]+)/.exec(specName)?.[1]
  const competitor = typeof adapter?.["model"] === "string" ? adapter["model"] : fromName?.replace("_", "/")
  if (competitor === undefined)
    throw new UsageError(`${path}: neither run_spec.json nor the directory's name says which model was run.`)
  const dataset = specName.replace(/([:,])model=[^,]+,?/, "$1").replace(/[:,]$/, "")
  const instancesPath = join(folder, "instances.json")
  const texts = new Map<string, string>()
  if (existsSync(instancesPath)) {
    const instances = readJson(instancesPath)
    if (Array.isArray(instances)) {
      for (const instance of instances) {
        if (!isRecord(instance) || isRecord(instance["perturbation"])) continue
        const input = instance["input"]
        const text = isRecord(input) ? input["text"] : input
        if (typeof instance["id"] === "string" && typeof text === "string")
          texts.set(instance["id"], text.slice(0, longestText))
      }
    }
  }
  function* rows(): Generator<Numbered<ImportedResult>[]> {
    const batch: Numbered<ImportedResult>[] = []
    for (const [index, instance] of (stats as unknown[]).entries()) {
      const line = index + 1
      if (!isRecord(instance) || typeof instance["instance_id"] !== "string" || !Array.isArray(instance["stats"])) {
        onProblem({ line, problem: "the entry has no instance_id or no stats" })
        continue
      }
      if (isRecord(instance["perturbation"])) continue
      const trial = typeof instance["train_trial_index"] === "number" ? instance["train_trial_index"] : 0
      const id = instance["instance_id"]
      const text = texts.get(id)
      for (const stat of instance["stats"]) {
        if (!isRecord(stat) || !isRecord(stat["name"]) || typeof stat["name"]["name"] !== "string") continue
        const metric = stat["name"]["name"]
        if (helmBookkeeping.test(metric) || isRecord(stat["name"]["perturbation"])) continue
        const value = typeof stat["mean"] === "number" ? stat["mean"] : stat["sum"]
        if (typeof value !== "number") {
          if (stat["count"] !== 0) onProblem({ line, problem: `${metric} of ${id} has no mean` })
          continue
        }
        const split = stat["name"]["split"]
        batch.push({
          line,
          row: {
            competitor: competitor!,
            dataset,
            sample: trial === 0 ? id : `${id}#${trial}`,
            metric,
            value,
            ...(typeof split === "string" ? { tags: { split } } : {}),
            ...(text === undefined ? {} : { text }),
          },
        })
      }
    }
    yield batch
  }
  return { kind: "results", rows: rows() }
}
