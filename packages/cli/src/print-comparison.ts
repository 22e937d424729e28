import { byPoint, type Comparison, type ComparisonSummary, summarise } from "./comparison-table.ts"
import { bytes, duration, inUnit, number, whole } from "./numbers.ts"
import { type Column, textTable } from "./table.ts"
import { plainText, style, terminalWidth } from "./terminal.ts"

/** p values as people read them. */
const probability = (p: number): string => (p < 0.001 ? "<0.001" : p.toFixed(3))

/** Prints a comparison: one table for each point of the sweep, each with what it supports. */
export function printComparisons(comparison: Comparison, stream: NodeJS.WriteStream): void {
  for (const part of byPoint(comparison)) {
    if (part.point !== "") stream.write(`${style("bold", plainText(part.point), stream)}\n\n`)
    printComparison(summarise(part), stream)
    if (part.point !== "") stream.write("\n")
  }
}

/** The table of a comparison: a row for each condition. */
export function comparisonRows(summary: ComparisonSummary): {
  readonly columns: readonly Column[]
  readonly rows: readonly (readonly string[])[]
} {
  const { conditions, metric, unit, baseline } = summary
  const has = (of: (row: (typeof conditions)[number]) => number) => conditions.some((row) => Number.isFinite(of(row)))
  const costs = has((row) => row.trainable)
  const state = has((row) => row.stateBytes)
  const columns: Column[] = [
    { title: "arm" },
    { title: metric, align: "right" },
    { title: "95% interval", align: "right" },
    { title: "n", align: "right" },
    ...(costs ? [{ title: "trainable", align: "right" } as const] : []),
    ...(state ? [{ title: "state", align: "right" } as const] : []),
    { title: "time", align: "right" },
    { title: `− ${baseline}`, align: "right" },
    { title: "95% interval", align: "right" },
    { title: "p (Holm)", align: "right" },
  ]
  const rows = conditions.map((row) => {
    const some = row.value.n > 0
    const spread = row.value.n > 1
    return [
      row.label,
      some ? inUnit(row.value.mean, unit) : "–",
      spread ? `${number(row.value.low)} … ${number(row.value.high)}` : "–",
      row.missing > 0 ? `${row.value.n} of ${row.value.n + row.missing}` : String(row.value.n),
      ...(costs ? [Number.isFinite(row.trainable) ? whole(row.trainable) : "–"] : []),
      ...(state ? [Number.isFinite(row.stateBytes) ? bytes(row.stateBytes) : "–"] : []),
      Number.isFinite(row.milliseconds) ? duration(row.milliseconds) : "–",
      row.paired === undefined ? "" : signed(row.paired.difference),
      row.paired === undefined ? "" : `${signed(row.paired.low)} … ${signed(row.paired.high)}`,
      row.corrected === undefined ? "" : probability(row.corrected),
    ]
  })
  return { columns, rows }
}

/** What a reader of the table has to know besides: differences without a spread, results of other code. */
export function comparisonNotes({ conditions, baseline }: ComparisonSummary): readonly string[] {
  const notes: string[] = []
  const same = conditions.filter((row) => row.paired?.identical === true && row.paired.difference !== 0)
  if (same.length > 0) {
    const names = same.map((row) => row.label).join(", ")
    notes.push(
      `The difference to ${baseline} is the same in every seed for ${names}: without a spread only its sign is tested.`,
    )
  }
  const stale = conditions.reduce((sum, row) => sum + row.stale, 0)
  if (stale > 0) {
    notes.push(
      `${stale} results were made by other code than today's and may differ now: \`--stale rerun\` runs them again.`,
    )
  }
  return notes
}

/** Prints the table of a comparison, and what it supports. */
export function printComparison(summary: ComparisonSummary, stream: NodeJS.WriteStream): void {
  const { columns, rows } = comparisonRows(summary)
  stream.write(`${textTable(columns, rows, terminalWidth(stream))}\n\n${plainText(summary.verdict)}\n`)
  for (const note of comparisonNotes(summary)) stream.write(`${plainText(note)}\n`)
}

const signed = (x: number): string => `${x > 0 ? "+" : ""}${number(x)}`
