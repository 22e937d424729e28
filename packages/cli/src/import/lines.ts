import { closeSync, openSync, readSync } from "node:fs"
import { StringDecoder } from "node:string_decoder"

/** A line of a text file without its end. `number` counts from 1. */
export interface Line {
  readonly text: string
  readonly number: number
}

/**
 * The lines of a UTF-8 file in constant memory. With `quoted`, a line break inside double quotes does not end a line
 * (RFC 4180); `number` is then the first of its lines. A byte-order mark is dropped.
 */
export function* readLines(path: string, options: { readonly quoted?: boolean } = {}): Generator<Line> {
  const file = openSync(path, "r")
  try {
    const decoder = new StringDecoder("utf8")
    const buffer = Buffer.allocUnsafe(1 << 18)
    let rest = ""
    let number = 1
    let first = true
    for (;;) {
      const size = readSync(file, buffer, 0, buffer.length, null)
      let text = rest + (size === 0 ? decoder.end() : decoder.write(buffer.subarray(0, size)))
      if (first && text.length > 0) {
        if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
        first = false
      }
      let from = 0
      let search = 0
      let start = number
      for (;;) {
        const end = text.indexOf("\n", search)
        if (end === -1) break
        const raw = text.slice(from, text.charCodeAt(end - 1) === 13 && end > from ? end - 1 : end)
        number++
        if (options.quoted === true && raw.includes('"') && (raw.split('"').length - 1) % 2 === 1) {
          search = end + 1
          continue
        }
        yield { text: raw, number: start }
        from = search = end + 1
        start = number
      }
      rest = text.slice(from)
      number = start
      if (size === 0) {
        if (rest !== "") yield { text: rest.endsWith("\r") ? rest.slice(0, -1) : rest, number: start }
        return
      }
    }
  } finally {
    closeSync(file)
  }
}
