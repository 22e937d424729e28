import { it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { describe, expect, test } from "vitest"
import { merge, nest } from "../src/merge.ts"
import { canonicalJson, contentHash, NotJson, stageKey, trialId } from "../src/spec.ts"

const Json = Schema.Json
/** The same value with every object's keys in the opposite order. */
const reversed = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, member]) => [key, reversed(member)]),
  )
}

describe("canonical JSON", () => {
  test("sorted keys, ECMAScript numbers, no space", () => {
    expect(canonicalJson({ b: [1e21, -0, 0.1, 1e-7], a: { z: null, "\u20ac": "\u20ac", "1": true } })).toBe(
      '{"a":{"1":true,"z":null,"\u20ac":"\u20ac"},"b":[1e+21,0,0.1,1e-7]}',
    )
    expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}')
  })

  test.each<[string, unknown, string]>([
    ["NaN", { a: { b: Number.NaN } }, "a.b is NaN"],
    ["infinity", [1, Number.NEGATIVE_INFINITY], "1 is -Infinity"],
    ["bigint", 3n, "the value is 3n"],
    ["function", { f: () => 0 }, "f is a function"],
    ["Date", { at: new Date(0) }, "at is a Date"],
    ["Map", new Map(), "the value is a Map"],
    ["a hole in a list", [undefined], "0 is nothing"],
  ])("refuses %s and names its place", (_, value, text) => {
    expect(() => canonicalJson(value)).toThrow(NotJson)
    expect(() => canonicalJson(value)).toThrow(text)
  })

  test("refuses a cycle, but not the same object twice", () => {
    const shared = { x: 1 }
    expect(canonicalJson([shared, shared])).toBe('[{"x":1},{"x":1}]')
    const cycle: Record<string, unknown> = {}
    cycle["self"] = cycle
    expect(() => canonicalJson(cycle)).toThrow("self is an object that contains itself")
  })

  it.prop("key order does not matter", [Json], ([value]) => canonicalJson(reversed(value)) === canonicalJson(value))
  it.prop("survives a JSON round trip", [Json], ([value]) => {
    const text = canonicalJson(value)
    return (
      canonicalJson(JSON.parse(text)) === text && contentHash(canonicalJson(JSON.parse(text))) === contentHash(text)
    )
  })
  it.prop("different texts, different ids", [Json, Json], ([a, b]) => {
    const id = (config: unknown) => trialId({ task: "t", version: 1, config, seed: 0 })
    return (canonicalJson(a) === canonicalJson(b)) === (id(a) === id(b))
  })
})

describe("identity", () => {
  const trial = { task: "toy", version: 1, config: { a: 1 }, seed: 0 }
  test("known hashes: a change here makes every result of every user stale", () => {
    expect(contentHash("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    // sha256 of {"config":{"a":1},"seed":0,"task":"toy","version":1}
    expect(trialId(trial)).toBe(contentHash('{"config":{"a":1},"seed":0,"task":"toy","version":1}').slice(0, 32))
    expect(trialId(trial)).toMatch(/^[0-9a-f]{32}$/)
  })
  test("every part counts, and nothing else", () => {
    const ids = [
      trial,
      { ...trial, task: "toy2" },
      { ...trial, version: 2 },
      { ...trial, config: { a: 2 } },
      { ...trial, config: { a: "1" } },
      { ...trial, seed: 1 },
    ].map(trialId)
    expect(new Set(ids).size).toBe(6)
    expect(trialId({ ...trial, arm: "x" } as typeof trial)).toBe(ids[0])
  })
  test("a stage never shares a key with a task of its name", () => {
    expect(stageKey({ stage: "toy", version: 1, config: {} })).not.toBe(
      trialId({ task: "toy", version: 1, config: {}, seed: 0 }),
    )
  })
})

describe("merging", () => {
  test("objects merge, lists and tagged values replace, untagged objects change tagged ones", () => {
    expect(merge({ a: { x: 1, y: 1 }, l: [1, 2] }, { a: { y: 2 }, l: [3] })).toEqual({ a: { x: 1, y: 2 }, l: [3] })
    expect(merge({ t: { _tag: "A", x: 1 } }, { t: { _tag: "B", y: 2 } })).toEqual({ t: { _tag: "B", y: 2 } })
    expect(merge({ t: { _tag: "A", x: 1 } }, { t: { x: 2 } })).toEqual({ t: { _tag: "A", x: 2 } })
    expect(merge({ a: 1 }, { a: undefined })).toEqual({ a: 1 })
  })
  test("a key named __proto__ pollutes nothing", () => {
    const merged = merge({}, JSON.parse('{"__proto__":{"polluted":1}}'))
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined()
    expect(Object.keys(merged as object)).toEqual(["__proto__"])
    nest({ "__proto__.polluted": 1 })
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined()
  })
  test("dotted paths nest", () => {
    expect(nest({ "a.b": 1, "a.c": 2, d: 3 })).toEqual({ a: { b: 1, c: 2 }, d: 3 })
  })

  // Layers of one Schema: a path is an object in all of them or in none.
  const Layer = Schema.Struct({
    a: Schema.optionalKey(Schema.Int),
    list: Schema.optionalKey(Schema.Array(Schema.Int)),
    nested: Schema.optionalKey(Schema.Struct({ x: Schema.optionalKey(Schema.Int), y: Schema.optionalKey(Schema.Int) })),
    tagged: Schema.optionalKey(
      Schema.Union([
        Schema.TaggedStruct("A", { x: Schema.Int }),
        Schema.TaggedStruct("B", { y: Schema.Int }),
        Schema.Struct({ x: Schema.optionalKey(Schema.Int) }),
      ]),
    ),
  })
  it.prop("is associative", [Layer, Layer, Layer], ([a, b, c]) => {
    return canonicalJson(merge(merge(a, b), c)) === canonicalJson(merge(a, merge(b, c)))
  })
  it.prop("has the empty layer as its neutral element and changes no argument", [Layer, Layer], ([a, b]) => {
    const before = canonicalJson([a, b])
    merge(a, b)
    return canonicalJson(merge({}, a)) === canonicalJson(merge(a, {})) && canonicalJson([a, b]) === before
  })
})
