import { describe, expect, it } from "vitest"
import { vulkanEnvironment } from "../packages/tensor/test/software-vulkan.ts"
import { emptyFolder, exp } from "./exp.ts"

interface Row {
  readonly name: string
  readonly available: boolean
  readonly description: string
  readonly gflops?: number
  readonly gigabytesPerSecond?: number
  readonly adapter?: { readonly software: boolean; readonly limits: Readonly<Record<string, number>> }
}

describe("exp devices", () => {
  it("measures what is there and says why the rest is missing", async (context) => {
    const { code, stdout } = await exp(["devices", "--json"], { cwd: emptyFolder(), env: vulkanEnvironment() })
    expect(code).toBe(0)
    const rows = JSON.parse(stdout) as Row[]
    expect(rows.map((row) => row.name)).toEqual(["cpu", "webgpu", "webgpu-eager", "cuda", "wasm", "js"])
    for (const row of rows) {
      expect(row.description.length).toBeGreaterThan(20)
      if (!row.available) continue
      expect(row.gflops).toBeGreaterThan(0)
      expect(row.gigabytesPerSecond).toBeGreaterThan(0)
    }
    const gpu = rows.find((row) => row.name === "webgpu")!
    if (!gpu.available) return context.skip(gpu.description)
    expect(gpu.adapter!.limits["maxBufferSize"]).toBeGreaterThan(2 ** 27)
    expect(gpu.description).toContain(gpu.adapter!.software ? "a software adapter" : "WebGPU")
  }, 300_000)

  it("takes no GPU by itself, and a software adapter is called one", async () => {
    const { stdout } = await exp(["devices", "--no-measure"], { cwd: emptyFolder(), env: vulkanEnvironment() })
    expect(stdout).toMatch(/--device auto takes (cpu|wasm); a GPU is taken only when it is named/)
  }, 120_000)

  it("installs only what can be installed", async () => {
    const { code, stderr } = await exp(["devices", "--install", "webgpu"], { cwd: emptyFolder() })
    expect(code).toBe(2)
    expect(stderr).toContain("npm ci")
  })
})

describe.skipIf(process.platform !== "linux")("a device that is not there", () => {
  it("is refused before anything is recorded, with the reason", async () => {
    const cwd = emptyFolder()
    const { code, stderr } = await exp(["run", "snella.vit.ts", "--quick", "--device", "webgpu"], {
      cwd,
      env: { ...process.env, VK_ICD_FILENAMES: "/nonexistent.json", VK_DRIVER_FILES: "/nonexistent.json" },
    })
    expect(code).toBe(2)
    expect(stderr).toMatch(/device "webgpu" is not available: .*(Vulkan|graphics adapter)/)
    expect(stderr).not.toMatch(/\n\s+at /)
  })
})
