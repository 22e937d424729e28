import type { ImportedResult, ImportedVote, SampleTags } from "@exp/store"

/** Something wrong with one row. `line` counts from 1: lines of a text file, rows of a Parquet file or list. */
export interface RowProblem {
  readonly line: number
  readonly problem: string
}

/** Told of every bad row; the row is left out. */
export type OnProblem = (problem: RowProblem) => void

/** The rows of one file. Results and votes do not mix in a file. */
export type Rows =
  | {
      readonly kind: "results"
      readonly rows: Iterable<readonly Numbered<ImportedResult>[]> | AsyncIterable<readonly Numbered<ImportedResult>[]>
    }
  | {
      readonly kind: "votes"
      readonly rows: Iterable<readonly Numbered<ImportedVote>[]> | AsyncIterable<readonly Numbered<ImportedVote>[]>
    }

export interface Numbered<Row> {
  readonly line: number
  readonly row: Row
}

export const defaultDataset = "default"

/**
 * Checks the raw fields of a result. Missing values are empty text, null or undefined.
 * @returns the result, or what is wrong with it
 */
export function checkResult(raw: Readonly<Record<string, unknown>>): ImportedResult | string {
  const competitor = name(raw["competitor"])
  if (competitor === undefined) return "the competitor is missing"
  const sample = name(raw["sample"])
  if (sample === undefined) return "the sample is missing"
  const metric = name(raw["metric"])
  if (metric === undefined) return "the metric is missing"
  const value = measured(raw["value"])
  if (typeof value === "string") return value
  const tags = readTags(raw["tags"])
  if (typeof tags === "string") return tags
  const text = raw["text"]
  return {
    competitor,
    sample,
    metric,
    value,
    dataset: name(raw["dataset"]) ?? defaultDataset,
    ...(tags === undefined ? {} : { tags }),
    ...(typeof text === "string" && text !== "" ? { text } : {}),
  }
}

/** Checks the raw fields of a vote. */
export function checkVote(raw: Readonly<Record<string, unknown>>): ImportedVote | string {
  const left = name(raw["left"])
  const right = name(raw["right"])
  if (left === undefined || right === undefined) return "a side of the vote is missing"
  if (left === right) return `${JSON.stringify(left)} is compared with itself`
  const winner = raw["winner"]
  if (winner !== "left" && winner !== "right" && winner !== "tie") {
    return `the winner is left, right or tie, got ${show(winner)}`
  }
  const tags = readTags(raw["tags"])
  if (typeof tags === "string") return tags
  return { left, right, winner, ...(tags === undefined ? {} : { tags }) }
}

function name(value: unknown): string | undefined {
  if (typeof value === "string") return value.trim() === "" ? undefined : value.trim()
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value)
  return undefined
}

const show = (value: unknown): string =>
  value === undefined || value === "" ? "nothing" : (JSON.stringify(value) ?? String(value))

/** A measured number; infinities are ordered like numbers, NaN is no measurement. */
export function measured(value: unknown): number | string {
  if (typeof value === "number") return Number.isNaN(value) ? "NaN is not a measurement: leave the row out" : value
  if (typeof value === "bigint") return Number(value)
  if (typeof value === "boolean") return value ? 1 : 0
  if (value === null || value === undefined) return "the value is missing"
  if (typeof value !== "string") return `the value is a number, got ${show(value)}`
  const text = value.trim()
  if (text === "") return "the value is missing"
  const number = Number(text)
  if (!Number.isNaN(number)) return number
  if (/^nan$/i.test(text)) return "NaN is not a measurement: leave the row out"
  if (/^true$/i.test(text)) return 1
  if (/^false$/i.test(text)) return 0
  const infinity = /^([+-]?)inf(inity)?$/i.exec(text)
  if (infinity !== null) return infinity[1] === "-" ? -Infinity : Infinity
  return `the value is a number, got ${JSON.stringify(text)}`
}

let lastText = ""
let lastTags: SampleTags | undefined

/** Tags from `key=value;key=value` or from an object of plain values. */
export function readTags(value: unknown): SampleTags | string | undefined {
  if (value === undefined || value === null || value === "") return undefined
  if (typeof value === "object") {
    for (const [tag, plain] of Object.entries(value)) {
      if (typeof plain !== "string" && typeof plain !== "number" && typeof plain !== "boolean") {
        return `the tag ${JSON.stringify(tag)} is a text, number or truth value, got ${show(plain)}`
      }
    }
    return value as SampleTags
  }
  if (typeof value !== "string") return `tags are key=value;key=value, got ${show(value)}`
  // Rows of one sample usually follow each other with the same tags.
  if (value === lastText) return lastTags
  const tags: Record<string, string | number> = {}
  for (const part of value.split(";")) {
    if (part.trim() === "") continue
    const at = part.indexOf("=")
    if (at < 1) return `tags are key=value;key=value, got ${JSON.stringify(part)}`
    const content = part.slice(at + 1).trim()
    const number = Number(content)
    tags[part.slice(0, at).trim()] =
      content !== "" && !Number.isNaN(number) && String(number) === content ? number : content
  }
  lastText = value
  lastTags = tags
  return tags
}
