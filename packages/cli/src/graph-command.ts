import { existsSync, writeFileSync } from "node:fs"
import { loadExperiment } from "@exp/engine"
import type { AnyTask, TaskStep } from "@exp/spec"
import { openStore, type Store } from "@exp/store"
import {
  compiledGraph,
  DeviceUnavailable,
  type OperatorTime,
  type ProgramGraph,
  profileStep,
  type Step,
} from "@exp/tensor"
import * as Schema from "effect/Schema"
import { findRun } from "./find-run.ts"
import { json } from "./json.ts"
import { bytes, whole } from "./numbers.ts"
import { UsageError } from "./report-error.ts"
import { textTable } from "./table.ts"
import { plainText, terminalWidth } from "./terminal.ts"

/** Runs of the step under the profiler; more would say little more. */
const profiledRuns = 10

/**
 * Rebuilds the training step of a run from its recorded config, writes it as an ONNX file and prints its cost: what the
 * graph says (operators, FLOPs, traffic, memory) and where this machine spends the time.
 *
 * @param id a run number, or the beginning of a trial id
 * @throws UsageError when there is no such run, its experiment's file is gone, or its task has no graph
 */
export async function graphCommand(
  id: string,
  output: { readonly db: string; readonly json: boolean; readonly out?: string | undefined },
): Promise<void> {
  using store = openStore(output.db, { mode: "read" })
  const run = findRun(store, id)
  const trial = store.trials.get(run.trialId)!
  const task = await taskOf(store, run.id, trial.id, trial.task)
  const notes: string[] = []
  if (task.version !== trial.taskVersion)
    notes.push(
      `the run was made with version ${trial.taskVersion} of ${trial.task}; shown is today's, version ${task.version}`,
    )
  const example = await stepOf(task, trial.config, trial.seed)
  const step = example.step as unknown as Step
  const graph = compiledGraph(step, example)
  const file = output.out ?? `run-${run.id}.onnx`
  writeFileSync(file, graph.onnx)
  const times = profile(step, example, notes)
  if (output.json) {
    const { onnx, ...rest } = graph
    process.stdout.write(
      `${json({ run: run.id, trial: trial.id, step: example.name, file, fileBytes: onnx.length, ...rest, times, notes })}\n`,
    )
    return
  }
  print(`run ${run.id}: training step of the ${example.name}, seed ${trial.seed}`, file, graph, times)
  for (const note of notes) process.stderr.write(`note: ${note}\n`)
}

/** The task of a trial, from the newest file that still declares an experiment of it. */
async function taskOf(store: Store, runId: number, trialId: string, name: string): Promise<AnyTask> {
  const files = store.connection
    .sql<{ file: string }>(
      `SELECT DISTINCT e.file FROM experiment_trials x JOIN experiments e ON e.id = x.experiment_id
       WHERE x.trial_id = ? AND e.file IS NOT NULL ORDER BY x.current DESC, e.updated_at DESC`,
    )
    .all(trialId)
    .map((row) => row.file)
  if (files.length === 0) throw new UsageError(`Run ${runId} belongs to no experiment that has a file.`)
  for (const file of files) {
    if (!existsSync(file)) continue
    const { task } = (await loadExperiment(file)).experiment
    if (task.name === name) return task
  }
  throw new UsageError(
    `The step of run ${runId} is built by its task ${name}, which its experiment declares; ${files.join(", ")} ${files.length > 1 ? "do" : "does"} not (any more).`,
  )
}

async function stepOf(task: AnyTask, config: unknown, seed: number): Promise<TaskStep> {
  if (task.trainingStep === undefined)
    throw new UsageError(
      `The task ${task.name} has no graph: it does not train by a compiled step, or does not say which. A task shows its step by \`trainingStep\` (see Task.make).`,
    )
  const decoded = Schema.decodeUnknownSync(task.config)(config, { errors: "all" })
  const example = await task.trainingStep(decoded, seed)
  if (example === undefined)
    throw new UsageError(`The task ${task.name} trains nothing with the config of this run, so there is no graph.`)
  return example
}

/** Times of the operators on this machine, or undefined with a note where the native runtime is missing. */
function profile(step: Step, example: TaskStep, notes: string[]): readonly OperatorTime[] | undefined {
  try {
    return profileStep(step, example.state, example.batch, profiledRuns)
  } catch (error) {
    if (!(error instanceof DeviceUnavailable)) throw error
    notes.push(`no times: ${error.message}`)
    return undefined
  }
}

const amount = (n: number): string => {
  const units = ["", "k", "M", "G", "T", "P"]
  let unit = 0
  let value = n
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return unit === 0 ? String(n) : `${value.toPrecision(3)} ${units[unit]}`
}

/** Operators that take less than this part of everything are shown in one line. */
const shownOperators = 16

function print(title: string, file: string, graph: ProgramGraph, times: readonly OperatorTime[] | undefined): void {
  const { cost } = graph
  const say = (text: string) => process.stdout.write(`${plainText(text)}\n`)
  say(title)
  const facts: (readonly [string, string])[] = [
    ["file", `${file}, ${bytes(graph.onnx.length)}, ONNX opset 21; opens in Netron`],
    ["hash", `${graph.hash}  (equal hashes, equal computations)`],
    ["operators", whole(cost.nodes)],
    ["work", `${amount(cost.flops)}FLOP`],
    ["traffic", `${bytes(cost.bytes)} read and written`],
    ["peak", `${bytes(cost.peakBytes)} of results alive at once, new state included`],
    ["state", `${bytes(cost.stateBytes)}, of which a step replaces ${bytes(cost.updatedBytes)}`],
    ["inputs", `${bytes(cost.inputBytes)} a step; constants ${bytes(cost.constantBytes)}`],
  ]
  for (const [name, value] of facts) say(`  ${name.padEnd(10)} ${value}`)
  const operators = Object.entries(cost.operators).sort(([, a], [, b]) => b.flops - a.flops || b.bytes - a.bytes)
  const rest = operators.slice(shownOperators)
  const sum = (field: "count" | "flops" | "bytes") => rest.reduce((n, [, o]) => n + o[field], 0)
  const row = (op: string, o: { count: number; flops: number; bytes: number }) => [
    op,
    whole(o.count),
    amount(o.flops),
    bytes(o.bytes),
  ]
  say("")
  process.stdout.write(
    `${textTable(
      [
        { title: "in the graph" },
        { title: "count", align: "right" },
        { title: "FLOP", align: "right" },
        { title: "traffic", align: "right" },
      ],
      [
        ...operators.slice(0, shownOperators).map(([op, o]) => row(op, o)),
        ...(rest.length > 0
          ? [row(`${rest.length} others`, { count: sum("count"), flops: sum("flops"), bytes: sum("bytes") })]
          : []),
      ],
      terminalWidth(),
    )}\n`,
  )
  if (times === undefined) return
  const total = times.reduce((n, t) => n + t.milliseconds, 0)
  const slow = times.slice(0, shownOperators)
  const others = times.slice(shownOperators)
  say("")
  process.stdout.write(
    `${textTable(
      [
        { title: "as it runs" },
        { title: "count", align: "right" },
        { title: "ms", align: "right" },
        { title: "share", align: "right" },
      ],
      [
        ...slow,
        ...(others.length > 0
          ? [
              {
                op: `${others.length} others`,
                count: others.reduce((n, t) => n + t.count, 0),
                milliseconds: others.reduce((n, t) => n + t.milliseconds, 0),
              },
            ]
          : []),
      ].map((t) => [
        t.op,
        whole(t.count),
        t.milliseconds.toFixed(3),
        `${((100 * t.milliseconds) / total).toFixed(1)} %`,
      ]),
      terminalWidth(),
    )}\n`,
  )
  say(
    `${total.toFixed(2)} ms in the operators of one step: mean of ${profiledRuns} runs on one thread, after the runtime's own fusions`,
  )
}
