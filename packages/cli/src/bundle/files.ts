/** Lays out a bundle in a folder: the program, its packages, Node, the experiments. */
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
} from "node:fs"
import { dirname, isAbsolute, join, relative } from "node:path"
import { codeIdentity } from "@exp/engine/code-hash"
import { UsageError } from "../report-error.ts"
import { isPruned, native } from "./dependencies.ts"
import { stripFile } from "./elf.ts"
import type { Platform } from "./platform.ts"

/** All files below a folder, relative to it, with forward slashes; nested `node_modules` left out. */
export function filesBelow(folder: string, under = ""): string[] {
  const out: string[] = []
  for (const entry of readdirSync(join(folder, under), { withFileTypes: true })) {
    if (entry.name === "node_modules") continue
    const path = under === "" ? entry.name : `${under}/${entry.name}`
    if (entry.isDirectory()) out.push(...filesBelow(folder, path))
    else if (entry.isFile()) out.push(path)
  }
  return out
}

/** Copies a file, its mode included, and gives its size. */
export function copy(from: string, to: string): number {
  mkdirSync(dirname(to), { recursive: true })
  copyFileSync(from, to, constants.COPYFILE_FICLONE)
  return statSync(to).size
}

/** Copies what a platform needs of a package's files, native ones without their symbols. */
export function copyPackage(name: string, from: string, to: string, platform: Platform): number {
  let bytes = 0
  for (const path of filesBelow(from)) {
    if (isPruned(name, path, platform)) continue
    const target = join(to, path)
    const size = copy(join(from, path), target)
    bytes += native.test(path) ? stripFile(target) : size
  }
  return bytes
}

/**
 * Copies the packages of the workspace, without their tests, and links them where imports look for them.
 *
 * @param scripts also `scripts/`, and the tests of the tensor package, whose suite of operations they run
 */
export function copyWorkspace(root: string, to: string, scripts: boolean): number {
  let bytes = 0
  for (const folder of readdirSync(join(root, "packages")).sort()) {
    const from = join(root, "packages", folder)
    if (!existsSync(join(from, "package.json"))) continue
    for (const path of filesBelow(from))
      if (!path.startsWith("test/") || (scripts && folder === "tensor"))
        bytes += copy(join(from, path), join(to, "packages", folder, path))
    const { name } = JSON.parse(readFileSync(join(from, "package.json"), "utf8")) as { name: string }
    const link = join(to, "node_modules", name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(relative(dirname(link), join(to, "packages", folder)), link)
  }
  if (scripts)
    for (const path of filesBelow(join(root, "scripts")))
      bytes += copy(join(root, "scripts", path), join(to, "scripts", path))
  for (const name of ["package.json", "LICENSE", "README.md"])
    if (existsSync(join(root, name))) bytes += copy(join(root, name), join(to, name))
  return bytes
}

/**
 * Copies an experiment file with everything of its own that it imports.
 *
 * @param root the project; a file outside it goes to `experiments/`
 * @param available names of packages that the bundle has
 * @returns the path of the file in the bundle, and what it needs room for
 * @throws UsageError when it imports what a bundle cannot hold
 */
export function copyExperiment(
  file: string,
  root: string,
  to: string,
  available: ReadonlySet<string>,
): { readonly path: string; readonly bytes: number } {
  const folder = dirname(file)
  const within = relative(root, folder)
  const inside = !within.startsWith("..") && !isAbsolute(within)
  const home = inside ? within : "experiments"
  const { files, packages } = codeIdentity(file)
  const missing = Object.keys(packages).filter((name) => !available.has(name))
  if (missing.length > 0)
    throw new UsageError(
      `${file} imports ${missing.join(", ")}, which ${missing.length > 1 ? "are" : "is"} no production dependency of the project: add ${missing.length > 1 ? "them" : "it"} to a package.json and run npm install.`,
    )
  let bytes = 0
  for (const path of files) {
    const target = join(home, path)
    if (target.startsWith(".."))
      throw new UsageError(`${file} imports ${path}, outside the folder of the experiment: move both into the project.`)
    if (target.startsWith("packages/")) continue // part of the program
    bytes += copy(join(folder, path), join(to, target))
  }
  return { path: join(home, relative(folder, file)), bytes }
}
