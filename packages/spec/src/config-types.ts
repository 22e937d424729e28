/**
 * Types that hold an experiment to the config of its task. They are computed from the encoded form of the task's
 * Schema, which is what base, arms and points are written in.
 */
import type { Axis } from "./space.ts"

type Leaf = string | number | boolean | bigint | symbol | null | undefined | ReadonlyArray<unknown>

type IsUnion<T, U = T> = [T] extends [never] ? false : T extends unknown ? ([U] extends [T] ? false : true) : never

/** An object of named fields without `_tag`: what merges field by field. */
type IsPlain<T> =
  IsUnion<T> extends true
    ? false
    : T extends Leaf
      ? false
      : T extends { readonly _tag: unknown }
        ? false
        : T extends object
          ? true
          : false

/**
 * Part of a config: any field may be missing, at any depth. A tagged value (a method: `Lora({ rank: 8 })`) is whole, or
 * names some fields of the one it is merged into.
 */
export type Patch<I> = I extends Leaf
  ? I
  : I extends { readonly _tag: unknown }
    ? I | ({ readonly [K in Exclude<keyof I, "_tag">]?: Patch<I[K]> } & { readonly _tag?: never })
    : I extends object
      ? { readonly [K in keyof I]?: Patch<I[K]> }
      : I

type KeysOf<I> = I extends unknown ? keyof I : never
type ValueAt<I, K> = I extends unknown ? (K extends keyof I ? Exclude<I[K], undefined> : never) : never

/** A compile error's way of saying that the config has no such field. */
export interface NotAFieldOfTheConfig<Path> {
  readonly "not a field of the task's config": Path
}

/** A compile error's way of saying which required fields neither base nor the arm (nor sweep, nor tune) gives. */
export interface MissingFields<Path> {
  readonly "required by the task's config, given by neither base nor this arm": Path
}

/** Every key of `B`, at every depth, is a field of `I`. `Also` names further keys allowed at the top. */
export type Known<B, I, Also = never, At extends string = ""> = B extends Leaf
  ? unknown
  : {
      readonly [K in keyof B]: K extends Also
        ? unknown
        : K extends KeysOf<I>
          ? Known<
              B[K],
              B[K] extends { readonly _tag: infer Tag } ? TaggedMember<ValueAt<I, K>, Tag> : ValueAt<I, K>,
              never,
              `${At}${K & string}.`
            >
          : NotAFieldOfTheConfig<`${At}${K & string}`>
    }

type TaggedMember<I, Tag> = I extends { readonly _tag: infer T } ? (Tag extends T ? I : never) : I

type Required<T> = { [K in keyof T & string]-?: Record<never, never> extends Pick<T, K> ? never : K }[keyof T & string]

type At<T, K> = K extends keyof T ? T[K] : unknown

/**
 * Dotted paths of the required fields of `I` that are in none of base `B`, arm `A`, and the paths `G` given by the sweep
 * and by tuning.
 */
export type MissingPaths<I, B, A, G, Prefix extends string = ""> = {
  [K in Required<I>]: `${Prefix}${K}` extends G
    ? never
    : K extends Required<B> | Required<A>
      ? IsPlain<I[K]> extends true
        ? MissingPaths<I[K], At<B, K>, At<A, K>, G, `${Prefix}${K}.`>
        : never
      : IsPlain<I[K]> extends true
        ? Extract<G, `${Prefix}${K}.${string}`> extends never
          ? `${Prefix}${K}`
          : MissingPaths<I[K], At<B, K>, At<A, K>, G, `${Prefix}${K}.`>
        : `${Prefix}${K}`
}[Required<I>]

/** `unknown` when base, arm, sweep and tuning give every required field, else a type that nothing satisfies. */
export type Complete<I, B, A, G> =
  IsUnion<I> extends true
    ? unknown
    : MissingPaths<I, B, A, G> extends infer Path
      ? [Path] extends [never]
        ? unknown
        : MissingFields<Path>
      : never

/** Dotted paths of all fields, four levels deep: `epochs`, `tuner`, `tuner.rank`. */
export type PathOf<I, Depth extends ReadonlyArray<unknown> = []> = Depth["length"] extends 4
  ? never
  : I extends Leaf
    ? never
    : {
        [K in Exclude<keyof I, "_tag"> & string]-?: K | `${K}.${PathOf<Exclude<I[K], undefined>, [...Depth, 1]>}`
      }[Exclude<keyof I, "_tag"> & string]

/** The type of the field at a dotted path; of all members that have it, where a union is on the way. */
export type ValueOf<I, P> = P extends `${infer K}.${infer Rest}` ? ValueOf<ValueAt<I, K>, Rest> : ValueAt<I, P>

/** Which fields take which values. */
export type Space<I> = { readonly [P in PathOf<I>]?: Axis<ValueOf<I, P>> }

/** Every path of the space is a field of the config. */
export type KnownSpace<S, I> = {
  readonly [P in keyof S]: P extends PathOf<I> ? unknown : NotAFieldOfTheConfig<P>
}

/** The paths that a space surely gives a value. */
export type PathsIn<S> = S extends object ? Required<S> : never
