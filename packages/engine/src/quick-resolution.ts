/**
 * Imported first by programs that load many small modules: answers the imports between modules of `effect` and of this
 * project without asking the file system. Such an import names its file in full (`./internal/core.js`), so there is
 * nothing to look up; Node's own resolution reads package.json files, follows links and tries formats for every one of
 * them, which is half of the time that `exp run` needs to begin. Everything else goes to Node as ever.
 */
import { registerHooks } from "node:module"

const effectFolder = new URL("./", import.meta.resolve("effect/Effect")).href
const packages = new URL("../../", import.meta.url).href

/** Name of the package of this project that a module's source belongs to. */
function ownPackage(url: string): string | undefined {
  if (!url.startsWith(packages)) return undefined
  const [name, folder] = url.slice(packages.length).split("/", 2)
  return folder === "src" ? name : undefined
}

/** Package folder and specifier → where Node found it: within one package the same name means the same file. */
const known = new Map<string, { readonly url: string; readonly format?: string | null | undefined }>()

registerHooks({
  resolve(specifier, context, next) {
    const parent = context.parentURL
    if (parent === undefined) return next(specifier, context)
    if (parent.startsWith(effectFolder)) {
      return specifier.startsWith(".") && specifier.endsWith(".js")
        ? { url: new URL(specifier, parent).href, format: "module", shortCircuit: true }
        : next(specifier, context)
    }
    const within = ownPackage(parent)
    if (within === undefined) return next(specifier, context)
    if (specifier.startsWith(".") && specifier.endsWith(".ts")) {
      return { url: new URL(specifier, parent).href, format: "module-typescript", shortCircuit: true }
    }
    if (!specifier.startsWith("effect/") && !specifier.startsWith("@exp/")) return next(specifier, context)
    const key = `${within} ${specifier}`
    const found = known.get(key) ?? next(specifier, context)
    known.set(key, found)
    return { ...found, shortCircuit: true }
  },
})
