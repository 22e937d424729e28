/** The GPU that WebGPU finds, as Dawn (the optional package `webgpu`) describes it. */
import { DeviceUnavailable } from "./errors.ts"

/** A graphics adapter and what it allows. */
export interface Adapter {
  readonly vendor: string
  readonly architecture: string
  readonly description: string
  /** Emulated on the CPU: right, and far slower than the CPU itself. */
  readonly software: boolean
  readonly limits: {
    /** Largest buffer, bytes: no tensor can be larger. */
    readonly maxBufferSize: number
    /** Largest tensor that a kernel can read or write, bytes. */
    readonly maxStorageBufferBindingSize: number
    /** Largest workgroup, threads. */
    readonly maxComputeInvocationsPerWorkgroup: number
    /** Memory that a workgroup shares, bytes. */
    readonly maxComputeWorkgroupStorageSize: number
  }
  /** Optional abilities, "shader-f16" and "subgroups" for example. */
  readonly features: readonly string[]
}

/** The part of the WebGPU interface that is used here. */
interface Gpu {
  requestAdapter(options?: object): Promise<GpuAdapter | null>
}

/** The part of a WebGPU adapter that is used here. */
export interface GpuAdapter {
  readonly info: {
    readonly vendor: string
    readonly architecture: string
    readonly device: string
    readonly description: string
    readonly isFallbackAdapter?: boolean
  }
  readonly limits: Adapter["limits"] & {
    readonly maxComputeWorkgroupsPerDimension: number
    readonly maxComputeWorkgroupSizeX: number
  }
  readonly features: Iterable<string>
  requestDevice(descriptor: object): Promise<unknown>
}

interface Dawn {
  create(options: readonly string[]): Gpu
  readonly globals: Record<string, unknown>
}

const softwareNames = /swiftshader|llvmpipe|lavapipe|softpipe|basic render driver|warp/i

/**
 * Whether the Vulkan loader is there; always true off Linux. Dawn would print a warning of its own for want of it.
 */
export function hasVulkanLoader(): boolean {
  if (process.platform !== "linux") return true
  try {
    // Not an addon: what matters is whether the loading fails before that is noticed.
    process.dlopen({ exports: {} }, "libvulkan.so.1")
    return true
  } catch (error) {
    return !/cannot open shared object file/.test(error instanceof Error ? error.message : "")
  }
}

/**
 * Loads Dawn.
 *
 * @throws DeviceUnavailable when the package or the Vulkan loader is missing
 */
export async function loadDawn(device: string): Promise<Dawn> {
  requireVulkanLoader(device)
  try {
    return (await import("webgpu")) as unknown as Dawn
  } catch (error) {
    const message = error instanceof Error ? error.message.split("\n")[0]! : String(error)
    throw new DeviceUnavailable(
      device,
      `the package webgpu (Dawn) cannot be loaded (${message}); reinstall with optional dependencies, a bundle with --with webgpu`,
    )
  }
}

/** @throws DeviceUnavailable where WebGPU has nothing to talk to */
export function requireVulkanLoader(device: string): void {
  if (!hasVulkanLoader())
    throw new DeviceUnavailable(
      device,
      "there is no Vulkan loader (libvulkan.so.1); install it (package libvulkan1 or vulkan-loader) and the Vulkan driver of your GPU",
    )
}

/** What to say when a loader is there and no adapter is. */
export const noAdapter =
  process.platform === "linux"
    ? "no graphics adapter was found: Vulkan is there, but no driver offers a device (vulkaninfo --summary lists what there is)"
    : "no graphics adapter was found"

/**
 * The adapter that a WebGPU device of this machine uses by default.
 *
 * @throws DeviceUnavailable with the reason
 */
export async function findAdapter(device: string): Promise<Adapter> {
  const dawn = await loadDawn(device)
  const adapter = await dawn.create([]).requestAdapter({ powerPreference: "high-performance" })
  if (!adapter) throw new DeviceUnavailable(device, noAdapter)
  return describeAdapter(adapter)
}

/** The plain description of a WebGPU adapter. */
export function describeAdapter({ info, limits, features }: GpuAdapter): Adapter {
  const description = info.description || info.device || info.architecture
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    description,
    software:
      info.isFallbackAdapter === true || softwareNames.test(`${info.architecture} ${info.device} ${description}`),
    limits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    },
    features: [...features].sort(),
  }
}
