/** Reading a Schema: which fields a config has, of what type, within which bounds, with which defaults. */
import * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import { valueAt } from "./merge.ts"
import type { ConfigSchema } from "./task.ts"

/** One field of a config, for help texts and documentation. */
export interface ConfigField {
  /** Dotted path; a field of one kind of tagged value carries the kind: `tuner<Lora>.rank`. */
  readonly path: string
  /** `number`, `"tiny" | "small"`, `Lora | BitFit`, `number[]`. */
  readonly type: string
  readonly required: boolean
  /** The value that stands in when the field is left out, in encoded form. */
  readonly default?: unknown
  readonly description?: string
  /** Conditions on the value: `an integer`, `a value greater than 0`. */
  readonly bounds: ReadonlyArray<string>
}

/** A field at one level of a Schema. */
export interface FieldHere {
  readonly name: string
  readonly type: string
  /** The strings that the field takes, where it takes certain strings only. */
  readonly options: ReadonlyArray<string>
  readonly ast: AST.AST
}

const literalTag = (ast: AST.AST): string | undefined => {
  const here = open(ast)
  if (!AST.isObjects(here)) return undefined
  const tag = here.propertySignatures.find((p) => p.name === "_tag")
  const type = tag === undefined ? undefined : open(tag.type)
  return type !== undefined && AST.isLiteral(type) && typeof type.literal === "string" ? type.literal : undefined
}

/** The structure behind suspensions and classes. */
function open(ast: AST.AST): AST.AST {
  let here = ast
  for (let depth = 0; depth < 16; depth++) {
    if (AST.isSuspend(here)) here = here.thunk()
    else if (AST.isDeclaration(here) && here.encoding !== undefined) here = here.encoding.at(-1)!.to
    else return here
  }
  return here
}

function members(ast: AST.AST): ReadonlyArray<AST.AST> {
  const here = open(ast)
  return AST.isUnion(here) ? here.types.flatMap(members) : AST.isUndefined(here) ? [] : [here]
}

/** A type written for people. */
function typeName(ast: AST.AST): string {
  const here = open(ast)
  const kinds = members(here)
  if (AST.isUnion(here)) return kinds.map(typeName).join(" | ") || "nothing"
  const tag = literalTag(here)
  if (tag !== undefined) return tag
  if (AST.isObjects(here))
    return here.propertySignatures.length === 0 && here.indexSignatures.length > 0 ? "record" : "object"
  if (AST.isArrays(here)) {
    const element = here.rest[0]
    if (element === undefined || here.elements.length > 0) return `[${here.elements.map(typeName).join(", ")}]`
    const name = typeName(element)
    return name.includes(" ") ? `(${name})[]` : `${name}[]`
  }
  if (AST.isLiteral(here)) return JSON.stringify(here.literal)
  if (AST.isEnum(here)) return here.enums.map(([, value]) => JSON.stringify(value)).join(" | ")
  if (AST.isString(here) || AST.isTemplateLiteral(here)) return "string"
  if (AST.isNumber(here)) return "number"
  if (AST.isBoolean(here)) return "boolean"
  if (AST.isNull(here)) return "null"
  return "any value"
}

const stringsOf = (ast: AST.AST): ReadonlyArray<string> =>
  members(ast).flatMap((member) => {
    if (AST.isLiteral(member) && typeof member.literal === "string") return [member.literal]
    return []
  })

/** The kinds of a tagged value: `["Lora", "BitFit"]`; empty where the value has none. */
export const tagsOf = (ast: AST.AST): ReadonlyArray<string> =>
  members(ast).flatMap((member) => {
    const tag = literalTag(member)
    return tag === undefined ? [] : [tag]
  })

/**
 * The fields that the config may have at a path, in its encoded form. The value picks the member of a union on the way,
 * by its tag; without a tag all members count.
 */
export function fieldsAt(ast: AST.AST, value: unknown, path: ReadonlyArray<string>): ReadonlyArray<FieldHere> {
  let here: ReadonlyArray<AST.AST> = members(AST.toEncoded(ast))
  for (let depth = 0; ; depth++) {
    const inside = valueAt(value, path.slice(0, depth))
    const tag = typeof inside === "object" && inside !== null && "_tag" in inside ? inside._tag : undefined
    const tagged = tag === undefined ? [] : here.filter((member) => literalTag(member) === tag)
    if (tagged.length > 0) here = tagged
    const key = path[depth]
    if (key === undefined) break
    here = here.flatMap((member) => {
      if (AST.isArrays(member)) return [...member.elements, ...member.rest].flatMap(members)
      if (!AST.isObjects(member)) return []
      const found = member.propertySignatures.find((p) => p.name === key)
      if (found !== undefined) return members(found.type)
      return member.indexSignatures.flatMap((signature) => members(signature.type))
    })
  }
  const fields = new Map<string, FieldHere>()
  for (const member of here) {
    if (!AST.isObjects(member)) continue
    for (const { name, type } of member.propertySignatures) {
      if (typeof name !== "string" || name === "_tag" || fields.has(name)) continue
      fields.set(name, { name, type: typeName(type), options: stringsOf(type), ast: type })
    }
  }
  return [...fields.values()]
}

const annotationOf = (ast: AST.AST, name: "description" | "title"): string | undefined => {
  // An annotation given after a check belongs to the check.
  const sources: ReadonlyArray<{ readonly annotations?: object | undefined }> = [
    ...(ast.context === undefined ? [] : [ast.context]),
    ...(ast.checks ?? []).toReversed(),
    ast,
  ]
  for (const { annotations } of sources) {
    const found = annotations === undefined ? undefined : (annotations as Record<string, unknown>)[name]
    if (typeof found === "string") return found
  }
  return undefined
}

function boundsOf(ast: AST.AST): ReadonlyArray<string> {
  const phrases = (check: AST.Check<never>): ReadonlyArray<string> => {
    const expected = (check.annotations as Record<string, unknown> | undefined)?.["expected"]
    if (typeof expected === "string") return [expected]
    return check._tag === "FilterGroup" ? check.checks.flatMap((inner) => phrases(inner)) : []
  }
  return (ast.checks ?? []).flatMap((check) => phrases(check)).filter((phrase) => phrase !== "a finite number")
}

/** The encoded value of a field that is left out; absent when it must be given or stays absent. */
function defaultOf(name: PropertyKey, type: AST.AST): { readonly default?: unknown } {
  const alone = Schema.make<Schema.Codec<unknown, unknown>>(
    new AST.Objects([new AST.PropertySignature(name, type)], []),
  )
  const filled = Schema.decodeUnknownResult(alone)({})
  if (filled._tag === "Failure") return {}
  const encoded = Schema.encodeUnknownResult(alone)(filled.success)
  const value = encoded._tag === "Success" ? (encoded.success as Record<PropertyKey, unknown>)[name] : undefined
  return value === undefined ? {} : { default: value }
}

/**
 * The dotted paths of all fields, as base and spaces write them: the fields of every kind of tagged value, and `_tag`
 * itself, included.
 */
export function configPaths(schema: ConfigSchema): ReadonlySet<string> {
  const paths = new Set<string>()
  for (const { path } of describeConfig(schema)) {
    const plain = path.replaceAll(/<[^>]*>/g, "")
    paths.add(plain)
    const kind = /^(.*)<[^>]*>\.[^.]*$/.exec(path)
    if (kind !== null) paths.add(`${kind[1]!.replaceAll(/<[^>]*>/g, "")}._tag`)
  }
  return paths
}

/**
 * Lists the fields of a config, nested ones and those of every kind of tagged value included, with type, default, bounds
 * and description, in the order of their declaration.
 */
export function describeConfig(schema: ConfigSchema): ReadonlyArray<ConfigField> {
  const fields: ConfigField[] = []
  const walk = (ast: AST.AST, prefix: string, depth: number): void => {
    for (const member of members(ast)) {
      if (!AST.isObjects(member)) continue
      const tag = literalTag(member)
      const at = prefix === "" || tag === undefined ? prefix : `${prefix}<${tag}>`
      for (const { name, type } of member.propertySignatures) {
        if (typeof name !== "string" || name === "_tag") continue
        const path = at === "" ? name : `${at}.${name}`
        const encoded = AST.toEncoded(type)
        const description = annotationOf(type, "description") ?? annotationOf(type, "title")
        fields.push({
          path,
          type: typeName(type),
          required: !AST.isOptional(encoded),
          ...defaultOf(name, type),
          ...(description === undefined ? {} : { description }),
          bounds: boundsOf(type),
        })
        if (depth < 6) walk(type, path, depth + 1)
      }
    }
  }
  walk(schema.ast, "", 0)
  return fields
}
