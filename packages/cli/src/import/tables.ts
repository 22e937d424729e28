/** Readers of tables: CSV, JSON lines, Parquet. */

import type { ImportedResult, ImportedVote } from "@exp/store"
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from "hyparquet"
import { UsageError } from "../report-error.ts"
import { readLines } from "./lines.ts"
import { checkResult, checkVote, type Numbered, type OnProblem, type Rows } from "./rows.ts"

const batch = 1000
const resultColumns = ["competitor", "sample", "metric", "value"]
const voteColumns = ["left", "right", "winner"]

/** Splits one CSV record (RFC 4180: fields may be quoted, quotes inside are doubled). */
export function splitCsv(text: string): string[] {
  if (!text.includes('"')) return text.split(",")
  const fields: string[] = []
  let at = 0
  for (;;) {
    if (text[at] === '"') {
      let field = ""
      at++
      for (;;) {
        const end = text.indexOf('"', at)
        if (end === -1) {
          field += text.slice(at)
          at = text.length
          break
        }
        field += text.slice(at, end)
        at = end + 1
        if (text[at] !== '"') break
        field += '"'
        at++
      }
      const comma = text.indexOf(",", at)
      fields.push(field + text.slice(at, comma === -1 ? undefined : comma))
      if (comma === -1) return fields
      at = comma + 1
    } else {
      const comma = text.indexOf(",", at)
      fields.push(text.slice(at, comma === -1 ? undefined : comma))
      if (comma === -1) return fields
      at = comma + 1
    }
  }
}

/** Whether the columns are those of results or of votes; a {@link UsageError} says what is missing. */
function kindOf(columns: readonly string[], path: string): "results" | "votes" {
  if (voteColumns.every((column) => columns.includes(column))) return "votes"
  if (resultColumns.every((column) => columns.includes(column))) return "results"
  throw new UsageError(
    `${path}: cannot tell what the columns mean (${columns.slice(0, 12).join(", ") || "none"}). Results have ` +
      `${resultColumns.join(",")} and optionally dataset, tags, text; votes have ${voteColumns.join(",")}.`,
  )
}

function* checked<Row>(
  records: Iterable<Numbered<Readonly<Record<string, unknown>> | string>>,
  check: (raw: Readonly<Record<string, unknown>>) => Row | string,
  onProblem: OnProblem,
): Generator<Numbered<Row>[]> {
  let rows: Numbered<Row>[] = []
  for (const { line, row } of records) {
    const result = typeof row === "string" ? row : check(row)
    if (typeof result === "string") onProblem({ line, problem: result })
    else if (rows.push({ line, row: result }) === batch) {
      yield rows
      rows = []
    }
  }
  if (rows.length > 0) yield rows
}

function rowsOf(
  kind: "results" | "votes",
  records: Iterable<Numbered<Readonly<Record<string, unknown>> | string>>,
  onProblem: OnProblem,
): Rows {
  return kind === "votes"
    ? { kind, rows: checked<ImportedVote>(records, checkVote, onProblem) }
    : { kind, rows: checked<ImportedResult>(records, checkResult, onProblem) }
}

/** A CSV file with a header. */
export function readCsv(path: string, onProblem: OnProblem): Rows {
  const lines = readLines(path, { quoted: true })
  const header = lines.next()
  if (header.done === true)
    throw new UsageError(`${path} is empty: a header such as ${resultColumns.join(",")} is needed.`)
  const columns = splitCsv(header.value.text).map((column) => column.trim().toLowerCase())
  const kind = kindOf(columns, path)
  function* records(): Generator<Numbered<Readonly<Record<string, unknown>> | string>> {
    for (const { text, number } of lines) {
      if (text === "") continue
      const fields = splitCsv(text)
      if (fields.length > columns.length || fields.length < columns.length) {
        // Optional columns at the end may be left off, required ones are reported by name by the check.
        if (fields.length > columns.length) {
          yield { line: number, row: `${fields.length} fields, but the header has ${columns.length}` }
          continue
        }
      }
      const raw: Record<string, string> = {}
      for (let c = 0; c < fields.length; c++) raw[columns[c]!] = fields[c]!
      yield { line: number, row: raw }
    }
  }
  return rowsOf(kind, records(), onProblem)
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

function parseObject(text: string): Readonly<Record<string, unknown>> | string {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : "the line is not a JSON object"
  } catch (problem) {
    return `the line is not JSON: ${problem instanceof Error ? problem.message : String(problem)}`
  }
}

/** One JSON object a line, with the fields that the CSV columns have; `tags` may be an object. */
export function readJsonLines(path: string, onProblem: OnProblem): Rows {
  let columns: readonly string[] | undefined
  for (const { text } of readLines(path)) {
    const value = parseObject(text)
    if (typeof value === "string") continue
    columns = Object.keys(value)
    break
  }
  if (columns === undefined) throw new UsageError(`${path} holds no JSON object: one a line is needed.`)
  function* records(): Generator<Numbered<Readonly<Record<string, unknown>> | string>> {
    for (const { text, number } of readLines(path)) {
      if (text.trim() !== "") yield { line: number, row: parseObject(text) }
    }
  }
  return rowsOf(kindOf(columns, path), records(), onProblem)
}

/** A Parquet file with the columns of the CSV form, read a slice of rows at a time. */
export async function readParquet(path: string, onProblem: OnProblem): Promise<Rows> {
  const file = await asyncBufferFromFile(path)
  const { compressors } = await import("hyparquet-compressors")
  const metadata = await parquetMetadataAsync(file)
  const columns = metadata.schema.slice(1).map((column) => column.name)
  const kind = kindOf(columns, path)
  const wanted = [...(kind === "votes" ? voteColumns : resultColumns), "dataset", "tags", "text"].filter((column) =>
    columns.includes(column),
  )
  const total = Number(metadata.num_rows)
  async function* pieces<Row>(
    check: (raw: Readonly<Record<string, unknown>>) => Row | string,
  ): AsyncGenerator<Numbered<Row>[]> {
    // Whole row groups are decoded at once: follow their borders, so that none is decoded twice.
    let from = 0
    for (const group of metadata.row_groups) {
      const end = Math.min(total, from + Number(group.num_rows))
      const rows = await parquetReadObjects({
        file,
        metadata,
        compressors,
        columns: wanted,
        rowStart: from,
        rowEnd: end,
      })
      const first = from
      yield* checked(
        rows.map((row, k) => ({ line: first + k + 1, row: row as Readonly<Record<string, unknown>> })),
        check,
        onProblem,
      )
      from = end
    }
  }
  return kind === "votes" ? { kind, rows: pieces(checkVote) } : { kind, rows: pieces(checkResult) }
}
