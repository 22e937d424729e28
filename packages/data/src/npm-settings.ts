import { accessSync, constants, realpathSync } from "node:fs"
import { dirname, join, sep } from "node:path"

/** npm's settings in the form that `pacote` takes, e.g. `registry`, `ca`, `proxy`, `//host/:_authToken`. */
export type NpmSettings = Readonly<Record<string, unknown>>

/** The `npm` that a shell would start, outside of any `node_modules/.bin`; undefined when there is none. */
function installedNpm(env: NodeJS.ProcessEnv): string | undefined {
  const names = process.platform === "win32" ? ["npm.cmd"] : ["npm"]
  for (const directory of (env["PATH"] ?? "").split(process.platform === "win32" ? ";" : ":")) {
    if (directory === "" || directory.includes(`node_modules${sep}.bin`)) continue
    for (const name of names) {
      const path = join(directory, name)
      try {
        accessSync(path, constants.X_OK)
        return path
      } catch {
        // not here
      }
    }
  }
  return undefined
}

/**
 * The user's npm settings, read the way npm reads them (with npm's own `@npmcli/config`): `npm_config_*`, the
 * project's, the user's, the global and the built-in npmrc.
 *
 * npm finds its global npmrc from where Node lies. This process may run on a Node of its own from `node_modules`, so
 * the place of the `npm` on the PATH is used instead. Retries are npm's if the user has set them, else short: an
 * experimenter without a network should learn so in seconds, not in the minutes that npm's defaults take.
 */
export async function npmSettings(env: NodeJS.ProcessEnv = process.env, cwd = process.cwd()): Promise<NpmSettings> {
  const [{ default: Config }, { default: known }] = await Promise.all([
    import("@npmcli/config"),
    import("@npmcli/config/lib/definitions/index.js"),
  ])
  const npm = installedNpm(env)
  // <prefix>/bin/npm is a link to <prefix>/lib/node_modules/npm/bin/npm-cli.js
  const npmPath = npm === undefined ? dirname(process.execPath) : dirname(dirname(realpathSync(npm)))
  const execPath = npm === undefined ? process.execPath : join(dirname(npm), "node")
  const config = new Config({
    definitions: known.definitions,
    shorthands: known.shorthands,
    flatten: known.flatten,
    npmPath,
    execPath,
    cwd,
    argv: [execPath, "npm"],
    // a copy: loading exports the settings into the environment it is given
    env: { ...env },
    warn: false,
  })
  await config.load()
  const quick: Record<string, unknown> = {}
  if (config.find("fetch-retries") === "default") quick["retries"] = 2
  if (config.find("fetch-retry-mintimeout") === "default") quick["minTimeout"] = 500
  if (config.find("fetch-retry-maxtimeout") === "default") quick["maxTimeout"] = 4000
  return { ...config.flat, retry: { ...(config.flat["retry"] as object | undefined), ...quick } }
}
