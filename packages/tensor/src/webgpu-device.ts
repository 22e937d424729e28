/** `webgpu`: steps compiled for ONNX Runtime's WebGPU provider, their state in the memory of the GPU. */
import { type Adapter, findAdapter, noAdapter, requireVulkanLoader } from "./adapter.ts"
import { loadRuntime, openSession } from "./compile/engine.ts"
import { encodeModel } from "./compile/onnx.ts"
import { ResidentProgram, type Target } from "./compile/resident-program.ts"
import { portableOperators } from "./compile/webgpu/portable-operators.ts"
import { DeviceUnavailable } from "./errors.ts"
import { FallbackProgram } from "./fallback-program.ts"
import type { Device } from "./step.ts"

/**
 * Opens the compiled WebGPU device.
 *
 * @param eager opens the device that runs what cannot be compiled
 * @throws DeviceUnavailable when the library, its provider or an adapter is missing
 */
export async function openCompiledWebgpu(eager: () => Promise<Device>): Promise<Device> {
  const { version, providers } = loadRuntime("webgpu")
  if (!providers.includes("webgpu"))
    throw new DeviceUnavailable(
      "webgpu",
      `onnxruntime-node ${version} has no WebGPU provider for ${process.platform}-${process.arch}`,
    )
  requireVulkanLoader("webgpu")
  await tryProvider()
  // The runtime does not say which adapter it took; it asks for the same one as Dawn does here, which may be missing.
  const adapter = await findAdapter("webgpu").catch((error: unknown) => {
    if (error instanceof DeviceUnavailable) return undefined
    throw error
  })
  const target: Target = {
    provider: "webgpu",
    replacements: portableOperators,
    ...(adapter ? { largestTensor: adapter.limits.maxBufferSize } : {}),
  }
  return {
    name: "webgpu",
    compiles: true,
    ...(adapter ? { adapter } : {}),
    compile: (step, options) => {
      const compiled = new ResidentProgram("webgpu", target, step, options)
      if (options?.fallback !== "eager") return compiled
      return new FallbackProgram(compiled, async () => (await eager()).compile(step))
    },
    describe: () => `steps compiled for ONNX Runtime ${version}'s WebGPU provider, ${nameOf(adapter)}`,
    dispose: () => {},
  }
}

/** An adapter in words. */
export function nameOf(adapter: Adapter | undefined): string {
  if (!adapter) return "adapter unknown (the package webgpu would tell)"
  return `${adapter.description}${adapter.software ? ", a software adapter: for tests only, slower than cpu" : ""}`
}

let tried: Promise<void> | undefined

/** Makes a session, once: whether there is an adapter is not known before. */
function tryProvider(): Promise<void> {
  tried ??= (async () => {
    const type = { shape: [1], dtype: "float32" as const }
    const model = encodeModel({
      name: "probe",
      nodes: [{ op: "Neg", domain: "", name: "n", inputs: ["x"], outputs: ["y"], attributes: {} }],
      initializers: [],
      inputs: [{ name: "x", type }],
      outputs: [{ name: "y", type }],
    })
    try {
      openSession(model, { provider: "webgpu" }).release()
    } catch (error) {
      const message = error instanceof Error ? error.message.split("\n")[0]! : String(error)
      throw new DeviceUnavailable("webgpu", /No supported adapters|WebGPU adapter/.test(message) ? noAdapter : message)
    }
  })()
  return tried
}
