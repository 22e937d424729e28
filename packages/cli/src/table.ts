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
 * are cut with an ellipsis. Cells are made safe for a terminal.
 */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[], width = Infinity): string {
  const cells = rows.map((row) => columns.map((_, c) => plainText(row[c] ?? "").replaceAll(/[\n\t]/g, " ")))
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
  const line = (row: readonly string[]) =>
    columns
      .map((column, c) => {
        const text = cut(row[c]!, widths[c]!)
        const pad = " ".repeat(widths[c]! - stringWidth(text))
        return column.align === "right" ? pad + text : text + pad
      })
      .join("  ")
      .trimEnd()
  return [line(columns.map((c) => c.title)), line(widths.map((w) => "─".repeat(w))), ...cells.map(line)].join("\n")
}
