import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "./exp.ts"

interface Entry {
  readonly hasInstallScript?: boolean
  readonly resolved?: string
  readonly integrity?: string
  readonly link?: boolean
  readonly optional?: boolean
}
const read = (path: string) => JSON.parse(readFileSync(join(root, path), "utf8"))
const packages = read("package-lock.json").packages as Readonly<Record<string, Entry>>
const installed = Object.entries(packages).filter(([folder, { link }]) => folder.includes("node_modules/") && !link)
const nameOf = (folder: string) => folder.slice(folder.lastIndexOf("node_modules/") + 13)

describe("an install", () => {
  it("runs the script of one package, and knows of every other that has one", () => {
    const { allowScripts } = read("package.json") as { allowScripts: Readonly<Record<string, boolean>> }
    expect(Object.keys(allowScripts).filter((name) => allowScripts[name])).toEqual(["node"])
    // A binding.gyp is a script too, one that no lock file names: npm compiles, where nothing says that it must not.
    const compiles = ([folder]: [string, Entry]) => existsSync(join(root, folder, "binding.gyp"))
    const scripted = new Set(
      installed.filter((each) => each[1].hasInstallScript || compiles(each)).map(([folder]) => nameOf(folder)),
    )
    expect([...scripted].filter((name) => !(name in allowScripts))).toEqual([])
  })

  it("takes everything from the registry, with hashes, and native packages only where they can be had", () => {
    for (const [folder, { resolved, integrity }] of installed) {
      if (resolved === undefined) continue
      expect(resolved, folder).toMatch(/^https?:.*\.tgz$/)
      expect(integrity, folder).toMatch(/^sha(512|1)-/)
    }
    for (const name of ["onnxruntime-node", "webgpu"])
      expect(packages[`node_modules/${name}`]!.optional, name).toBe(true)
  })
})
