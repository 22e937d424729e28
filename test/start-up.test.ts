import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { emptyFolder, root } from "./exp.ts"

/** The modules that a command loads, as Node reports them. */
function loaded(args: readonly string[]): string {
  const { stdout } = spawnSync(
    process.execPath,
    ["--import", join(root, "test", "list-modules.js"), join(root, "packages", "cli", "bin", "exp.js"), ...args],
    { cwd: emptyFolder(), encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } },
  )
  return stdout
}

describe("what commands load", () => {
  it("help loads neither a tensor library, a database, effect nor the terminal UI", () => {
    const modules = loaded(["--help"])
    expect(modules).toContain("commander")
    expect(modules).not.toMatch(/node_modules\/(@tensorflow|onnxruntime-node|better-sqlite3|effect|ink|react)\//)
  })
  it("ls loads no tensor library", () => {
    const modules = loaded(["ls"])
    expect(modules).toContain("better-sqlite3")
    expect(modules).not.toMatch(/node_modules\/(@tensorflow|onnxruntime-node|webgpu)\//)
  })
})
