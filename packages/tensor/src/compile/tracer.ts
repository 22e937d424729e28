/** A TensorFlow.js backend that computes nothing and records everything. */
import * as tf from "@tensorflow/tfjs-core"
import {
  HiddenRandomness,
  LargeCapturedConstant,
  OpWithoutLowering,
  type TraceLocation,
  ValueReadInStep,
} from "../errors.ts"
import { registerGradients } from "../gradients/register.ts"
import { fusedKernels } from "../ops/registry.ts"
import { Builder, type Handle } from "./builder.ts"
import { type ConstantData, type ElementType, Graph, size } from "./graph.ts"
import type { Call, Lowering } from "./lowering/call.ts"
import { fused } from "./lowering/fused.ts"
import { lowerings } from "./lowering/table.ts"

/** Name of the backend. */
export const backendName = "exp-trace"

/** Tensors made outside the step may be this large, in bytes. */
const captureLimit = 65_536

/** One trace in progress. */
export class Trace {
  readonly builder = new Builder(new Graph())
  readonly handles = new WeakMap<object, Handle>()

  /** A tensor of the backend that stands for `handle`. */
  tensor(handle: Handle): tf.Tensor {
    return tf.engine().makeTensorFromTensorInfo(this.info(handle))
  }

  /** What a kernel returns. Every result needs a data id of its own, though many may share one value. */
  info(handle: Handle): tf.TensorInfo {
    const dataId = {}
    this.handles.set(dataId, handle)
    return { dataId, shape: [...handle.shape], dtype: handle.value.dtype as tf.DataType }
  }

  /** The handle of a tensor; a tensor of another backend becomes a constant. */
  handle(tensor: tf.TensorInfo, op: string): Handle {
    const known = this.handles.get(tensor.dataId)
    if (known)
      return known.shape.length === tensor.shape.length && known.shape.every((d, i) => d === tensor.shape[i])
        ? known
        : this.builder.reshape(known, tensor.shape)
    const info = tf.engine().state.tensorInfo.get(tensor.dataId)
    if (!info) throw new Error(`${op}: a tensor that was disposed of is used in a step`)
    const bytes = size(tensor.shape) * 4
    if (bytes > captureLimit) throw new LargeCapturedConstant({ op, line: userLine() }, tensor.shape, bytes)
    const data = info.backend.readSync(tensor.dataId) as ConstantData
    const handle = this.builder.constant(data, tensor.shape, tensor.dtype as ElementType)
    this.handles.set(tensor.dataId, handle)
    return handle
  }
}

let current: Trace | undefined

/** The trace in progress. */
function trace(op: string): Trace {
  if (!current) throw new Error(`${op}: a tensor of a traced step is used outside of it; return it as state or metric`)
  return current
}

class TraceBackend extends tf.KernelBackend {
  override write(values: tf.BackendValues, shape: number[], dtype: tf.DataType): object {
    const t = trace("tensor")
    const data = (
      ArrayBuffer.isView(values)
        ? values
        : dtype === "int32"
          ? Int32Array.from(values as never)
          : Float32Array.from(values as never)
    ) as ConstantData
    const typed =
      dtype === "int32" && !(data instanceof Int32Array)
        ? Int32Array.from(data as Float32Array)
        : dtype === "bool" && !(data instanceof Uint8Array)
          ? Uint8Array.from(data as Float32Array)
          : dtype === "float32" && !(data instanceof Float32Array)
            ? Float32Array.from(data as Int32Array)
            : data
    const handle = t.builder.constant(typed, shape, dtype as ElementType)
    if (t.builder.known(handle) === undefined && typed.length > 0) refuseRandomness()
    const dataId = {}
    t.handles.set(dataId, handle)
    return dataId
  }
  override readSync(dataId: object): tf.BackendValues {
    const handle = current?.handles.get(dataId)
    const known = handle && current!.builder.elements(handle)
    if (known) return known as unknown as tf.BackendValues
    throw new ValueReadInStep({ op: handle?.value.node.name ?? handle?.value.node.op ?? "a step", line: userLine() })
  }
  override read(dataId: object): Promise<tf.BackendValues> {
    return Promise.resolve(this.readSync(dataId))
  }
  override disposeData(): boolean {
    return true
  }
  override incRef(): void {}
  override refCount(): number {
    return 1
  }
  override numDataIds(): number {
    return 0
  }
  override epsilon(): number {
    return 1e-7
  }
  override floatPrecision(): 16 | 32 {
    return 32
  }
  override timerAvailable(): boolean {
    return false
  }
  override dispose(): void {}
}

/** The generators of TensorFlow.js make numbers in JavaScript: traced, every run would use the same ones. */
function refuseRandomness(): void {
  const stack = stackFrames()
  const found = stack.find((line) =>
    /\b(randomUniform|randomNormal|randomStandardNormal|truncatedNormal|randomGamma|multinomial|dropout)_/.test(line),
  )
  if (found)
    throw new HiddenRandomness({ op: /at (?:Object\.)?(\w+?)_/.exec(found)?.[1] ?? "random", line: userLine() })
}

function stackFrames(): string[] {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 60
  const stack = new Error().stack ?? ""
  Error.stackTraceLimit = limit
  return stack.split("\n").slice(1)
}

/** "file:line" of the innermost code that is neither TensorFlow.js nor this package. */
export function userLine(): string {
  for (const frame of stackFrames()) {
    if (frame.includes("/node_modules/") || frame.includes("node:") || /\/packages\/tensor\/src\//.test(frame)) continue
    if (frame.includes("tfjs-core/src/")) continue
    const at = /\(?((?:file:\/\/)?\/[^()]+?):(\d+):\d+\)?$/.exec(frame)
    if (at) return `${at[1]!.replace("file://", "")}:${at[2]}`
  }
  return "an unknown line"
}

function call(t: Trace, op: string, inputs: tf.NamedTensorInfoMap | tf.TensorInfo[], attributes: unknown): Call {
  const named = inputs as Record<string, tf.TensorInfo | undefined>
  const x = (name: string): Handle => {
    const tensor = named[name]
    if (!tensor) throw new OpWithoutLowering({ op, line: userLine() }, `operand ${name} is missing`)
    return t.handle(tensor, op)
  }
  return {
    b: t.builder,
    get list() {
      return Object.keys(named)
        .filter((name) => named[name])
        .map(x)
    },
    x,
    has: (name) => Boolean(named[name]),
    attributes: attributes ?? {},
  }
}

let registered = false

function register(
  kernelName: string,
  lowering: Lowering | ((c: Call) => ReturnType<Lowering> | undefined),
  composite?: (
    inputs: Record<string, tf.Tensor>,
    attributes: Record<string, number | boolean>,
  ) => tf.Tensor | tf.Tensor[],
): void {
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: ({ inputs, attrs }) => {
      const t = trace(kernelName)
      const out = lowering(call(t, kernelName, inputs, attrs))
      if (out === undefined)
        return composite!(inputs as Record<string, tf.Tensor>, (attrs ?? {}) as Record<string, number | boolean>)
      return Array.isArray(out) ? out.map((h: Handle) => t.info(h)) : t.info(out as Handle)
    },
  })
}

/** Registers the backend and its kernels, once; later calls add kernels that were defined since. */
export function registerTracer(): void {
  if (!registered) {
    registered = true
    registerGradients()
    tf.registerBackend(backendName, () => new TraceBackend())
    for (const [name, lowering] of Object.entries(lowerings)) register(name, lowering)
  }
  registerFusedKernels()
}

const known = new Set<string>()

function registerFusedKernels(): void {
  for (const kernel of fusedKernels.values()) {
    if (known.has(kernel.name)) continue
    known.add(kernel.name)
    register(kernel.name, fused[kernel.name] ?? (() => undefined), kernel.composite)
  }
}

/**
 * Runs `f` on the tracing backend with a fresh graph. Values of tensors are not available inside.
 *
 * @returns what `f` returns; nothing of the trace may be used by TensorFlow.js afterwards
 */
export function traced<A>(f: (trace: Trace) => A): A {
  registerTracer()
  const engine = tf.engine()
  const previous = engine.backendName
  const outer = current
  const t = new Trace()
  current = t
  const { activeTape, gradientDepth, kernelDepth } = engine.state
  void tf.setBackend(backendName)
  engine.startScope("trace")
  try {
    return f(t)
  } catch (error) {
    // A failed gradient leaves its tape open.
    Object.assign(engine.state, { activeTape, gradientDepth, kernelDepth })
    const missing = /Kernel '([^']+)' not registered/.exec(error instanceof Error ? error.message : "")
    if (missing) throw new OpWithoutLowering({ op: missing[1]!, line: lineOf(error as Error) })
    throw error
  } finally {
    while (engine.state.activeScope && engine.state.activeScope.name !== "trace") engine.endScope()
    engine.endScope()
    current = outer
    if (previous) void tf.setBackend(previous)
  }
}

function lineOf(error: Error): string {
  for (const frame of (error.stack ?? "").split("\n").slice(1)) {
    if (frame.includes("node_modules") || frame.includes("tfjs-core/src/") || /\/packages\/tensor\/src\//.test(frame))
      continue
    const at = /\(?((?:file:\/\/)?\/[^()]+?):(\d+):\d+\)?$/.exec(frame)
    if (at) return `${at[1]!.replace("file://", "")}:${at[2]}`
  }
  return "an unknown line"
}

export type { TraceLocation }
