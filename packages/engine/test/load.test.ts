import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { codeIdentity } from "../src/code-hash.ts"
import { relevantEnvironment } from "../src/provenance.ts"

const here = dirname(fileURLToPath(import.meta.url))
let folder = ""
beforeAll(() => {
  folder = mkdtempSync(join(here, "load-"))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Loads in a process of its own: Node's own loader and its own messages. */
function load(name: string, text?: string): { readonly tag: string; readonly message: string } {
  if (text !== undefined) writeFileSync(join(folder, name), text)
  const script = `import { loadExperiment } from ${JSON.stringify(join(here, "../src/load.ts"))}
    try { await loadExperiment(${JSON.stringify(name)}); console.log(JSON.stringify({ tag: "loaded", message: "" })) }
    catch (e) { console.log(JSON.stringify({ tag: e._tag ?? e.name, message: e.message })) }`
  return JSON.parse(
    execFileSync(process.execPath, ["--input-type=module", "--disable-warning=ExperimentalWarning", "-e", script], {
      cwd: folder,
    }).toString(),
  ) as { tag: string; message: string }
}

describe("loading an experiment", () => {
  it("finds the file that was probably meant", () => {
    writeFileSync(join(folder, "snella.vit.ts"), "export {}")
    expect(load("snela.vit.ts")).toEqual({
      tag: "ExperimentFileMissing",
      message: "There is no experiment file snela.vit.ts. Did you mean snella.vit.ts?",
    })
    expect(load("snella.vit").message).toContain("Did you mean snella.vit.ts?")
  })

  it("shows where the file does not parse", () => {
    const { tag, message } = load("broken.ts", "const a = 1\nexport default {{\n")
    expect(tag).toBe("ExperimentDoesNotParse")
    expect(message).toContain("broken.ts does not parse")
    expect(message).toMatch(/broken\.ts:\d/)
    expect(load("enum.ts", "enum A { B }\nexport default A").tag).toBe("ExperimentDoesNotParse")
  })

  it("names the import that is missing and who asks for it", () => {
    expect(load("imports.ts", `import { x } from "./nowhere.ts"\nexport default x`)).toMatchObject({
      tag: "ExperimentImportMissing",
      message: expect.stringMatching(/imports\.ts imports "nowhere\.ts", which does not exist/),
    })
    expect(load("package.ts", `import x from "not-installed-anywhere"\nexport default x`).message).toContain(
      '"not-installed-anywhere"',
    )
  })

  it("says where the file threw", () => {
    expect(load("throws.ts", `\nthrow new Error("no luck")\n`)).toEqual({
      tag: "ExperimentThrew",
      message: "throws.ts threw while loading (at throws.ts:2:7): no luck",
    })
  })

  it("says what is exported instead of an experiment", () => {
    expect(load("named.ts", "export const vit = 1").message).toContain("has no default export. It exports vit.")
    expect(load("number.ts", "export default 12").message).toContain("is the number 12, not an experiment")
    expect(load("object.ts", "export default { task: 1, arms: 2 }").message).toContain("an object with task, arms")
  })
})

describe("the code hash", () => {
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  it("follows local imports, and nothing else", () => {
    write("root.ts", `import "./a.ts"\nimport fs from "node:fs"\nimport * as E from "effect/Effect"\nexport default 1`)
    write("a.ts", `export * from "./b.ts"\nconst lazy = () => import("./c.ts")`)
    write("b.ts", "export const b = 1")
    write("c.ts", `import "./root.ts"`)
    write("stranger.ts", "export {}")
    const first = codeIdentity(join(folder, "root.ts"))
    expect(first.files).toEqual(["a.ts", "b.ts", "c.ts", "root.ts"])
    expect(first.packages).toEqual({ effect: "4.1.0" })
    write("stranger.ts", "export const changed = 1")
    expect(codeIdentity(join(folder, "root.ts")).hash).toBe(first.hash)
    write("c.ts", `import "./root.ts" // changed`)
    expect(codeIdentity(join(folder, "root.ts")).hash).not.toBe(first.hash)
  })

  it("includes the script that a program is", () => {
    write("program.ts", `const script = new URL("script.py", import.meta.url)\nexport default script`)
    write("script.py", "print(1)")
    const first = codeIdentity(join(folder, "program.ts"))
    expect(first.files).toEqual(["program.ts", "script.py"])
    write("script.py", "print(2)")
    expect(codeIdentity(join(folder, "program.ts")).hash).not.toBe(first.hash)
  })

  it("leaves out an experiment file that only declares, so that two experiments can share a trial", () => {
    const folder = mkdtempSync(join(tmpdir(), "exp-code-"))
    const declaration = (arm: string) =>
      `import { Experiment } from "@exp/spec"\nimport { T } from "./task.ts"\nexport default Experiment.make("x", { task: T, arms: { ${arm}: {} } })\n`
    writeFileSync(join(folder, "task.ts"), 'import { Task } from "@exp/spec"\nexport const T = Task.make("t", {})\n')
    writeFileSync(join(folder, "one.ts"), declaration("a"))
    writeFileSync(join(folder, "two.ts"), declaration("b"))
    const hash = (name: string) => codeIdentity(join(folder, name)).hash
    expect(hash("one.ts")).toBe(hash("two.ts"))
    const before = hash("one.ts")
    writeFileSync(
      join(folder, "task.ts"),
      'import { Task } from "@exp/spec"\nexport const T = Task.make("t", { version: 2 })\n',
    )
    expect(hash("one.ts")).not.toBe(before)
  })

  it("does not depend on where the project lies", () => {
    const other = mkdtempSync(join(tmpdir(), "exp-code-"))
    try {
      writeFileSync(join(folder, "alone.ts"), "export default 1")
      writeFileSync(join(other, "alone.ts"), "export default 1")
      expect(codeIdentity(join(other, "alone.ts")).hash).toBe(codeIdentity(join(folder, "alone.ts")).hash)
    } finally {
      rmSync(other, { recursive: true, force: true })
    }
  })
})

it("keeps no secrets of the environment", () => {
  expect(
    relevantEnvironment({
      HOME: "/home/x",
      EXP_DATA_DIR: "/data",
      EXP_API_TOKEN: "abc",
      NODE_AUTH: "x",
      EXP_MIRROR: "https://user:pass@mirror.example/x",
    }),
  ).toEqual({
    EXP_DATA_DIR: "/data",
    EXP_API_TOKEN: "(redacted)",
    NODE_AUTH: "(redacted)",
    EXP_MIRROR: "https://(redacted)@mirror.example/x",
  })
})
