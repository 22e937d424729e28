/** What a run needs to say about where it came from: code, versions, machine, environment. */
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os"
import { type CodeIdentity, codeIdentity } from "./code-hash.ts"
import type { GitState } from "./git-state.ts"

export interface Provenance {
  readonly code: CodeIdentity
  readonly git: GitState
  /** Node and the installed packages that the experiment imports. */
  readonly packages: Readonly<Record<string, string>>
  /** Machine and environment variables, secrets redacted. */
  readonly environment: Readonly<Record<string, unknown>>
}

const secret = /key|token|secret|passw|credential|auth|cookie|session|private/i
const telling = /^(?:EXP_|ORT_|OMP_|MKL_|CUDA_|NVIDIA_|TF_|UV_|NODE_|LANG$|LC_|TZ$)/

/** What this program sets for itself; whether it was there already says nothing. */
const ownDoing = new Set(["ORT_DISABLE_TELEMETRY", "NODE_COMPILE_CACHE"])

/** Environment variables that may change a result; values of anything that sounds secret are replaced. */
export function relevantEnvironment(env: NodeJS.ProcessEnv): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined || !telling.test(name) || ownDoing.has(name)) continue
    // A URL may carry a password whatever the variable is called.
    kept[name] = secret.test(name) ? "(redacted)" : value.replaceAll(/\/\/[^/@\s]+@/g, "//(redacted)@")
  }
  return kept
}

/** Collects everything; reads the experiment file and its imports. */
export function collectProvenance(file: string, device: string, git: GitState): Provenance {
  const code = codeIdentity(file)
  return {
    code,
    git,
    packages: { node: process.versions.node, ...code.packages },
    environment: {
      platform: platform(),
      arch: arch(),
      release: release(),
      cpu: cpus()[0]?.model ?? "unknown",
      cores: availableParallelism(),
      memory: totalmem(),
      device,
      env: relevantEnvironment(process.env),
    },
  }
}
