/**
 * `webgpu-eager`: TensorFlow.js's own WebGPU backend on Dawn, without compilation. It runs what cannot be compiled, and
 * stands in for `webgpu` where ONNX Runtime is missing.
 */
import * as tf from "@tensorflow/tfjs-core"
import { type Adapter, describeAdapter, type GpuAdapter, loadDawn, noAdapter } from "./adapter.ts"
import { DeviceLost, DeviceUnavailable, OpWithoutKernel, OutOfDeviceMemory, ProgramNotReady } from "./errors.ts"
import { EagerProgram } from "./program.ts"
import type { Device, HostTensors, Program, Step, StepTime } from "./step.ts"
import { nameOf } from "./webgpu-device.ts"
import { mendWebgpuKernels } from "./webgpu-kernels.ts"

const device = "webgpu-eager"

/** The part of a WebGPU device that is used here. */
interface GpuDevice {
  readonly lost: Promise<{ readonly reason: string; readonly message: string }>
  destroy(): void
  addEventListener(
    kind: "uncapturederror",
    listener: (event: { readonly error: Error; preventDefault(): void }) => void,
  ): void
}

interface WebgpuBackend {
  readonly WebGPUBackend: new (device: GpuDevice, info: GpuAdapter["info"]) => tf.KernelBackend
}

/** A started backend, and what has gone wrong with it since: the GPU reports errors when it comes to the work. */
interface Started {
  readonly adapter: Adapter
  readonly gpu: GpuDevice
  fault: Error | undefined
}

let started: Promise<Started> | undefined

/**
 * Opens the eager WebGPU device.
 *
 * @throws DeviceUnavailable when a package or an adapter is missing
 */
export async function openEagerWebgpu(): Promise<Device> {
  started ??= start()
  const state = await started
  return {
    name: device,
    compiles: false,
    adapter: state.adapter,
    compile: (step) => new GuardedProgram(state, step),
    describe: () => `TensorFlow.js on WebGPU (Dawn), not compiled, ${nameOf(state.adapter)}`,
    dispose: () => {},
  }
}

/** For tests: destroys the GPU device, as a reset of the driver does. */
export async function loseEagerWebgpu(): Promise<void> {
  const state = await started
  state?.gpu.destroy()
  await state?.gpu.lost
}

async function start(): Promise<Started> {
  const dawn = await loadDawn(device)
  const gpu = dawn.create([])
  const found = await gpu.requestAdapter({ powerPreference: "high-performance" })
  if (!found) throw new DeviceUnavailable(device, noAdapter)
  const adapter = describeAdapter(found)
  const { limits } = found
  const opened = (await found.requestDevice({
    requiredFeatures: [...found.features].filter((f) => f === "timestamp-query"),
    requiredLimits: {
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxBufferSize: limits.maxBufferSize,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    },
  })) as GpuDevice
  const state: Started = { adapter, gpu: opened, fault: undefined }
  void opened.lost.then(({ reason, message }) => {
    state.fault = new DeviceLost(device, message || reason)
  })
  opened.addEventListener("uncapturederror", (event) => {
    // It is thrown, and need not be printed as well.
    event.preventDefault()
    state.fault ??= faultOf(event.error)
  })
  // The backend takes its constants from the browser's global scope.
  for (const [name, value] of Object.entries(dawn.globals))
    if (!(name in globalThis)) Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
  Object.defineProperty(globalThis.navigator, "gpu", { value: gpu, configurable: true })
  let backend: WebgpuBackend
  try {
    backend = (await import("@tensorflow/tfjs-backend-webgpu")) as unknown as WebgpuBackend
  } catch (error) {
    const message = error instanceof Error ? error.message.split("\n")[0]! : String(error)
    throw new DeviceUnavailable(
      device,
      `@tensorflow/tfjs-backend-webgpu cannot be loaded (${message}); reinstall with optional dependencies, a bundle with --with webgpu`,
    )
  }
  mendWebgpuKernels()
  const previous = tf.engine().backendName
  tf.removeBackend("webgpu")
  tf.registerBackend("webgpu", () => new backend.WebGPUBackend(opened, found.info))
  await tf.setBackend("webgpu")
  if (previous) await tf.setBackend(previous)
  return state
}

function faultOf(error: Error): Error {
  return /memory|Allocation size too large|Invalid Buffer|exceeds the max/i.test(
    `${error.constructor.name} ${error.message}`,
  )
    ? new OutOfDeviceMemory(device, "the step failed", error)
    : error
}

/** A program whose failures on the GPU come out as errors of the run that caused them, or of the next. */
class GuardedProgram implements Program {
  readonly device = device
  readonly #state: Started
  readonly #inner: EagerProgram
  #spoilt = false

  constructor(state: Started, step: Step) {
    this.#state = state
    this.#inner = new EagerProgram(device, "webgpu", step)
  }

  load(state: HostTensors): void {
    this.#inner.load(state)
    this.#spoilt = false
  }

  run(batch: HostTensors, at: StepTime): Promise<HostTensors> {
    return this.#guard(() => this.#inner.run(batch, at))
  }

  runMany(batches: readonly HostTensors[], at: StepTime): Promise<readonly HostTensors[]> {
    return this.#guard(() => this.#inner.runMany(batches, at))
  }

  state(): Promise<HostTensors> {
    return this.#guard(() => this.#inner.state())
  }

  dispose(): void {
    this.#inner.dispose()
  }

  async #guard<A>(f: () => Promise<A>): Promise<A> {
    const state = this.#state
    const fail = () => {
      const { fault } = state
      this.#spoilt = true
      // A lost device stays lost; other faults belong to one run.
      if (!(fault instanceof DeviceLost)) state.fault = undefined
      return fault
    }
    if (state.fault instanceof DeviceLost) throw state.fault
    if (this.#spoilt)
      throw new ProgramNotReady(
        "a step failed on the GPU after it had begun, so that the state is lost: call load(state)",
      )
    state.fault = undefined
    try {
      const result = await f()
      if (state.fault) throw fail()
      return result
    } catch (error) {
      // The loss of a device is announced a turn after the calls that fail because of it.
      await new Promise((resolve) => setImmediate(resolve))
      if (state.fault) throw fail()
      const missing = /Kernel '([^']+)' not registered/.exec(error instanceof Error ? error.message : "")
      if (missing) throw new OpWithoutKernel(missing[1]!, device)
      throw error
    }
  }
}
