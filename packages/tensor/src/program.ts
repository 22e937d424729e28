/** Programs that run a step eagerly on a TensorFlow.js backend. */
import * as tf from "@tensorflow/tfjs-core"
import { draw } from "./draws.ts"
import { ProgramNotReady, ShapeMismatch } from "./errors.ts"
import type { HostTensor, HostTensors, HostType, Program, Randomness, Step, StepTime, Tensors } from "./step.ts"

/** "float32 [2, 3]". */
export function describeShape(tensor: { readonly shape: readonly number[]; readonly dtype: string }): string {
  return `${tensor.dtype} [${tensor.shape.join(", ")}]`
}

/** Checks that array length, element type and shape of a host tensor fit each other. */
export function checkHostTensor(path: string, tensor: HostTensor): void {
  const size = tensor.shape.reduce((a, b) => a * b, 1)
  const fits =
    tensor.dtype === "float32"
      ? tensor.data instanceof Float32Array
      : tensor.dtype === "int32"
        ? tensor.data instanceof Int32Array
        : tensor.dtype === "bool" && tensor.data instanceof Uint8Array
  if (!fits) throw new ShapeMismatch(path, `an array for ${tensor.dtype}`, tensor.data?.constructor?.name ?? "nothing")
  if (tensor.data.length !== size)
    throw new ShapeMismatch(path, `${size} elements for shape [${tensor.shape.join(", ")}]`, `${tensor.data.length}`)
}

/** Checks that a new state has exactly the names, shapes and types of the old one. */
export function checkState(
  before: Readonly<Record<string, { readonly shape: readonly number[]; readonly dtype: string }>>,
  after: Readonly<Record<string, { readonly shape: readonly number[]; readonly dtype: string }>>,
): void {
  for (const [name, old] of Object.entries(before)) {
    const next = after[name]
    if (!next) throw new ShapeMismatch(`state "${name}"`, describeShape(old), "nothing: the step dropped it")
    if (describeShape(next) !== describeShape(old))
      throw new ShapeMismatch(`state "${name}" returned by the step`, describeShape(old), describeShape(next))
  }
  for (const name of Object.keys(after))
    if (!before[name]) throw new ShapeMismatch(`state "${name}"`, "only names that were loaded", "a new name")
}

/** A program that calls the step anew for each run, on the TensorFlow.js backend `backend`. */
export class EagerProgram implements Program {
  readonly device: string
  readonly #backend: string
  readonly #step: Step
  #state: Tensors | undefined
  #disposed = false

  constructor(device: string, backend: string, step: Step) {
    this.device = device
    this.#backend = backend
    this.#step = step
  }

  load(state: HostTensors): void {
    if (this.#disposed) throw new ProgramNotReady("the program was disposed of")
    for (const [name, tensor] of Object.entries(state)) checkHostTensor(`state "${name}"`, tensor)
    this.#onBackend(() => {
      const next = Object.fromEntries(Object.entries(state).map(([name, tensor]) => [name, upload(tensor)]))
      this.#release()
      this.#state = next
    })
  }

  async run(batch: HostTensors, at: StepTime): Promise<HostTensors> {
    const state = this.#ready()
    for (const [name, tensor] of Object.entries(batch)) checkHostTensor(`batch "${name}"`, tensor)
    const metrics = this.#onBackend(() => {
      const out = tf.tidy(() => {
        const inputs = Object.fromEntries(Object.entries(batch).map(([name, tensor]) => [name, upload(tensor)]))
        const result = this.#step(state, inputs, eagerRandomness(at))
        checkState(state, result.state)
        // Aliases, so that old state, new state and metrics are freed independently even where the step passes one on.
        return { state: aliases(result.state), metrics: aliases(result.metrics) }
      })
      for (const tensor of Object.values(state)) tensor.dispose()
      this.#state = out.state
      return out.metrics
    })
    return download(metrics)
  }

  async runMany(batches: readonly HostTensors[], at: StepTime): Promise<readonly HostTensors[]> {
    const metrics: HostTensors[] = []
    for (const [i, batch] of batches.entries())
      metrics.push(await this.run(batch, { seed: at.seed, step: at.step + i }))
    return metrics
  }

  async state(): Promise<HostTensors> {
    const state = this.#ready()
    return download(this.#onBackend(() => aliases(state)))
  }

  dispose(): void {
    this.#release()
    this.#disposed = true
  }

  #ready(): Tensors {
    if (this.#disposed) throw new ProgramNotReady("the program was disposed of")
    if (!this.#state) throw new ProgramNotReady("the program has no state: call load(state) before run")
    return this.#state
  }

  #release(): void {
    if (this.#state) for (const tensor of Object.values(this.#state)) tensor.dispose()
    this.#state = undefined
  }

  /** Several devices can live in one process: every use selects its backend and restores the one before. */
  #onBackend<A>(f: () => A): A {
    return withBackend(this.#backend, f)
  }
}

/** Runs `f` with a TensorFlow.js backend selected that is already initialised; restores the previous one. */
export function withBackend<A>(backend: string, f: () => A): A {
  const previous = tf.engine().backendName
  if (previous === backend) return f()
  // setBackend takes effect before its promise resolves when the backend has been initialised.
  void tf.setBackend(backend)
  try {
    return f()
  } finally {
    if (previous) void tf.setBackend(previous)
  }
}

function aliases(tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tf.clone(tensor)]))
}

function upload(tensor: HostTensor): tf.Tensor {
  // Backends may keep the array itself, and callers reuse batch buffers: copy.
  return tf.tensor(tensor.data.slice(), [...tensor.shape], tensor.dtype)
}

/** Reads tensors to the host and disposes of them. */
async function download(tensors: Tensors): Promise<HostTensors> {
  const out: Record<string, HostTensor> = {}
  for (const [name, tensor] of Object.entries(tensors)) {
    const data = (await tensor.data()) as Float32Array | Int32Array | Uint8Array
    out[name] = { data: data.slice(), shape: [...tensor.shape], dtype: tensor.dtype as HostType }
    tensor.dispose()
  }
  return out
}

/** Randomness that computes its values at the call. */
export function eagerRandomness(at: StepTime): Randomness {
  return {
    uniform: (stream, shape) =>
      tf.tensor(draw("uniform", stream, shape, at).data as Float32Array, [...shape], "float32"),
    normal: (stream, shape) => tf.tensor(draw("normal", stream, shape, at).data as Float32Array, [...shape], "float32"),
  }
}
