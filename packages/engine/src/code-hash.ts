/**
 * The code that a result came from: the experiment file and everything of the user's own that it imports. Installed
 * packages are not read but named with their versions.
 */
import { createHash } from "node:crypto"
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs"
import { createRequire, isBuiltin } from "node:module"
import { basename, dirname, join, relative } from "node:path"

export interface CodeIdentity {
  /** SHA-256 over the contents of {@link files} and the versions of {@link packages}, 64 hexadecimal digits. */
  readonly hash: string
  /** Local files, relative to the folder of the experiment file, sorted. */
  readonly files: readonly string[]
  /** Installed packages that local files import, with versions. */
  readonly packages: Readonly<Record<string, string>>
}

/** Packages of the framework itself: they carry trials out but do not enter their numbers. */
const framework = new Set(["@exp/spec", "@exp/store", "@exp/engine", "@exp/cli", "@exp/dashboard"])

const specifiers = /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)(["'])([^"'\n]+)\1/g

/** Files that the code names beside itself: the script of a program, a table of constants. */
const besides = /\bnew\s+URL\(\s*(["'`])([^"'`$\n]+)\1\s*,\s*import\.meta\.url\s*\)/g

/** Name of the package that a bare specifier points into. */
const packageName = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/")

/** Version of an installed package, found by walking up from the importing file. */
function installedVersion(name: string, from: string): string | undefined {
  for (let folder = dirname(from); ; folder = dirname(folder)) {
    const manifest = join(folder, "node_modules", name, "package.json")
    if (existsSync(manifest))
      return String((JSON.parse(readFileSync(manifest, "utf8")) as { version?: string }).version)
    if (folder === dirname(folder)) return undefined
  }
}

/** An experiment file with code of its own: a task, a stage or a program. */
const defines = /\b(?:Task|Stage)\s*\.\s*make\b|\bCommand\s*\.\s*task\b/

/**
 * Follows the imports of an experiment file. The file itself counts only when it defines a task, a stage or a program. Type-only imports count too: they cost nothing and a changed type is
 * changed code. Files named by `new URL("…", import.meta.url)` count as well. What is computed at run time cannot be seen.
 *
 * @param file absolute path of the experiment file
 */
export function codeIdentity(file: string): CodeIdentity {
  const root = realpathSync(file)
  const contents = new Map<string, string>()
  const packages = new Map<string, string>()
  const queue = [root]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (contents.has(path)) continue
    const text = readFileSync(path, "utf8")
    contents.set(path, text)
    if (!/\.[cm]?[jt]sx?$/.test(path)) continue
    for (const [, , named] of text.matchAll(besides)) {
      const target = join(dirname(path), named ?? "")
      if (existsSync(target) && statSync(target).isFile()) queue.push(realpathSync(target))
    }
    const require = createRequire(path)
    for (const [, , specifier] of text.matchAll(specifiers)) {
      if (specifier === undefined || isBuiltin(specifier)) continue
      const name = packageName(specifier)
      if (framework.has(name)) continue
      let target: string
      try {
        target = specifier.startsWith(".") ? realpathSync(join(dirname(path), specifier)) : require.resolve(specifier)
      } catch {
        // Not a CommonJS-resolvable package, or a string that only looks like an import.
        const version = specifier.startsWith(".") ? undefined : installedVersion(name, path)
        if (version !== undefined) packages.set(name, version)
        continue
      }
      if (target.includes("/node_modules/")) packages.set(name, installedVersion(name, path) ?? "unknown")
      else queue.push(target)
    }
  }
  const folder = dirname(root)
  const files = [...contents].map(([path, text]) => ({ path: relative(folder, path), text }))
  files.sort((a, b) => (a.path < b.path ? -1 : 1))
  const versions = Object.fromEntries([...packages].sort(([a], [b]) => (a < b ? -1 : 1)))
  const hash = createHash("sha256")
  for (const { path, text } of files) {
    // What a pure declaration says is in the trial's config already; another experiment may share the trial.
    if (path === basename(root) && !defines.test(text)) continue
    hash.update(`${path}\0${text.length}\0${text}`)
  }
  hash.update(JSON.stringify(versions))
  return { hash: hash.digest("hex"), files: files.map((f) => f.path), packages: versions }
}
