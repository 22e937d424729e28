/** Runs that were found in the files of other programs, before they are in the database. */
import { createHash } from "node:crypto"
import { closeSync, openSync, readSync } from "node:fs"
import { knownGoal } from "@exp/ranking"
import { contentHash } from "@exp/spec"
import type { RunState } from "@exp/store"
import type { RunOrigin, RunRecord } from "@exp/store/interchange"

/** Takes one point of a series; `time` in ms since 1970. */
export type OnPoint = (metric: string, step: number, value: number, time: number) => void

/** A run with the way to its points. */
export interface FoundRun {
  readonly record: RunRecord
  readonly origin: RunOrigin
  /** Whether the other program made it; else it is one of ours that was exported. */
  readonly foreign: boolean
  /** The file says nothing of how the run went. */
  readonly partial?: boolean
  /** What could not be read of it, or was read otherwise than written. */
  readonly problems: readonly string[]
  /** Calls back with every point, in the order of the file. May be called once. */
  readonly points: (onPoint: OnPoint) => void
  /** Files of the run, by name. */
  readonly artifacts: readonly { readonly name: string; readonly path: string; readonly mediaType: string }[]
}

/** What is known of a run of another program. */
export interface ForeignRun {
  readonly format: string
  /** What makes it this run and no other. */
  readonly identity: string
  readonly experiment: string
  readonly name: string | null
  readonly config: Readonly<Record<string, unknown>>
  readonly status: RunState
  readonly createdAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly note?: string | null
  readonly tags?: readonly string[]
  readonly metrics: readonly string[]
  /** Goal of metrics whose names do not tell it. */
  readonly goal?: "max" | "min" | undefined
}

/** A record of it: each run of another program is a trial of its own, since nobody knows what else makes two the same. */
export function foreignRecord(run: ForeignRun): RunRecord {
  return {
    version: 1,
    trial: {
      id: contentHash(`${run.format}\n${run.identity}`).slice(0, 32),
      task: run.format,
      taskVersion: 1,
      config: run.config,
      seed: seedOf(run.config) ?? 0,
      createdAt: run.createdAt,
    },
    run: {
      ...{ attempt: 1, status: run.status, name: run.name, note: run.note ?? null, device: null, host: null },
      ...{ createdAt: run.createdAt, startedAt: run.startedAt, finishedAt: run.finishedAt },
      ...{ progressDone: null, progressTotal: null, error: null, codeHash: null, gitCommit: null, gitDirty: null },
      ...{ packages: null, environment: null },
    },
    tags: run.tags ?? [],
    places: [
      {
        experiment: {
          ...{ name: run.experiment, question: null, task: run.format, taskVersion: 1, compare: [], baseline: null },
          ...{
            spec: { imported: run.format },
            file: null,
            note: null,
            createdAt: run.createdAt,
            updatedAt: Date.now(),
          },
        },
        ...{
          profile: "default",
          phase: "compare",
          arm: "all",
          condition: "all",
          position: 0,
          point: {},
          current: true,
        },
      },
    ],
    metrics: Object.fromEntries(
      run.metrics.map((name) => {
        const goal = knownGoal(name) ?? run.goal
        return [name, goal === undefined ? {} : { goal }]
      }),
    ),
  }
}

const seedNames = new Set(["seed", "random_seed", "random_state", "randomseed", "rng_seed"])

/** Whether a config field holds the seed, by its name. */
export const isSeed = (path: string): boolean => seedNames.has(path.split(/[./]/).at(-1)!.toLowerCase())

/** The seed that a config names. */
export function seedOf(config: Readonly<Record<string, unknown>>): number | undefined {
  for (const [path, value] of Object.entries(config)) {
    if (isSeed(path) && typeof value === "number" && Number.isSafeInteger(value)) return value
  }
  return undefined
}

/** A value as other programs write it in text, read back: numbers, truth values, None; the rest stays text. */
export function plainValue(text: string): unknown {
  if (/^-?(0|[1-9]\d{0,14})(\.\d+)?([eE][+-]?\d{1,3})?$/.test(text)) return Number(text)
  if (text === "True" || text === "true") return true
  if (text === "False" || text === "false") return false
  if (text === "None" || text === "null") return null
  return text
}

/** A number as Python writes it; undefined for what is none. */
export function pythonNumber(text: string): number | undefined {
  const word = text.toLowerCase()
  if (word === "nan" || word === "-nan") return Number.NaN
  if (/^\+?inf(inity)?$/.test(word)) return Infinity
  if (/^-inf(inity)?$/.test(word)) return -Infinity
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(word)) return undefined
  return Number(word)
}

/** SHA-256 over files, each with its name. */
export function hashFiles(files: readonly { readonly name: string; readonly path: string }[]): string {
  const hash = createHash("sha256")
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (const { name, path } of files) {
    hash.update(`${name}\n`)
    const file = openSync(path, "r")
    try {
      for (let size = readSync(file, buffer); size > 0; size = readSync(file, buffer))
        hash.update(buffer.subarray(0, size))
    } finally {
      closeSync(file)
    }
  }
  return hash.digest("hex")
}

/** Text of our own record, checked; undefined when it is none that this program understands. */
export function parseRecord(text: string): RunRecord | undefined {
  try {
    const value = JSON.parse(text) as Partial<RunRecord>
    const fine =
      value.version === 1 &&
      typeof value.trial?.id === "string" &&
      typeof value.trial.seed === "number" &&
      typeof value.trial.config === "object" &&
      typeof value.run?.createdAt === "number" &&
      Array.isArray(value.places) &&
      Array.isArray(value.tags) &&
      typeof value.metrics === "object"
    return fine ? (value as RunRecord) : undefined
  } catch {
    return undefined
  }
}
