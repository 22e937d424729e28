import type { RunEvent } from "@exp/engine"
import { duration } from "./numbers.ts"
import { plainText, style } from "./terminal.ts"

type EventOf<T extends RunEvent["type"]> = Extract<RunEvent, { readonly type: T }>

/**
 * Columns that a text takes. What counts them exactly takes as long to load as all the rest of this command, so it comes
 * with the first line that is drawn.
 */
let columnsOf = (text: string): number => text.length

/** Milliseconds between redraws on a terminal, and between lines elsewhere. */
const redrawEvery = 100
const lineEvery = 5000

/**
 * Progress on stderr: on a terminal one line that is redrawn in place, elsewhere (a file, CI, `--plain`) a sober line
 * every few seconds. Messages are printed above the live line and stay.
 */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream
  readonly #live: boolean
  readonly #began = Date.now()
  readonly #running = new Map<string, { readonly label: string; readonly since: number; done: number; total: number }>()
  readonly #timer: NodeJS.Timeout
  #phase = ""
  #trials = 0
  #ended = 0
  #reused = 0
  #spent: number[] = []
  #workers = 1
  #held: string[] | undefined
  #drawn = false
  #changed = false
  #closed = false

  constructor(stream: NodeJS.WriteStream, options: { readonly plain: boolean }) {
    this.#stream = stream
    this.#live = stream.isTTY === true && !options.plain && process.env["CI"] === undefined
    this.#timer = setInterval(() => this.#tick(), this.#live ? redrawEvery : lineEvery)
    this.#timer.unref()
    if (this.#live) {
      const later = setTimeout(() => {
        void import("string-width").then((module) => {
          columnsOf = module.default
        })
      }, 1_000)
      later.unref()
    }
  }

  /** Keeps messages back while something else owns the screen. */
  hold(): void {
    this.#clear()
    this.#held ??= []
  }

  /** Prints what was kept back, and goes on as before. Idempotent. */
  release(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const text of held) this.say(text)
  }

  /** The last message that was kept back. */
  get lastHeld(): string | undefined {
    return this.#held?.at(-1)
  }

  /** A message that stays. */
  say(text: string): void {
    if (this.#held !== undefined) {
      this.#held.push(text)
      return
    }
    this.#clear()
    this.#stream.write(`${text}\n`)
    if (this.#live && this.#phase !== "") this.#draw()
  }

  planned(event: EventOf<"planned">): void {
    this.#workers = event.workers
    const question = event.question === undefined ? "" : `\n${event.question}`
    const most = event.search === undefined ? "" : "at most "
    const tuning = event.tuning > 0 ? `${most}${event.tuning} tuning + ` : ""
    const search = event.search === undefined ? "" : `\ntuning: ${plainText(event.search)}`
    this.say(
      `${style("bold", plainText(event.experiment))}${plainText(question)}\n${tuning}${event.compared} compared trials of ${event.conditions.length} conditions, ${event.workers} ${event.workers === 1 ? "worker" : "workers"} on ${event.device}, recorded in ${plainText(event.db)}${search}`,
    )
  }

  phase(event: EventOf<"phase-started">): void {
    const { round } = event
    this.#phase = round === undefined ? event.phase : `${event.phase} round ${round.number}/${round.of}`
    this.#trials = event.trials
    this.#ended = 0
    this.#reused = 0
    if (event.reused > 0)
      this.say(`${this.#phase}: ${event.reused} of ${event.trials} trials are finished already and reused`)
  }

  started(event: EventOf<"trial-started">): void {
    const resumed = event.resumedFrom === undefined ? "" : ` from step ${event.resumedFrom}`
    this.#running.set(event.runId, {
      label: `${event.trial.condition} seed ${event.trial.seed}${resumed}`,
      since: Date.now(),
      done: 0,
      total: 0,
    })
    this.#changed = true
  }

  progress(event: EventOf<"trial-progress">): void {
    const trial = this.#running.get(event.runId)
    if (trial === undefined) return
    trial.done = event.done
    trial.total = event.total
    this.#changed = true
  }

  ended(event: EventOf<"trial-finished" | "trial-reused" | "trial-stopped" | "trial-failed">): void {
    this.#running.delete(event.runId)
    if (event.type === "trial-finished") this.#spent.push(event.durationMs)
    if (event.type === "trial-reused") this.#reused++
    if (event.type !== "trial-failed" || !event.willRetry) this.#ended++
    this.#changed = true
  }

  /** Removes the live line. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.release()
    this.#closed = true
    clearInterval(this.#timer)
    this.#clear()
  }

  #tick(): void {
    if (this.#held !== undefined) return
    if (this.#live) this.#draw()
    else if (this.#changed && this.#trials > 0) this.#stream.write(`${this.#line()}\n`)
    this.#changed = false
  }

  #line(): string {
    const elapsed = Date.now() - this.#began
    const left = this.#trials - this.#ended
    const mean = this.#spent.length === 0 ? undefined : this.#spent.reduce((a, b) => a + b, 0) / this.#spent.length
    const eta = mean === undefined || left <= 0 ? "" : `, about ${duration((left * mean) / this.#workers)} left`
    const running = [...this.#running.values()].map(({ label, done, total }) =>
      total > 0 ? `${plainText(label)} ${Math.floor((100 * done) / total)}%` : plainText(label),
    )
    const reused = this.#reused > 0 ? ` (${this.#reused} reused)` : ""
    return `${this.#phase} ${this.#ended}/${this.#trials}${reused}  ${duration(elapsed)}${eta}${running.length > 0 ? `  │ ${running.join(" │ ")}` : ""}`
  }

  #draw(): void {
    if (this.#closed || this.#trials === 0) return
    let line = this.#line()
    const width = (this.#stream.columns ?? 100) - 1
    while (columnsOf(line) > width) line = `${line.slice(0, -2)}…`
    this.#stream.write(`\r\u001b[2K${line}`)
    this.#drawn = true
  }

  #clear(): void {
    if (this.#drawn) this.#stream.write("\r\u001b[2K")
    this.#drawn = false
  }
}
