import { type CatalogueEntry, catalogue } from "./catalogue.ts"
import { UnknownDataset } from "./errors.ts"

/**
 * The catalogue entry of a name, of one kind when one is asked for.
 *
 * @throws UnknownDataset, with the nearest known name
 */
export function lookUp(name: string, kind?: CatalogueEntry["kind"]): CatalogueEntry {
  const entries: readonly CatalogueEntry[] = Object.values(catalogue)
  const fitting = kind === undefined ? entries : entries.filter((entry) => entry.kind === kind)
  const found = fitting.find((entry) => entry.name === name)
  if (found !== undefined) return found
  const known = fitting.map((entry) => entry.name)
  const near = known.map((k) => ({ k, d: distance(name.toLowerCase(), k) })).sort((a, b) => a.d - b.d)[0]
  throw new UnknownDataset(name, known, near !== undefined && near.d <= 3 ? near.k : undefined)
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    row = next
  }
  return row[b.length]!
}
