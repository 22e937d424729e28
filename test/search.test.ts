import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { emptyFolder, exp, root } from "./exp.ts"

const searched = join(root, "packages/engine/test/fixtures/searched.ts")
const grid = join(root, "packages/engine/test/fixtures/searched-program.ts")

describe("a search on the command line", () => {
  it("is announced by check: the space, the most trials that there will be, and the rule", async () => {
    const { code, stdout } = await exp(["check", searched])
    expect(code).toBe(0)
    expect(stdout).toContain("at most 28 tuning trials, then 4 compared trials (2 conditions × 2 seeds)")
    expect(stdout).toContain(
      "tuning: 14 candidates of each condition by TPE, 3 at a time; ASHA, rungs at 1, 3, 9, 27, …",
    )
    expect(stdout).toMatch(/sgd +14 +rate 0\.00001 … 1 \(log\); momentum 0 … 1/)
  })

  it("says while it runs, and afterwards, what was tried and what was stopped", async () => {
    const db = join(emptyFolder(), "runs.db")
    const ran = await exp(["run", searched, "--db", db, "--plain"])
    expect(ran.code).toBe(0)
    expect(ran.stderr).toMatch(
      /tuned sgd: rate=\S+ momentum=\S+ \(val\/loss \S+, best of 14 \(TPE\), \d+ stopped early by ASHA\)/,
    )
    const shown = await exp(["show", "searched", "--db", db])
    expect(shown.stdout).toMatch(/\d+ of \d+ trials finished, \d+ stopped early/)
    expect(shown.stdout).toMatch(/best of 14, \d+ stopped early/)
    // Stopped trials are no results: two seeds of each arm are compared, nothing else.
    expect(shown.stdout).toMatch(/^sgd +0\.\d+ .* 2 /m)
    const listed = await exp(["ls", "searched", "--status", "cancelled", "--limit", "1", "--db", db])
    expect(listed.stdout).toMatch(/stopped early by the ASHA rule at step \d+/)
  })

  it("announces a grid under the median rule as well", async () => {
    const { stdout } = await exp(["run", grid, "--dry-run"])
    expect(stdout).toContain(
      "tuning: 5 candidates of each condition, 2 at a time; median rule from step 2 of val/loss on",
    )
  })
})
