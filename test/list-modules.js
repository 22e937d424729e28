// Preloaded by a test: prints the address of every module that the process loads.
import { registerHooks } from "node:module"

registerHooks({
  load(url, context, next) {
    process.stdout.write(`loaded ${url}\n`)
    return next(url, context)
  },
})
