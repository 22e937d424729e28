/** Programs whose step is traced into a native graph. */
import { draw } from "../draws.ts"
import { ProgramNotReady } from "../errors.ts"
import { checkHostTensor, describeShape } from "../program.ts"
import type { CompileOptions, HostTensor, HostTensors, Program, ProgramGraph, Step, StepTime } from "../step.ts"
import { costOf } from "./cost.ts"
import {
  fromNative,
  modelHash,
  type NativeTensor,
  openSession,
  type Session,
  type SessionOptions,
  toNative,
} from "./engine.ts"
import { size } from "./graph.ts"
import { manySteps, oneStep, type StepModel } from "./model.ts"
import { type TracedStep, traceStep } from "./trace-step.ts"

interface Compiled {
  readonly step: TracedStep
  readonly one: { readonly model: StepModel; session: Session | undefined }
  readonly many: Map<number, { readonly model: StepModel; readonly session: Session }>
  /** Buffers for random numbers, written over before every run. */
  readonly noise: Float32Array[]
}

/** Steps that one native call runs at most: the stacked inputs must stay small against the caches and the heap. */
const maxStepsPerCall = 32

/** A program on ONNX Runtime, whose state lives in host memory between calls. */
export class CompiledProgram implements Program {
  readonly device: string
  readonly #step: Step
  readonly #options: CompileOptions & SessionOptions
  readonly #compiled = new Map<string, Compiled>()
  #state: Record<string, NativeTensor> | undefined
  #disposed = false

  constructor(device: string, step: Step, options: CompileOptions & SessionOptions = {}) {
    this.device = device
    this.#step = step
    this.#options = options
  }

  load(state: HostTensors): void {
    if (this.#disposed) throw new ProgramNotReady("the program was disposed of")
    const native: Record<string, NativeTensor> = {}
    for (const [name, tensor] of Object.entries(state)) {
      checkHostTensor(`state "${name}"`, tensor)
      native[name] = toNative({ ...tensor, data: tensor.data.slice(), shape: [...tensor.shape] })
    }
    this.#state = native
  }

  async run(batch: HostTensors, at: StepTime): Promise<HostTensors> {
    return this.runSync(batch, at)
  }

  /** {@link run} without a promise: the native call blocks in any case. */
  runSync(batch: HostTensors, at: StepTime): HostTensors {
    const state = this.#ready()
    const compiled = this.#compile(state, batch)
    const { model } = compiled.one
    compiled.one.session ??= openSession(model.bytes, this.#options)
    const feeds: Record<string, NativeTensor> = {}
    for (const name in state) if (model.inputs.has(`state/${name}`)) feeds[`state/${name}`] = state[name]!
    for (const name in batch) if (model.inputs.has(`batch/${name}`)) feeds[`batch/${name}`] = toNative(batch[name]!)
    compiled.step.draws.forEach((d, i) => {
      if (!model.inputs.has(`random/${i}`)) return
      compiled.noise[i] ??= new Float32Array(size(d.shape))
      const into = compiled.noise[i]
      feeds[`random/${i}`] = toNative(draw(d.distribution, d.stream, d.shape, at, into))
    })
    const out = compiled.one.session.run(feeds, model.outputs)
    return this.#take(compiled.step, state, out)
  }

  async runMany(batches: readonly HostTensors[], at: StepTime): Promise<readonly HostTensors[]> {
    const metrics: HostTensors[] = []
    const state = this.#ready()
    for (let from = 0; from < batches.length; ) {
      const signature = signatureOf(batches[from]!)
      let to = from + 1
      while (to < batches.length && to - from < maxStepsPerCall && signatureOf(batches[to]!) === signature) to++
      const compiled = this.#compile(state, batches[from]!)
      const now = { seed: at.seed, step: at.step + from }
      // A tail of another length runs step by step, rather than compile one more graph for it.
      const known = compiled.many.has(to - from)
      const fed = [...compiled.one.model.inputs].some((name) => !name.startsWith("state/"))
      // A Scan goes over inputs and carries state: it needs some of both.
      const whole =
        to - from > 1 && fed && (known || compiled.many.size < 3) && Object.keys(compiled.step.next).length > 0
      if (whole) metrics.push(...this.#runScan(compiled, batches.slice(from, to), now))
      else for (let i = from; i < to; i++) metrics.push(this.runSync(batches[i]!, { seed: at.seed, step: at.step + i }))
      from = to
    }
    return metrics
  }

  async state(): Promise<HostTensors> {
    const out: Record<string, HostTensor> = {}
    for (const [name, tensor] of Object.entries(this.#ready())) {
      const { data, shape, dtype } = fromNative(tensor)
      out[name] = { data: data.slice(), shape: [...shape], dtype }
    }
    return out
  }

  graph(): ProgramGraph | undefined {
    const compiled = [...this.#compiled.values()].at(-1)
    if (!compiled) return undefined
    const { bytes } = compiled.one.model
    return { hash: modelHash(bytes), onnx: bytes, cost: costOf(compiled.step) }
  }

  dispose(): void {
    for (const compiled of this.#compiled.values()) releaseSessions(compiled)
    this.#compiled.clear()
    this.#state = undefined
    this.#disposed = true
  }

  #ready(): Record<string, NativeTensor> {
    if (this.#disposed) throw new ProgramNotReady("the program was disposed of")
    if (!this.#state) throw new ProgramNotReady("the program has no state: call load(state) before run")
    return this.#state
  }

  /** The step for the shapes of this state and batch; other shapes are another graph. */
  #compile(state: Record<string, NativeTensor>, batch: HostTensors): Compiled {
    for (const name in batch) checkHostTensor(`batch "${name}"`, batch[name]!)
    const key = signatureOf(batch)
    const known = this.#compiled.get(key)
    // Entries that the graph neither reads nor writes may come and go.
    const matters = (name: string) => known?.one.model.inputs.has(`state/${name}`) || known?.step.next[name]
    if (
      known &&
      Object.entries(known.step.state).every(
        ([name, v]) => !matters(name) || (state[name] && describeShape(fromNative(state[name])) === describeShape(v)),
      )
    )
      return known
    if (known) releaseSessions(known)
    const shapes = Object.fromEntries(Object.entries(state).map(([name, t]) => [name, fromNative(t)]))
    const step = traceStep(this.#step, shapes, batch)
    const compiled: Compiled = { step, one: { model: oneStep(step), session: undefined }, many: new Map(), noise: [] }
    this.#compiled.set(key, compiled)
    return compiled
  }

  #take(step: TracedStep, state: Record<string, NativeTensor>, out: Record<string, NativeTensor>): HostTensors {
    for (const name in step.next) state[name] = out[`next/${name}`]!
    const metrics: Record<string, HostTensor> = {}
    for (const name in step.metrics) metrics[name] = fromNative(out[`metric/${name}`]!)
    return metrics
  }

  #runScan(compiled: Compiled, batches: readonly HostTensors[], at: StepTime): HostTensors[] {
    const state = this.#ready()
    const count = batches.length
    let many = compiled.many.get(count)
    if (!many) {
      const model = manySteps(compiled.step, count)
      many = { model, session: openSession(model.bytes, this.#options) }
      compiled.many.set(count, many)
    }
    const { model, session } = many
    const feeds: Record<string, NativeTensor> = {}
    for (const name in state) if (model.inputs.has(`state/${name}`)) feeds[`state/${name}`] = state[name]!
    for (const name in batches[0]) {
      if (!model.inputs.has(`batch/${name}`)) continue
      const first = batches[0][name]!
      const n = first.data.length
      const data = new (first.data.constructor as new (n: number) => HostTensor["data"])(n * count)
      batches.forEach((batch, i) => {
        checkHostTensor(`batch "${name}"`, batch[name]!)
        data.set(batch[name]!.data as never, i * n)
      })
      feeds[`batch/${name}`] = toNative({ data, shape: [count, ...first.shape], dtype: first.dtype })
    }
    compiled.step.draws.forEach((d, i) => {
      if (!model.inputs.has(`random/${i}`)) return
      const n = size(d.shape)
      const data = new Float32Array(n * count)
      for (let j = 0; j < count; j++)
        draw(d.distribution, d.stream, d.shape, { seed: at.seed, step: at.step + j }, data.subarray(j * n, (j + 1) * n))
      feeds[`random/${i}`] = toNative({ data, shape: [count, ...d.shape], dtype: "float32" })
    })
    const out = session.run(feeds, model.outputs)
    for (const name in compiled.step.next) state[name] = out[`next/${name}`]!
    return batches.map((_, i) => {
      const metrics: Record<string, HostTensor> = {}
      for (const [name, value] of Object.entries(compiled.step.metrics)) {
        const n = size(value.shape)
        const { data, dtype } = fromNative(out[`metric/${name}`]!)
        metrics[name] = { data: data.slice(i * n, (i + 1) * n), shape: [...value.shape], dtype }
      }
      return metrics
    })
  }
}

function releaseSessions(compiled: Compiled): void {
  compiled.one.session?.release()
  for (const { session } of compiled.many.values()) session.release()
}

function signatureOf(batch: HostTensors): string {
  let key = ""
  for (const name in batch) key += `${name}:${describeShape(batch[name]!)};`
  return key
}
