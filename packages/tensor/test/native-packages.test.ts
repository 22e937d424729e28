import { execFile } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { afterEach, describe, expect, it } from "vitest"
import { mendNodeUtil } from "../src/cuda-device.ts"
import { vulkanEnvironment } from "./software-vulkan.ts"

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const native = ["onnxruntime-node", "webgpu", "@tensorflow/tfjs-backend-webgpu"]
const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

interface Ran {
  readonly device?: string
  readonly pid?: number
  readonly sums?: readonly number[]
  readonly telemetry?: string
  readonly stderr: string
}

async function compiledStep(
  device: string,
  options: { env?: NodeJS.ProcessEnv; hidden?: readonly string[]; cwd?: string } = {},
): Promise<Ran> {
  const preload = options.hidden ? ["--import", pathToFileURL(here("hide-packages.js")).href] : []
  const run = promisify(execFile)(process.execPath, [...preload, here("compiled-step.ts"), device], {
    cwd: options.cwd,
    env: { ...(options.env ?? process.env), HIDDEN_PACKAGES: (options.hidden ?? []).join(",") },
  })
  const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error)
  const line = stdout.split("\n").find((text) => text.startsWith("{"))
  return { ...(line === undefined ? {} : (JSON.parse(line) as object)), stderr }
}

const sums = [54, 216, 864]

describe("without native packages", () => {
  it("auto is wasm and computes the same", async () => {
    expect(await compiledStep("auto", { hidden: native })).toMatchObject({ device: "wasm", sums })
  }, 120_000)

  it.each(["cpu", "webgpu", "webgpu-eager", "cuda"])(
    "%s says what is missing and what to do",
    async (device) => {
      const { stderr } = await compiledStep(device, { hidden: native, env: vulkanEnvironment() })
      expect(stderr).toMatch(
        new RegExp(`DeviceUnavailable: device "${device}" is not available: .*(reinstall|install|wasm)`),
      )
    },
    120_000,
  )

  it("webgpu without ONNX Runtime is the eager device", async (context) => {
    const ran = await compiledStep("webgpu", { hidden: ["onnxruntime-node"], env: vulkanEnvironment() })
    if (/no graphics adapter|no Vulkan loader/.test(ran.stderr))
      return context.skip("there is no adapter and no software Vulkan driver")
    expect(ran).toMatchObject({ device: "webgpu-eager", sums })
  }, 120_000)
})

describe("native packages", () => {
  it.each(["cpu", "webgpu", "webgpu-eager"])(
    "on %s, write no file and phone nobody",
    async (device) => {
      const folder = mkdtempSync(join(tmpdir(), "exp-quiet-"))
      folders.push(folder)
      const places = ["home", "tmp", "cache", "config", "data", "runtime", "cwd"]
      for (const place of places) mkdirSync(join(folder, place), { mode: 0o700 })
      const { CI: _, ORT_DISABLE_TELEMETRY: __, ...env } = vulkanEnvironment()
      const ran = await compiledStep(device, {
        cwd: join(folder, "cwd"),
        env: {
          ...env,
          HOME: join(folder, "home"),
          TMPDIR: join(folder, "tmp"),
          XDG_CACHE_HOME: join(folder, "cache"),
          XDG_CONFIG_HOME: join(folder, "config"),
          XDG_DATA_HOME: join(folder, "data"),
          XDG_RUNTIME_DIR: join(folder, "runtime"),
        },
      })
      if (device !== "cpu" && ran.device === undefined) {
        expect(ran.stderr).toMatch(/no graphics adapter|no Vulkan loader/)
        return
      }
      expect(ran).toMatchObject({ device, sums, telemetry: device === "webgpu-eager" ? "unset" : "1" })
      expect(readdirSync(folder, { recursive: true }).sort()).toEqual([...places].sort())
      // Its reports to the vendor leave a log in /tmp, wherever TMPDIR points.
      expect(existsSync(`/tmp/mat-debug-${ran.pid}.log`)).toBe(false)
    },
    120_000,
  )
})

it("functions of node:util that TensorFlow's binding needs are put back, and nothing else is touched", () => {
  const util = createRequire(import.meta.url)("node:util") as Record<string, (x: unknown) => boolean>
  const before = { ...util }
  mendNodeUtil()
  expect(util["isNullOrUndefined"]!(null)).toBe(true)
  expect(util["isNullOrUndefined"]!(0)).toBe(false)
  expect(util["isArray"]!([])).toBe(true)
  for (const [name, f] of Object.entries(before)) expect(util[name]).toBe(f)
})
