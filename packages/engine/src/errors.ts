import * as Data from "effect/Data"

/** The experiment file is not there. */
export class ExperimentFileMissing extends Data.TaggedError("ExperimentFileMissing")<{
  readonly file: string
  readonly similar: readonly string[]
}> {
  override get message() {
    const hint =
      this.similar.length > 0
        ? `Did you mean ${this.similar.join(" or ")}?`
        : "Give the path of a .ts file, for example experiments/snella.vit.ts."
    return `There is no experiment file ${this.file}. ${hint}`
  }
}

/** The experiment file is not valid TypeScript (or JavaScript). */
export class ExperimentDoesNotParse extends Data.TaggedError("ExperimentDoesNotParse")<{
  readonly file: string
  /** `line:column` and the offending source where they are known. */
  readonly where: string
  readonly reason: string
}> {
  override get message() {
    return `${this.file} does not parse: ${this.reason}${this.where === "" ? "" : `\n${this.where}`}`
  }
}

/** Something that the experiment file imports cannot be found. */
export class ExperimentImportMissing extends Data.TaggedError("ExperimentImportMissing")<{
  readonly file: string
  readonly specifier: string
  readonly importer: string
}> {
  override get message() {
    return `${this.file} cannot be loaded: ${this.importer} imports "${this.specifier}", which does not exist. Check the path (with its .ts ending) or install the package.`
  }
}

/** The experiment file threw while it was being loaded. */
export class ExperimentThrew extends Data.TaggedError("ExperimentThrew")<{
  readonly file: string
  readonly reason: string
  readonly where: string
  readonly cause: unknown
}> {
  override get message() {
    return `${this.file} threw while loading${this.where === "" ? "" : ` (at ${this.where})`}: ${this.reason}`
  }
}

/** The experiment file has no default export. */
export class ExperimentNotExported extends Data.TaggedError("ExperimentNotExported")<{
  readonly file: string
  readonly named: readonly string[]
}> {
  override get message() {
    const has = this.named.length > 0 ? ` It exports ${this.named.join(", ")}.` : ""
    return `${this.file} has no default export.${has} End it with: export default Experiment.make("name", { ... })`
  }
}

/** The default export of the experiment file is something else. */
export class NotAnExperiment extends Data.TaggedError("NotAnExperiment")<{
  readonly file: string
  readonly got: string
}> {
  override get message() {
    return `The default export of ${this.file} is ${this.got}, not an experiment. Make one with Experiment.make("name", { ... }) from @exp/spec.`
  }
}

export type LoadError =
  | ExperimentFileMissing
  | ExperimentDoesNotParse
  | ExperimentImportMissing
  | ExperimentThrew
  | ExperimentNotExported
  | NotAnExperiment
