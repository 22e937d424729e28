import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { sqlPage } from "../scripts/docs.ts"
import { emptyFolder, exp, fixture, root } from "./exp.ts"

const readme = readFileSync(join(root, "README.md"), "utf8")

/** The fenced blocks of a language in the README. */
const blocks = (language: string): string[] =>
  [...readme.matchAll(new RegExp("```" + language + "\\n([\\s\\S]*?)```", "g"))].map((match) => match[1]!)

describe("generated pages", () => {
  it("docs/sql.md is what the schema says", () => {
    expect(readFileSync(join(root, "docs", "sql.md"), "utf8")).toBe(sqlPage())
  })
})

describe("the README's experiments", () => {
  // They import workspace packages, so they must lie within the project.
  const folder = join(root, "test", "fixtures", "readme")
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  const experiments = blocks("ts").filter((text) => text.includes("export default Experiment.make"))

  it("are there", () => {
    expect(experiments.length).toBeGreaterThanOrEqual(2)
  })
  for (const [i, text] of experiments.entries()) {
    it(`number ${i + 1} has no mistakes`, async () => {
      mkdirSync(folder, { recursive: true })
      const file = join(folder, `experiment-${i + 1}.ts`)
      writeFileSync(file, text)
      const { code, stdout, stderr } = await exp(["check", file])
      expect(stderr).toBe("")
      expect(code).toBe(0)
      expect(stdout).toContain("no mistakes found")
    })
  }
})

describe("the README's queries", () => {
  const db = join(emptyFolder(), "runs.db")
  beforeAll(async () => {
    await exp(["run", fixture("tuned"), "--db", db])
  })
  const queries = blocks("sql")
    .flatMap((text) => text.split(/;\s*\n/))
    .map((text) => text.replace(/^--.*$/gm, "").trim()) // the command line would take a leading comment for an option
    .filter((text) => text !== "")

  it("are there", () => {
    expect(queries.length).toBeGreaterThanOrEqual(5)
  })
  for (const query of queries) {
    it(query.split("\n")[0]!.slice(0, 70), async () => {
      const { code, stderr } = await exp(["sql", query, "--db", db])
      expect(stderr).toBe("")
      expect(code).toBe(0)
    })
  }
})

describe("files that the README names", () => {
  for (const [, path] of readme.matchAll(/\]\(([^)#:]+)\)/g)) {
    it(path!, () => expect(existsSync(join(root, path!))).toBe(true))
  }
})
