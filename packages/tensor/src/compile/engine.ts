/** ONNX Runtime: loading it, sessions, and their cache. */
import { createHash } from "node:crypto"
import { createRequire } from "node:module"
import { DeviceUnavailable } from "../errors.ts"
import type { HostTensor, HostType } from "../step.ts"
import { nativeFailure } from "./native-failure.ts"

/** Where the operators of a session run. */
export type Provider = "cpu" | "webgpu" | "cuda"

/** A tensor of the runtime. */
export interface NativeTensor {
  readonly type: string
  /** Only of tensors in host memory. */
  readonly data: Float32Array | Int32Array | Uint8Array
  readonly dims: readonly number[]
  /** "cpu" or "gpu-buffer". */
  readonly location: string
  /** Gives memory of a GPU back. */
  dispose(): void
}

interface NativeSession {
  loadModel(buffer: ArrayBufferLike, offset: number, length: number, options: object): void
  run(
    feeds: Record<string, NativeTensor>,
    fetches: Record<string, NativeTensor | null>,
    options: object,
  ): Record<string, NativeTensor>
  endProfiling(): void
  dispose(): void
}

interface Runtime {
  readonly Tensor: new (type: string, data: HostTensor["data"], dims: readonly number[]) => NativeTensor
  readonly InferenceSession: new () => NativeSession
  readonly version: string
  /** What the installed library can run on. */
  readonly providers: readonly string[]
}

let loaded: Runtime | undefined

/**
 * Loads the native library, once.
 *
 * @throws DeviceUnavailable when the package is not installed or has no build for this platform
 */
export function loadRuntime(device = "cpu"): Runtime {
  if (loaded) return loaded
  // The library would report its use over the network. The variable must be set before it is loaded.
  process.env["ORT_DISABLE_TELEMETRY"] ??= "1"
  const require = createRequire(import.meta.url)
  try {
    const { Tensor, env } = require("onnxruntime-common") as { Tensor: Runtime["Tensor"]; env: { logLevel: string } }
    // Whatever goes wrong is thrown; the library need not print it as well.
    env.logLevel = "fatal"
    // The public interface runs asynchronously in form only, at three microseconds a call: use the binding beneath it.
    const { binding, initOrt } = require("onnxruntime-node/dist/binding.js") as {
      binding: {
        InferenceSession: Runtime["InferenceSession"]
        listSupportedBackends: () => readonly { readonly name: string; readonly bundled: boolean }[]
      }
      initOrt: () => void
    }
    const { version } = require("onnxruntime-node/package.json") as { version: string }
    initOrt()
    const providers = binding.listSupportedBackends().map(({ name }) => name)
    loaded = { Tensor, InferenceSession: binding.InferenceSession, version, providers }
    return loaded
  } catch (error) {
    const message = error instanceof Error ? error.message.split("\n")[0]! : String(error)
    throw new DeviceUnavailable(
      device,
      `onnxruntime-node cannot be loaded (${message}); reinstall with optional dependencies, or use device "wasm"`,
    )
  }
}

/** A host tensor as the runtime takes it. The array is used in place. */
export function toNative(tensor: HostTensor): NativeTensor {
  return new (loadRuntime().Tensor)(tensor.dtype, tensor.data, tensor.shape)
}

/** The reverse, also in place. */
export function fromNative(tensor: NativeTensor): HostTensor {
  return { data: tensor.data, shape: tensor.dims, dtype: tensor.type as HostType }
}

/** A model ready to run; shared between programs with the same graph. */
export class Session {
  readonly hash: string
  readonly provider: Provider
  #native: NativeSession | undefined
  #users = 1

  constructor(hash: string, native: NativeSession, provider: Provider) {
    this.hash = hash
    this.provider = provider
    this.#native = native
  }

  retain(): this {
    this.#users++
    return this
  }

  /** Runs the model; every output is a fresh tensor. */
  run(feeds: Record<string, NativeTensor>, outputs: readonly string[]): Record<string, NativeTensor> {
    const fetches: Record<string, null> = {}
    for (const name of outputs) fetches[name] = null
    try {
      return this.#native!.run(feeds, fetches, {})
    } catch (error) {
      throw nativeFailure(this.provider, "the compiled step failed", error)
    }
  }

  endProfiling(): void {
    this.#native!.endProfiling()
  }

  /** Frees the native memory when nobody uses the session any more. */
  release(): void {
    if (--this.#users > 0 || !this.#native) return
    if (sessions.get(this.hash) === this) sessions.delete(this.hash)
    this.#native.dispose()
    this.#native = undefined
  }
}

const sessions = new Map<string, Session>()

/** Number of live sessions, for tests of leaks. */
export const liveSessions = (): number => sessions.size

/** The content hash of a model: equal hashes, equal computations. */
export function modelHash(model: Uint8Array): string {
  return createHash("sha256").update(model).digest("hex").slice(0, 32)
}

/** How a model is made ready. */
export interface SessionOptions {
  /** Threads of one operator on the CPU. Default 1. */
  readonly threads?: number
  /** Prefix of the files that the runtime's profiler writes. */
  readonly profile?: string
  /** Default "cpu". */
  readonly provider?: Provider
  /** Leaves the outputs in the memory of the provider, where other sessions of the same provider can read them. */
  readonly resident?: boolean
  /** Refuses the model where an operator would have to run on the CPU although another provider was asked for. */
  readonly strict?: boolean
}

/** A session for the model, a shared one where the same graph is in use already. Call `release` when done. */
export function openSession(model: Uint8Array, options: SessionOptions = {}): Session {
  const { threads = 1, provider = "cpu", resident = false, strict = false } = options
  const hash = `${modelHash(model)}/${threads}/${provider}${resident ? "/resident" : ""}${strict ? "/strict" : ""}`
  const known = options.profile ? undefined : sessions.get(hash)
  if (known) return known.retain()
  const { InferenceSession } = loadRuntime(provider)
  const native = new InferenceSession()
  try {
    native.loadModel(model.buffer, model.byteOffset, model.byteLength, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      // On the CPU the builder has fused what can be fused: higher levels find nothing, and double the time to open.
      graphOptimizationLevel: provider === "cpu" ? "basic" : "all",
      enableMemPattern: false,
      // Whatever goes wrong is thrown.
      logSeverityLevel: 4,
      ...(provider === "cpu" ? {} : { executionProviders: [{ name: provider }, { name: "cpu" }] }),
      ...(resident ? { preferredOutputLocation: "gpu-buffer" } : {}),
      extra: {
        // A waiting thread must not spin: other trials need the core.
        session: { intra_op: { allow_spinning: "0" }, ...(strict ? { disable_cpu_ep_fallback: "1" } : {}) },
        // The builder decides which transposes go into products; those that are left are there on purpose.
        ...(provider === "cpu" ? { optimization: { disable_specified_optimizers: "GemmTransposeFusion" } } : {}),
      },
      ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
    })
  } catch (error) {
    // A session that did not load has nothing to free: disposing of it would throw and hide the reason.
    throw nativeFailure(provider, "the compiled step was refused by ONNX Runtime", error)
  }
  const session = new Session(hash, native, provider)
  if (!options.profile) sessions.set(hash, session)
  return session
}
