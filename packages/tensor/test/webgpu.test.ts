import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { beforeAll, describe, expect, it } from "vitest"
import { fewOps } from "./device-tolerance.ts"
import { label } from "./op-step.ts"
import { opCases } from "./op-table.ts"
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
