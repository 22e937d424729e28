import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import * as Issues from "effect/SchemaIssue"
import { NotJson, type SpecIssue, show } from "./errors.ts"
import { fieldsAt, tagsOf } from "./fields.ts"
import { canonicalJson, type JsonObject } from "./identity.ts"
import { hasPath, isFields, merge, valueAt } from "./merge.ts"
import { nearest } from "./nearest.ts"
import type { ConfigSchema } from "./task.ts"

/** One layer of a config: where it is declared, and what it sets. */
export interface Layer {
  /** `base`, `arms.lora`, `sweep`, `tune.over`, `profiles.quick.base`, `--set`. */
  readonly at: string
  readonly value: unknown
}

/** A place inside a layer. The command line's is written as it was typed: `--set tuner.rank`. */
export const placeIn = (at: string, path: ReadonlyArray<string>): string =>
  path.length === 0 ? at : at.startsWith("--") ? `${at} ${path.join(".")}` : `${at}.${path.join(".")}`

/** The layers laid over one another, the last on top. */
export const mergeLayers = (layers: ReadonlyArray<Layer>): unknown =>
  layers.reduce<unknown>((merged, layer) => merge(merged, layer.value), {})

/** The topmost layer that says something about a path. */
const origin = (layers: ReadonlyArray<Layer>, path: ReadonlyArray<string>): Layer | undefined =>
  layers.findLast((layer) => hasPath(layer.value, path))

const decoders = new WeakMap<
  ConfigSchema,
  (input: unknown) => ReturnType<ReturnType<typeof Schema.decodeUnknownResult>>
>()
function decode(schema: ConfigSchema, input: unknown) {
  let decoder = decoders.get(schema)
  if (decoder === undefined) {
    const strict = Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })
    decoder = (value) => strict(value)
    decoders.set(schema, decoder)
  }
  return decoder(input)
}

interface Flaw {
  readonly kind: "missing" | "unexpected" | "wrong"
  readonly path: ReadonlyArray<string>
  readonly expected: string
}

const format = Issues.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "MissingKey"
      ? "missing"
      : issue._tag === "UnexpectedKey"
        ? "unexpected"
        : Issues.defaultLeafHook(issue),
})

function flaws(issue: SchemaIssue.Issue): ReadonlyArray<Flaw> {
  return format(issue).issues.map(({ message, path }) => ({
    kind: message === "missing" || message === "unexpected" ? message : "wrong",
    path: (path ?? []).map((key) => String(typeof key === "object" ? key.key : key)),
    expected: message.startsWith("Expected ")
      ? message.slice("Expected ".length).replace(/, got [\s\S]*$/, "")
      : message,
  }))
}

/** What resolving a config gives: the encoded config, or the mistakes in it. */
export type Resolved =
  | { readonly _tag: "Config"; readonly config: JsonObject; readonly key: string }
  | { readonly _tag: "Mistakes"; readonly issues: ReadonlyArray<SpecIssue & { readonly absent: boolean }> }

const quoted = (names: ReadonlyArray<string>) => names.map((name) => JSON.stringify(name)).join(" | ")

/** Says of one flaw of the merged config where it was declared, what would be right there, and what was meant. */
function issueOf(
  schema: ConfigSchema,
  layers: ReadonlyArray<Layer>,
  merged: unknown,
  flaw: Flaw,
): SpecIssue & { readonly absent: boolean } {
  const parent = flaw.path.slice(0, -1)
  const name = flaw.path.at(-1) ?? ""
  const fields = fieldsAt(schema.ast, merged, parent)
  const field = fields.find((one) => one.name === name)
  if (flaw.kind === "missing") {
    const expected = field === undefined ? "a value" : field.type
    const owner = parent.length === 0 ? undefined : origin(layers, parent)
    const path = owner === undefined ? flaw.path.join(".") : placeIn(owner.at, flaw.path)
    return { path, expected, got: "nothing", absent: owner === undefined }
  }
  const value = valueAt(merged, flaw.path)
  const at = placeIn(origin(layers, flaw.path)?.at ?? "base", flaw.path)
  const issue = (path: string, expected: string, got: string, meant: string | undefined) => ({
    path,
    expected,
    got,
    ...(meant === undefined ? {} : { nearest: meant }),
    absent: false,
  })
  if (flaw.kind === "unexpected") {
    const names = fields.map((one) => one.name)
    const expected = names.length === 0 ? "no field here" : `one of the fields ${names.join(", ")}`
    return issue(at, expected, `${JSON.stringify(name)}: ${show(value)}`, nearest(name, names))
  }
  const tags = field === undefined ? [] : tagsOf(field.ast)
  if (tags.length > 0 && isFields(value)) {
    const tag = value["_tag"]
    if (tag === undefined) return issue(at, `a kind, as _tag: ${quoted(tags)}`, show(value), undefined)
    if (typeof tag !== "string" || !tags.includes(tag)) {
      const meant = typeof tag === "string" ? nearest(tag, tags) : undefined
      return issue(`${at}._tag`, quoted(tags), show(tag), meant)
    }
  }
  const meant = typeof value === "string" ? nearest(value, field?.options ?? []) : undefined
  return issue(at, tags.length > 0 ? tags.join(" | ") : flaw.expected, show(value), meant)
}

/** Leaves out the missing fields that a misspelled one was meant to be: one slip of the pen is one mistake. */
function withoutEchoes(schema: ConfigSchema, merged: unknown, all: ReadonlyArray<Flaw>): ReadonlyArray<Flaw> {
  const place = (path: ReadonlyArray<string>) => JSON.stringify(path)
  const meant = new Set<string>()
  for (const { kind, path } of all) {
    if (kind !== "unexpected") continue
    const parent = path.slice(0, -1)
    const name = nearest(
      path.at(-1) ?? "",
      fieldsAt(schema.ast, merged, parent).map((field) => field.name),
    )
    if (name !== undefined) meant.add(place([...parent, name]))
  }
  return all.filter(({ kind, path }) => kind !== "missing" || !meant.has(place(path)))
}

/**
 * Lays the layers over one another, decodes the result through the task's Schema, and encodes it again: the fully
 * resolved config, defaults filled in, as plain JSON with sorted keys. Misspelled fields are mistakes, and all mistakes
 * are reported, each where it was declared.
 */
export function resolveConfig(schema: ConfigSchema, layers: ReadonlyArray<Layer>): Resolved {
  const merged = mergeLayers(layers)
  const decoded = decode(schema, merged)
  if (decoded._tag === "Failure") {
    return {
      _tag: "Mistakes",
      issues: withoutEchoes(schema, merged, flaws(decoded.failure.issue)).map((flaw) =>
        issueOf(schema, layers, merged, flaw),
      ),
    }
  }
  try {
    const text = canonicalJson(Schema.encodeUnknownSync(schema)(decoded.success))
    return { _tag: "Config", config: JSON.parse(text) as JsonObject, key: text }
  } catch (cause) {
    if (!(cause instanceof NotJson)) throw cause
    const path = cause.path === "" ? [] : cause.path.split(".")
    const at = placeIn(origin(layers, path)?.at ?? "base", path)
    const expected = "a value that JSON can hold (a finite number, string, boolean, null, list or object)"
    return { _tag: "Mistakes", issues: [{ path: at, expected, got: cause.got, absent: false }] }
  }
}
