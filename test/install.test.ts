import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
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
    const scripted = new Set(installed.filter(([, entry]) => entry.hasInstallScript).map(([folder]) => nameOf(folder)))
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

  it("without the native packages trains on wasm", () => {
    // The packages are there; hooks make Node look as if they were not.
    const ended = spawnSync(
      process.execPath,
      [
        "--import",
        `data:text/javascript,${encodeURIComponent(`
          import Module from "node:module"
          const load = Module._load
          Module._load = function (name, ...rest) {
            if (/^(onnxruntime-|webgpu)/.test(name)) throw Object.assign(new Error("Cannot find module '" + name + "'"), { code: "MODULE_NOT_FOUND" })
            return load.call(this, name, ...rest)
          }`)}`,
        "--input-type=module",
        "--eval",
        `import { openDevice } from "@exp/tensor"
         import * as tf from "@tensorflow/tfjs-core"
         const device = await openDevice("auto")
         const program = device.compile((state, batch) => ({ state: { w: tf.add(state.w, batch.x) }, metrics: { y: tf.sum(state.w) } }))
         const one = { data: new Float32Array([1, 2]), shape: [2], dtype: "float32" }
         program.load({ w: one })
         await program.run({ x: one }, { seed: 0, step: 0 })
         console.log(device.name, [...(await program.state()).w.data].join())
         await openDevice("cpu").catch((error) => console.log(error.message))`,
      ],
      { cwd: join(root, "packages", "cli"), encoding: "utf8" },
    )
    expect(ended.stderr).toBe("")
    expect(ended.stdout).toMatch(/^wasm 2,4\n.*onnxruntime-node cannot be loaded/)
  })
})
