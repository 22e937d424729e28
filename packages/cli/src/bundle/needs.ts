/** What the trials of experiments read: data sets, and stages that stand in for more data and for time. */
import { type ConfigSchema, type Experiment, type NeededStage, plan, type Stage, stageKey } from "@exp/spec"
import * as Schema from "effect/Schema"

/** A stage with its config complete, under the key of its result. */
export interface WantedStage {
  readonly key: string
  readonly stage: Stage<ConfigSchema>
  readonly config: unknown
  readonly encoded: unknown
  /** Read only where the result is not at hand. */
  readonly datasets: readonly string[]
}

/** Everything that experiments read. */
export interface Needs {
  readonly datasets: ReadonlySet<string>
  readonly stages: ReadonlyMap<string, WantedStage>
  /** Tasks that do not say what they read. */
  readonly silent: readonly string[]
}

/**
 * The needs of all trials, tuning included, of experiments under some of their profiles.
 *
 * @param profiles names, "default" for the experiment as it is; all that an experiment declares when undefined
 * @throws SpecError when an experiment has mistakes
 */
export function needsOf(experiments: readonly Experiment[], profiles?: readonly string[]): Needs {
  const datasets = new Set<string>()
  const stages = new Map<string, WantedStage>()
  const silent = new Set<string>()
  for (const experiment of experiments) {
    const { task } = experiment
    if (task.needs === undefined) {
      silent.add(task.name)
      continue
    }
    for (const profile of profiles ?? ["default", ...Object.keys(experiment.profiles ?? {})]) {
      const made = plan(experiment, profile === "default" ? {} : { profile })
      // What tuning chooses is not known yet; what is read does not hang on it, so any candidate will do.
      const choice = Object.fromEntries(made.conditions.map(({ label, candidates }) => [label, candidates[0] ?? {}]))
      for (const { config, seed } of [...made.tuning, ...made.compared(choice)]) {
        const needs = task.needs(Schema.decodeUnknownSync(task.config)(config), seed)
        for (const name of needs.datasets ?? []) datasets.add(name)
        for (const stage of needs.stages ?? []) {
          const wanted = complete(stage)
          stages.set(wanted.key, wanted)
        }
      }
    }
  }
  return { datasets, stages, silent: [...silent] }
}

function complete({ stage, config: given, datasets }: NeededStage): WantedStage {
  const config = Schema.decodeUnknownSync(stage.config)(given)
  const encoded = Schema.encodeUnknownSync(stage.config)(config)
  return {
    key: stageKey({ stage: stage.name, version: stage.version, config: encoded }),
    stage,
    config,
    encoded,
    datasets,
  }
}
