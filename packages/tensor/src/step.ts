/**
 * The vocabulary of training steps: tensors on the host, named trees of tensors, steps, and programs that run them.
 */
import type * as tf from "@tensorflow/tfjs-core"
import type { Adapter } from "./adapter.ts"

/** Element types that cross the border between a program and its host. */
export type HostType = "float32" | "int32" | "bool"

/** A dense row-major tensor in host memory. `bool` is one byte an element, 0 or 1. */
export interface HostTensor {
  readonly data: Float32Array | Int32Array | Uint8Array
  readonly shape: readonly number[]
  readonly dtype: HostType
}

/** A flat tree of host tensors; names are dot paths such as "blocks.0.attention.query.weight". */
export type HostTensors = Readonly<Record<string, HostTensor>>

/** A flat tree of TensorFlow.js tensors; names are dot paths. */
export type Tensors = Readonly<Record<string, tf.Tensor>>

/**
 * Random numbers inside a step: values are a function of (seed, stream, step) alone. Eagerly they are computed at the
 * call; in a compiled step each request becomes an input that the program fills before every run.
 */
export interface Randomness {
  /** Uniform numbers in [0, 1), float32, of the given shape. */
  uniform(stream: string, shape: readonly number[]): tf.Tensor
  /** Standard normal numbers, float32, of the given shape. */
  normal(stream: string, shape: readonly number[]): tf.Tensor
}

/**
 * One step of a computation: a pure function of its arguments. The new state has the names, shapes and types of the
 * old one; metrics are named tensors, mostly scalars. Nothing may be read back to JavaScript inside, and everything
 * that changes from call to call (learning rate, step number) must come in through `batch` or `state`.
 */
export type Step = (
  state: Tensors,
  batch: Tensors,
  randomness: Randomness,
) => { readonly state: Tensors; readonly metrics: Tensors }

/** Which random numbers a run uses: they depend on the seed and on the number of the step. */
export interface StepTime {
  readonly seed: number
  readonly step: number
}

/** Work and traffic of one kind of operator. */
export interface OperatorCost {
  readonly count: number
  readonly flops: number
  readonly bytes: number
}

/** What one run of a step costs, read off its graph: exact and the same on every machine. */
export interface StepCost {
  /** Operators, without inputs and constants. */
  readonly nodes: number
  /** Floating-point operations: a product of matrices counts 2·m·n·k, every other operator its elements. */
  readonly flops: number
  /** Bytes read and written by all operators; views are free. */
  readonly bytes: number
  /** Largest sum of intermediate results and new state that is alive at once, in the order of the trace. */
  readonly peakBytes: number
  /** The same where new state overwrites the old, as libraries with mutable parameters do: its bytes do not count. */
  readonly peakInPlaceBytes: number
  /**
   * Bytes of intermediate results alive when a metric has just been computed, in the order of the trace. At the loss of
   * a training step: what the forward pass keeps for the backward pass.
   */
  readonly aliveAt: Readonly<Record<string, number>>
  /** The state, which lives between steps. */
  readonly stateBytes: number
  /** The part of the state that the step replaces: what it trains, and its optimiser's memory. */
  readonly updatedBytes: number
  /** The batch and the random numbers of one step. */
  readonly inputBytes: number
  /** Tables inside the graph. */
  readonly constantBytes: number
  readonly operators: Readonly<Record<string, OperatorCost>>
}

/** A compiled step. */
export interface ProgramGraph {
  /** Equal hashes are equal computations. */
  readonly hash: string
  /** An ONNX model, opset 21; opens in Netron. */
  readonly onnx: Uint8Array
  readonly cost: StepCost
}

/** A step made ready for one device, which owns its state between calls. */
export interface Program {
  /** Name of the device that runs it. */
  readonly device: string
  /** Replaces the whole state. The arrays are copied. */
  load(state: HostTensors): void
  /** Runs one step, advances the state in place and returns the metrics. */
  run(batch: HostTensors, at: StepTime): Promise<HostTensors>
  /**
   * Runs one step for every batch, at `at.step`, `at.step + 1`, …, in one native call where the device compiles.
   * Gives the same numbers as the same steps through {@link run}.
   */
  runMany(batches: readonly HostTensors[], at: StepTime): Promise<readonly HostTensors[]>
  /** A copy of the state. */
  state(): Promise<HostTensors>
  /** The compiled graph of the step for the shapes of the last run; absent on devices that run eagerly. */
  graph?(): ProgramGraph | undefined
  /** Frees tensors and native memory. The program cannot be used afterwards. */
  dispose(): void
}

/** How a step is made ready. */
export interface CompileOptions {
  /** A name for messages. */
  readonly name?: string
  /**
   * What to do when the step cannot be compiled: throw (the default), or run it eagerly on `wasm`. Only for devices
   * that compile.
   */
  readonly fallback?: "eager"
  /** Threads of one operator. Default 1, so that several trials share a machine well. */
  readonly threads?: number
}

/** Somewhere steps can run. */
export interface Device {
  /** "cpu", "webgpu", "webgpu-eager", "cuda", "wasm" or "js". */
  readonly name: string
  /** Whether {@link compile} traces the step into a native graph (else it runs eagerly). */
  readonly compiles: boolean
  /** The graphics adapter, of devices that have one and know it. */
  readonly adapter?: Adapter
  /** Makes a step ready to run here. Compilation itself happens at the first run, when the shapes are known. */
  compile(step: Step, options?: CompileOptions): Program
  /** What the device is, in words. */
  describe(): string
  /** Frees what the device holds; its programs must be disposed of by their owners. */
  dispose(): void
}
