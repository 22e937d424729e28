import { chmodSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { npmSettings } from "../src/npm-settings.ts"

/** A machine of its own: prefix/bin/npm as an installation has it, a global, a user's and a project's npmrc. */
function machine(rc: { global?: string; user?: string; project?: string }) {
  const root = mkdtempSync(join(tmpdir(), "exp-npm-"))
  const directory = (...path: string[]) => {
    const full = join(root, ...path)
    mkdirSync(full, { recursive: true })
    return full
  }
  const bin = directory("prefix", "bin")
  const cli = join(directory("prefix", "lib", "node_modules", "npm", "bin"), "npm-cli.js")
  writeFileSync(cli, "")
  chmodSync(cli, 0o755)
  symlinkSync(cli, join(bin, "npm"))
  const home = directory("home")
  const project = directory("project")
  writeFileSync(join(project, "package.json"), "{}")
  writeFileSync(join(directory("prefix", "etc"), "npmrc"), rc.global ?? "")
  writeFileSync(join(home, ".npmrc"), rc.user ?? "")
  writeFileSync(join(project, ".npmrc"), rc.project ?? "")
  return { env: { PATH: `${join(root, "node_modules", ".bin")}:${bin}`, HOME: home }, project }
}

test("npm's settings come from the environment, the project, the user and the global file, in that order", async () => {
  const { env, project } = machine({
    global: "registry=https://global.example/\nproxy=http://proxy.example:8080/\nstrict-ssl=false\n",
    user: "registry=https://user.example/\n//user.example/:_authToken=secret\nfetch-retries=7\n",
    project: "fetch-timeout=1234\n",
  })
  const settings = await npmSettings(env, project)
  expect(settings).toMatchObject({
    registry: "https://user.example/",
    "//user.example/:_authToken": "secret",
    proxy: "http://proxy.example:8080/",
    strictSSL: false,
    timeout: 1234,
    retry: { retries: 7 },
  })
  const overridden = await npmSettings({ ...env, npm_config_registry: "https://env.example/" }, project)
  expect(overridden["registry"]).toBe("https://env.example/")
})

test("retries are short unless the user has set them, and the environment is left alone", async () => {
  const { env, project } = machine({})
  const before = { ...env }
  expect((await npmSettings(env, project))["retry"]).toMatchObject({ retries: 2, minTimeout: 500, maxTimeout: 4000 })
  expect(env).toEqual(before)
})

test("a machine without npm has the defaults", async () => {
  const { env, project } = machine({})
  const address = new URL(String((await npmSettings({ HOME: env.HOME, PATH: "" }, project))["registry"]))
  expect(address.protocol).toBe("https:")
  expect(address.hostname).toMatch(/\.npmjs\.org$/)
})
