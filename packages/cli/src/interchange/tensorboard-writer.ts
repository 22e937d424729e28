/** Runs as TensorBoard's log folders: a folder a run, in it one event file. */
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { Store } from "@exp/store"
import { pointBlocks, type RunRecord, readRunRecord } from "@exp/store/interchange"
import { flatten } from "../compare/subjects.ts"
import { EventFileWriter, type HParam } from "./event-files.ts"
import { FileSink } from "./file-sink.ts"
import { safePart } from "./safe-names.ts"

/** Where a run's event file goes: `<experiment>/<condition>/seed-<seed>-run-<number>`. */
export function eventFolder(root: string, record: RunRecord, runId: number): string {
  const place = record.places[0]
  return join(
    root,
    safePart(place?.experiment.name ?? "exp"),
    safePart(place?.condition || place?.arm || record.trial.task),
    `seed-${record.trial.seed}-run-${runId}`,
  )
}

/** Writes one run. Returns the number of points. */
export function writeEventRun(store: Store, runId: number, root: string, onPoints: (points: number) => void): number {
  const record = readRunRecord(store, runId)!
  const folder = eventFolder(root, record, runId)
  const began = record.run.startedAt ?? record.run.createdAt
  const building = `${folder}.tmp-${process.pid}`
  mkdirSync(building, { recursive: true })
  try {
    const sink = new FileSink(join(building, `events.out.tfevents.${Math.floor(began / 1000)}.exp.${runId}.0`))
    let points = 0
    try {
      const writer = new EventFileWriter(sink, began)
      writer.record(JSON.stringify(record), began)
      const values: Record<string, HParam> = { seed: record.trial.seed }
      for (const [path, value] of flatten(record.trial.config)) {
        if (path === "" || value === null || value === undefined) continue
        values[path] =
          typeof value === "number" || typeof value === "string" || typeof value === "boolean"
            ? value
            : JSON.stringify(value)
      }
      const { status, finishedAt } = record.run
      writer.hparams(
        values,
        began,
        finishedAt === null ? undefined : { failed: status !== "completed", time: finishedAt },
      )
      for (const { metric, step, value, time } of pointBlocks(store, runId)) {
        for (let i = 0; i < step.length; i++) writer.scalar(metric, step[i]!, value[i]!, time[i]!)
        points += step.length
        onPoints(points)
      }
    } finally {
      sink.close()
    }
    if (existsSync(folder)) rmSync(folder, { recursive: true })
    renameSync(building, folder)
    return points
  } catch (error) {
    rmSync(building, { recursive: true, force: true })
    throw error
  }
}
