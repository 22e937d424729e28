import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { describe, expect, it } from "vitest"

/** What each package may import of the others; the table of the design. Imports run downward only. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  random: [],
  spec: ["random"],
  ranking: ["random"],
  store: ["spec", "random"],
  tensor: ["random"],
  data: ["random"],
  nn: ["tensor", "random"],
  methods: ["spec", "nn", "data", "tensor", "ranking", "random"],
  engine: ["spec", "store", "random"],
  dashboard: ["store", "spec", "ranking", "random"],
  cli: ["spec", "ranking", "store", "tensor", "data", "nn", "methods", "engine", "dashboard", "random"],
}

/** Packages whose loading must never load a tensor library. */
const tensorFree = ["random", "spec", "ranking", "store", "engine", "dashboard", "data"]

const root = join(import.meta.dirname, "..")

const sources = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
        .map((entry) => join(entry.parentPath, entry.name))
    : []

/** The specifiers that a file imports, statically or dynamically, types included. */
const importsOf = (file: string): string[] => {
  const text = readFileSync(file, "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/^\s*\/\/.*$/gm, "")
  return [...text.matchAll(/(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)["']([^"'\n]+)["']/g)].map((match) => match[1]!)
}

describe("imports", () => {
  for (const [name, may] of Object.entries(allowed)) {
    it(`@exp/${name} imports only what lies below it`, () => {
      const wrong: string[] = []
      for (const file of sources(join(root, "packages", name, "src"))) {
        for (const specifier of importsOf(file)) {
          const used = /^@exp\/([^/]+)/.exec(specifier)?.[1]
          if (used !== undefined && used !== name && !may.includes(used)) {
            wrong.push(`${relative(root, file)} imports ${specifier}`)
          }
          if (/^(\.\.\/)+packages\//.test(specifier)) wrong.push(`${relative(root, file)} reaches into ${specifier}`)
          if (tensorFree.includes(name) && /^(@tensorflow\/|onnxruntime-node|webgpu$)/.test(specifier)) {
            wrong.push(`${relative(root, file)} loads the tensor library ${specifier}`)
          }
        }
      }
      expect(wrong).toEqual([])
    })
  }

  it("covers every package", () => {
    expect(readdirSync(join(root, "packages")).sort()).toEqual(Object.keys(allowed).sort())
  })

  it("experiments import only the declaration and the methods", () => {
    const wrong: string[] = []
    for (const file of sources(join(root, "experiments"))) {
      for (const specifier of importsOf(file)) {
        if (!/^(@exp\/(spec|methods)(\/|$)|@exp\/engine\/command$|effect(\/|$)|node:|\.\/)/.test(specifier)) {
          wrong.push(`${relative(root, file)} imports ${specifier}`)
        }
      }
    }
    expect(wrong).toEqual([])
  })

  it("every package that is imported is a declared dependency", () => {
    const missing: string[] = []
    for (const name of Object.keys(allowed)) {
      const manifest = JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8"))
      const declared = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies }
      for (const file of sources(join(root, "packages", name, "src"))) {
        for (const specifier of importsOf(file)) {
          if (/^(node:|\.)/.test(specifier)) continue
          const parts = specifier.split("/")
          const dependency = specifier.startsWith("@") ? parts.slice(0, 2).join("/") : parts[0]!
          if (dependency !== `@exp/${name}` && !(dependency in declared)) {
            missing.push(`${relative(root, file)}: ${dependency}`)
          }
        }
      }
    }
    expect(missing).toEqual([])
  })
})
