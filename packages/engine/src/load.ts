import { existsSync, readdirSync, statSync } from "node:fs"
import { basename, dirname, join, relative, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { Experiment } from "@exp/spec"
import { editDistance } from "@exp/spec/nearest"
import {
  ExperimentDoesNotParse,
  ExperimentFileMissing,
  ExperimentImportMissing,
  ExperimentNotExported,
  ExperimentThrew,
  NotAnExperiment,
} from "./errors.ts"

/** Files whose names resemble the one asked for, in its folder and in `experiments/`, nearest first. */
function similarFiles(path: string): string[] {
  const wanted = basename(path)
  const found: { readonly path: string; readonly far: number }[] = []
  for (const folder of new Set([dirname(path), resolve("experiments")])) {
    if (!existsSync(folder) || !statSync(folder).isDirectory()) continue
    for (const name of readdirSync(folder)) {
      if (!/\.[cm]?[jt]s$/.test(name)) continue
      const far = name === wanted || name.replace(/\.[cm]?[jt]s$/, "") === wanted ? 0 : editDistance(name, wanted)
      if (far <= Math.max(3, wanted.length / 3)) found.push({ path: relative(process.cwd(), join(folder, name)), far })
    }
  }
  return found
    .sort((a, b) => a.far - b.far)
    .slice(0, 3)
    .map((file) => file.path)
}

/** Where in the user's code it happened: the first frame of the stack outside of Node and of installed packages. */
function firstFrame(error: Error): string {
  for (const line of (error.stack ?? "").split("\n")) {
    const at = /(file:\/\/[^\s)]+?):(\d+):(\d+)/.exec(line)
    if (at?.[1] === undefined || at[1].includes("/node_modules/")) continue
    return `${relative(process.cwd(), fileURLToPath(at[1]))}:${at[2]}:${at[3]}`
  }
  return ""
}

/** Node prints the place of a syntax error above the stack: `file:///path.ts:3`, the source line, a caret. */
function excerpt(error: Error): string {
  const lines = (error.stack ?? "").split("\n")
  const head = lines.findIndex((line) => /^(?:file:\/\/)?\/?.*:\d+$/.test(line))
  if (head < 0) return ""
  const end = lines.findIndex((line, i) => i > head && line.trim() === "")
  return lines
    .slice(head, end < 0 ? head + 3 : end)
    .map((line) =>
      line.replace(/^file:\/\/\S+?(:\d+)$/, (all) => all.replace(pathToFileURL(process.cwd()).href + "/", "")),
    )
    .join("\n")
}

const codeOf = (error: Error): string => String((error as NodeJS.ErrnoException).code ?? "")

function classify(file: string, cause: unknown): Error {
  if (!(cause instanceof Error)) {
    return new ExperimentThrew({ file, reason: String(cause), where: "", cause })
  }
  // The declaration itself complained: its own message says everything.
  if ((cause as { readonly _tag?: string })._tag === "SpecError") return cause
  const code = codeOf(cause)
  if (code === "ERR_MODULE_NOT_FOUND" || code === "ERR_PACKAGE_PATH_NOT_EXPORTED" || code === "MODULE_NOT_FOUND") {
    const specifier = /Cannot find (?:module|package) '([^']+)'/.exec(cause.message)?.[1]
    const importer = /imported from (\S+)/.exec(cause.message)?.[1]
    const here = (path: string) => relative(process.cwd(), path.startsWith("file:") ? fileURLToPath(path) : path)
    return new ExperimentImportMissing({
      file,
      specifier: specifier === undefined ? cause.message : specifier.startsWith("/") ? here(specifier) : specifier,
      importer: importer === undefined ? file : here(importer),
    })
  }
  if (cause instanceof SyntaxError || code.includes("TYPESCRIPT_SYNTAX")) {
    return new ExperimentDoesNotParse({ file, reason: cause.message, where: excerpt(cause) })
  }
  return new ExperimentThrew({ file, reason: cause.message, where: firstFrame(cause), cause })
}

const describe = (value: unknown): string => {
  if (value === null) return "null"
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === "function") return value.name === "" ? "a function" : `the function ${value.name}`
  if (typeof value === "object") {
    const keys = Object.keys(value)
    return keys.length === 0 ? "an empty object" : `an object with ${keys.slice(0, 4).join(", ")}`
  }
  return `the ${typeof value} ${JSON.stringify(value)}`
}

/** A loaded experiment and where it came from. */
export interface LoadedExperiment {
  /** Absolute path. */
  readonly file: string
  readonly experiment: Experiment
}

/**
 * Imports an experiment file and checks that it declares an experiment.
 *
 * @param path absolute, or relative to the working directory
 * @throws ExperimentFileMissing, ExperimentDoesNotParse, ExperimentImportMissing, ExperimentThrew,
 *   ExperimentNotExported, NotAnExperiment
 */
export async function loadExperiment(path: string): Promise<LoadedExperiment> {
  const file = resolve(path)
  if (!existsSync(file) || !statSync(file).isFile()) {
    throw new ExperimentFileMissing({ file: path, similar: similarFiles(file) })
  }
  let module: Readonly<Record<string, unknown>>
  try {
    module = (await import(/* @vite-ignore */ pathToFileURL(file).href)) as Readonly<Record<string, unknown>>
  } catch (cause) {
    throw classify(path, cause)
  }
  const exported = module["default"]
  if (exported === undefined) {
    throw new ExperimentNotExported({ file: path, named: Object.keys(module) })
  }
  if (!Experiment.is(exported)) throw new NotAnExperiment({ file: path, got: describe(exported) })
  return { file, experiment: exported }
}
