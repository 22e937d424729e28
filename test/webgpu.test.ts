import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { describe, expect, it } from "vitest"
import { vulkanEnvironment } from "../packages/tensor/test/software-vulkan.ts"
import { root } from "./exp.ts"
import type { TrainingReport } from "./train-on-device.ts"

// The eager device takes its time on a software driver: npm run test:devices.
const devices = process.env["EXP_TEST_ALL_OPS"] ? ["webgpu", "webgpu-eager"] : ["webgpu"]

describe.each(devices)("a vision transformer trained on %s", (device) => {
  it("has the losses and the gradients' moments that it has on cpu", async (context) => {
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, "test", "train-on-device.ts"), device], {
      env: vulkanEnvironment(),
    })
    const report = JSON.parse(stdout.split("\n").find((line) => line.startsWith("{"))!) as TrainingReport
    if ("skip" in report) return context.skip(report.skip)
    const { cpu, [device]: gpu } = report.losses
    expect(cpu).toHaveLength(3)
    cpu!.forEach((loss, i) => {
      expect(Math.abs(loss - gpu![i]!)).toBeLessThan(1e-5)
    })
    expect(new Set(cpu).size).toBe(3)
    // Parameters are not compared: where a gradient is nearly 0, Adam turns rounding into steps of full size.
    expect(report.moments).toBeGreaterThan(0)
    expect(report.moments).toBeLessThan(1e-4)
    if (device === "webgpu") expect(report.whole).toBe(true)
  }, 1_200_000)
})
