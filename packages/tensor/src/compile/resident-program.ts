/** Programs whose state stays in the memory of a GPU from run to run. */
import { draw } from "../draws.ts"
import { OutOfDeviceMemory, ProgramNotReady } from "../errors.ts"
import { checkHostTensor, describeShape } from "../program.ts"
import type { CompileOptions, HostTensor, HostTensors, Program, ProgramGraph, Step, StepTime } from "../step.ts"
import { costOf } from "./cost.ts"
import {
  fromNative,
  modelHash,
  type NativeTensor,
  openSession,
  type Provider,
  type Session,
  toNative,
} from "./engine.ts"
import { size, type ValueType } from "./graph.ts"
import { oneStep, type StepModel, stepNodes } from "./model.ts"
import { encodeModel } from "./onnx.ts"
import { type Replacements, retarget } from "./retarget.ts"
import { type TracedStep, traceStep } from "./trace-step.ts"

interface Compiled {
  readonly step: TracedStep
  readonly model: StepModel
  session: Session | undefined
  /** Brings the metrics to the host. */
  reader: Session | undefined
  readonly noise: Float32Array[]
}

/** What a program is compiled for. */
export interface Target {
  readonly provider: Provider
  readonly replacements: Replacements
  /** No tensor may have more bytes, where that is known. */
  readonly largestTensor?: number
}

/**
 * A program on a GPU provider of ONNX Runtime. Inputs go to the device at every run, the state stays there, and metrics
 * come back; several steps are queued one after the other before the first metric is read, so that the device need not
 * wait for the host.
 */
export class ResidentProgram implements Program {
  readonly device: string
  readonly #step: Step
  readonly #options: CompileOptions
  readonly #target: Target
  readonly #compiled = new Map<string, Compiled>()
  /** What the state holds: in host memory until the first run, on the device from then on. */
  #state: Record<string, NativeTensor> | undefined
  /** Sessions that made tensors of the state: the runtime crashes when such a tensor outlives its session. */
  readonly #sources: Session[] = []
  #disposed = false

  constructor(device: string, target: Target, step: Step, options: CompileOptions = {}) {
    this.device = device
    this.#target = target
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
    this.#release()
    this.#state = native
  }

  async run(batch: HostTensors, at: StepTime): Promise<HostTensors> {
    const [metrics] = await this.runMany([batch], at)
    return metrics!
  }

  async runMany(batches: readonly HostTensors[], at: StepTime): Promise<readonly HostTensors[]> {
    const state = this.#ready()
    const queued: { compiled: Compiled; metrics: Record<string, NativeTensor> }[] = []
    try {
      batches.forEach((batch, i) => {
        const compiled = this.#compile(state, batch)
        queued.push({ compiled, metrics: this.#enqueue(compiled, state, batch, { ...at, step: at.step + i }) })
      })
      return queued.map(({ compiled, metrics }) => this.#read(compiled, metrics))
    } finally {
      for (const { metrics } of queued) for (const tensor of Object.values(metrics)) free(tensor)
    }
  }

  async state(): Promise<HostTensors> {
    const state = this.#ready()
    const host = (tensor: NativeTensor): HostTensor => {
      const { data, shape, dtype } = fromNative(tensor)
      return { data: data.slice(), shape: [...shape], dtype }
    }
    const resident = Object.entries(state).filter(([, tensor]) => isResident(tensor))
    const read = this.#transfer(Object.fromEntries(resident), false)
    return Object.fromEntries(Object.entries(state).map(([name, tensor]) => [name, host(read[name] ?? tensor)]))
  }

  graph(): ProgramGraph | undefined {
    const compiled = [...this.#compiled.values()].at(-1)
    if (!compiled) return undefined
    const { bytes } = compiled.model
    return { hash: modelHash(bytes), onnx: bytes, cost: costOf(compiled.step) }
  }

  dispose(): void {
    this.#release()
    for (const source of this.#sources.splice(0)) source.release()
    for (const { session, reader } of this.#compiled.values()) {
      session?.release()
      reader?.release()
    }
    this.#compiled.clear()
    this.#disposed = true
  }

  #ready(): Record<string, NativeTensor> {
    if (this.#disposed) throw new ProgramNotReady("the program was disposed of")
    if (!this.#state) throw new ProgramNotReady("the program has no state: call load(state) before run")
    return this.#state
  }

  #release(): void {
    if (this.#state) for (const tensor of Object.values(this.#state)) free(tensor)
    this.#state = undefined
  }

  /** The step for the shapes of this state and batch; other shapes are another graph. */
  #compile(state: Record<string, NativeTensor>, batch: HostTensors): Compiled {
    let key = ""
    for (const name in batch) {
      checkHostTensor(`batch "${name}"`, batch[name]!)
      key += `${name}:${describeShape(batch[name]!)};`
    }
    const known = this.#compiled.get(key)
    const fits = ([name, value]: [string, ValueType]) =>
      state[name] && describeShape(typeOf(state[name])) === describeShape(value)
    if (known && Object.entries(known.step.state).every(fits)) return known
    const shapes = Object.fromEntries(Object.entries(state).map(([name, tensor]) => [name, typeOf(tensor)]))
    const step = retarget(traceStep(this.#step, shapes, batch), this.#target.replacements)
    this.#refuseLarge(step)
    const compiled: Compiled = { step, model: oneStep(step), session: undefined, reader: undefined, noise: [] }
    this.#compiled.set(key, compiled)
    return compiled
  }

  #refuseLarge(step: TracedStep): void {
    const limit = this.#target.largestTensor ?? Number.POSITIVE_INFINITY
    for (const { op, outputs } of stepNodes(step))
      for (const value of outputs)
        if (4 * size(value.shape) > limit)
          throw new OutOfDeviceMemory(
            this.device,
            "the step cannot be compiled",
            `the result of ${op}, ${describeShape(value)}, has ${4 * size(value.shape)} bytes, and a tensor may have ${limit}`,
          )
  }

  /** Starts one step: the state is that of after the step at once, for whoever reads it next. */
  #enqueue(
    compiled: Compiled,
    state: Record<string, NativeTensor>,
    batch: HostTensors,
    at: StepTime,
  ): Record<string, NativeTensor> {
    const { model, step } = compiled
    compiled.session ??= openSession(model.bytes, { ...this.#options, provider: this.#target.provider, resident: true })
    // What the step only reads is uploaded once.
    const constant = Object.keys(state).filter(
      (name) => model.inputs.has(`state/${name}`) && !isResident(state[name]!) && size(state[name]!.dims) > 0,
    )
    Object.assign(state, this.#transfer(Object.fromEntries(constant.map((name) => [name, state[name]!])), true))
    const feeds: Record<string, NativeTensor> = {}
    for (const name in state) if (model.inputs.has(`state/${name}`)) feeds[`state/${name}`] = state[name]!
    for (const name in batch) if (model.inputs.has(`batch/${name}`)) feeds[`batch/${name}`] = toNative(batch[name]!)
    step.draws.forEach((d, i) => {
      if (!model.inputs.has(`random/${i}`)) return
      compiled.noise[i] ??= new Float32Array(size(d.shape))
      feeds[`random/${i}`] = toNative(draw(d.distribution, d.stream, d.shape, at, compiled.noise[i]))
    })
    const out = compiled.session.run(feeds, model.outputs)
    for (const name in step.next) {
      free(state[name]!)
      state[name] = out[`next/${name}`]!
    }
    return Object.fromEntries(Object.keys(step.metrics).map((name) => [name, out[`metric/${name}`]!]))
  }

  #read(compiled: Compiled, metrics: Record<string, NativeTensor>): HostTensors {
    const resident = Object.entries(metrics).filter(([, tensor]) => isResident(tensor))
    if (resident.length > 0) compiled.reader ??= this.#mover(Object.fromEntries(resident), false)
    const read = compiled.reader ? move(compiled.reader, Object.fromEntries(resident)) : {}
    return Object.fromEntries(Object.entries(metrics).map(([name, t]) => [name, fromNative(read[name] ?? t)]))
  }

  /** Copies tensors to the device, or from it to the host. */
  #transfer(tensors: Record<string, NativeTensor>, resident: boolean): Record<string, NativeTensor> {
    if (Object.keys(tensors).length === 0) return {}
    const session = this.#mover(tensors, resident)
    try {
      return move(session, tensors)
    } finally {
      if (resident) this.#sources.push(session)
      else session.release()
    }
  }

  /** The runtime has no copy of its own: a model that passes everything through leaves it wherever outputs go. */
  #mover(tensors: Record<string, NativeTensor>, resident: boolean): Session {
    const values = Object.entries(tensors).map(([name, tensor]) => ({ name, type: typeOf(tensor) }))
    const model = encodeModel({
      name: "transfer",
      nodes: values.map(({ name }) => ({
        op: "Identity",
        domain: "",
        name: `move ${name}`,
        inputs: [`from/${name}`],
        outputs: [`to/${name}`],
        attributes: {},
      })),
      initializers: [],
      inputs: values.map(({ name, type }) => ({ name: `from/${name}`, type })),
      outputs: values.map(({ name, type }) => ({ name: `to/${name}`, type })),
    })
    return openSession(model, { provider: this.#target.provider, resident })
  }
}

function move(session: Session, tensors: Record<string, NativeTensor>): Record<string, NativeTensor> {
  const names = Object.keys(tensors)
  const feeds = Object.fromEntries(names.map((name) => [`from/${name}`, tensors[name]!]))
  const out = session.run(
    feeds,
    names.map((name) => `to/${name}`),
  )
  return Object.fromEntries(names.map((name) => [name, out[`to/${name}`]!]))
}

const isResident = (tensor: NativeTensor): boolean => tensor.location === "gpu-buffer"

function free(tensor: NativeTensor): void {
  if (isResident(tensor)) tensor.dispose()
}

/** Shape and element type, which are known wherever the values are. */
function typeOf(tensor: NativeTensor): { shape: readonly number[]; dtype: HostTensor["dtype"] } {
  return { shape: tensor.dims, dtype: tensor.type as HostTensor["dtype"] }
}
