import { createHash } from "node:crypto"
import { NotJson, show } from "./errors.ts"

/** What JSON can hold. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | JsonObject
export interface JsonObject {
  readonly [key: string]: Json
}

function write(value: unknown, path: string, above: Set<object>): string {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value)
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new NotJson({ path, got: String(value) })
    return JSON.stringify(value) // ECMAScript's shortest form; -0 becomes 0
  }
  if (typeof value !== "object") throw new NotJson({ path, got: show(value) })
  if (above.has(value)) throw new NotJson({ path, got: "an object that contains itself" })
  above.add(value)
  let text: string
  const at = (key: string | number) => (path === "" ? String(key) : `${path}.${key}`)
  if (Array.isArray(value)) {
    const items: string[] = []
    for (let i = 0; i < value.length; i++) items.push(write(value[i], at(i), above))
    text = `[${items.join(",")}]`
  } else {
    const prototype = Object.getPrototypeOf(value)
    if (prototype !== null && prototype !== Object.prototype && !isRecordOf(prototype)) {
      throw new NotJson({ path, got: show(value) })
    }
    const members: string[] = []
    for (const key of Object.keys(value).sort()) {
      const member = (value as Record<string, unknown>)[key]
      if (member !== undefined) members.push(`${JSON.stringify(key)}:${write(member, at(key), above)}`)
    }
    text = `{${members.join(",")}}`
  }
  above.delete(value)
  return text
}

// An object of another realm (a vm context, a test runner) has that realm's Object.prototype: the one whose own prototype is null.
const isRecordOf = (prototype: object) =>
  Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "hasOwnProperty")

/**
 * The one JSON text of a value: keys sorted by UTF-16 code units, no white space, numbers in ECMAScript's shortest
 * form, -0 as 0 (RFC 8785). A member that is `undefined` counts as absent.
 *
 * @throws NotJson for NaN, infinities, functions, bigints, class instances, cycles; it names the path
 */
export function canonicalJson(value: unknown): string {
  return write(value, "", new Set())
}

/** SHA-256 of bytes (a string counts as its UTF-8 bytes), 64 hexadecimal digits. */
export function contentHash(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex")
}

/** What a trial is: everything that may change its result, but for the code. */
export interface TrialIdentity {
  readonly task: string
  readonly version: number
  /** The fully resolved config in its encoded form. */
  readonly config: unknown
  readonly seed: number
}

/**
 * The id of a trial: the first 32 hexadecimal digits of SHA-256 over the canonical JSON of its identity. The same
 * trial has the same id in every experiment and on every machine.
 *
 * @throws NotJson when the config has no canonical JSON form
 */
export function trialId(trial: TrialIdentity): string {
  const { task, version, config, seed } = trial
  return contentHash(canonicalJson({ task, version, config, seed })).slice(0, 32)
}

/** The key of a stage's result: as {@link trialId}, for a stage and its config. A stage and a task never share a key. */
export function stageKey(stage: {
  readonly stage: string
  readonly version: number
  readonly config: unknown
}): string {
  return contentHash(canonicalJson({ stage: stage.stage, version: stage.version, config: stage.config })).slice(0, 32)
}
