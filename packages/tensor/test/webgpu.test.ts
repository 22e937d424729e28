import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { beforeAll, describe, expect, it } from "vitest"
import { nativeFailure } from "../src/compile/native-failure.ts"
import { fewOps } from "./device-tolerance.ts"
import { label } from "./op-step.ts"
import { opCases } from "./op-table.ts"
import type { FaultReport } from "./provoke-faults.ts"
import type { OpReport } from "./run-ops.ts"
import { vulkanEnvironment } from "./software-vulkan.ts"

// Whole by EXP_TEST_ALL_OPS=1 (npm run test:devices); on a software driver that takes minutes.
const all = Boolean(process.env["EXP_TEST_ALL_OPS"])

/** Runs a script of this folder where WebGPU is, in a process of its own: native code cannot be kept from aborting. */
async function inGpuProcess<A>(script: string, ...args: readonly string[]): Promise<readonly A[]> {
  const file = fileURLToPath(new URL(script, import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args], {
    env: vulkanEnvironment(),
    maxBuffer: 2 ** 26,
  })
  return stdout
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as A)
}

describe.each(["webgpu", "webgpu-eager"])("operations on %s", (device) => {
  const reports = new Map<string, Extract<OpReport, { readonly case: string }>>()
  let skip: string | undefined
  beforeAll(async () => {
    for (const report of await inGpuProcess<OpReport>("run-ops.ts", device, ...(all ? [] : ["--few"])))
      if ("skip" in report) skip = report.skip
      else if ("case" in report) reports.set(report.case, report)
  }, 1_200_000)

  it.for(opCases.map(label).filter((name) => all || fewOps[device]!.includes(name)))("%s", (name, context) => {
    context.skip(skip !== undefined, skip)
    const { worst, tolerance, error } = reports.get(name)!
    expect(error).toBeUndefined()
    expect(worst).toBeLessThanOrEqual(tolerance)
  })
})

describe.each(["cpu", "webgpu", "webgpu-eager"])("%s, asked for too much", (device) => {
  it("says so with a typed error, goes on, and keeps no memory", async (context) => {
    const [report] = await inGpuProcess<FaultReport>("provoke-faults.ts", device)
    if ("skip" in report!) return context.skip(report.skip)
    expect(report!.huge).toMatchObject({ tag: "OutOfDeviceMemory" })
    expect(report!.huge.message).toMatch(/has no room for it .* Use a smaller batch/)
    expect(report!.counter).toBe(2)
    // 200 states of 4 MiB would be 800.
    expect(report!.growth).toBeLessThan(400)
    if (device === "webgpu-eager") expect(report!.lost).toMatchObject({ tag: "DeviceLost" })
  }, 1_200_000)
})

describe("what the native runtime throws", () => {
  // As read from ONNX Runtime 1.30 and Dawn.
  const messages = {
    DeviceLost: [
      "WebGPU device lost (2): Device was destroyed.",
      "[Device] is lost",
      "vkQueueSubmit failed with VK_ERROR_DEVICE_LOST",
    ],
    OutOfDeviceMemory: [
      "WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.",
      "Allocation size too large\n - While calling [Device].CreateBuffer([BufferDescriptor]).",
      "Failed to allocate memory for requested buffer of size 1099511627776",
      "Buffer size (17179869184) exceeds the max buffer size limit (1073741824).",
      "CUDA error cudaErrorMemoryAllocation:out of memory",
      "CUDA failure 2: out of memory ; GPU=0",
    ],
    NativeRuntimeError: ["Got invalid dimensions for input: x", "Too many inputs"],
  }
  it.each(Object.entries(messages))("is a %s by what it says", (tag, texts) => {
    for (const text of texts)
      expect(nativeFailure("webgpu", "the step failed", new Error(text))).toMatchObject({ _tag: tag })
  })
})
