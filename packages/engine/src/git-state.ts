/** The commit that a file is at, and what was changed since. */
import { execFile } from "node:child_process"

export interface GitState {
  readonly commit?: string | undefined
  /** Undefined outside of a git repository. */
  readonly dirty?: boolean | undefined
  /** `git diff HEAD` when dirty: what to apply to the commit to get the code back. */
  readonly diff?: string | undefined
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

/** Asks git, in processes of its own; outside of a repository, or without git, nothing is known. Never rejects. */
export async function gitState(folder: string): Promise<GitState> {
  const status = await git(folder, ["status", "--porcelain=v2", "--branch", "--untracked-files=no"])
  if (status === undefined) return {}
  const lines = status.split("\n").filter((line) => line !== "")
  // `(initial)` stands there before the first commit.
  const commit = lines.map((line) => /^# branch\.oid ([0-9a-f]+)$/.exec(line)?.[1]).find((hash) => hash !== undefined)
  const dirty = lines.some((line) => !line.startsWith("#"))
  const diff = dirty && commit !== undefined ? await git(folder, ["diff", "HEAD", "--no-ext-diff"]) : undefined
  return { commit, dirty, diff }
}
