/** Where the time of a compiled step goes, measured by the native runtime itself. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { draw } from "../draws.ts"
import type { HostTensors, Step } from "../step.ts"
import { type NativeTensor, openSession, toNative } from "./engine.ts"
import { oneStep } from "./model.ts"
import { traceStep } from "./trace-step.ts"

/** Time of one kind of operator in one run. */
export interface OperatorTime {
  readonly op: string
  readonly count: number
  readonly milliseconds: number
}

/**
 * Runs a step `runs` times from the same state under the runtime's profiler.
 *
 * @returns mean times of one run by operator, after the runtime's own fusions, slowest first
 */
export function profileStep(step: Step, state: HostTensors, batch: HostTensors, runs = 10): readonly OperatorTime[] {
  const traced = traceStep(step, state, batch)
  const model = oneStep(traced)
  const folder = mkdtempSync(join(tmpdir(), "exp-profile-"))
  try {
    const session = openSession(model.bytes, { profile: join(folder, "profile") })
    const feeds: Record<string, NativeTensor> = {}
    const feed = (name: string, tensor: HostTensors[string]) => {
      if (model.inputs.has(name)) feeds[name] = toNative(tensor)
    }
    for (const name in state) feed(`state/${name}`, state[name]!)
    for (const name in batch) feed(`batch/${name}`, batch[name]!)
    traced.draws.forEach((d, i) => {
      feed(`random/${i}`, draw(d.distribution, d.stream, d.shape, { seed: 0, step: 0 }))
    })
    for (let i = 0; i < runs; i++) session.run(feeds, model.outputs)
    session.endProfiling()
    session.release()
    const file = readdirSync(folder)[0]!
    const events = JSON.parse(readFileSync(join(folder, file), "utf8")) as {
      name?: string
      dur: number
      args?: { op_name?: string }
    }[]
    const times = new Map<string, { count: number; micros: number }>()
    for (const event of events) {
      if (!event.name?.endsWith("_kernel_time") || !event.args?.op_name) continue
      const entry = times.get(event.args.op_name) ?? { count: 0, micros: 0 }
      entry.count++
      entry.micros += event.dur
      times.set(event.args.op_name, entry)
    }
    return [...times.entries()]
      .map(([op, { count, micros }]) => ({ op, count: count / runs, milliseconds: micros / 1000 / runs }))
      .sort((a, b) => b.milliseconds - a.milliseconds)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
