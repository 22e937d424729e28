/** What a run needs to say about where it came from: code, versions, machine, environment. */
import { execFile } from "node:child_process"
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os"
import { dirname } from "node:path"
import { type CodeIdentity, codeIdentity } from "./code-hash.ts"

export interface Provenance {
  readonly code: CodeIdentity
  readonly gitCommit?: string | undefined
  /** Undefined outside of a git repository. */
  readonly gitDirty?: boolean | undefined
  /** `git diff HEAD` when dirty: what to apply to the commit to get the code back. */
  readonly gitDiff?: string | undefined
  /** Node and the installed packages that the experiment imports. */
  readonly packages: Readonly<Record<string, string>>
  /** Machine and environment variables, secrets redacted. */
  readonly environment: Readonly<Record<string, unknown>>
}

const git = (folder: string, args: readonly string[]): Promise<string | undefined> =>
  new Promise((resolve) => {
    execFile(
      "git",
      ["-C", folder, ...args],
      { timeout: 5_000, maxBuffer: 32 * 2 ** 20, env: { ...process.env, GIT_OPTIONAL_LOCKS: "0" } },
      (error, stdout) => resolve(error ? undefined : stdout),
    )
  })

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

/** Collects everything; takes some ten milliseconds, most of them in git. */
export async function collectProvenance(file: string, device: string): Promise<Provenance> {
  const folder = dirname(file)
  const [commit, status] = await Promise.all([
    git(folder, ["rev-parse", "HEAD"]),
    git(folder, ["status", "--porcelain", "--untracked-files=no"]),
  ])
  const dirty = status === undefined ? undefined : status.trim() !== ""
  const diff = dirty === true ? await git(folder, ["diff", "HEAD", "--no-ext-diff"]) : undefined
  const code = codeIdentity(file)
  return {
    code,
    gitCommit: commit?.trim(),
    gitDirty: dirty,
    gitDiff: diff,
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
