#!/usr/bin/env node
// Plain JavaScript, so that it runs on any Node: the rest of the program is TypeScript and needs Node 24 or newer.
// On an older Node the copy that comes with the project (the `node` package) takes over.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import * as module from "node:module"
import { dirname, join } from "node:path"

const required = 24

if (Number(process.versions.node.split(".")[0]) >= required) {
  module.enableCompileCache?.()
  await import("../../engine/src/quick-resolution.ts")
  await import("../src/main.ts")
} else {
  const node = bundledNode()
  if (node === undefined) {
    process.stderr.write(
      `exp needs Node ${required} or newer; this is ${process.version}, and the project's own copy is not installed.\n` +
        "Run `npm ci` in the project (it brings Node 24), or install Node 24 from nodejs.org.\n",
    )
    process.exit(2)
  }
  const child = spawn(node, process.argv.slice(1), { stdio: "inherit" })
  // The terminal sends Ctrl-C to both processes; the child decides what it means.
  for (const signal of ["SIGINT", "SIGQUIT"]) process.on(signal, () => {})
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
  child.on("error", (error) => {
    process.stderr.write(`exp could not start ${node}: ${error.message}\n`)
    process.exit(2)
  })
  child.on("exit", (code, signal) => {
    if (signal !== null) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    } else process.exit(code ?? 1)
  })
}

/** The Node binary of the `node` package, or undefined when it is not installed or its install script did not run. */
function bundledNode() {
  try {
    const require = module.createRequire(import.meta.url)
    const file = join(
      dirname(require.resolve("node/package.json")),
      "bin",
      process.platform === "win32" ? "node.exe" : "node",
    )
    return existsSync(file) ? file : undefined
  } catch {
    return undefined
  }
}
