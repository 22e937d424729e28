import { spawn } from "node:child_process"
import { mkdtempSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const root = join(import.meta.dirname, "..")
const program = join(root, "packages", "cli", "bin", "exp.js")

/** What a command printed and how it ended. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly milliseconds: number
}

/** Starts the real `exp` in a child process; colours and terminals are off. */
export function startExp(args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
  const began = performance.now()
  const child = spawn(process.execPath, [program, ...args], {
    cwd: options.cwd ?? root,
    env: { ...process.env, NO_COLOR: "1", ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let stdout = ""
  let stderr = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
  })
  const ended = new Promise<Outcome>((done) =>
    child.once("close", (code) => done({ code, stdout, stderr, milliseconds: performance.now() - began })),
  )
  return { child, ended, stderr: () => stderr }
}

/** Runs the real `exp` to its end. */
export const exp = (args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) =>
  startExp(args, options).ended

/** A new empty folder. */
export const emptyFolder = (): string => mkdtempSync(join(tmpdir(), "exp-test-"))

/** The path of a fixture experiment. */
export const fixture = (name: string): string => join(root, "test", "fixtures", `${name}.ts`)
