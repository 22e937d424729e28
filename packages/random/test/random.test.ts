import { describe, expect, it } from "vitest"
import {
  bits,
  derive,
  fillBits,
  fillNormal,
  fillTruncatedNormal,
  fillUniform,
  integer,
  key,
  normal,
  permutation,
  threefry2x32,
  uniform,
} from "../src/random.ts"

const block = (k0: number, k1: number, c0: number, c1: number) => {
  const out = new Uint32Array(2)
  threefry2x32(k0, k1, c0, c1, out)
  return [out[0]!.toString(16), out[1]!.toString(16)]
}

describe("Threefry-2x32-20", () => {
  it("matches the authors' known-answer vectors", () => {
    expect(block(0, 0, 0, 0)).toEqual(["6b200159", "99ba4efe"])
    expect(block(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff)).toEqual(["1cb996fc", "bb002be7"])
    expect(block(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3)).toEqual(["c4923a9c", "483df7a0"])
  })
})

describe("keys", () => {
  it("differ by seed, by stream name, by step, and between a number and its text", () => {
    const keys = [key(0), key(1), key(0, "a"), key(0, "b"), key(0, "a", 1), key(0, "a", "1"), key(-1), key(2 ** 40)]
    expect(new Set(keys.map((k) => `${k.k0},${k.k1}`)).size).toBe(keys.length)
  })
  it("derive is the same as a longer path", () => {
    expect(derive(key(3, "a"), "b", 4)).toEqual(key(3, "a", "b", 4))
  })
  it("refuse a fraction", () => {
    expect(() => key(0.5)).toThrow(RangeError)
  })
})

describe("streams", () => {
  it("give the value at an index whatever the slice it is read in", () => {
    const k = key(7, "slice")
    const all = fillBits(k, new Uint32Array(101))
    for (const [from, length] of [
      [0, 1],
      [1, 1],
      [3, 8],
      [4, 7],
      [100, 1],
    ] as const) {
      expect([...fillBits(k, new Uint32Array(length), from)]).toEqual([...all.slice(from, from + length)])
      expect(bits(k, from)).toBe(all[from])
    }
    const normals = fillNormal(k, new Float64Array(20))
    expect([...fillNormal(k, new Float64Array(7), 5)]).toEqual([...normals.slice(5, 12)])
    expect(normal(k, 11)).toBe(normals[11])
    expect(uniform(k, 9)).toBe(fillUniform(k, new Float64Array(10))[9])
  })

  it("have the moments of their distributions", () => {
    const n = 200_000
    const u = fillUniform(key(1, "u"), new Float64Array(n))
    const z = fillNormal(key(1, "z"), new Float64Array(n))
    const mean = (a: Float64Array) => a.reduce((s, x) => s + x, 0) / n
    const moment = (a: Float64Array, p: number) => a.reduce((s, x) => s + x ** p, 0) / n
    expect(Math.abs(mean(u) - 0.5)).toBeLessThan(0.003)
    expect(Math.abs(moment(u, 2) - 1 / 3)).toBeLessThan(0.003)
    expect(Math.abs(mean(z))).toBeLessThan(0.01)
    expect(Math.abs(moment(z, 2) - 1)).toBeLessThan(0.02)
    expect(Math.abs(moment(z, 4) - 3)).toBeLessThan(0.15)
  })

  it("truncated normals stay within the cut", () => {
    const t = fillTruncatedNormal(key(2, "t"), new Float32Array(50_000), 0.02)
    expect(t.every((x) => Math.abs(x) <= 0.04 + 1e-9)).toBe(true)
    const sd = Math.sqrt(t.reduce((s, x) => s + x * x, 0) / t.length)
    expect(Math.abs(sd / 0.02 - 0.8796)).toBeLessThan(0.01) // sd of a standard normal cut at ±2
  })

  it("integers are in range and even over the range", () => {
    const counts = new Array(7).fill(0)
    for (let i = 0; i < 70_000; i++) counts[integer(key(5, "i"), 7, i)]++
    for (const c of counts) expect(Math.abs(c - 10_000)).toBeLessThan(500)
  })

  it("permutations are permutations, and differ between keys", () => {
    const p = permutation(key(1, "p"), 1000)
    expect([...p].sort((a, b) => a - b)).toEqual([...Array(1000).keys()])
    expect([...permutation(key(2, "p"), 1000)]).not.toEqual([...p])
  })
})
