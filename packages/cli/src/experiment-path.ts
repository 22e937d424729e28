import { existsSync } from "node:fs"
import { join, resolve } from "node:path"

/**
 * The file that an experiment argument names: the path itself, or a file of that name under experiments/, with or
 * without the .ts ending. A name that matches nothing is returned as given, for the loader to report.
 */
export function experimentPath(argument: string, directory = process.cwd()): string {
  for (const name of [argument, `${argument}.ts`]) {
    for (const candidate of [resolve(directory, name), resolve(directory, join("experiments", name))]) {
      if (existsSync(candidate)) return candidate
    }
  }
  return argument
}
