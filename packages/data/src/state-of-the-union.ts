/**
 * The State of the Union addresses of the presidents of the United States (public domain) as one UTF-8 text, from 1790 on,
 * one section each, with a blank line between. A section's title is "1961 John F Kennedy".
 */
import type { Conversion } from "./conversion.ts"

const addresses = 233

/** "data/1961_john_f_kennedy_d.txt" → "1961 John F Kennedy". */
export function addressTitle(path: string): string {
  const parts = path
    .replace(/^.*\//, "")
    .replace(/\.txt$/, "")
    .split("_")
  return parts
    .slice(0, -1)
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join(" ")
}

export function convertStateOfTheUnion(): Conversion {
  const texts = new Map<string, Uint8Array>()
  return {
    wanted: (path) => /^data\/\d{4}_[a-z_]+\.txt$/.test(path),
    file: (path, bytes) => {
      const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes)
      texts.set(path, new TextEncoder().encode(`${text.trim()}\n\n`))
    },
    finish: () => {
      if (texts.size !== addresses) throw new Error(`the archive has ${texts.size} addresses instead of ${addresses}`)
      const paths = [...texts.keys()].sort()
      const bytes = new Uint8Array(paths.reduce((n, path) => n + texts.get(path)!.length, 0))
      let at = 0
      const sections = paths.map((path) => {
        const text = texts.get(path)!
        bytes.set(text, at)
        const start = at
        at += text.length
        return { title: addressTitle(path), start, end: at }
      })
      return {
        arrays: [{ name: "text", dtype: "uint8", shape: [bytes.length], bytes }],
        facts: { kind: "text", encoding: "utf-8", sections },
      }
    },
  }
}
