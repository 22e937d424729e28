/** Taking SQL text apart into statements, as far as their ends are concerned. */

/** Complete statements without their semicolons, and what follows the last one. */
export interface Statements {
  readonly complete: readonly string[]
  readonly rest: string
}

const closing: Readonly<Record<string, string>> = { "'": "'", '"': '"', "`": "`", "[": "]" }

/** The text of a piece without comments and white space around it is empty. */
const isBlank = (text: string): boolean => text.replaceAll(/--[^\n]*(\n|$)|\/\*[\s\S]*?(\*\/|$)/g, "").trim() === ""

/**
 * Splits at the semicolons that end statements: not those in quotes, comments and the bodies of triggers. Pieces of
 * nothing but comments are left out.
 */
export function splitStatements(text: string): Statements {
  const complete: string[] = []
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    const close = closing[c]
    if (close !== undefined) {
      // A doubled quote inside ends and begins again, which comes to the same.
      const end = text.indexOf(close, i + 1)
      if (end < 0) break
      i = end
    } else if (c === "-" && text[i + 1] === "-") {
      const end = text.indexOf("\n", i)
      if (end < 0) break
      i = end
    } else if (c === "/" && text[i + 1] === "*") {
      const end = text.indexOf("*/", i + 2)
      if (end < 0) break
      i = end + 1
    } else if (c === ";") {
      const piece = text.slice(from, i)
      if (/^\s*create\s+(temp\s+|temporary\s+)?trigger\b/i.test(piece) && !/\bend\s*$/i.test(piece)) continue
      if (!isBlank(piece)) complete.push(piece.trim())
      from = i + 1
    }
  }
  const rest = text.slice(from)
  return { complete, rest: isBlank(rest) ? "" : rest }
}

/** Whether the end of the text is inside an open string literal; then what it has so far. */
export function openLiteral(text: string): string | undefined {
  let open: number | undefined
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (open !== undefined) {
      if (c === "'") open = undefined
    } else if (c === "'") open = i
    else if (c === "-" && text[i + 1] === "-") {
      const end = text.indexOf("\n", i)
      if (end < 0) return undefined
      i = end
    }
  }
  return open === undefined ? undefined : text.slice(open + 1)
}
