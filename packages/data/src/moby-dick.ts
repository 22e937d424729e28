/**
 * Moby Dick (Melville 1851) as one UTF-8 text: etymology, extracts, 135 chapters with their headings, epilogue, in the
 * book's order, with a blank line between. The table of contents is left out (it repeats the headings).
 */
import type { Conversion } from "./conversion.ts"

const separator = "\n\n"

export function convertMobyDick(): Conversion {
  const texts = new Map<string, string>()
  let list: readonly string[] = []
  const decode = (bytes: Uint8Array) => new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  return {
    wanted: (path) =>
      path === "data/file_list.json" || /^data\/(etymology|extracts|chapter_\d+|epilogue)\.txt$/.test(path),
    file: (path, bytes) => {
      if (path.endsWith(".json")) list = JSON.parse(decode(bytes)) as readonly string[]
      else texts.set(path.slice("data/".length), decode(bytes).trim())
    },
    finish: () => {
      const names = list.filter((name) => name !== "contents.txt")
      if (names.length !== 138) throw new Error(`the carrier lists ${names.length} parts instead of 138`)
      const encoder = new TextEncoder()
      const parts = names.map((name) => {
        const text = texts.get(name)
        if (text === undefined) throw new Error(`the archive lacks ${name}`)
        return { title: text.split("\n", 1)[0]!.slice(0, 120), bytes: encoder.encode(text + separator) }
      })
      const bytes = new Uint8Array(parts.reduce((n, part) => n + part.bytes.length, 0))
      let at = 0
      const sections = parts.map((part) => {
        bytes.set(part.bytes, at)
        const start = at
        at += part.bytes.length
        return { title: part.title, start, end: at }
      })
      return {
        arrays: [{ name: "text", dtype: "uint8", shape: [bytes.length], bytes }],
        facts: { kind: "text", encoding: "utf-8", sections },
      }
    },
  }
}
