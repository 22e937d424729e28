import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { writeArchive } from "../packages/cli/src/bundle/archive.ts"
import { isPruned, type Lock, productionPackages } from "../packages/cli/src/bundle/dependencies.ts"
import { strippedElf } from "../packages/cli/src/bundle/elf.ts"
import { filesBelow } from "../packages/cli/src/bundle/files.ts"
import { needsOf } from "../packages/cli/src/bundle/needs.ts"
import { emptyFolder, exp, fixture, root } from "./exp.ts"

const linux = { os: "linux", cpu: "x64" } as const
const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as Lock

describe("what a bundle holds", () => {
  it("is production packages of the platform, and only those", () => {
    const names = (platform: Parameters<typeof productionPackages>[1]) =>
      productionPackages(lock, platform).map((one) => one.name)
    const here = names(linux)
    expect(here).toEqual(expect.arrayContaining(["effect", "better-sqlite3", "@resvg/resvg-js-linux-x64-gnu"]))
    for (const name of ["vitest", "typescript", "drizzle-kit", "@types/react", "@resvg/resvg-js-darwin-arm64", "node"])
      expect(here).not.toContain(name)
    expect(names({ os: "darwin", cpu: "arm64" })).toContain("@resvg/resvg-js-darwin-arm64")
  })

  it("has Dawn only where it is asked for", () => {
    const names = (...wanted: "webgpu"[]) => productionPackages(lock, linux, wanted).map((one) => one.name)
    const dawn = ["webgpu", "@tensorflow/tfjs-backend-webgpu"]
    expect(names().filter((name) => dawn.includes(name))).toEqual([])
    expect(names("webgpu")).toEqual(expect.arrayContaining(dawn))
    const without = (list: readonly string[]) => list.filter((name) => !name.includes("webgpu"))
    expect(without(names("webgpu"))).toEqual(without(names()))
  })

  it.each([
    ["onnxruntime-node", "bin/napi-v6/linux/x64/libonnxruntime.so.1", false],
    ["onnxruntime-node", "bin/napi-v6/linux/arm64/libonnxruntime.so.1", true],
    ["onnxruntime-node", "bin/napi-v6/win32/x64/DirectML.dll", true],
    ["onnxruntime-node", "dist/binding.js", false],
    ["webgpu", "dist/linux-x64/dawn.node", false],
    ["webgpu", "dist/darwin-universal/dawn.node", true],
    ["better-sqlite3", "prebuilds/linux-x64.node", false],
    ["better-sqlite3", "prebuilds/linuxmusl-x64.node", true],
    ["better-sqlite3", "deps/sqlite3/sqlite3.c", true],
    ["@tensorflow/tfjs-core", "dist/tf-core.node.js", false],
    ["@tensorflow/tfjs-core", "dist/tf-core.fesm.min.js", true],
    ["@tensorflow/tfjs-core", "dist/ops/add.js", true],
    ["@tensorflow/tfjs-core", "package.json", false],
    ["@tensorflow/tfjs-backend-wasm", "dist/tf-backend-wasm.node.js", false],
    ["@tensorflow/tfjs-backend-wasm", "dist/tfjs-backend-wasm-simd.wasm", false],
    ["@tensorflow/tfjs-backend-wasm", "wasm-out/tfjs-backend-wasm-simd.wasm", true],
    ["effect", "dist/Schema.js", false],
    ["effect", "dist/Schema.d.ts", true],
    ["effect", "dist/Schema.js.map", true],
    ["effect", "dist/testing/index.js", false],
    ["some", "test/all.js", true],
    ["some", "LICENSE.md", false],
  ] as const)("of %s: %s left out: %s", (name, path, pruned) => {
    expect(isPruned(name, path, linux)).toBe(pruned)
  })

  it("is native code without symbols, to the last loaded byte", () => {
    // A file with one program header that loads its first 128 bytes, then 72 bytes of sections, their headers at 160.
    const file = new Uint8Array(200).map((_, i) => i)
    const view = new DataView(file.buffer)
    file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1])
    view.setBigUint64(32, 64n, true) // program headers
    view.setBigUint64(40, 160n, true) // section headers
    view.setUint16(54, 56, true)
    view.setUint16(56, 1, true)
    view.setUint16(60, 1, true)
    view.setBigUint64(64 + 8, 0n, true)
    view.setBigUint64(64 + 32, 128n, true)
    const short = strippedElf(file)!
    expect(short.length).toBe(128)
    const kept = [...file.subarray(0, 128)].map((byte, i) => ((i >= 40 && i < 48) || (i >= 60 && i < 64) ? 0 : byte))
    expect([...short]).toEqual(kept)
    expect(strippedElf(short)).toBeUndefined()
    expect(strippedElf(file.subarray(1))).toBeUndefined()
    expect(strippedElf(new TextEncoder().encode("#!/bin/sh\n".repeat(20)))).toBeUndefined()
  })

  it("is what the trials of every profile read", async () => {
    const { default: vit } = await import("../experiments/snella.vit.ts")
    const { datasets, stages } = needsOf([vit])
    expect([...datasets]).toEqual(["mnist"])
    const pretraining = [...stages.values()].filter(({ stage }) => stage.name === "pretraining")
    expect(pretraining.map(({ config }) => (config as { steps: number }).steps).sort((a, b) => a - b)).toEqual([
      200, 1500,
    ])
    expect(pretraining[0]!.datasets).toEqual(["fashion-mnist"])
    expect(
      [...needsOf([vit], ["quick"]).stages.values()].filter(({ stage }) => stage.name === "pretraining").length,
    ).toBe(1)
  })
})

describe("an archive", () => {
  const unpacker = { xz: "xz", zst: "zstd", gz: "gzip" }
  const has = (command: string) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0

  it.for(["xz", "zst", "gz"] as const)(
    "as %s is unpacked by tar, modes and links included",
    async (format, { skip }) => {
      if (!has(unpacker[format])) skip(`${unpacker[format]} is not here`)
      const parent = emptyFolder()
      mkdirSync(join(parent, "made", "packages"), { recursive: true })
      const text = "one line after the other\n".repeat(10_000)
      writeFileSync(join(parent, "made", "packages", "text"), text)
      writeFileSync(join(parent, "made", "exp"), "#!/bin/sh\necho it runs\n", { mode: 0o755 })
      symlinkSync("packages", join(parent, "made", "link"))
      const file = join(parent, `made.tar.${format}`)
      await writeArchive(parent, "made", file, format, linux)
      expect(readFileSync(file).length).toBeLessThan(5000)
      const there = emptyFolder()
      execFileSync("tar", ["xf", file], { cwd: there })
      expect(readFileSync(join(there, "made", "link", "text"), "utf8")).toBe(text)
      expect(execFileSync(join(there, "made", "exp"), { encoding: "utf8" })).toBe("it runs\n")
    },
  )
})

describe("exp bundle", () => {
  const folder = join(emptyFolder(), "bundle")
  let made: Awaited<ReturnType<typeof exp>>
  // The platform's own Node comes with the `node` package; without it a bundle would have to fetch one.
  const possible = process.platform === "linux" && existsSync(join(root, "node_modules", "node", "bin", "node"))

  beforeAll(async () => {
    if (possible) made = await exp(["bundle", fixture("curve"), "--format", "folder", "--out", folder, "--json"])
  }, 240_000)

  it.skipIf(!possible)("makes a folder that holds no types, maps, tests or development packages", () => {
    expect(made.stderr).not.toContain("error:")
    expect(made.code).toBe(0)
    const { parts, ...rest } = JSON.parse(made.stdout)
    expect(rest).toMatchObject({ experiments: ["test/fixtures/curve.ts"], datasets: [] })
    // 200 MB of this are 46 compressed: with the 9 MB of a data set a bundle stays below 60.
    const size = parts.reduce((sum: number, part: { readonly bytes: number }) => sum + part.bytes, 0)
    expect(size).toBeGreaterThan(100e6)
    expect(size).toBeLessThan(210e6)
    const packages = readdirSync(join(folder, "node_modules"))
    expect(packages).toContain("onnxruntime-node")
    expect(packages).not.toContain("vitest")
    const files = filesBelow(join(folder, "node_modules", "effect"))
    expect(files.filter((path) => /\.(d\.ts|map)$/.test(path))).toEqual([])
  })

  it.skipIf(!possible)("has every module that the program names", () => {
    const left = new Set(["webgpu", "@tensorflow/tfjs-backend-webgpu"])
    const named = new Set<string>()
    const sources = readdirSync(join(folder, "packages"))
      .flatMap((name) => filesBelow(join(folder, "packages", name)).map((path) => join("packages", name, path)))
      .filter((path) => /\/src\/.*\.tsx?$/.test(path))
    for (const path of sources)
      for (const line of readFileSync(join(folder, path), "utf8").split("\n")) {
        const found = /^(?:(?:import|export) (?!type ).*|\} )from "([^".]+[^"]*)"|import\("([^".][^"]*)"\)/.exec(line)
        const name = found?.[1] ?? found?.[2]
        if (name !== undefined && !left.has(name)) named.add(name)
      }
    for (const name of ["effect/Effect", "echarts", "pacote", "better-sqlite3", "@tensorflow/tfjs-backend-wasm"])
      expect([...named]).toContain(name)
    const program = `
      const failed = []
      for (const name of ${JSON.stringify([...named])}) await import(name).catch((error) => failed.push(name + ": " + error.message))
      console.log(JSON.stringify(failed))
      process.exit(0)`
    // From a file of the program, so that names mean what they mean there.
    const script = join(folder, "packages", "cli", "load-all.mjs")
    writeFileSync(script, program)
    const ended = spawnSync(join(folder, "bin", "node"), [script], { encoding: "utf8", env: {} })
    expect(ended.stderr.replaceAll(/^\(node.*Warning.*\n|^\(Use.*\n/gm, "")).toBe("")
    expect(JSON.parse(ended.stdout)).toEqual([])
  })

  it.skipIf(!possible)("runs without a network, a home, npm or Node", () => {
    // An empty PATH but for what the launcher calls, and where the system allows it, no network at all.
    const path = emptyFolder()
    for (const name of ["sh", "dirname"])
      symlinkSync(execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim(), join(path, name))
    const home = join(path, "home")
    mkdirSync(home)
    const alone = spawnSync("unshare", ["-n", "true"]).status === 0
    const command = ["./exp", "run", "test/fixtures/curve.ts", "--workers", "2", "--plain"]
    const ended = spawnSync(alone ? "unshare" : command[0]!, alone ? ["-n", ...command] : command.slice(1), {
      cwd: folder,
      env: { HOME: home, PATH: `${path}:${alone ? "/usr/bin" : ""}`.replace(/:$/, "") },
      encoding: "utf8",
    })
    expect(ended.stderr).not.toContain("error:")
    expect(ended.status).toBe(0)
    expect(ended.stdout).toContain("95% interval")
    expect(ended.stdout).toContain("  ./exp show ")
    expect(readdirSync(home)).toEqual([])
  })

  it("refuses platforms that it cannot serve, and folders that are there", async () => {
    const windows = await exp(["bundle", fixture("curve"), "--platform", "win32-x64"])
    expect(windows.code).toBe(2)
    expect(windows.stderr).toMatch(/No bundle can be made for win32-x64.*linux-x64.*WSL/s)
    const there = await exp(["bundle", fixture("curve"), "--format", "folder", "--out", root])
    expect(there.code).toBe(2)
    expect(there.stderr).toContain("exists already")
  })
})
