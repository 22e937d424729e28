/** The filter language of `--where`: comparisons joined by `and`, e.g. `tuner.rank >= 8 and test/accuracy > 0.9`. */

export type Comparison = "=" | "!=" | "<" | "<=" | ">" | ">=" | "like"

export interface WhereTerm {
  readonly name: string
  readonly comparison: Comparison
  readonly value: string | number | null
}

/** A filter that cannot be read. */
export class BadFilter extends Error {
  readonly _tag = "BadFilter"
  readonly filter: string
  constructor(filter: string, problem: string) {
    super(`Filter ${JSON.stringify(filter)}: ${problem}. Write for example: tuner.rank >= 8 and status = 'completed'`)
    this.name = "BadFilter"
    this.filter = filter
  }
}

const token = /\s*(?:('(?:[^']|'')*'|"(?:[^"]|"")*")|(<=|>=|!=|<>|==|=|<|>)|([^\s<>=!'"]+))/y
const comparisons: Readonly<Record<string, Comparison>> = {
  "=": "=",
  "==": "=",
  "!=": "!=",
  "<>": "!=",
  "<": "<",
  "<=": "<=",
  ">": ">",
  ">=": ">=",
}

/**
 * Reads a filter. Values are numbers, quoted or bare words, `true`, `false`, `null`; `like` takes SQL wildcards. Words
 * may be quoted where a name or value has spaces. Throws {@link BadFilter}.
 */
export function parseWhere(filter: string): WhereTerm[] {
  const tokens: { readonly text: string; readonly quoted: boolean; readonly operator: boolean }[] = []
  token.lastIndex = 0
  while (token.lastIndex < filter.trimEnd().length) {
    const at = token.lastIndex
    const found = token.exec(filter)
    if (found === null) throw new BadFilter(filter, `cannot read it from ${JSON.stringify(filter.slice(at).trim())}`)
    const [, quoted, operator, word] = found
    if (quoted !== undefined) {
      const mark = quoted[0]!
      tokens.push({ text: quoted.slice(1, -1).replaceAll(mark + mark, mark), quoted: true, operator: false })
    } else tokens.push({ text: (operator ?? word)!, quoted: false, operator: operator !== undefined })
  }
  const terms: WhereTerm[] = []
  for (let i = 0; i < tokens.length; i += 4) {
    const [name, operator, value, and] = tokens.slice(i, i + 4)
    if (name === undefined || name.operator) throw new BadFilter(filter, "a name is missing")
    const comparison =
      operator?.operator === true
        ? comparisons[operator.text]
        : operator?.text.toLowerCase() === "like"
          ? ("like" as const)
          : undefined
    if (comparison === undefined) throw new BadFilter(filter, `after ${name.text} one of = != < <= > >= like must come`)
    if (value === undefined || value.operator) throw new BadFilter(filter, `${name.text} ${comparison} needs a value`)
    if (and !== undefined && (and.quoted || and.text.toLowerCase() !== "and"))
      throw new BadFilter(filter, `expected "and", got ${JSON.stringify(and.text)}`)
    if (and !== undefined && i + 4 >= tokens.length) throw new BadFilter(filter, "nothing follows the last and")
    terms.push({ name: name.text, comparison, value: value.quoted ? value.text : literal(value.text) })
  }
  if (terms.length === 0) throw new BadFilter(filter, "it is empty")
  return terms
}

function literal(word: string): string | number | null {
  if (word === "true") return 1
  if (word === "false") return 0
  if (word === "null") return null
  const number = Number(word)
  return word !== "" && !Number.isNaN(number) ? number : word
}

/** The SQL of a comparison with one parameter; `null` compares by IS. */
export function comparisonSql(column: string, comparison: Comparison): string {
  if (comparison === "=") return `${column} IS ?`
  if (comparison === "!=") return `${column} IS NOT ?`
  return `${column} ${comparison === "like" ? "LIKE" : comparison} ?`
}
