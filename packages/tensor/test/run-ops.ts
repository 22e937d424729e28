/**
 * Runs the operation suite on a device and prints one line of JSON for every case: how far it is from the reference.
 *
 *     node packages/tensor/test/run-ops.ts webgpu          all cases
 *     node packages/tensor/test/run-ops.ts webgpu --few    those that stand for the others
 */
import { type DeviceName, DeviceUnavailable, openDevice, type Step } from "../src/tensor.ts"
import { deviceTolerance, fewOps } from "./device-tolerance.ts"
import { difference, label, stepOf } from "./op-step.ts"
import { type OpCase, opCases } from "./op-table.ts"

/** What is printed. */
export type OpReport =
  | { readonly skip: string }
  | { readonly device: string; readonly description: string }
  | { readonly case: string; readonly worst: number; readonly tolerance: number; readonly error?: string }

const [name = "webgpu", few] = process.argv.slice(2)
const say = (report: OpReport) => process.stdout.write(`${JSON.stringify(report)}\n`)

async function compare(c: OpCase, devices: readonly Awaited<ReturnType<typeof openDevice>>[]): Promise<number> {
  const step: Step = stepOf(c)
  const [expected, got] = await Promise.all(
    devices.map(async (device) => {
      const program = device.compile(step)
      try {
        program.load({})
        return await program.run(c.inputs, { seed: 0, step: 0 })
      } finally {
        program.dispose()
      }
    }),
  )
  return Math.max(...Object.entries(expected!).map(([metric, tensor]) => difference(tensor, got![metric]!)))
}

try {
  const device = await openDevice(name as DeviceName)
  const reference = await openDevice("js")
  say({ device: device.name, description: device.describe() })
  for (const c of opCases) {
    if (few && !fewOps[name]?.includes(label(c))) continue
    const tolerance = deviceTolerance(c, name)
    try {
      say({ case: label(c), worst: await compare(c, [reference, device]), tolerance })
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      say({ case: label(c), worst: Number.MAX_VALUE, tolerance, error: message })
    }
  }
} catch (error) {
  if (!(error instanceof DeviceUnavailable)) throw error
  say({ skip: error.message })
}
