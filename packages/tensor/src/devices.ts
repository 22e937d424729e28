/** Devices: which there are, and how one is opened. */
import * as tf from "@tensorflow/tfjs-core"
import { CompiledProgram } from "./compile/compiled-program.ts"
import { loadRuntime } from "./compile/engine.ts"
import { DeviceUnavailable } from "./errors.ts"
import { EagerProgram } from "./program.ts"
import type { Device } from "./step.ts"
import { borrowKernels, mendKernels } from "./wasm-kernels.ts"

/** Names that {@link openDevice} takes. */
export type DeviceName = "auto" | "cpu" | "wasm" | "js" | "webgpu" | "cuda"

/**
 * Opens a device.
 *
 * - `cpu`: steps compiled into a native graph (ONNX Runtime), one thread;
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
    default:
      throw new DeviceUnavailable(name, "not built yet")
  }
}

function openCpu(): Device {
  const { version } = loadRuntime()
  return {
    name: "cpu",
    compiles: true,
    compile: (step, options) => new CompiledProgram("cpu", step, options),
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
