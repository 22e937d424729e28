/**
 * Trials that are programs in any language: a PyTorch script, a compiled solver, a shell pipeline.
 *
 * The program gets its config as JSON, in the file that `EXP_CONFIG_FILE` names and in the variable `EXP_CONFIG`, and
 * reports with JSON lines, on file descriptor 3 or on stdout behind the prefix `EXP: `:
 *
 *     {"step": 10, "metrics": {"train/loss": 0.25}}
 *     {"progress": [10, 100]}
 *     {"checkpoint": {"step": 10, "path": "state.bin"}}
 *     {"artifact": {"name": "curve.png", "path": "curve.png", "mediaType": "image/png"}}
 *     {"sample": {"dataset": "mnist", "key": "7", "metrics": {"correct": 1}, "tags": {"digit": 7}}}
 *     {"log": "message", "level": "warn"}
 *
 * NaN, Infinity and -Infinity may stand bare, as Python's json module writes them. Everything else that it prints is
 * its log. Exit code 0 means success. When the trial is to stop, it gets SIGTERM, then SIGKILL.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { isAbsolute, join, resolve } from "node:path"
import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { type ConfigSchema, type Metric, Task, type TrialContext } from "@exp/spec"
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import { signalToken, tokenVariable } from "./process-tree.ts"

/** The program ended with an exit code other than 0, or by a signal. */
export class ProgramFailed extends Data.TaggedError("ProgramFailed")<{
  readonly program: string
  readonly exitCode: number | null
  readonly signal: string | null
}> {
  override get message() {
    const how = this.signal === null ? `exited with code ${this.exitCode}` : `was ended by ${this.signal}`
    return `${this.program} ${how}; its last lines are in the log of this run`
  }
}

/** The program could not be started. */
export class ProgramNotStarted extends Data.TaggedError("ProgramNotStarted")<{
  readonly program: string
  readonly reason: string
}> {
  readonly retriable = false
  override get message() {
    return `${this.program} could not be started: ${this.reason}. Is it installed and on the PATH?`
  }
}

/** What to start for one trial. */
export interface Program {
  readonly program: string
  readonly args?: readonly string[]
  /** Working directory, default: that of `exp`. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

const prefix = "EXP: "
/** A program told to stop has so long between SIGTERM and SIGKILL. */
const termGraceMs = 700
/** Complaints about lines that cannot be read, per run. */
const maximumComplaints = 10

/** Parses a JSON line, bare NaN and infinities included; undefined when it is none. */
export function parseLine(line: string): Readonly<Record<string, unknown>> | undefined {
  const parse = (text: string): Readonly<Record<string, unknown>> | undefined => {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined
  }
  try {
    return parse(line)
  } catch {
    try {
      // Words outside of strings only: a string is matched whole and put back.
      return parse(
        line.replaceAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (m) => (m.startsWith('"') ? m : `"${m}"`)),
      )
    } catch {
      return undefined
    }
  }
}

const words: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
}
const numbers = (value: unknown): Record<string, number> | undefined => {
  if (typeof value !== "object" || value === null) return undefined
  const out: Record<string, number> = {}
  for (const [name, v] of Object.entries(value)) {
    const number =
      typeof v === "number" ? v : typeof v === "boolean" ? Number(v) : typeof v === "string" ? words[v] : undefined
    if (number === undefined) return undefined
    out[name] = number
  }
  return out
}

async function runProgram(start: Program, config: unknown, trial: TrialContext): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "exp-run-"))
  const token = `${trial.runId}-${process.pid}-${Date.now().toString(36)}`
  try {
    const configFile = join(folder, "config.json")
    writeFileSync(configFile, JSON.stringify(config))
    const resumed = await trial.checkpoint.restore()
    const resumeFile = join(folder, "resume")
    if (resumed !== undefined) writeFileSync(resumeFile, resumed.state)
    const child = spawn(start.program, [...(start.args ?? [])], {
      cwd: start.cwd ?? process.cwd(),
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      env: {
        ...process.env,
        ...start.env,
        [tokenVariable]: token,
        EXP_CONFIG: JSON.stringify(config),
        EXP_CONFIG_FILE: configFile,
        EXP_SEED: String(trial.seed),
        EXP_DEVICE: trial.device,
        EXP_TRIAL: trial.trialId,
        EXP_RUN: trial.runId,
        EXP_METRICS_FD: "3",
        EXP_DIR: folder,
        ...(resumed === undefined ? {} : { EXP_RESUME: resumeFile, EXP_RESUME_STEP: String(resumed.step) }),
      },
    })
    const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done, fail) => {
      child.once("error", (error) => fail(new ProgramNotStarted({ program: start.program, reason: error.message })))
      child.once("exit", (code, signal) => done({ code, signal }))
    })
    exited.catch(() => {})

    let broken: unknown
    const end = () => {
      child.kill("SIGTERM")
      setTimeout(() => signalToken(token, "SIGKILL"), termGraceMs).unref()
    }
    trial.signal.addEventListener("abort", end)
    if (trial.signal.aborted) end()

    let complaints = 0
    const complain = (why: string, line: string) => {
      if (++complaints > maximumComplaints) return
      const more = complaints === maximumComplaints ? " (further such lines are not reported)" : ""
      trial.logger.warn(`${why}: ${line.length > 200 ? `${line.slice(0, 200)} …` : line}${more}`)
    }
    const pathOf = (path: string) => (isAbsolute(path) ? path : resolve(start.cwd ?? process.cwd(), path))
    // Files are read in the order of the lines, one at a time.
    let order: Promise<void> = Promise.resolve()
    const inOrder = (work: () => Promise<unknown>) => {
      order = order.then(async () => {
        if (broken !== undefined) return
        try {
          await work()
        } catch (cause) {
          broken ??= cause
          end()
        }
      })
    }
    const take = (line: string) => {
      if (line.trim() === "" || broken !== undefined) return
      const message = parseLine(line)
      if (message === undefined) return complain("not a JSON object", line)
      try {
        if ("metrics" in message) {
          const values = numbers(message["metrics"])
          if (values === undefined || !Number.isSafeInteger(message["step"]))
            return complain("needs a whole step and numbers in metrics", line)
          trial.log(message["step"] as number, values)
        } else if (Array.isArray(message["progress"])) {
          const [done, total] = message["progress"] as unknown[]
          trial.progress(Number(done), Number(total))
        } else if (typeof message["checkpoint"] === "object" && message["checkpoint"] !== null) {
          const { step, path } = message["checkpoint"] as { readonly step?: unknown; readonly path?: unknown }
          if (!Number.isSafeInteger(step) || typeof path !== "string")
            return complain("a checkpoint needs step and path", line)
          const bytes = readFileSync(pathOf(path))
          inOrder(() => trial.checkpoint.save(step as number, bytes))
        } else if (typeof message["artifact"] === "object" && message["artifact"] !== null) {
          const { name, path, mediaType } = message["artifact"] as Readonly<Record<string, unknown>>
          if (typeof name !== "string" || typeof path !== "string")
            return complain("an artifact needs name and path", line)
          const bytes = readFileSync(pathOf(path))
          inOrder(() => trial.artifact(name, bytes, typeof mediaType === "string" ? mediaType : undefined))
        } else if (typeof message["sample"] === "object" && message["sample"] !== null) {
          const { dataset, key, metrics, tags, text } = message["sample"] as Readonly<Record<string, unknown>>
          const values = numbers(metrics)
          if (typeof dataset !== "string" || key === undefined || values === undefined)
            return complain("a sample needs dataset, key and metrics", line)
          trial.samples.record(
            dataset,
            String(key),
            values,
            (tags ?? {}) as Readonly<Record<string, string | number | boolean>>,
            typeof text === "string" ? text : undefined,
          )
        } else if (typeof message["log"] === "string") {
          const level = message["level"]
          trial.logger[level === "debug" || level === "warn" || level === "error" ? level : "info"](message["log"])
        } else complain("a line of no known kind", line)
      } catch (cause) {
        // An undeclared metric, an unreadable file, a full disk: the trial cannot go on.
        broken ??= cause
        end()
      }
    }
    const lines = (stream: Readable, each: (line: string) => void) =>
      new Promise<void>((done) => {
        const reader = createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY })
        reader.on("line", each)
        reader.on("close", done)
        stream.on("error", () => reader.close())
      })
    const streams = Promise.all([
      lines(child.stdio[3] as Readable, take),
      lines(child.stdout as Readable, (line) =>
        line.startsWith(prefix) ? take(line.slice(prefix.length)) : process.stdout.write(`${line}\n`),
      ),
      lines(child.stderr as Readable, (line) => process.stderr.write(`${line}\n`)),
    ])
    const { code, signal } = await exited
    // Whatever it has left running goes with it, and lets go of the pipes.
    signalToken(token, "SIGKILL")
    await streams
    await order
    trial.signal.removeEventListener("abort", end)
    if (broken !== undefined) throw broken
    trial.signal.throwIfAborted()
    if (code !== 0) throw new ProgramFailed({ program: start.program, exitCode: code, signal })
  } finally {
    signalToken(token, "SIGKILL")
    rmSync(folder, { recursive: true, force: true })
  }
}

export const Command = {
  /**
   * Declares a task that runs a program.
   *
   * @param definition `command` says what to start for a config; everything else is as in `Task.make`
   */
  task<const Name extends string, S extends ConfigSchema, const M extends { readonly [name: string]: Metric }>(
    name: Name,
    definition: {
      readonly version: number
      readonly config: S
      readonly metrics: M
      readonly command: (config: S["Type"]) => Program | readonly [string, ...string[]]
      readonly description?: string
    },
  ): Task<Name, S, M> {
    const { command, ...rest } = definition
    return Task.make(name, {
      ...rest,
      run: (config, trial) => {
        const what = command(config)
        const start: Program = "program" in what ? what : { program: what[0], args: what.slice(1) }
        const encoded = Schema.encodeUnknownSync(definition.config)(config)
        return runProgram(start, encoded, trial as unknown as TrialContext)
      },
    })
  },
}
