/**
 * The training loop: runs a program over batches that are a pure function of the step, logs, saves checkpoints, and
 * continues from one bit for bit.
 */
import { decodeSafetensors, encodeSafetensors, type HostTensors, type Program } from "@exp/tensor"
import { CheckpointMismatch, Divergence, Interrupted } from "./errors.ts"
import { hostScalars } from "./trees.ts"

/** Where a training reports to; a trial context fits. All are optional. */
export interface TrainingSink {
  readonly signal?: AbortSignal
  readonly progress?: (done: number, total: number) => void
  readonly checkpoint?: {
    readonly save: (step: number, state: Uint8Array) => Promise<void>
    readonly restore: () => Promise<{ readonly step: number; readonly state: Uint8Array } | undefined>
  }
}

/** State that lives outside the program and must survive a restart, e.g. budgets decided between epochs. */
export interface HostState {
  readonly save: () => string
  readonly restore: (text: string) => void
}

/** What to train, with what, and when to stop for what. */
export interface TrainingOptions {
  readonly program: Program
  /** Seed of the randomness inside the step. */
  readonly seed: number
  /** Number of steps in all. */
  readonly steps: number
  /** The state at step 0, used when there is no checkpoint. */
  readonly initial: HostTensors | (() => HostTensors)
  /** The batch of a step; a pure function, called once for each step, in order. */
  readonly batches: (step: number) => HostTensors | Promise<HostTensors>
  /** Numbers computed for each step in double precision, merged into the batch as scalars ("learning_rate"). */
  readonly scalars?: (step: number) => Readonly<Record<string, number>>
  /** At most so many steps go to the program at once (one native call where it compiles). Default 16. */
  readonly chunk?: number
  /** Called with the metrics of every step, in order. */
  readonly onMetrics?: (step: number, metrics: HostTensors) => void
  /**
   * Interruptions between steps, e.g. at the end of each epoch: `run` is called when the number of finished steps is a
   * multiple of `every` (and, with `last`, at the end). It may read and load the program's state.
   */
  readonly pauses?: readonly {
    readonly every: number
    readonly last?: boolean
    readonly run: (finished: number, program: Program) => void | Promise<void>
  }[]
  /** The metric that must stay finite. Default "loss"; ignored where the step has no such metric. */
  readonly watch?: string
  /** When it does not: throw {@link Divergence} (default), or stop and return it. */
  readonly onDivergence?: "throw" | "stop"
  /** Steps between checkpoints. Default: only when interrupted. */
  readonly checkpointEvery?: number
  readonly hostState?: HostState
  readonly sink?: TrainingSink
}

/** How a training ended. */
export interface TrainingResult {
  /** Number of finished steps. */
  readonly finished: number
  /** The step that the run started from: 0, or that of the checkpoint. */
  readonly resumedFrom: number
  readonly diverged?: Divergence
}

/** A checkpoint: the program's state, the number of finished steps, the seed and the host's state, as safetensors. */
export function encodeCheckpoint(state: HostTensors, at: { step: number; seed: number; host?: string }): Uint8Array {
  const metadata: Record<string, string> = { step: String(at.step), seed: String(at.seed) }
  if (at.host !== undefined) metadata.host = at.host
  return encodeSafetensors(state, metadata)
}

/**
 * Reads a checkpoint.
 *
 * @throws InvalidSafetensors when the bytes are damaged
 * @throws CheckpointMismatch when step or seed are missing
 */
export function decodeCheckpoint(bytes: Uint8Array): {
  readonly state: HostTensors
  readonly step: number
  readonly seed: number
  readonly host?: string
} {
  const { tensors, metadata } = decodeSafetensors(bytes)
  const number = (field: string) => {
    const value = Number(metadata[field])
    if (metadata[field] === undefined || !Number.isSafeInteger(value))
      throw new CheckpointMismatch(field, "an integer", String(metadata[field]))
    return value
  }
  return {
    state: tensors,
    step: number("step"),
    seed: number("seed"),
    ...(metadata.host === undefined ? {} : { host: metadata.host }),
  }
}

/**
 * Trains to the end, from the newest checkpoint of the sink if there is one.
 *
 * Metrics, pauses and state after a resume are bit for bit those of an uninterrupted run on the same device, provided
 * that `batches` and `scalars` are pure functions of the step and that host state is saved through `hostState`.
 *
 * @throws Divergence when the watched metric is not finite (unless `onDivergence` is "stop")
 * @throws Interrupted when the sink's signal is aborted, after saving a checkpoint
 * @throws CheckpointMismatch when the checkpoint has another seed or other tensors
 */
export async function train(options: TrainingOptions): Promise<TrainingResult> {
  const { program, seed, steps, sink = {}, pauses = [], watch = "loss", hostState } = options
  const chunk = Math.max(1, options.chunk ?? 16)
  const initial = typeof options.initial === "function" ? options.initial() : options.initial
  const resumedFrom = await start(options, initial)
  let finished = resumedFrom
  let saved = resumedFrom
  const save = async () => {
    if (!sink.checkpoint) return false
    if (saved !== finished || finished === 0) {
      const host = hostState?.save()
      const at = { step: finished, seed, ...(host === undefined ? {} : { host }) }
      await sink.checkpoint.save(finished, encodeCheckpoint(await program.state(), at))
      saved = finished
    }
    return true
  }
  const breathe = breather()
  while (finished < steps) {
    if (sink.signal?.aborted) throw new Interrupted(finished, await save())
    const count = Math.min(chunk, steps - finished, ...stops(options, finished))
    const batches: HostTensors[] = []
    for (let step = finished; step < finished + count; step++) {
      const batch = await options.batches(step)
      batches.push(options.scalars ? { ...batch, ...hostScalars(options.scalars(step)) } : batch)
    }
    const metrics =
      count === 1
        ? [await program.run(batches[0]!, { seed, step: finished })]
        : await program.runMany(batches, { seed, step: finished })
    for (const [i, values] of metrics.entries()) {
      const step = finished + i
      options.onMetrics?.(step, values)
      const watched = values[watch]?.data[0]
      if (watched !== undefined && !Number.isFinite(watched)) {
        const diverged = new Divergence(step, watch, watched)
        if (options.onDivergence === "stop") return { finished: step, resumedFrom, diverged }
        throw diverged
      }
    }
    finished += count
    for (const pause of pauses)
      if (finished % pause.every === 0 || (pause.last && finished === steps)) await pause.run(finished, program)
    if (options.checkpointEvery && (finished % options.checkpointEvery === 0 || finished === steps)) await save()
    sink.progress?.(finished, steps)
    await breathe()
  }
  return { finished, resumedFrom }
}

/** Loads the checkpoint or the initial state; returns the number of finished steps. */
async function start(options: TrainingOptions, initial: HostTensors): Promise<number> {
  const restored = await options.sink?.checkpoint?.restore()
  if (!restored) {
    options.program.load(initial)
    return 0
  }
  const checkpoint = decodeCheckpoint(restored.state)
  const expect = (field: string, expected: string, got: string) => {
    if (expected !== got) throw new CheckpointMismatch(field, expected, got)
  }
  expect("seed", String(options.seed), String(checkpoint.seed))
  for (const [name, tensor] of Object.entries(initial)) {
    const got = checkpoint.state[name]
    expect(`tensor "${name}"`, `${tensor.dtype} [${tensor.shape}]`, got ? `${got.dtype} [${got.shape}]` : "missing")
  }
  for (const name of Object.keys(checkpoint.state))
    expect(`tensor "${name}"`, "absent or known", initial[name] ? "absent or known" : "unknown")
  if (checkpoint.host !== undefined) options.hostState?.restore(checkpoint.host)
  options.program.load(checkpoint.state)
  return checkpoint.step
}

/** Steps from `finished` to each place where the loop must stop. */
function stops(options: TrainingOptions, finished: number): readonly number[] {
  const every = [...(options.pauses ?? []).map((pause) => pause.every)]
  if (options.checkpointEvery) every.push(options.checkpointEvery)
  return every.map((n) => n - (finished % n))
}

/** Lets timers, signals and messages through a few times a second: steps resolve without leaving the microtask queue. */
function breather(): () => Promise<void> {
  let last = performance.now()
  return async () => {
    if (performance.now() - last < 50) return
    await new Promise((resolve) => setImmediate(resolve))
    last = performance.now()
  }
}

/** The scalar metrics as numbers, for logging; larger tensors are left out. */
export function scalarMetrics(metrics: HostTensors): Record<string, number> {
  return Object.fromEntries(
    Object.entries(metrics).flatMap(([name, tensor]) =>
      tensor.data.length === 1 ? [[name, tensor.data[0]!] as const] : [],
    ),
  )
}
