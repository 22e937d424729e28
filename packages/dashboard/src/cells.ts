/** Text measured in terminal cells. */
import stringWidth from "string-width"

/** ASCII, Latin, punctuation, arrows, box drawing, blocks, shapes, braille: one cell for each code unit. */
const narrow =
  /^[\u0020-\u007e\u00a0-\u02ff\u2010-\u2027\u2030-\u205e\u2190-\u22ff\u2500-\u25fc\u2713\u2717\u276f\u2800-\u28ff]*$/
const segmenter = new Intl.Segmenter(undefined, { granularity: "grapheme" })

/** Cells that a text takes. */
export const cellWidth = (text: string): number => (narrow.test(text) ? text.length : stringWidth(text))

/** The beginning of a text that fits into `width` cells; a `…` says that something is missing. */
export function truncate(text: string, width: number): string {
  if (width <= 0) return ""
  if (narrow.test(text)) return text.length <= width ? text : `${text.slice(0, width - 1)}…`
  if (stringWidth(text) <= width) return text
  let kept = ""
  let used = 0
  for (const { segment } of segmenter.segment(text)) {
    const cells = stringWidth(segment)
    if (used + cells > width - 1) break
    kept += segment
    used += cells
  }
  return `${kept}…`
}

/** A text in exactly `width` cells. */
export function fit(text: string, width: number, align: "left" | "right" = "left"): string {
  const cut = truncate(text, width)
  const space = " ".repeat(Math.max(0, width - cellWidth(cut)))
  return align === "left" ? cut + space : space + cut
}

/** A text broken at spaces into lines of at most `width` cells, at most `rows` of them. */
export function wrap(text: string, width: number, rows: number): string[] {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`
    if (line !== "" && cellWidth(longer) > width) {
      lines.push(line)
      line = word
    } else line = longer
  }
  if (line !== "") lines.push(line)
  if (lines.length > rows) {
    const rest = lines.slice(rows - 1).join(" ")
    return [...lines.slice(0, Math.max(0, rows - 1)), truncate(rest, width)].slice(0, rows)
  }
  return lines.map((each) => truncate(each, width))
}
