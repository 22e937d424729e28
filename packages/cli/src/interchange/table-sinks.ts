/** Tables as CSV, JSON lines or Parquet, written row by row. */
import { FileSink } from "./file-sink.ts"

/** What a column holds: `time` is ms since 1970. */
export interface TableColumn {
  readonly name: string
  readonly kind: "text" | "integer" | "number" | "time"
}

export type TableValue = string | number | null | undefined

/** Takes the rows of a table; values in the order of its columns. */
export interface TableSink {
  row(values: readonly TableValue[]): void
  close(): void
}

/** A number as CSV has it: every reader knows these spellings, and the shortest digits that give the same double back. */
const numberText = (x: number): string => String(x)

const csvCell = (value: TableValue, kind: TableColumn["kind"]): string => {
  if (value === null || value === undefined) return ""
  if (typeof value === "number") return kind === "time" ? new Date(value).toISOString() : numberText(value)
  return /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value
}

/** RFC 4180 with a header; NaN, Infinity and -Infinity by these words, times in ISO 8601. */
export function csvSink(path: string, columns: readonly TableColumn[]): TableSink {
  const sink = new FileSink(path)
  sink.text(`${columns.map(({ name }) => csvCell(name, "text")).join(",")}\n`)
  return {
    row: (values) => sink.text(`${columns.map(({ kind }, c) => csvCell(values[c], kind)).join(",")}\n`),
    close: () => sink.close(),
  }
}

/** An object a line; NaN and infinities as text, like everywhere under --json; times in ISO 8601. */
export function jsonLinesSink(path: string, columns: readonly TableColumn[]): TableSink {
  const sink = new FileSink(path)
  const plain = (value: TableValue, kind: TableColumn["kind"]) =>
    typeof value !== "number"
      ? (value ?? null)
      : kind === "time"
        ? new Date(value).toISOString()
        : Number.isFinite(value)
          ? value
          : String(value)
  return {
    row: (values) =>
      sink.text(
        `${JSON.stringify(Object.fromEntries(columns.map(({ name, kind }, c) => [name, plain(values[c], kind)])))}\n`,
      ),
    close: () => sink.close(),
  }
}

const groupRows = 50_000

/** Parquet in groups of 50,000 rows, which is what is held in memory. */
export async function parquetSink(path: string, columns: readonly TableColumn[]): Promise<TableSink> {
  const { fileWriter, ParquetWriter, schemaFromColumnData } = await import("hyparquet-writer")
  const types = { text: "STRING", integer: "INT64", number: "DOUBLE", time: "TIMESTAMP" } as const
  const held: (string | number | bigint | Date | null)[][] = columns.map(() => [])
  const source = () =>
    columns.map(({ name, kind }, c) => ({ name, type: types[kind], nullable: true, data: held[c] as unknown[] }))
  const writer = new ParquetWriter({
    writer: fileWriter(path),
    schema: schemaFromColumnData({ columnData: source() }),
    createdBy: "exp",
  })
  const flush = () => {
    if (held[0]!.length === 0) return
    void writer.write({ columnData: source(), rowGroupSize: groupRows })
    for (const column of held) column.length = 0
  }
  return {
    row: (values) => {
      for (let c = 0; c < columns.length; c++) {
        const value = values[c] ?? null
        const kind = columns[c]!.kind
        held[c]!.push(
          typeof value !== "number"
            ? value
            : kind === "integer"
              ? BigInt(value)
              : kind === "time"
                ? new Date(value)
                : value,
        )
      }
      if (held[0]!.length === groupRows) flush()
    },
    close: () => {
      flush()
      void writer.finish()
    },
  }
}
