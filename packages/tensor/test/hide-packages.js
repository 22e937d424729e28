// Preloaded by tests: packages named in HIDDEN_PACKAGES, separated by commas, are as if they were not installed.
import Module, { registerHooks } from "node:module"

const hidden = (process.env.HIDDEN_PACKAGES ?? "").split(",")
const isHidden = (request) => hidden.some((name) => request === name || request.startsWith(`${name}/`))
const absent = (request) =>
  Object.assign(new Error(`Cannot find package '${request}'`), { code: "ERR_MODULE_NOT_FOUND" })

registerHooks({
  resolve(specifier, context, next) {
    if (isHidden(specifier)) throw absent(specifier)
    return next(specifier, context)
  },
})

// require() of CommonJS modules made with createRequire goes past the hooks on some versions of Node.
const resolve = Module._resolveFilename
Module._resolveFilename = function (request, ...rest) {
  if (isHidden(request)) throw absent(request)
  return resolve.call(this, request, ...rest)
}
