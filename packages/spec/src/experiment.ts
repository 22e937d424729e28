import type { Search, StoppingRule } from "./adaptive.ts"
import type { Complete, Known, KnownSpace, Patch, PathsIn, Space } from "./config-types.ts"
import type { Metric, MetricName } from "./metric.ts"
import type { AnyTask, ConfigSchema, Task } from "./task.ts"

/** The keys of an arm that are no config: another space for this arm. A config field of that name takes precedence. */
export interface ArmSpaces<I> {
  /** Axes that replace the experiment's for this arm; `false`: this arm is not tuned. */
  readonly tune?: Space<I> | false
  /** Axes that replace the experiment's for this arm; `false`: this arm is not swept. */
  readonly sweep?: Space<I> | false
}

type ArmKeys<I> = Exclude<keyof ArmSpaces<I>, keyof I>
export type ArmInput<I> = Patch<I> & Pick<ArmSpaces<I>, ArmKeys<I>>

/** How the hyper-parameters of every arm are chosen before arms are compared. */
export interface TuneInput<I, Name, Over = Space<I>> {
  /** The space searched, for every arm. */
  readonly over: Over
  /** The validation metric that decides. Never the compared one. */
  readonly by: Name
  /** Merged into the tuning trials only: `{ holdout: 0.2 }`. */
  readonly with?: Patch<I>
  /** Seeds of each candidate (default 1). */
  readonly seeds?: number | ReadonlyArray<number>
  /** Candidates for each arm, drawn from the space; without it the whole grid is tried. */
  readonly budget?: number
  /** An adaptive search: `tpe({ trials: 50 })`. Its trials take the place of the grid or the budget. */
  readonly search?: Search
  /** Gives up hopeless candidates on their way: `asha({ min: 1 })`, `medianRule({ after: 2 })`. They judge `by`. */
  readonly stop?: StoppingRule
  /**
   * Candidates of an arm in a round, with `search` or `stop` (default 4). A round knows the results of the earlier ones.
   * It is part of the declaration, and not the number of workers, so that every machine searches alike.
   */
  readonly parallel?: number
}

/** A variant of the experiment, chosen with `--profile NAME` (`--quick` for the one named quick). */
export interface ProfileInput<I, Name, Arm extends string> {
  /** Wins over base, arms and points. A field set here is not swept or tuned. */
  readonly base?: Patch<I>
  /** Which arms take part; as a record, with what the profile sets in each (`{}` for nothing). */
  readonly arms?: ReadonlyArray<Arm> | { readonly [A in Arm]?: Patch<I> }
  readonly seeds?: number | ReadonlyArray<number>
  /** Replaces the sweep; `false` drops it. */
  readonly sweep?: Space<I> | false
  /** Replaces parts of the tuning; `false` drops it. */
  readonly tune?: Partial<TuneInput<I, Name>> | false
  readonly timeout?: number | string
  readonly retry?: number
}

/** How trials are carried out; none of it is part of a trial's identity. */
export interface Policy {
  /** How often a failed trial is tried again (default 1). */
  readonly retry?: number
  /** Longest time of one run: seconds, or `"90s"`, `"20m"`, `"2h"`. */
  readonly timeout?: number | string
  /** Whether the other trials go on after one has failed for good (default `continue`). */
  readonly onFailure?: "continue" | "stop"
  /** The device, when the command names none. */
  readonly device?: string
  readonly resources?: Resources
  /**
   * Whose trials go first where there are more than can run; the higher number, 0 by default. One number is that of the
   * experiment among those that run on the same database at the same time: while trials of a higher one wait, the others
   * begin none. A record orders the arms of the experiment.
   */
  readonly priority?: number | Readonly<Record<string, number>>
}

/** What a trial takes of the machine it runs on. */
export interface Resources {
  /**
   * Share of the device, for all arms or by arm (default 1): with 0.5 two trials run on one GPU at the same time. On a
   * CPU device the unit is a core: with 2 half as many trials run as there are cores.
   */
  readonly device?: number | Readonly<Record<string, number>>
}

/** A declaration of what is compared. Make one with {@link Experiment.make}; {@link plan} turns it into trials. */
export interface Experiment extends Policy {
  readonly [ExperimentTypeId]: true
  readonly name: string
  readonly question?: string
  readonly task: AnyTask
  readonly base: Readonly<Record<string, unknown>>
  readonly arms: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly sweep?: Readonly<Record<string, unknown>>
  readonly tune?: TuneInput<unknown, string, Readonly<Record<string, unknown>>>
  readonly seeds: number | ReadonlyArray<number>
  readonly compare: string | ReadonlyArray<string>
  /** The arm that others are compared with; the first one by default. */
  readonly baseline?: string
  readonly profiles?: Readonly<Record<string, ProfileInput<Readonly<Record<string, unknown>>, string, string>>>
}

export const ExperimentTypeId: unique symbol = Symbol.for("@exp/spec/Experiment")

export const Experiment = {
  /**
   * Declares an experiment. It only records the declaration: {@link plan} and {@link checkExperiment} judge it, so that
   * all mistakes come in one report. The compiler judges it too: config fields, their types, metric names and required
   * fields are inferred from the task.
   *
   * @param name `<method>.<task>`: lower-case words joined by dots, dashes or underscores
   */
  make<
    Name extends string,
    S extends ConfigSchema,
    M extends { readonly [name: string]: Metric },
    const Base extends Patch<S["Encoded"]>,
    const Arms extends { readonly [arm: string]: ArmInput<S["Encoded"]> },
    const Sweep extends Space<S["Encoded"]> = Record<never, never>,
    const Over extends Space<S["Encoded"]> = Record<never, never>,
  >(
    name: string,
    definition: {
      readonly question?: string
      readonly task: Task<Name, S, M>
      /** What all arms share. */
      readonly base: Base & Known<Base, S["Encoded"]>
      /** The things compared: what each changes in base. */
      readonly arms: Arms & {
        readonly [A in keyof Arms]: Known<Arms[A], S["Encoded"], ArmKeys<S["Encoded"]>> &
          Complete<
            S["Encoded"],
            Base,
            Arms[A],
            | PathsIn<Sweep>
            | PathsIn<Over>
            | PathsIn<Arms[A] extends { readonly tune: infer T } ? T : never>
            | PathsIn<Arms[A] extends { readonly sweep: infer T } ? T : never>
          >
      }
      /** Every point of this space is a condition of its own for every arm. */
      readonly sweep?: Sweep & KnownSpace<Sweep, S["Encoded"]>
      readonly tune?: TuneInput<S["Encoded"], MetricName<NoInfer<M>>, Over & KnownSpace<Over, S["Encoded"]>>
      /** Seeds of every compared condition: how many, or which. */
      readonly seeds: number | ReadonlyArray<number>
      /** The metrics compared; the first one ranks. */
      readonly compare: MetricName<NoInfer<M>> | readonly [MetricName<NoInfer<M>>, ...MetricName<NoInfer<M>>[]]
      readonly baseline?: keyof NoInfer<Arms> & string
      readonly profiles?: {
        readonly [profile: string]: ProfileInput<S["Encoded"], MetricName<NoInfer<M>>, keyof NoInfer<Arms> & string>
      }
    } & Policy,
  ): Experiment {
    return { ...(definition as unknown as Experiment), [ExperimentTypeId]: true, name }
  },
  /** Whether a value was made by {@link Experiment.make}. */
  is: (value: unknown): value is Experiment => typeof value === "object" && value !== null && ExperimentTypeId in value,
}
