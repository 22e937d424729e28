import stringWidth from "string-width"
import { plainText } from "./terminal.ts"

/** A column of a text table. */
export interface Column {
  readonly title: string
  readonly align?: "left" | "right"
}

const ellipsis = "…"

const cut = (text: string, width: number): string => {
  if (stringWidth(text) <= width) return text
  let kept = ""
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    if (stringWidth(kept + segment) > width - 1) break
    kept += segment
  }
  return kept + ellipsis
}

/**
 * A text table with aligned columns, two spaces apart. Where it is wider than `width`, the widest left-aligned columns
 * are cut with an ellipsis, then titles above numbers, then what still stands out at the end of the lines. Cells are made safe for a terminal.
 */
export function textTable(wanted: readonly Column[], rows: readonly (readonly string[])[], width = Infinity): string {
  const oneLine = (text: string) => plainText(text).replaceAll(/[\n\t]/g, " ")
  const columns = wanted.map((column) => ({ ...column, title: oneLine(column.title) }))
  const cells = rows.map((row) => columns.map((_, c) => oneLine(row[c] ?? "")))
  const widths = columns.map((column, c) =>
    Math.max(stringWidth(column.title), ...cells.map((row) => stringWidth(row[c]!))),
  )
  const total = () => widths.reduce((sum, w) => sum + w + 2, -2)
  while (total() > width) {
    let widest = -1
    for (let c = 0; c < columns.length; c++) {
      if (columns[c]!.align !== "right" && widths[c]! > 6 && (widest < 0 || widths[c]! > widths[widest]!)) widest = c
    }
    if (widest < 0) break
    widths[widest]! -= 1
  }
  // Numbers are never cut, but the titles above them may be.
  const needed = columns.map((_, c) => Math.max(6, ...cells.map((row) => stringWidth(row[c]!))))
  while (total() > width) {
    let widest = -1
    for (let c = 0; c < columns.length; c++) {
      const spare = widths[c]! - needed[c]!
      if (columns[c]!.align === "right" && spare > 0 && (widest < 0 || spare > widths[widest]! - needed[widest]!))
        widest = c
    }
    if (widest < 0) break
    widths[widest]! -= 1
  }
  const line = (row: readonly string[]) =>
    columns
      .map((column, c) => {
        const text = cut(row[c]!, widths[c]!)
        const pad = " ".repeat(widths[c]! - stringWidth(text))
        return column.align === "right" ? pad + text : text + pad
      })
      .join("  ")
      .trimEnd()
  return [line(columns.map((c) => c.title)), line(widths.map((w) => "─".repeat(w))), ...cells.map(line)]
    .map((text) => (width === Infinity ? text : cut(text, width)))
    .join("\n")
}
