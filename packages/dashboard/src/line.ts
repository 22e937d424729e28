/** What a view is made of: lines of styled pieces of text. */
import { cellWidth, truncate } from "./cells.ts"
import { safeText } from "./safe-text.ts"

export type Colour = "red" | "green" | "yellow" | "blue" | "magenta" | "cyan" | "white"

export interface Look {
  readonly color?: Colour | undefined
  readonly bold?: boolean | undefined
  readonly dim?: boolean | undefined
  readonly italic?: boolean | undefined
  readonly inverse?: boolean | undefined
}

/** A piece of a line. Made by {@link s}, so that its text holds nothing that a terminal would obey. */
export interface Span {
  readonly text: string
  readonly look: Look
}

export type Line = readonly Span[]

const plain: Look = {}

/** A piece of text in a look. Control characters in it become visible. */
export const s = (text: string, look: Look = plain): Span => ({ text: safeText(text), look })

export const emptyLine: Line = []

/** Cells that a line takes. */
export const lineWidth = (line: Line): number => line.reduce((sum, span) => sum + cellWidth(span.text), 0)

/** The line in at most `width` cells. */
export function cutLine(line: Line, width: number): Line {
  const kept: Span[] = []
  let left = width
  for (const span of line) {
    const cells = cellWidth(span.text)
    if (cells <= left) {
      kept.push(span)
      left -= cells
      continue
    }
    if (left > 0) kept.push({ text: truncate(span.text, left), look: span.look })
    break
  }
  return kept
}

/** The line with spaces behind it up to `width` cells. */
export function padLine(line: Line, width: number): Line {
  const cut = cutLine(line, width)
  const space = width - lineWidth(cut)
  return space > 0 ? [...cut, { text: " ".repeat(space), look: plain }] : cut
}

/** Two ends of one line of `width` cells; the right one goes first where there is no room for both. */
export function spread(left: Line, right: Line, width: number): Line {
  const room = width - lineWidth(right)
  return lineWidth(left) + 1 <= room ? [...padLine(left, room), ...right] : cutLine(left, width)
}

/** Blocks of lines side by side, each in columns of its width, with `gap` cells between. */
export function beside(
  blocks: readonly { readonly lines: readonly Line[]; readonly width: number }[],
  gap: number,
): Line[] {
  const rows = Math.max(0, ...blocks.map((block) => block.lines.length))
  return Array.from({ length: rows }, (_, row) =>
    blocks.flatMap(({ lines, width }, i): Line => {
      const line = lines[row] ?? emptyLine
      const cut = cutLine(line, width)
      return i === blocks.length - 1 ? cut : padLine(cut, width + gap)
    }),
  )
}

/** Exactly `height` lines: cut, or with empty ones at the end. */
export function fill(lines: readonly Line[], height: number): Line[] {
  return Array.from({ length: height }, (_, row) => lines[row] ?? emptyLine)
}

/** A heading of a part of a view. */
export const heading = (text: string): Line => [s(text, { bold: true, color: "blue" })]

const codes: Readonly<Record<Colour, number>> = {
  red: 31,
  green: 32,
  yellow: 33,
  blue: 34,
  magenta: 35,
  cyan: 36,
  white: 37,
}

/** The line with the escape sequences of its looks, reset at the end. Spaces at the end are dropped. */
export function toAnsi(line: Line, colours: boolean): string {
  let out = ""
  for (const { text, look } of line) {
    const sgr: number[] = []
    if (look.bold) sgr.push(1)
    if (look.dim) sgr.push(2)
    if (look.italic) sgr.push(3)
    if (look.inverse) sgr.push(7)
    if (colours && look.color !== undefined) sgr.push(codes[look.color])
    out += sgr.length === 0 ? text : `\u001b[${sgr.join(";")}m${text}\u001b[0m`
  }
  return out.endsWith(" ") ? out.trimEnd() : out
}
