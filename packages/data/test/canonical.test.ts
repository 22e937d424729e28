import { mkdtempSync, readdirSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { encodeCanonical, NotCanonical, readCanonical, rootHash, writeCanonical } from "../src/canonical.ts"

const content = {
  arrays: [
    { name: "a", dtype: "uint8" as const, shape: [3], bytes: Uint8Array.from([1, 2, 3]) },
    { name: "b", dtype: "float64" as const, shape: [2, 1], bytes: new Uint8Array(new Float64Array([0.5, -2]).buffer) },
  ],
  facts: { classes: ["é", "ß"] },
}
const directory = mkdtempSync(join(tmpdir(), "exp-canonical-"))
const path = join(directory, "set.bin")

describe("a canonical file", () => {
  test("gives back what was written", async () => {
    await writeCanonical(path, encodeCanonical("set", 2, content))
    const file = await readCanonical(path)
    expect(file.header).toMatchObject({ dataset: "set", version: 2, facts: content.facts })
    expect([...file.array("a")]).toEqual([1, 2, 3])
    const b = file.array("b")
    expect([...new Float64Array(b.buffer, b.byteOffset, 2)]).toEqual([0.5, -2])
    expect(readdirSync(directory)).toEqual(["set.bin"])
  })

  test("is the same bytes for the same content, and another root hash for any other content", () => {
    const root = rootHash(encodeCanonical("set", 2, content))
    expect(rootHash(encodeCanonical("set", 2, content))).toBe(root)
    expect(rootHash(encodeCanonical("set", 3, content))).not.toBe(root)
    const other = { ...content, arrays: [{ ...content.arrays[0]!, bytes: Uint8Array.from([1, 2, 4]) }] }
    expect(rootHash(encodeCanonical("set", 2, other))).not.toBe(root)
  })

  test("is refused when any one of its bytes is changed", async () => {
    const whole = encodeCanonical("set", 2, content)
    for (let i = 0; i < whole.length; i++) {
      const damaged = whole.slice()
      damaged[i] = damaged[i]! ^ 0x10
      writeFileSync(path, damaged)
      await expect(readCanonical(path), `byte ${i}`).rejects.toBeInstanceOf(NotCanonical)
    }
  })

  test("is refused when it is cut off anywhere, or longer than it should be", async () => {
    const whole = encodeCanonical("set", 2, content)
    for (let length = 0; length < whole.length; length += 3) {
      writeFileSync(path, whole.subarray(0, length))
      await expect(readCanonical(path), `${length} bytes`).rejects.toBeInstanceOf(NotCanonical)
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.alloc(1)]))
    await expect(readCanonical(path)).rejects.toBeInstanceOf(NotCanonical)
  })

  test("of several parts is checked in every one of them", async () => {
    const bytes = new Uint8Array(9_000_000).map((_, i) => i * 7)
    const large = { arrays: [{ name: "x", dtype: "uint8" as const, shape: [bytes.length], bytes }], facts: {} }
    const whole = encodeCanonical("large", 1, large)
    writeFileSync(path, whole)
    expect(Buffer.compare((await readCanonical(path)).array("x"), bytes)).toBe(0)
    for (let at = 500_000; at < whole.length; at += 1_000_000) {
      const damaged = whole.slice()
      damaged[at] = damaged[at]! ^ 1
      writeFileSync(path, damaged)
      await expect(readCanonical(path), `byte ${at}`).rejects.toThrow("does not match its checksum")
    }
  })

  test("takes only arrays that fit their shape", () => {
    const wrong = { arrays: [{ ...content.arrays[0]!, shape: [4] }], facts: {} }
    expect(() => encodeCanonical("set", 1, wrong)).toThrow(RangeError)
  })
})
