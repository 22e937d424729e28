/** Short forms for the fields of task configs. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Adds a description, which help texts and documentation show. */
export const described =
  (description: string) =>
  <S extends Schema.Top>(schema: S): S["Rebuild"] =>
    schema.annotate({ description })

/** The value that stands in when the field is left out, in encoded form. */
export function defaultsTo<S extends Schema.Constraint>(
  value: S["Encoded"],
): (self: S) => Schema.withDecodingDefaultKey<S> {
  return Schema.withDecodingDefaultKey(Effect.succeed(value))
}

/** Whole numbers of at least `minimum`. */
export const atLeast = (minimum: number) => Schema.Int.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(minimum)))

/** Finite numbers greater than 0. */
export const positive = Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))

/** Finite numbers of at least 0. */
export const nonNegative = Schema.Finite.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0)))

/** Numbers from 0 to 1. */
export const ratio = Schema.Finite.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 1 })))
