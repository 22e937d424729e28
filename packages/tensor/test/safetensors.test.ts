import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import {
  decodeRawSafetensors,
  decodeSafetensors,
  encodeRawSafetensors,
  encodeSafetensors,
  type HostTensors,
  InvalidSafetensors,
} from "../src/tensor.ts"

const tensors: HostTensors = {
  "a.weight": {
    data: Float32Array.of(1.5, -2, Number.NaN, Number.POSITIVE_INFINITY, 0, 3),
    shape: [2, 3],
    dtype: "float32",
  },
  "z.steps": { data: Int32Array.of(-7, 2 ** 31 - 1), shape: [2], dtype: "int32" },
  "m.mask": { data: Uint8Array.of(1, 0, 1), shape: [3], dtype: "bool" },
  "7": { data: Float32Array.of(42), shape: [], dtype: "float32" },
  empty: { data: new Float32Array(0), shape: [0, 4], dtype: "float32" },
  'ü"': { data: Float32Array.of(1), shape: [1], dtype: "float32" },
}
const metadata = { step: "12", note: "é ✓" }

/** A file with any header, valid or not. */
function file(header: unknown, data = 0): Uint8Array {
  const text = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header))
  const out = new Uint8Array(8 + text.length + data)
  new DataView(out.buffer).setBigUint64(0, BigInt(text.length), true)
  out.set(text, 8)
  return out
}
const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = "F32") => ({
  dtype,
  shape,
  data_offsets: [begin, end],
})

describe("safetensors", () => {
  it("returns what was written, bit for bit", () => {
    const { tensors: back, metadata: meta } = decodeSafetensors(encodeSafetensors(tensors, metadata))
    expect({ ...back }).toEqual(tensors)
    expect({ ...meta }).toEqual(metadata)
  })

  it("aligns the header and every tensor, and does not depend on the order of the names", () => {
    const bytes = encodeSafetensors(tensors, metadata)
    expect(Number(new DataView(bytes.buffer).getBigUint64(0, true)) % 8).toBe(0)
    for (const { bytes: data, dtype } of Object.values(decodeRawSafetensors(bytes).tensors))
      expect(data.byteOffset % (dtype === "BOOL" ? 1 : 4)).toBe(0)
    const reversed = Object.fromEntries(Object.entries(tensors).reverse())
    expect(encodeSafetensors(reversed, metadata)).toEqual(bytes)
  })

  it("decodes at any byte offset", () => {
    const bytes = encodeSafetensors(tensors)
    const shifted = new Uint8Array(bytes.length + 3)
    shifted.set(bytes, 3)
    expect({ ...decodeSafetensors(shifted.subarray(3)).tensors }).toEqual(tensors)
  })

  it("converts other element types, and refuses integers that do not fit", () => {
    const raw = (
      dtype: Parameters<typeof encodeRawSafetensors>[0][string]["dtype"],
      data: ArrayBufferView,
      n: number,
    ) =>
      decodeSafetensors(
        encodeRawSafetensors({ x: { dtype, shape: [n], bytes: new Uint8Array(data.buffer as ArrayBuffer) } }),
      ).tensors["x"]!
    expect(raw("F64", Float64Array.of(0.1, -2), 2).data).toEqual(Float32Array.of(0.1, -2))
    expect(raw("F16", Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7c00), 4).data).toEqual(
      Float32Array.of(1, -2, 2 ** -24, Number.POSITIVE_INFINITY),
    )
    expect(raw("BF16", Uint16Array.of(0x3f80, 0xc000), 2).data).toEqual(Float32Array.of(1, -2))
    expect(raw("I64", BigInt64Array.of(-5n, 9n), 2).data).toEqual(Int32Array.of(-5, 9))
    expect(raw("U8", Uint8Array.of(200), 1).data).toEqual(Int32Array.of(200))
    expect(() => raw("I64", BigInt64Array.of(2n ** 31n), 1)).toThrow(InvalidSafetensors)
  })

  const bad: Record<string, Uint8Array> = {
    "an empty file": new Uint8Array(0),
    "fewer than 8 bytes": new Uint8Array(7),
    "a huge header": new Uint8Array(64).fill(0xff),
    "a header beyond the end": encodeSafetensors(tensors).subarray(0, 40),
    "truncated data": encodeSafetensors(tensors).subarray(0, -1),
    "trailing bytes": Uint8Array.of(...encodeSafetensors(tensors), 0),
    "text that is not JSON": file("{nonsense"),
    "bytes that are not UTF-8": Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xff),
    "a header that is a list": file([]),
    "metadata that are not strings": file({ __metadata__: { a: 1 } }),
    "overlapping tensors": file({ a: entry(0, 8), b: entry(4, 12) }, 12),
    "a gap between tensors": file({ a: entry(0, 4), b: entry(8, 12) }, 12),
    "an unknown type": file({ a: entry(0, 4, [1], "F99") }, 4),
    "a type named like an object method": file({ a: entry(0, 4, [1], "toString") }, 4),
    "a negative shape": file({ a: entry(0, 4, [-1]) }, 4),
    "a shape that does not fit the offsets": file({ a: entry(0, 4, [2]) }, 4),
    "an overflowing shape": file({ a: entry(0, 0, [2 ** 31, 2 ** 31, 0.5]) }),
    "reversed offsets": file({ a: { dtype: "F32", shape: [1], data_offsets: [4, 0] } }, 4),
    "missing offsets": file({ a: { dtype: "F32", shape: [1] } }, 4),
  }
  it.each(Object.keys(bad))("refuses %s", (name) => {
    expect(() => decodeSafetensors(bad[name]!)).toThrow(InvalidSafetensors)
  })

  it("refuses every truncation of a file", () => {
    const bytes = encodeSafetensors(tensors, metadata)
    for (let n = 0; n < bytes.length; n++)
      expect(() => decodeSafetensors(bytes.subarray(0, n))).toThrow(InvalidSafetensors)
  })

  it("refuses to write an array that does not fit its shape", () => {
    expect(() => encodeSafetensors({ a: { data: new Float32Array(3), shape: [2], dtype: "float32" } })).toThrow(
      InvalidSafetensors,
    )
  })

  it("is not fooled by tensors named like object properties", () => {
    const odd: HostTensors = JSON.parse('{"__proto__":0,"constructor":0}')
    const named = Object.create(null) as Record<string, HostTensors[string]>
    for (const name of Object.getOwnPropertyNames(odd)) named[name] = tensors["7"]!
    const back = decodeSafetensors(encodeSafetensors(named)).tensors
    expect(Object.keys(back).sort()).toEqual(["__proto__", "constructor"])
  })
})

const python = process.env["EXP_TEST_PYTHON"] ?? "python3"
const hasPython = spawnSync(python, ["--version"]).status === 0
const hasLibrary = spawnSync(python, ["-c", "import safetensors"]).status === 0

/**
 * Reads a file and writes it again: through the library's own parser where it is installed, else by a few lines that
 * follow the format's description.
 */
const script = hasLibrary
  ? `
import sys, ctypes, safetensors
src, dst = sys.argv[1:]
items = safetensors.deserialize(open(src, "rb").read())
kinds = {"F32": "float32", "I32": "int32", "BOOL": "bool"}
out, held = {}, []
for name, t in items:
    data, kind, shape = bytes(t["data"]), kinds[t["dtype"]], t["shape"]
    if hasattr(safetensors, "TensorSpec"):
        memory = ctypes.create_string_buffer(data, max(1, len(data)))
        held.append(memory)
        at = ctypes.addressof(memory)
        out[name] = safetensors.TensorSpec(dtype=kind, shape=shape, data_ptr=at, data_len=len(data))
    else:
        out[name] = {"dtype": kind, "shape": shape, "data": data}
open(dst, "wb").write(safetensors.serialize(out, {"from": "python"}))
`
  : `
import sys, json, struct
src, dst = sys.argv[1:]
b = open(src, "rb").read()
n = struct.unpack("<Q", b[:8])[0]
head = json.loads(b[8:8+n].decode("utf-8"))
head.pop("__metadata__", None)
at, names, data = 0, {}, b""
for name in sorted(head):
    t = head[name]
    s, e = t["data_offsets"]
    chunk = b[8+n+s:8+n+e]
    count = 1
    for k in t["shape"]: count *= k
    assert len(chunk) == count * {"F32": 4, "I32": 4, "BOOL": 1}[t["dtype"]]
    names[name] = {"dtype": t["dtype"], "shape": t["shape"], "data_offsets": [at, at + len(chunk)]}
    data += chunk
    at += len(chunk)
names["__metadata__"] = {"from": "python"}
h = json.dumps(names).encode("utf-8")
open(dst, "wb").write(struct.pack("<Q", len(h)) + h + data)
`

describe.skipIf(!hasPython)(
  `safetensors through ${hasLibrary ? "the Python library" : "an independent reader"}`,
  () => {
    const folder = mkdtempSync(join(tmpdir(), "exp-safetensors-"))
    afterAll(() => rmSync(folder, { recursive: true }))

    it("reads our file and writes one that we read", () => {
      const [from, to] = [join(folder, "a.safetensors"), join(folder, "b.safetensors")]
      writeFileSync(from, encodeSafetensors(tensors, metadata))
      execFileSync(python, ["-c", script, from, to])
      const back = decodeSafetensors(readFileSync(to))
      expect(Object.keys(back.tensors).sort()).toEqual(Object.keys(tensors).sort())
      expect({ ...back.tensors }).toEqual(tensors)
      expect(back.metadata["from"]).toBe("python")
    })
  },
)
