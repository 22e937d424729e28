/**
 * Programs kept between the trials of one worker process. A step whose trained layers change is a graph for each set of
 * them; trials that differ in seed, rate or layer choice alone use the same graphs, and compile each once.
 */
import { type Device, type DeviceName, openDevice, type Program, type Step } from "@exp/tensor"

/** What one run of a graph costs; see `StepCost`. */
export interface GraphCost {
  readonly flops: number
  /** Bytes alive at the loss: what the forward pass keeps for the backward pass. */
  readonly saved: number
  /** Most bytes of intermediate results and new state alive at once. */
  readonly peak: number
  /** Batch and random numbers. */
  readonly inputs: number
}

/** A program with what is known of its graphs, by a name for each. */
export interface KeptProgram {
  readonly device: Device
  readonly program: Program
  readonly costs: Map<string, GraphCost>
}

interface Entry extends KeptProgram {
  readonly key: string
  busy: boolean
}

const kept: Entry[] = []
const most = 3

/**
 * A program for `step`, one that an earlier trial gave back if there is one.
 *
 * @param key equal keys must mean equal steps
 */
export async function borrowProgram(key: string, device: DeviceName, step: () => Step): Promise<KeptProgram> {
  const named = `${device} ${key}`
  const found = kept.findIndex((entry) => entry.key === named && !entry.busy)
  if (found >= 0) {
    const [entry] = kept.splice(found, 1)
    entry!.busy = true
    kept.push(entry!)
    return entry!
  }
  const opened = await openDevice(device)
  const entry: Entry = {
    key: named,
    device: opened,
    program: opened.compile(step(), { name: "layered step" }),
    costs: new Map(),
    busy: true,
  }
  kept.push(entry)
  return entry
}

/** Gives a program back; the ones not used for longest are freed. Its state is freed with it or by the next `load`. */
export function giveBackProgram(program: KeptProgram): void {
  const entry = kept.find((e) => e.program === program.program)
  if (entry) entry.busy = false
  while (kept.length > most) {
    const idle = kept.findIndex((e) => !e.busy)
    if (idle < 0) return
    free(kept.splice(idle, 1)[0]!)
  }
}

/** Frees all programs that nobody uses. */
export function freeKeptPrograms(): void {
  for (const entry of kept.filter((e) => !e.busy)) {
    kept.splice(kept.indexOf(entry), 1)
    free(entry)
  }
}

function free(entry: Entry): void {
  entry.program.dispose()
  entry.device.dispose()
}
