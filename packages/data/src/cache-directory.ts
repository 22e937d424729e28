import { homedir } from "node:os"
import { isAbsolute, join, resolve } from "node:path"

/**
 * The directory of canonical files: `EXP_DATA_DIR`, else `$XDG_CACHE_HOME/exp` (when absolute, as its specification
 * demands), else `~/.cache/exp`.
 */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  if (env["EXP_DATA_DIR"]) return resolve(env["EXP_DATA_DIR"])
  const xdg = env["XDG_CACHE_HOME"]
  if (xdg && isAbsolute(xdg)) return join(xdg, "exp")
  return join(homedir(), ".cache", "exp")
}
