/**
 * The safetensors file format: an 8-byte little-endian header length, a JSON header, then the raw little-endian data of
 * all tensors without gaps (https://github.com/huggingface/safetensors, "Format").
 */
import type { HostTensor, HostTensors } from "./step.ts"

/** Element types of the format, and bytes of an element. */
const elementBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const

/** Name of an element type in a safetensors header. */
export type SafetensorsType = keyof typeof elementBytes

/** One tensor of a file, uninterpreted. */
export interface RawTensor {
  readonly dtype: SafetensorsType
  readonly shape: readonly number[]
  /** Little-endian, row-major. */
  readonly bytes: Uint8Array
}

/** What a file holds. */
export interface RawSafetensors {
  readonly tensors: Readonly<Record<string, RawTensor>>
  readonly metadata: Readonly<Record<string, string>>
}

/** Bytes that are not a valid safetensors file, or tensors that cannot be put into one. `at` names the place. */
export class InvalidSafetensors extends Error {
  readonly _tag = "InvalidSafetensors"
  readonly at: string
  readonly reason: string
  constructor(at: string, reason: string) {
    super(`not a valid safetensors file: ${at}: ${reason}`)
    this.name = "InvalidSafetensors"
    this.at = at
    this.reason = reason
  }
}

/** Headers above this size are refused, as the reference implementation does. */
const maxHeaderBytes = 100_000_000

/** Encodes tensors as they are. Names are sorted by element size, then alphabetically, so equal input gives equal bytes. */
export function encodeRawSafetensors(
  tensors: Readonly<Record<string, RawTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  // Wide elements first: every tensor then starts at a multiple of its element size.
  const names = Object.keys(tensors).sort(
    (a, b) => elementBytes[tensors[b]!.dtype] - elementBytes[tensors[a]!.dtype] || (a < b ? -1 : a > b ? 1 : 0),
  )
  const entries: [string, unknown][] = []
  if (Object.keys(metadata).length > 0) entries.push(["__metadata__", metadata])
  let offset = 0
  for (const name of names) {
    const { dtype, shape, bytes } = tensors[name]!
    if (name === "__metadata__") throw new InvalidSafetensors(name, "the name is reserved")
    const expected = shape.reduce((a, b) => a * b, 1) * elementBytes[dtype]
    if (bytes.byteLength !== expected)
      throw new InvalidSafetensors(
        `tensor "${name}"`,
        `${dtype} [${shape}] takes ${expected} bytes, got ${bytes.byteLength}`,
      )
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + expected] }])
    offset += expected
  }
  // Object.fromEntries would move names that look like integers to the front; write the object by hand.
  const json = `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(",")}}`
  const text = new TextEncoder().encode(json)
  const headerBytes = Math.ceil(text.length / 8) * 8
  const out = new Uint8Array(8 + headerBytes + offset)
  new DataView(out.buffer).setBigUint64(0, BigInt(headerBytes), true)
  out.fill(0x20, 8, 8 + headerBytes)
  out.set(text, 8)
  let at = 8 + headerBytes
  for (const name of names) {
    out.set(tensors[name]!.bytes, at)
    at += tensors[name]!.bytes.byteLength
  }
  return out
}

/**
 * Decodes a file into uninterpreted tensors, whose bytes are views into `source`.
 *
 * @throws InvalidSafetensors when the file is truncated, its header is malformed or too long, or the tensors overlap,
 *   leave gaps, or do not fit their shapes
 */
export function decodeRawSafetensors(source: Uint8Array): RawSafetensors {
  // A plain view: the slices of a Node Buffer share its memory.
  const file = new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
  if (file.byteLength < 8) throw new InvalidSafetensors("header length", `the file has only ${file.byteLength} bytes`)
  const length = new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true)
  if (length > BigInt(maxHeaderBytes)) throw new InvalidSafetensors("header length", `${length} bytes is too long`)
  const start = 8 + Number(length)
  if (start > file.byteLength)
    throw new InvalidSafetensors(
      "header length",
      `${length} bytes are announced, the file has ${file.byteLength - 8} left`,
    )
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(file.subarray(8, start)))
  } catch (error) {
    throw new InvalidSafetensors("header", error instanceof Error ? error.message : String(error))
  }
  if (!isRecord(header)) throw new InvalidSafetensors("header", "it is not a JSON object")
  const metadata: Record<string, string> = Object.create(null)
  const spans: { name: string; dtype: SafetensorsType; shape: readonly number[]; begin: number; end: number }[] = []
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") {
      if (!isRecord(entry)) throw new InvalidSafetensors("__metadata__", "it is not an object")
      for (const [key, value] of Object.entries(entry)) {
        if (typeof value !== "string") throw new InvalidSafetensors(`__metadata__ "${key}"`, "values must be strings")
        metadata[key] = value
      }
      continue
    }
    spans.push({ name, ...checkEntry(name, entry) })
  }
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end)
  const data = file.subarray(start)
  const tensors: Record<string, RawTensor> = Object.create(null)
  let expected = 0
  for (const { name, dtype, shape, begin, end } of spans) {
    if (begin !== expected)
      throw new InvalidSafetensors(
        `tensor "${name}"`,
        `data starts at ${begin}, ${begin < expected ? "inside the tensor before it, which ends" : "after a gap"} at ${expected}`,
      )
    if (end > data.byteLength)
      throw new InvalidSafetensors(
        `tensor "${name}"`,
        `data ends at ${end}, the file has ${data.byteLength} bytes: it is truncated`,
      )
    tensors[name] = { dtype, shape, bytes: data.subarray(begin, end) }
    expected = end
  }
  if (expected !== data.byteLength)
    throw new InvalidSafetensors("data", `${data.byteLength - expected} bytes belong to no tensor`)
  return { tensors, metadata }
}

function checkEntry(name: string, entry: unknown) {
  const where = `tensor "${name}"`
  if (!isRecord(entry)) throw new InvalidSafetensors(where, "its entry is not an object")
  const { dtype, shape, data_offsets: offsets } = entry
  if (typeof dtype !== "string" || !Object.hasOwn(elementBytes, dtype))
    throw new InvalidSafetensors(where, `unknown element type ${JSON.stringify(dtype)}`)
  if (!isCounts(shape)) throw new InvalidSafetensors(where, `bad shape ${JSON.stringify(shape)}`)
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!)
    throw new InvalidSafetensors(where, `bad data_offsets ${JSON.stringify(offsets)}`)
  const bytes = shape.reduce((a, b) => a * b, 1) * elementBytes[dtype as SafetensorsType]
  if (offsets[1]! - offsets[0]! !== bytes)
    throw new InvalidSafetensors(
      where,
      `${dtype} [${shape}] takes ${bytes} bytes, the offsets span ${offsets[1]! - offsets[0]!}`,
    )
  return { dtype: dtype as SafetensorsType, shape, begin: offsets[0]!, end: offsets[1]! }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0)
}

const hostTypes = { float32: "F32", int32: "I32", bool: "BOOL" } as const

/**
 * Encodes named tensors as a safetensors file: float32 as F32, int32 as I32, bool as BOOL.
 *
 * @param metadata strings kept in the header
 * @throws InvalidSafetensors when an array does not fit its shape
 */
export function encodeSafetensors(tensors: HostTensors, metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const raw: Record<string, RawTensor> = Object.create(null)
  for (const [name, { data, shape, dtype }] of Object.entries(tensors))
    raw[name] = {
      dtype: hostTypes[dtype],
      shape,
      bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    }
  return encodeRawSafetensors(raw, metadata)
}

/**
 * Decodes a safetensors file into tensors that own their memory. F32, F64, F16 and BF16 become float32; I32, I8, I16,
 * U8, U16, and I64, U32, U64 whose values fit, become int32; BOOL stays bool.
 *
 * @throws InvalidSafetensors when the file is not valid or an integer does not fit into 32 bits
 */
export function decodeSafetensors(file: Uint8Array): {
  readonly tensors: HostTensors
  readonly metadata: Readonly<Record<string, string>>
} {
  const { tensors, metadata } = decodeRawSafetensors(file)
  const out: Record<string, HostTensor> = Object.create(null)
  for (const [name, raw] of Object.entries(tensors)) out[name] = toHost(name, raw)
  return { tensors: out, metadata }
}

function toHost(name: string, { dtype, shape, bytes }: RawTensor): HostTensor {
  // A copy that owns its memory is also aligned.
  const buffer = bytes.slice().buffer
  switch (dtype) {
    case "F32":
      return { data: new Float32Array(buffer), shape, dtype: "float32" }
    case "F64":
      return { data: Float32Array.from(new Float64Array(buffer)), shape, dtype: "float32" }
    case "F16":
      return { data: Float32Array.from(new Uint16Array(buffer), half), shape, dtype: "float32" }
    case "BF16": {
      const words = Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16)
      return { data: new Float32Array(words.buffer), shape, dtype: "float32" }
    }
    case "BOOL":
      return { data: new Uint8Array(buffer), shape, dtype: "bool" }
    case "I32":
      return { data: new Int32Array(buffer), shape, dtype: "int32" }
    case "U8":
      return { data: Int32Array.from(new Uint8Array(buffer)), shape, dtype: "int32" }
    case "I8":
      return { data: Int32Array.from(new Int8Array(buffer)), shape, dtype: "int32" }
    case "I16":
      return { data: Int32Array.from(new Int16Array(buffer)), shape, dtype: "int32" }
    case "U16":
      return { data: Int32Array.from(new Uint16Array(buffer)), shape, dtype: "int32" }
    case "U32":
      return { data: narrow(name, new Uint32Array(buffer)), shape, dtype: "int32" }
    case "I64":
      return { data: narrow(name, new BigInt64Array(buffer)), shape, dtype: "int32" }
    case "U64":
      return { data: narrow(name, new BigUint64Array(buffer)), shape, dtype: "int32" }
  }
}

function narrow(name: string, wide: Uint32Array | BigInt64Array | BigUint64Array): Int32Array {
  const out = new Int32Array(wide.length)
  for (let i = 0; i < wide.length; i++) {
    const value = Number(wide[i]!)
    if (value !== (value | 0)) throw new InvalidSafetensors(`tensor "${name}"`, `${wide[i]} does not fit into int32`)
    out[i] = value
  }
  return out
}

/** IEEE half precision to a number. */
function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
