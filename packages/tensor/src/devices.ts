/** Devices: which there are, and how one is opened. */
import * as tf from "@tensorflow/tfjs-core"
import { CompiledProgram } from "./compile/compiled-program.ts"
import { loadRuntime } from "./compile/engine.ts"
import { openCuda } from "./cuda-device.ts"
import { DeviceUnavailable } from "./errors.ts"
import { FallbackProgram } from "./fallback-program.ts"
import { EagerProgram } from "./program.ts"
import type { Device, HostTensors, Step } from "./step.ts"
import { borrowKernels, mendKernels } from "./wasm-kernels.ts"
import { openCompiledWebgpu } from "./webgpu-device.ts"
import { openEagerWebgpu } from "./webgpu-eager-device.ts"

/** Names that {@link openDevice} takes. */
export type DeviceName = "auto" | "cpu" | "webgpu" | "webgpu-eager" | "cuda" | "wasm" | "js"

/**
 * Opens a device.
 *
 * - `cpu`: steps compiled into a native graph (ONNX Runtime), one thread;
 * - `webgpu`: the same graphs on a GPU, any vendor's; `webgpu-eager`: TensorFlow.js on the same, not compiled;
 * - `cuda`: an NVIDIA GPU, through ONNX Runtime or TensorFlow, where the user installed one of them for it;
 * - `wasm`, `js`: TensorFlow.js eagerly; `js` is the reference for tests;
 * - `auto`: `cpu` where the native package is there, else `wasm`.
 *
 * @throws DeviceUnavailable with the reason
 */
export async function openDevice(name: DeviceName): Promise<Device> {
  switch (name) {
    case "auto":
      try {
        return openCpu()
      } catch (error) {
        if (error instanceof DeviceUnavailable) return openWasm()
        throw error
      }
    case "cpu":
      return openCpu()
    case "wasm":
      return openWasm()
    case "js":
      return openJs()
    case "webgpu":
      return openWebgpu()
    case "webgpu-eager":
      return openEagerWebgpu()
    case "cuda":
      return openCuda(openWasm)
    default:
      throw new DeviceUnavailable(
        name,
        "there is no device of this name; devices are auto, cpu, webgpu, webgpu-eager, cuda, wasm, js",
      )
  }
}

/**
 * The compiled device, many times faster; the eager one where ONNX Runtime is not installed, has no WebGPU provider for
 * this platform (linux-arm64) or cannot use the adapter.
 */
async function openWebgpu(): Promise<Device> {
  try {
    return await openCompiledWebgpu(openWasm)
  } catch (refusal) {
    if (!(refusal instanceof DeviceUnavailable)) throw refusal
    try {
      const eager = await openEagerWebgpu()
      return { ...eager, describe: () => `${eager.describe()}; not the compiled device, because ${refusal.reason}` }
    } catch (error) {
      throw error instanceof DeviceUnavailable ? refusal : error
    }
  }
}

function openCpu(): Device {
  const { version } = loadRuntime()
  return {
    name: "cpu",
    compiles: true,
    compile: (step, options) => {
      const compiled = new CompiledProgram("cpu", step, options)
      if (options?.fallback !== "eager") return compiled
      return new FallbackProgram(compiled, async () => (await openWasm()).compile(step))
    },
    describe: () => `steps compiled for ONNX Runtime ${version}, one thread`,
    dispose: () => {},
  }
}

async function openJs(): Promise<Device> {
  await import("@tensorflow/tfjs-backend-cpu")
  await initialise("js", "cpu")
  mendKernels()
  // Its first use prints an advertisement for another package.
  ;(tf.findBackend("cpu") as unknown as { firstUse: boolean }).firstUse = false
  return eagerDevice("js", "cpu", "TensorFlow.js in plain JavaScript, one thread (reference)")
}

async function openWasm(): Promise<Device> {
  await import("@tensorflow/tfjs-backend-cpu")
  const { setThreadsCount } = await import("@tensorflow/tfjs-backend-wasm")
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false)
  setThreadsCount(1)
  await initialise("wasm", "wasm")
  mendKernels()
  borrowKernels()
  return eagerDevice("wasm", "wasm", "TensorFlow.js on WebAssembly SIMD, one thread")
}

async function initialise(device: string, backend: string): Promise<void> {
  const previous = tf.engine().backendName
  let ok = false
  let reason: unknown
  try {
    ok = await tf.setBackend(backend)
  } catch (error) {
    reason = error
  }
  if (!ok) throw new DeviceUnavailable(device, reason instanceof Error ? reason.message : "its backend did not start")
  if (previous && previous !== backend) await tf.setBackend(previous)
}

function eagerDevice(name: string, backend: string, description: string): Device {
  return {
    name,
    compiles: false,
    compile: (step) => new EagerProgram(name, backend, step),
    describe: () => description,
    dispose: () => {},
  }
}

/** A device, and whether this machine has it. */
export interface DeviceReport {
  readonly name: Exclude<DeviceName, "auto">
  readonly available: boolean
  /** What it is, or why it is not there. */
  readonly description: string
  /** Measured: one product of 512×512 matrices. */
  readonly gflops?: number
  /** Measured: a sum of two vectors of 16 MiB and its reduction, bytes read and written. */
  readonly gigabytesPerSecond?: number
}

/**
 * All devices: what they are, how fast they are here, and why those that are missing are missing.
 *
 * @param options.measure set to false to skip the measurements (about a second)
 */
export async function describeDevices(options: { readonly measure?: boolean } = {}): Promise<readonly DeviceReport[]> {
  const reports: DeviceReport[] = []
  for (const name of ["cpu", "wasm", "js", "webgpu", "cuda"] as const) {
    try {
      const device = await openDevice(name)
      const speed = options.measure === false ? {} : await measure(device)
      reports.push({ name, available: true, description: device.describe(), ...speed })
      device.dispose()
    } catch (error) {
      if (!(error instanceof DeviceUnavailable)) throw error
      reports.push({ name, available: false, description: error.reason })
    }
  }
  return reports
}

async function measure(device: Device): Promise<{ gflops: number; gigabytesPerSecond: number }> {
  // The plain backend would need seconds for the full sizes.
  const n = device.name === "js" ? 128 : 512
  const length = device.name === "js" ? 2 ** 18 : 2 ** 22
  const filled = (shape: readonly number[]) => ({
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1.5),
    shape,
    dtype: "float32" as const,
  })
  const time = async (step: Step, state: HostTensors): Promise<number> => {
    const program = device.compile(step)
    program.load(state)
    await program.run({}, { seed: 0, step: 0 })
    let best = Number.POSITIVE_INFINITY
    for (let i = 0; i < 5; i++) {
      const from = performance.now()
      await program.run({}, { seed: 0, step: i })
      best = Math.min(best, performance.now() - from)
    }
    program.dispose()
    return best / 1000
  }
  const matrix = filled([n, n])
  // Reduced to a scalar, so that no copy to the host is timed.
  const product = await time((state) => ({ state, metrics: { y: tf.sum(tf.matMul(state["a"]!, state["b"]!)) } }), {
    a: matrix,
    b: matrix,
  })
  const vector = filled([length])
  const sum = await time((state) => ({ state, metrics: { y: tf.sum(tf.add(state["a"]!, state["b"]!)) } }), {
    a: vector,
    b: vector,
  })
  return { gflops: (2 * n ** 3) / product / 1e9, gigabytesPerSecond: (4 * length * 4) / sum / 1e9 }
}
