/**
 * The lines of a view on the screen.
 *
 * Ink gives the components their life: state, keys, window size, the end. It does not draw here: it lays out and
 * measures every cell of every frame anew, which takes 10 ms at 110 × 30 and 35 ms at 250 × 60, and a dashboard that
 * looks ten times a second may have 5. The {@link Painter} compares lines and writes those that differ. Without one
 * (in tests of components) the same lines are ordinary Ink text.
 */
import { EventEmitter } from "node:events"
import { Box, Text } from "ink"
import { createElement, useLayoutEffect } from "react"
import { type Line, toAnsi } from "./line.ts"

const enterSequence = "\u001b[?1049h\u001b[?25l\u001b[H\u001b[2J"
/** Cleared first: tmux, resized meanwhile, would leave rows of the alternate screen above what it brings back. */
const leaveSequence = "\u001b[0m\u001b[H\u001b[2J\u001b[?25h\u001b[?1049l"
/** Synchronised output (DEC private mode 2026): terminals that know it show the frame at once, others ignore it. */
const beginFrame = "\u001b[?2026h"
const endFrame = "\u001b[?2026l"

/** Writes lines to a terminal's alternate screen, only those that changed. */
export class Painter {
  readonly #stream: NodeJS.WriteStream
  readonly #colours: boolean
  #shown: string[] = []
  #columns = 0
  #inside = false
  /** Frames in which something was written. */
  frames = 0

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
    this.#colours = (stream.getColorDepth?.() ?? 1) > 1
  }

  /** Takes the alternate screen. Idempotent. */
  enter(): void {
    if (this.#inside) return
    this.#inside = true
    this.#shown = []
    this.#columns = 0
    this.#stream.write(enterSequence)
  }

  /** Gives the terminal back as it was. Idempotent. */
  leave(): void {
    if (!this.#inside) return
    this.#inside = false
    this.#stream.write(leaveSequence)
  }

  /** Brings the screen of `columns` × `rows` to these lines. After a change of size every row is written. */
  paint(lines: readonly Line[], columns: number, rows: number): void {
    if (!this.#inside) return
    const resized = columns !== this.#columns || rows !== this.#shown.length
    const next = Array.from({ length: rows }, (_, row) => toAnsi(lines[row] ?? [], this.#colours))
    let out = ""
    for (const [row, text] of next.entries()) {
      if (!resized && text === this.#shown[row]) continue
      // Erased before it is written: behind a full line the cursor still stands on its last cell.
      out += `\u001b[${row + 1};1H\u001b[2K${text}`
    }
    this.#shown = next
    this.#columns = columns
    if (out === "") return
    this.frames++
    this.#stream.write(`${beginFrame}${out}\u001b[H${endFrame}`)
  }
}

/** What Ink is given for its own output: the size of the terminal, and nothing that it writes gets through. */
export class SilentOutput extends EventEmitter {
  readonly isTTY = false
  readonly writable = true
  readonly #stream: NodeJS.WriteStream
  readonly #resized = () => this.emit("resize")

  constructor(stream: NodeJS.WriteStream) {
    super()
    this.#stream = stream
    stream.on("resize", this.#resized)
  }

  get columns(): number {
    return this.#stream.columns
  }

  get rows(): number {
    return this.#stream.rows
  }

  write(_text: string, ...rest: readonly unknown[]): boolean {
    const done = rest.at(-1)
    if (typeof done === "function") done()
    return true
  }

  /** Stops listening to the terminal. */
  close(): void {
    this.#stream.off("resize", this.#resized)
  }
}

export interface ScreenProps {
  readonly lines: readonly Line[]
  readonly columns: number
  readonly rows: number
  readonly painter?: Painter | undefined
}

/** Shows lines: through the painter, or as Ink text. */
export function Screen({ lines, columns, rows, painter }: ScreenProps) {
  useLayoutEffect(() => {
    painter?.enter()
    // Ink unmounts when the process is told to end, too: the terminal comes back in any case.
    return () => painter?.leave()
  }, [painter])
  useLayoutEffect(() => painter?.paint(lines, columns, rows))
  if (painter !== undefined) return null
  return createElement(
    Box,
    { flexDirection: "column" },
    ...lines.map((line, row) =>
      createElement(
        Text,
        { key: row, wrap: "truncate" },
        line.length === 0
          ? " "
          : line.map(({ text, look }, i) => {
              const { dim, ...rest } = look
              return createElement(Text, { key: i, ...rest, dimColor: dim ?? false }, text)
            }),
      ),
    ),
  )
}
