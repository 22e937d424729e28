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

/** Prints the table of a comparison, and what it supports. */
export function printComparison(summary: ComparisonSummary, stream: NodeJS.WriteStream): void {
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
  stream.write(`${textTable(columns, rows, terminalWidth(stream))}\n\n${plainText(summary.verdict)}\n`)
  const same = conditions.filter((row) => row.paired?.identical === true && row.paired.difference !== 0)
  if (same.length > 0) {
    stream.write(
      plainText(
        `The difference to ${baseline} is the same in every seed for ${same.map((row) => row.label).join(", ")}: without a spread only its sign is tested.\n`,
      ),
    )
  }
  const stale = conditions.reduce((sum, row) => sum + row.stale, 0)
  if (stale > 0) {
    stream.write(
      `${stale} results were made by other code than today's and may differ now: \`--stale rerun\` runs them again.\n`,
    )
  }
}

const signed = (x: number): string => `${x > 0 ? "+" : ""}${number(x)}`
