/**
 * MLflow's file store (`mlruns`): a folder an experiment, in it a folder a run, with `meta.yaml`, `params/`, `tags/`,
 * `metrics/` (lines `timestamp value step`) and `artifacts/`.
 *
 * What MLflow has no place for is in the tag `exp.record`; it makes the way back exact.
 */
import {
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { dirname, join, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { contentHash } from "@exp/spec"
import type { RunState, Store } from "@exp/store"
import { pointBlocks, type RunRecord, readRunRecord } from "@exp/store/interchange"
import { flatten } from "../compare/subjects.ts"
import { FileSink } from "./file-sink.ts"
import { safePaths } from "./safe-names.ts"

/** MLflow's numbers of states. */
const states: Readonly<Record<RunState, number>> = {
  queued: 2,
  running: 1,
  completed: 3,
  failed: 4,
  cancelled: 5,
  interrupted: 5,
}

/** What is needed to turn file names back into names, in the tag `exp.names`. */
export interface MlflowNames {
  readonly metrics: Readonly<Record<string, string>>
  readonly artifacts: Readonly<Record<string, { readonly name: string; readonly mediaType: string }>>
}

/** Scalars of JSON are YAML too. */
const yaml = (fields: Readonly<Record<string, unknown>>): string =>
  Object.entries(fields)
    .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
    .join("")

/** A number as Python reads it, to the last bit. */
const python = (x: number): string =>
  Number.isNaN(x) ? "nan" : x === Infinity ? "inf" : x === -Infinity ? "-inf" : Object.is(x, -0) ? "-0.0" : String(x)

const paramText = (value: unknown): string =>
  typeof value === "string"
    ? value
    : value === null
      ? "None"
      : value === true
        ? "True"
        : value === false
          ? "False"
          : JSON.stringify(value)

/** The id under which MLflow knows a run of ours: always the same for the same run. */
export const mlflowRunId = (record: RunRecord): string =>
  contentHash(`${record.trial.id}/${record.run.createdAt}/${record.run.attempt}`).slice(0, 32)

/** Experiments of a store: name to folder. */
export function mlflowExperiments(root: string): Map<string, string> {
  const found = new Map<string, string>()
  if (!existsSync(root)) return found
  for (const entry of readdirSync(root, { withFileTypes: true })) {
    const meta = join(root, entry.name, "meta.yaml")
    if (!entry.isDirectory() || !existsSync(meta)) continue
    const name = /^name: (.*)$/m.exec(readFileSync(meta, "utf8"))?.[1]?.trim()
    if (name === undefined) continue
    let plain = name
    if (name.startsWith('"')) {
      try {
        plain = JSON.parse(name) as string
      } catch {
        // YAML knows escapes that JSON does not: such a name is not one of ours.
      }
    } else if (name.startsWith("'")) plain = name.slice(1, -1).replaceAll("''", "'")
    found.set(plain, entry.name)
  }
  return found
}

/** Where a run goes below the root. */
export function mlflowFolder(root: string, known: ReadonlyMap<string, string>, record: RunRecord) {
  const experiment = record.places[0]?.experiment.name ?? "exp"
  // Eighteen digits like MLflow's own, but the same each time.
  const id =
    known.get(experiment) ??
    (BigInt(`0x${contentHash(experiment).slice(0, 15)}`) % 10n ** 18n).toString().padStart(18, "1")
  const run = mlflowRunId(record)
  return { experiment, id, run, path: join(root, id, run) }
}

/** Writes one run, and its experiment where the store has none of that name. Returns the number of points. */
export function writeMlflowRun(
  store: Store,
  runId: number,
  root: string,
  known: Map<string, string>,
  onPoints: (points: number) => void,
): number {
  const record = readRunRecord(store, runId)!
  const { experiment, id, run, path } = mlflowFolder(root, known, record)
  const { run: facts, trial, places } = record
  const place = places[0]
  if (!known.has(experiment)) {
    const folder = join(root, id)
    mkdirSync(join(folder, "tags"), { recursive: true })
    const created = place?.experiment.createdAt ?? facts.createdAt
    writeFileSync(
      join(folder, "meta.yaml"),
      yaml({
        artifact_location: pathToFileURL(resolve(folder)).href,
        creation_time: created,
        experiment_id: id,
        last_update_time: place?.experiment.updatedAt ?? created,
        lifecycle_stage: "active",
        name: experiment,
      }),
      { flag: "wx" },
    )
    const note = [place?.experiment.question, place?.experiment.note].filter((text) => text).join("\n\n")
    if (note !== "") writeFileSync(join(folder, "tags", "mlflow.note.content"), note)
    known.set(experiment, id)
  }
  // Built aside and moved into place whole: MLflow never sees half a run.
  const building = join(root, `.exp-${run}-${process.pid}`)
  try {
    for (const folder of ["params", "tags", "metrics", "artifacts"])
      mkdirSync(join(building, folder), { recursive: true })
    const put = (folder: string, name: string, text: string) => {
      const file = join(building, folder, name)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text, { flag: "wx" })
    }
    const name = facts.name ?? `${place?.condition || place?.arm || trial.task} seed ${trial.seed}`
    const folder = resolve(root, id, run)
    put(
      ".",
      "meta.yaml",
      yaml({
        artifact_uri: pathToFileURL(join(folder, "artifacts")).href,
        end_time: facts.finishedAt,
        entry_point_name: "",
        experiment_id: id,
        lifecycle_stage: "active",
        run_id: run,
        run_name: name,
        run_uuid: run,
        source_name: place?.experiment.file ?? "",
        source_type: 4,
        source_version: facts.gitCommit ?? "",
        start_time: facts.startedAt ?? facts.createdAt,
        status: states[facts.status],
        tags: [],
        user_id: "",
      }),
    )
    const params = new Map([...flatten(trial.config)].filter(([path]) => path !== ""))
    if (!params.has("seed")) params.set("seed", trial.seed)
    const paramPaths = safePaths([...params.keys()])
    for (const [param, value] of params) put("params", paramPaths.get(param)!, paramText(value))

    const metrics = Object.keys(record.metrics)
    const metricPaths = safePaths(metrics)
    let points = 0
    let open: { metric: string; sink: FileSink } | undefined
    try {
      for (const { metric, step, value, time } of pointBlocks(store, runId)) {
        if (open?.metric !== metric) {
          open?.sink.close()
          const file = join(building, "metrics", metricPaths.get(metric)!)
          mkdirSync(dirname(file), { recursive: true })
          open = { metric, sink: new FileSink(file) }
        }
        for (let i = 0; i < step.length; i++) open.sink.text(`${time[i]} ${python(value[i]!)} ${step[i]}\n`)
        points += step.length
        onPoints(points)
      }
    } finally {
      open?.sink.close()
    }

    const artifacts = store.artifacts.ofRun(runId)
    const artifactPaths = safePaths(artifacts.map((artifact) => artifact.name))
    for (const artifact of artifacts) {
      const file = join(building, "artifacts", artifactPaths.get(artifact.name)!)
      mkdirSync(dirname(file), { recursive: true })
      copyFileSync(store.artifacts.file(artifact.hash), file, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    }

    const names: MlflowNames = {
      metrics: Object.fromEntries(metrics.map((metric) => [metricPaths.get(metric)!, metric])),
      artifacts: Object.fromEntries(
        artifacts.map((artifact) => [
          artifactPaths.get(artifact.name)!,
          { name: artifact.name, mediaType: artifact.mediaType },
        ]),
      ),
    }
    const own: Record<string, string> = {
      "mlflow.runName": name,
      "exp.record": JSON.stringify(record),
      "exp.names": JSON.stringify(names),
      ...(facts.note === null ? {} : { "mlflow.note.content": facts.note }),
      ...(facts.gitCommit === null ? {} : { "mlflow.source.git.commit": facts.gitCommit }),
      ...(place === undefined
        ? {}
        : { arm: place.arm, condition: place.condition, phase: place.phase, profile: place.profile }),
      seed: String(trial.seed),
      ...(facts.error === null ? {} : { error: JSON.stringify(facts.error) }),
    }
    const words = record.tags.filter((tag) => !(tag in own))
    const tagPaths = safePaths([...Object.keys(own), ...words])
    for (const [tag, text] of Object.entries(own)) put("tags", tagPaths.get(tag)!, text)
    for (const word of words) put("tags", tagPaths.get(word)!, "")
    rmSync(path, { recursive: true, force: true })
    mkdirSync(dirname(path), { recursive: true })
    renameSync(building, path)
    return points
  } catch (error) {
    rmSync(building, { recursive: true, force: true })
    throw error
  }
}
