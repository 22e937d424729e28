/** Which installed packages, and which of their files, a machine of a platform needs to run the program. */
import type { Platform } from "./platform.ts"

/** An entry of package-lock.json. */
export interface LockEntry {
  readonly version?: string
  readonly integrity?: string
  readonly dev?: boolean
  readonly devOptional?: boolean
  readonly optional?: boolean
  readonly link?: boolean
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
}

/** package-lock.json, lockfileVersion 3: entries by folder. */
export interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>
}

/** A package that goes into a bundle. */
export interface BundledPackage {
  /** Folder, relative to the project: `node_modules/effect`. */
  readonly folder: string
  readonly name: string
  readonly version: string
  readonly integrity: string | undefined
  readonly optional: boolean
}

const nameOf = (folder: string) => folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length)

/** npm's rule for `os`, `cpu` and `libc`: a list of what is meant, or of what is not (`!win32`). */
function admits(list: readonly string[] | undefined, value: string): boolean {
  if (list === undefined || list.length === 0) return true
  if (list.includes(`!${value}`)) return false
  return list.includes(value) || list.every((entry) => entry.startsWith("!"))
}

/** What goes into a bundle only where it is asked for, and the packages it takes. */
export const extras = {
  /** Dawn: the device `webgpu-eager`, and the description of the adapter. `webgpu` itself is in ONNX Runtime. */
  webgpu: ["webgpu", "@tensorflow/tfjs-backend-webgpu"],
} as const

/** Name of something that is left out unless asked for. */
export type Extra = keyof typeof extras

/**
 * Production dependencies of the whole workspace for a platform, sorted by folder.
 *
 * @param wanted what to take besides what every experiment can use
 */
export function productionPackages(lock: Lock, platform: Platform, wanted: readonly Extra[] = []): BundledPackage[] {
  const unwanted = new Set<string>(
    (Object.keys(extras) as Extra[]).filter((extra) => !wanted.includes(extra)).flatMap((extra) => extras[extra]),
  )
  const fits = (entry: LockEntry) =>
    entry.dev !== true &&
    entry.devOptional !== true &&
    admits(entry.os, platform.os) &&
    admits(entry.cpu, platform.cpu) &&
    (platform.os !== "linux" || admits(entry.libc, "glibc"))
  const kept: BundledPackage[] = []
  for (const [folder, entry] of Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!folder.includes("node_modules/") || entry.link === true || entry.version === undefined || !fits(entry))
      continue
    if (unwanted.has(nameOf(folder))) continue
    // A package inside another one shares its fate.
    const at = folder.lastIndexOf("/node_modules/")
    const outer = at < 0 ? "" : folder.slice(0, at)
    if (outer.includes("node_modules/") && !kept.some((one) => one.folder === outer)) continue
    const { version, integrity, optional } = entry
    kept.push({ folder, name: nameOf(folder), version, integrity, optional: optional === true })
  }
  return kept
}

/** Types, sources of types, maps and prose: nothing that is executed. */
const inert = /\.(?:[cm]?tsx?|map|md|markdown|flow|tsbuildinfo|rst|h|hpp|cc|c|gyp|gypi)$/i
const legal = /(?:^|\/)(?:licen[cs]e|copying|notice|third.?party)/i
/** Folders at the top of a package that serve its own development. */
const development = /^(?:tests?|__tests__|docs?|examples?|benchmarks?|coverage|ai-docs|\.github)\//i
/** Names of compiled code. */
export const native = /\.(?:node|dylib|dll|exe|lib|pdb|so(?:\.[\d.]+)?)$/i
const systems =
  /(?:^|[/._-])(darwin|win32|linuxmusl|linux|android|freebsd)[/._-](x64|arm64|ia32|arm|universal)(?=[/._-]|$)/i

/** What packages carry besides: other builds of themselves, sources of native code. */
const superfluous: Readonly<Record<string, RegExp>> = {
  "better-sqlite3": /^(?:deps|src)\//,
  echarts: /^(?:dist|i18n|theme|types|build|ssr)\//,
  // Two whole user interfaces, read only by an HTTP server that shows its documentation.
  effect: /^(?:src\/|dist\/http-api\/internal\/httpApi(?:Swagger|Scalar)\.js$)/,
  zrender: /^(?:dist|src|build)\//,
  "ml-matrix": /^(?:src|matrix\.umd)/,
  // Compiles native code, which a bundle has compiled.
  "node-gyp": /^gyp\//,
  pngjs: /^browser\.js$/,
  "react-reconciler": /\.profiling\.js$/,
  "drizzle-orm": /\.cjs$/,
}
/** TensorFlow.js: Node takes one file of a package (its `main`), and the wasm binaries beside it; the rest is for bundlers. */
const tensorflow = /^@tensorflow\/tfjs-(?:core|backend-)/
const tensorflowFiles = /^(?:package\.json|dist\/[^/]+\.(?:node\.js|wasm))$/

/**
 * Whether a file of a package is left out of a bundle for a platform.
 *
 * @param name of the package
 * @param path of the file inside it, with forward slashes
 */
export function isPruned(name: string, path: string, platform: Platform): boolean {
  if (legal.test(path)) return false
  if (path.startsWith("node_modules/")) return true // packages of their own, which have entries of their own
  if (inert.test(path) || development.test(path) || superfluous[name]?.test(path)) return true
  if (tensorflow.test(name) && !tensorflowFiles.test(path)) return true
  if (!native.test(path)) return false
  const found = systems.exec(path)
  if (found === null) return false
  const [, os, cpu] = found as unknown as [string, string, string]
  return os.toLowerCase() !== platform.os || (cpu !== platform.cpu && cpu !== "universal")
}
