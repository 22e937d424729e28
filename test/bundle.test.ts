import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { isPruned, type Lock, productionPackages } from "../packages/cli/src/bundle/dependencies.ts"
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
    ["@tensorflow/tfjs-backend-wasm", "wasm-out/tfjs-backend-wasm-simd.wasm", false],
    ["effect", "dist/Schema.js", false],
    ["effect", "dist/Schema.d.ts", true],
    ["effect", "dist/Schema.js.map", true],
    ["effect", "dist/testing/index.js", false],
    ["some", "test/all.js", true],
    ["some", "LICENSE.md", false],
  ] as const)("of %s: %s left out: %s", (name, path, pruned) => {
    expect(isPruned(name, path, linux)).toBe(pruned)
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
    expect(JSON.parse(made.stdout)).toMatchObject({ experiments: ["test/fixtures/curve.ts"], datasets: [] })
    const packages = readdirSync(join(folder, "node_modules"))
    expect(packages).toContain("onnxruntime-node")
    expect(packages).not.toContain("vitest")
    const files = filesBelow(join(folder, "node_modules", "effect"))
    expect(files.filter((path) => /\.(d\.ts|map)$/.test(path))).toEqual([])
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
