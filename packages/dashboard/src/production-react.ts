/**
 * Loads React's production build before Ink asks for React. The development build, which is what one gets where NODE_ENV
 * says nothing, takes three times as long for a frame and keeps a performance entry of every one of them. NODE_ENV itself
 * stays as it was: worker processes inherit it.
 */
import { createRequire } from "node:module"

const before = process.env["NODE_ENV"]
process.env["NODE_ENV"] = "production"
try {
  const require = createRequire(import.meta.resolve("ink"))
  require("react")
  require("react-reconciler")
} finally {
  if (before === undefined) delete process.env["NODE_ENV"]
  else process.env["NODE_ENV"] = before
}
