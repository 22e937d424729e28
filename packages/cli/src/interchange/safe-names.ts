/** Names from a database as paths below a folder: never above it, never one that is a folder of another. */
import { contentHash } from "@exp/spec"

/** What MLflow takes in the names of metrics, parameters and tags; other programs take it too. */
const allowed = /^[\w\-. :=]+$/
const longest = 200

const safe = (name: string): boolean =>
  name.length <= longest &&
  name.split("/").every((part) => allowed.test(part) && part !== "." && part !== ".." && part.trim() === part)

/** A name as one part of a path: itself where that is safe, else what is left of it with a piece of its hash. */
export function safePart(name: string): string {
  if (!name.includes("/") && safe(name) && !name.startsWith(".")) return name
  const left = name
    .replaceAll(/[^\w\-. =]+/g, "_")
    .replaceAll(/^[.\s]+|\s+$/g, "")
    .slice(0, 80)
  return `${left}-${contentHash(name).slice(0, 8)}`
}

/**
 * A relative path for each name, with `/` between parts. Names that are no safe path, or that would be the folder of
 * another, get one made of what is safe in them and a piece of their hash; no two are the same, upper and lower case
 * being one.
 */
export function safePaths(names: readonly string[]): Map<string, string> {
  const folders = new Set(
    names.flatMap((name) => {
      const parts = name.toLowerCase().split("/")
      return parts.slice(1).map((_, i) => parts.slice(0, i + 1).join("/"))
    }),
  )
  const taken = new Set<string>()
  const paths = new Map<string, string>()
  for (const name of names) {
    const fine = safe(name) && !folders.has(name.toLowerCase()) && !taken.has(name.toLowerCase())
    const path = fine ? name : `${name.replaceAll(/[^\w\-. =]+/g, "_").slice(0, 80)}-${contentHash(name).slice(0, 8)}`
    taken.add(path.toLowerCase())
    paths.set(name, path)
  }
  return paths
}
