/**
 * The canonical file: what a data set is converted to once, and read from ever after.
 *
 *     bytes 0..7     magic "EXPDATA1"
 *     bytes 8..11    length of the JSON header, unsigned little-endian
 *     bytes 12..15   CRC-32 of the JSON header
 *     then           the JSON header (UTF-8), padded with spaces so that the payload starts at a multiple of 64
 *     then           the payload: the arrays one after the other, each at a multiple of 64
 *
 * The header names every array (dtype, shape, offset in the payload, length in bytes) and holds the payload's length,
 * CRC-32 and SHA-256. The SHA-256 of the header therefore vouches for everything: this root hash is what the catalogue
 * pins. Opening checks the root, the lengths and the CRC (about 4 GB/s, so that it is affordable at every start); `verify`
 * computes the payload's SHA-256 as well. The writer puts the whole file under a temporary name, syncs it, and renames
 * it, so a file under its final name is complete or the disk has damaged it.
 */
import { hash, randomBytes } from "node:crypto"
import { type FileHandle, mkdir, open, rename, unlink } from "node:fs/promises"
import { dirname } from "node:path"
import { crc32 } from "node:zlib"
import { CacheDiskFull, CacheNotWritable } from "./errors.ts"

const magic = "EXPDATA1"
const alignment = 64
const headLength = 16
const maxHeaderLength = 1 << 20
/** A payload is read in this many parts, none smaller than the minimum. */
const parts = 8
const minimumPart = 1 << 20

export type Dtype = "uint8" | "int32" | "float32" | "float64"
const bytesOf: Record<Dtype, number> = { uint8: 1, int32: 4, float32: 4, float64: 8 }

/** One named array to be written. `bytes.length` must be the product of `shape` times the size of `dtype`. */
export interface CanonicalArray {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

/** What a data set is made of before it is written: arrays plus a few JSON facts (class names, source, ...). */
export interface CanonicalContent {
  readonly arrays: readonly CanonicalArray[]
  readonly facts: Readonly<Record<string, unknown>>
}

interface ArrayHeader {
  readonly name: string
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly offset: number
  readonly length: number
}

/** The JSON header of a canonical file. */
export interface CanonicalHeader {
  readonly dataset: string
  /** Version of the conversion: raised when the same carrier is to be converted differently. */
  readonly version: number
  readonly facts: Readonly<Record<string, unknown>>
  readonly arrays: readonly ArrayHeader[]
  readonly payload: { readonly length: number; readonly crc32: number; readonly sha256: string }
}

/** A canonical file in memory: `array(name)` is a view into the one buffer it was read into. */
export interface CanonicalFile {
  readonly header: CanonicalHeader
  readonly payload: Uint8Array
  /** SHA-256 of the header, hex. The header holds the payload's SHA-256, so this one names the whole content. */
  readonly root: string
  array(name: string): Uint8Array
}

/** Why a file is not a whole canonical file. Thrown by the readers; the loader answers it by fetching again. */
export class NotCanonical extends Error {
  readonly _tag = "NotCanonical"
  readonly path: string
  readonly reason: string
  constructor(path: string, reason: string) {
    super(`${path}: ${reason}`)
    this.name = "NotCanonical"
    this.path = path
    this.reason = reason
  }
}

const align = (n: number) => Math.ceil(n / alignment) * alignment

/**
 * Lays out a data set as the bytes of its canonical file. Deterministic: same content, same bytes.
 *
 * @throws RangeError when an array's bytes do not fit its shape and dtype
 */
export function encodeCanonical(dataset: string, version: number, content: CanonicalContent): Uint8Array {
  const arrays: ArrayHeader[] = []
  let length = 0
  for (const { name, dtype, shape, bytes } of content.arrays) {
    const expected = shape.reduce((a, b) => a * b, bytesOf[dtype])
    if (bytes.length !== expected)
      throw new RangeError(`array ${name}: ${bytes.length} bytes for ${dtype}[${shape}], which takes ${expected}`)
    arrays.push({ name, dtype, shape, offset: length, length: bytes.length })
    length = align(length + bytes.length)
  }
  const payload = new Uint8Array(length)
  for (const [i, { bytes }] of content.arrays.entries()) payload.set(bytes, arrays[i]!.offset)
  const header: CanonicalHeader = {
    dataset,
    version,
    facts: content.facts,
    arrays,
    payload: { length, crc32: crc32(payload), sha256: hash("sha256", payload, "hex") },
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const start = align(headLength + json.length)
  const file = new Uint8Array(start + length)
  const view = new DataView(file.buffer)
  new TextEncoder().encodeInto(magic, file)
  file.fill(0x20, headLength, start)
  file.set(json, headLength)
  view.setUint32(8, start - headLength, true)
  view.setUint32(12, crc32(file.subarray(headLength, start)), true)
  file.set(payload, start)
  return file
}

/** The root hash of the bytes of a canonical file: the SHA-256 of its header, hex. */
export function rootHash(bytes: Uint8Array): string {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true)
  return hash("sha256", bytes.subarray(headLength, headLength + length), "hex")
}

/**
 * Writes a canonical file so that other processes see all of it or nothing: temporary name in the same directory,
 * fsync, rename. The temporary file is removed when anything fails.
 *
 * @throws CacheDiskFull, CacheNotWritable
 */
export async function writeCanonical(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}-${randomBytes(4).toString("hex")}.partial`
  try {
    await mkdir(dirname(path), { recursive: true })
    const file = await open(temporary, "wx")
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw writeFailure(error, path, bytes.length)
  }
}

/** A failed write as one of the typed errors; anything unknown comes back as it is. */
export function writeFailure(error: unknown, path: string, bytes: number): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === "ENOSPC" || code === "EDQUOT" || code === "EFBIG")
    return new CacheDiskFull(path, bytes, { cause: error })
  if (code === "EACCES" || code === "EROFS" || code === "EPERM" || code === "ENOTDIR" || code === "EEXIST")
    return new CacheNotWritable(dirname(path), code, { cause: error })
  return error
}

function parseHeader(path: string, bytes: Uint8Array, crc: number): CanonicalHeader {
  if (crc32(bytes) !== crc) throw new NotCanonical(path, "its header does not match its checksum")
  return JSON.parse(new TextDecoder().decode(bytes)) as CanonicalHeader
}

/**
 * Reads a canonical file into one buffer and checks it: magic, header checksum, exact length, payload CRC-32.
 *
 * @throws NotCanonical when the file is damaged, truncated, half-written or something else; ENOENT when absent
 */
export async function readCanonical(path: string): Promise<CanonicalFile> {
  const file = await open(path, "r")
  try {
    const { header, start, root } = await readHead(path, file)
    const { length, crc32: expected } = header.payload
    const payload = new Uint8Array(length)
    let sum = 0
    // Worker threads read the parts side by side (most of the time goes into the kernel's page faults), and the first
    // parts are summed here while the later ones are still being read.
    const part = Math.max(minimumPart, Math.ceil(length / parts))
    const reads: Promise<void>[] = []
    for (let at = 0; at < length; at += part)
      reads.push(readExactly(path, file, payload.subarray(at, at + part), start + at))
    const settled = Promise.allSettled(reads)
    try {
      for (const [i, read] of reads.entries()) {
        await read
        sum = crc32(payload.subarray(i * part, (i + 1) * part), sum)
      }
    } finally {
      await settled // the file must not be closed under a running read
    }
    if (length > 0 && sum !== expected) throw new NotCanonical(path, "its content does not match its checksum")
    return canonicalFile(header, payload, root)
  } finally {
    await file.close()
  }
}

async function readExactly(path: string, file: FileHandle, into: Uint8Array, from: number): Promise<void> {
  let got = 0
  while (got < into.length) {
    const { bytesRead } = await file.read(into, got, into.length - got, from + got)
    if (bytesRead === 0) throw new NotCanonical(path, `it ends after ${from + got} bytes`)
    got += bytesRead
  }
}

async function readHead(path: string, file: FileHandle) {
  const { size } = await file.stat()
  const head = new Uint8Array(headLength)
  await readExactly(path, file, head, 0)
  if (new TextDecoder().decode(head.subarray(0, 8)) !== magic) throw new NotCanonical(path, "it is not a data file")
  const view = new DataView(head.buffer)
  const headerLength = view.getUint32(8, true)
  if (headerLength > maxHeaderLength || headLength + headerLength > size)
    throw new NotCanonical(path, "its header is cut off or overwritten")
  const json = new Uint8Array(headerLength)
  await readExactly(path, file, json, headLength)
  const header = parseHeader(path, json, view.getUint32(12, true))
  const start = headLength + headerLength
  if (size !== start + header.payload.length)
    throw new NotCanonical(path, `it has ${size} bytes instead of ${start + header.payload.length}`)
  return { header, start, size, root: hash("sha256", json, "hex") }
}

/** The header alone, with the file's length checked against it: what a listing needs, in well under a millisecond. */
export async function readCanonicalHeader(
  path: string,
): Promise<{ header: CanonicalHeader; size: number; root: string }> {
  const file = await open(path, "r")
  try {
    return await readHead(path, file)
  } finally {
    await file.close()
  }
}

function canonicalFile(header: CanonicalHeader, payload: Uint8Array, root: string): CanonicalFile {
  return {
    header,
    root,
    payload,
    array: (name) => {
      const found = header.arrays.find((a) => a.name === name)
      if (found === undefined) throw new RangeError(`no array "${name}" in the data set ${header.dataset}`)
      return payload.subarray(found.offset, found.offset + found.length)
    },
  }
}
