/** `webgpu`: steps compiled for ONNX Runtime's WebGPU provider, their state in the memory of the GPU. */
import { type Adapter, findAdapter, noAdapter, requireVulkanLoader } from "./adapter.ts"
import { loadRuntime } from "./compile/engine.ts"
import { whyProviderFails } from "./compile/probe-provider.ts"
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
  tryProvider()
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

let tried: { readonly failure: string | undefined } | undefined

/**
 * Makes a session, once.
 *
 * @throws DeviceUnavailable when the provider finds no adapter or does not start
 */
function tryProvider(): void {
  tried ??= { failure: whyProviderFails("webgpu") }
  const { failure } = tried
  if (failure !== undefined)
    throw new DeviceUnavailable("webgpu", /No supported adapters|WebGPU adapter/.test(failure) ? noAdapter : failure)
}
