/** What the Tab key offers in `exp sql`. */
import type { Store } from "@exp/store"
import { openLiteral } from "./statements.ts"

const keywords =
  "SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET JOIN LEFT USING ON AS AND OR NOT IN IS NULL LIKE GLOB BETWEEN CASE WHEN THEN ELSE END DISTINCT UNION ALL WITH VALUES DESC ASC EXISTS EXPLAIN QUERY PLAN INSERT INTO UPDATE SET DELETE count sum avg min max round coalesce json_extract group_concat datetime".split(
    " ",
  )

export const dotCommands = [".columns", ".exit", ".help", ".limit", ".mode", ".quit", ".schema", ".tables", ".timer"]
export const modes = ["table", "json", "csv", "markdown"]

/** Tables and views with their columns, internal ones of SQLite left out. */
export function relationsOf(store: Store): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  const rows = store.sql(
    `SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c
     WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'samples_text_%' ORDER BY m.name, c.cid`,
  ).rows as [string, string][]
  for (const [relation, column] of rows) found.set(relation, [...(found.get(relation) ?? []), column])
  return found
}

/**
 * What may follow: `[candidates, what they replace]`, for `readline`. `before` are the earlier lines of the statement.
 * Columns come from the tables that the statement names; from all of them while it names none.
 */
export function complete(store: Store, before: string, line: string): [string[], string] {
  if (before === "" && line.startsWith(".")) return completeDot(store, line)
  const text = `${before}${line}`
  const literal = openLiteral(text)
  if (literal !== undefined) {
    const names = [
      ...store.metrics.names().map(({ name }) => name),
      ...store.experiments.list().map(({ name }) => name),
    ]
    return [names.filter((name) => name.startsWith(literal)).map((name) => name.replaceAll("'", "''")), literal]
  }
  const relations = relationsOf(store)
  const word = /[\w.]*$/.exec(line)![0]
  const dot = word.lastIndexOf(".")
  if (dot >= 0) {
    // `run_overview.` or an alias: `FROM run_overview AS r … r.`
    const owner = word.slice(0, dot)
    const alias = new RegExp(`\\b(\\w+)\\s+(?:as\\s+)?${owner.replaceAll(/\W/g, "")}\\b`, "gi")
    const names = [owner, ...[...text.matchAll(alias)].map((match) => match[1]!)]
    const columns = names.map((name) => relations.get(name)).find((found) => found !== undefined) ?? []
    return [
      columns.filter((column) => column.startsWith(word.slice(dot + 1))).map((column) => `${owner}.${column}`),
      word,
    ]
  }
  const named = [...relations].filter(([relation]) => new RegExp(`\\b${relation}\\b`, "i").test(text))
  const columns = (named.length > 0 ? named : [...relations]).flatMap(([, of]) => of)
  const wanted = word.toLowerCase()
  const afterFrom = /\b(from|join|into|update)\s+\w*$/i.test(text)
  const candidates = afterFrom ? [...relations.keys()] : [...columns, ...relations.keys(), ...keywords]
  return [[...new Set(candidates.filter((name) => name.toLowerCase().startsWith(wanted)))], word]
}

function completeDot(store: Store, line: string): [string[], string] {
  const argument = /^\.(\w+)\s+(\S*)$/.exec(line)
  if (argument === null) return [dotCommands.filter((name) => name.startsWith(line)), line]
  const [, command, word] = argument as unknown as [string, string, string]
  const offered =
    command === "mode"
      ? modes
      : command === "timer"
        ? ["on", "off"]
        : command === "schema" || command === "columns"
          ? [...relationsOf(store).keys()]
          : []
  return [offered.filter((name) => name.startsWith(word)), word]
}
