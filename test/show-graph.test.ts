import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, it } from "vitest"
import { emptyFolder, exp, fixture, root } from "./exp.ts"

const folder = emptyFolder()
const db = join(folder, "runs.db")
const file = join(folder, "step.onnx")

/** A Python that has the onnx package; undefined where there is none. */
const python = [process.env["EXP_TEST_PYTHON"], "/usr/bin/python3", "python3"].find((candidate) => {
  try {
    if (candidate !== undefined) execFileSync(candidate, ["-c", "import onnx"], { stdio: "ignore" })
    return candidate !== undefined
  } catch {
    return false
  }
})

describe("exp show RUN --graph", () => {
  beforeAll(async () => {
    const teacher = await exp(
      ["run", "snella.teacher.ts", "--quick", "--arm", "snella", "--seeds", "1", "--set", "epochs=1", "--db", db],
      { cwd: root },
    )
    expect(teacher.stderr).not.toContain("error:")
    const plain = await exp(["run", fixture("curve"), "--seeds", "1", "--arm", "best", "--db", db])
    expect(plain.code).toBe(0)
  })

  it("writes the step of the run and prints what it costs", async () => {
    const { code, stdout, stderr } = await exp(["show", "1", "--graph", "--out", file, "--db", db])
    expect(stderr).toBe("")
    expect(code).toBe(0)
    expect(stdout).toContain("48-48-48-48-48-10 network under Snella")
    for (const word of ["operators", "FLOP", "peak", "state", "in the graph", "as it runs", "Gemm"])
      expect(stdout).toContain(word)
    expect(readFileSync(file).includes("com.microsoft")).toBe(true)
  })

  it("gives the same as JSON", async () => {
    const { code, stdout } = await exp(["show", "1", "--graph", "--out", file, "--json", "--db", db])
    expect(code).toBe(0)
    const shown = JSON.parse(stdout)
    expect(shown).toMatchObject({ run: 1, file, fileBytes: readFileSync(file).length })
    expect(shown.hash).toMatch(/^[0-9a-f]{32}$/)
    // Four maps 48 × 48 of 48-48-48-48-48-10 on 64 rows: forward and the gradient of the inputs count 2·m·n·k each.
    expect(shown.cost.flops).toBeGreaterThan(2 * 64 * (4 * 48 * 48 + 480) * 2)
    expect(shown.cost.updatedBytes).toBeLessThan(shown.cost.stateBytes)
    expect(shown.times.find((t: { op: string }) => t.op === "Gemm").milliseconds).toBeGreaterThan(0)
  })

  it.skipIf(python === undefined)("is a valid model for Python's onnx", () => {
    const said = execFileSync(python!, [join(root, "test", "check_onnx.py"), file], { encoding: "utf8" })
    expect(said).toMatch(/^(full|structure)\n$/)
  })

  it("says so where a task has no graph, and writes nothing", async () => {
    const none = join(folder, "none.onnx")
    const { code, stdout, stderr } = await exp(["show", "2", "--graph", "--out", none, "--db", db])
    expect(code).toBe(2)
    expect(stdout).toBe("")
    expect(stderr).toMatch(/task .* has no graph/)
    expect(existsSync(none)).toBe(false)
  })
})
