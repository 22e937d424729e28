/** Devices: which there are, and how one is opened. */
import * as tf from "@tensorflow/tfjs-core"
import { CompiledProgram } from "./compile/compiled-program.ts"
import { loadRuntime } from "./compile/engine.ts"
import { openCuda } from "./cuda-device.ts"
import { DeviceUnavailable } from "./errors.ts"
import { FallbackProgram } from "./fallback-program.ts"
import { EagerProgram } from "./program.ts"
import type { Device } from "./step.ts"
import { borrowKernels, mendKernels } from "./wasm-kernels.ts"
import { openCompiledWebgpu } from "./webgpu-device.ts"
import { openEagerWebgpu } from "./webgpu-eager-device.ts"

/** Names that {@link openDevice} takes. */
export const deviceNames = ["auto", "cpu", "webgpu", "webgpu-eager", "cuda", "wasm", "js"] as const

/** One of {@link deviceNames}. */
export type DeviceName = (typeof deviceNames)[number]

/**
 * Opens a device.
 *
 * - `cpu`: steps compiled into a native graph (ONNX Runtime), one thread;
 * - `webgpu`: the same graphs on a GPU, any vendor's; `webgpu-eager`: TensorFlow.js on the same, not compiled;
 * - `cuda`: an NVIDIA GPU, through ONNX Runtime or TensorFlow, where the user installed one of them for it;
 * - `wasm`, `js`: TensorFlow.js eagerly; `js` is the reference for tests;
 * - `auto`: `cpu` where the native package is there, else `wasm`. It takes no GPU: small models lose by it, a software
 *   adapter always does, and the GPU devices have not been timed on hardware yet.
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
      throw new DeviceUnavailable(name, `there is no device of this name; devices are ${deviceNames.join(", ")}`)
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
