/**
 * What worker processes print, cut into lines and attributed to runs. A native library that aborts writes straight to
 * the file descriptor, so capturing has to happen outside of the process that prints.
 */

import type { Readable } from "node:stream"
import { StringDecoder } from "node:string_decoder"
import { parseOutputMark } from "./protocol.ts"

/** Longer lines are cut; a megabyte without a line break is no log. */
export const maximumLineLength = 8192

export interface OutputLine {
  readonly runId: string | undefined
  readonly source: "stdout" | "stderr"
  readonly line: string
}

/** Reads a stream to its end and hands over each line with the run it belongs to. */
export function readLines(stream: Readable, source: OutputLine["source"], onLine: (line: OutputLine) => void): void {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  let runId: string | undefined
  const emit = (text: string) => {
    const line = text.endsWith("\r") ? text.slice(0, -1) : text
    const mark = line.indexOf("\u001eexp-run ")
    if (mark >= 0) {
      // Unfinished output of the run before may stand in front of the mark.
      const next = parseOutputMark(line.slice(mark))
      if (next !== undefined) {
        if (mark > 0) onLine({ runId, source, line: line.slice(0, mark) })
        runId = next
        return
      }
    }
    onLine({ runId, source, line: line.length > maximumLineLength ? `${line.slice(0, maximumLineLength)} …` : line })
  }
  const take = (text: string) => {
    rest += text
    let start = 0
    for (let end = rest.indexOf("\n", start); end >= 0; end = rest.indexOf("\n", start)) {
      emit(rest.slice(start, end))
      start = end + 1
    }
    rest = rest.slice(start)
    if (rest.length > maximumLineLength) {
      emit(rest)
      rest = ""
    }
  }
  stream.on("data", (chunk: Buffer) => take(decoder.write(chunk)))
  stream.on("end", () => {
    take(decoder.end())
    if (rest !== "") emit(rest)
    rest = ""
  })
  stream.on("error", () => {})
}

/** The last lines of a run, oldest first. */
export class LastLines {
  readonly #limit: number
  readonly #lines: string[] = []
  constructor(limit = 40) {
    this.#limit = limit
  }
  add(line: string): void {
    this.#lines.push(line)
    if (this.#lines.length > this.#limit) this.#lines.shift()
  }
  get all(): readonly string[] {
    return [...this.#lines]
  }
}
