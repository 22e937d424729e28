/**
 * `cuda`: NVIDIA GPUs. Compiled, through ONNX Runtime's CUDA provider, where its library lies beside the runtime's own; else
 * eagerly, through TensorFlow's native binding, where the optional peer `@tensorflow/tfjs-node-gpu` is installed.
 *
 * Neither path has ever been run on a GPU: what is tested is that their absence is told apart and explained, and that the
 * mends below make the binding's JavaScript load.
 */
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import * as tf from "@tensorflow/tfjs-core"
import { CompiledProgram } from "./compile/compiled-program.ts"
import { loadRuntime } from "./compile/engine.ts"
import { whyProviderFails } from "./compile/probe-provider.ts"
import { DeviceUnavailable } from "./errors.ts"
import { FallbackProgram } from "./fallback-program.ts"
import { EagerProgram } from "./program.ts"
import type { Device } from "./step.ts"

const require = createRequire(import.meta.url)

/** The peer that the eager form needs, and its version. */
export const cudaPeer = "@tensorflow/tfjs-node-gpu@4.22.0"

/**
 * Opens an NVIDIA GPU.
 *
 * @param eager opens the device that runs what cannot be compiled
 * @throws DeviceUnavailable with what is missing for either form, and how to install it
 */
export async function openCuda(eager: () => Promise<Device>): Promise<Device> {
  let compiled: string
  try {
    return openCompiledCuda(eager)
  } catch (error) {
    if (!(error instanceof DeviceUnavailable)) throw error
    compiled = error.reason
  }
  try {
    return await openEagerCuda()
  } catch (error) {
    if (!(error instanceof DeviceUnavailable)) throw error
    throw new DeviceUnavailable("cuda", `compiled: ${compiled}. Eager: ${error.reason}`)
  }
}

/** Where the runtime looks for its CUDA provider. */
function providerLibrary(): string {
  const folder = dirname(require.resolve("onnxruntime-node/package.json"))
  const name = process.platform === "win32" ? "onnxruntime_providers_cuda.dll" : "libonnxruntime_providers_cuda.so"
  return join(folder, "bin", "napi-v6", process.platform, process.arch, name)
}

function openCompiledCuda(eager: () => Promise<Device>): Device {
  const { version, providers } = loadRuntime("cuda")
  if (!providers.includes("cuda"))
    throw new DeviceUnavailable(
      "cuda",
      `onnxruntime-node ${version} has no CUDA provider for ${process.platform}-${process.arch} (only for linux-x64)`,
    )
  const library = providerLibrary()
  if (!existsSync(library))
    throw new DeviceUnavailable(
      "cuda",
      `ONNX Runtime's CUDA provider is not installed: put libonnxruntime_providers_cuda.so and _shared.so of version ${version} ` +
        `beside libonnxruntime.so.1 in node_modules/onnxruntime-node (its own install script, with ` +
        "ONNXRUNTIME_NODE_INSTALL=cuda12, fetches 179 MB from outside the registry), with CUDA and cuDNN 9",
    )
  const failure = whyProviderFails("cuda")
  if (failure !== undefined)
    throw new DeviceUnavailable(
      "cuda",
      `the CUDA provider of ONNX Runtime does not start (${failure}); ldd ${library} shows what it lacks`,
    )
  return {
    name: "cuda",
    compiles: true,
    // The binding copies inputs and outputs at every call, so that only many steps in one call make sense: runMany does
    // that with one Scan, whose state stays on the GPU.
    compile: (step, options) => {
      const program = new CompiledProgram("cuda", step, { ...options, provider: "cuda" })
      if (options?.fallback !== "eager") return program
      return new FallbackProgram(program, async () => (await eager()).compile(step))
    },
    describe: () => `steps compiled for ONNX Runtime ${version}'s CUDA provider (not tried on hardware so far)`,
    dispose: () => {},
  }
}

/** Functions of node:util that TensorFlow's binding (4.22) calls and that Node 23 removed. */
const removed: Readonly<Record<string, (x: unknown) => boolean>> = {
  isNullOrUndefined: (x) => x === null || x === undefined,
  isArray: Array.isArray,
}

/** Puts back what {@link removed} names, once, in this process; whatever Node has is left alone. */
export function mendNodeUtil(): void {
  const util = require("node:util") as Record<string, unknown>
  for (const [name, f] of Object.entries(removed)) util[name] ??= f
}

async function openEagerCuda(): Promise<Device> {
  try {
    require.resolve("@tensorflow/tfjs-node-gpu")
  } catch {
    throw new DeviceUnavailable(
      "cuda",
      `${cudaPeer} is not installed: exp devices --install cuda fetches it (with TensorFlow's library, several hundred MB ` +
        "from outside the registry; it needs CUDA 11 and cuDNN 8)",
    )
  }
  mendNodeUtil()
  const previous = tf.engine().backendName
  try {
    require("@tensorflow/tfjs-node-gpu")
    if (!(await tf.setBackend("tensorflow"))) throw new Error("its backend did not start")
  } catch (error) {
    const message = error instanceof Error ? error.message.split("\n")[0]! : String(error)
    throw new DeviceUnavailable("cuda", `@tensorflow/tfjs-node-gpu cannot be loaded (${message})`)
  } finally {
    if (previous) await tf.setBackend(previous)
  }
  const backend = tf.findBackend("tensorflow") as unknown as { readonly isUsingGpuDevice?: boolean }
  if (!backend.isUsingGpuDevice)
    throw new DeviceUnavailable(
      "cuda",
      "TensorFlow's library is there and finds no GPU: it needs an NVIDIA driver, CUDA 11 and cuDNN 8 (nvidia-smi shows the driver)",
    )
  return {
    name: "cuda",
    compiles: false,
    compile: (step) => new EagerProgram("cuda", "tensorflow", step),
    describe: () => "TensorFlow's native library on CUDA, not compiled (not tried on hardware so far)",
    dispose: () => {},
  }
}
