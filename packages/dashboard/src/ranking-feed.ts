import { Worker } from "node:worker_threads"
import type { RankingQuestion, SampleRanking } from "./sample-ranking.ts"

/** What is known of a ranking at one moment. */
export interface RankingState {
  /** The last one that was computed, perhaps from fewer results than there are now. */
  readonly ranking: SampleRanking | undefined
  readonly problem: string | undefined
  readonly computing: boolean
}

/** A ranking that took a second is not computed anew for so many seconds. */
const restFactor = 30

/** Keeps a ranking up to date in a thread of its own. */
export class RankingFeed {
  readonly #path: string
  readonly #onChange: () => void
  #worker: Worker | undefined
  #asked = ""
  #key = ""
  #restUntil = 0
  #state: RankingState = { ranking: undefined, problem: undefined, computing: false }

  /** @param onChange called when a new ranking is there */
  constructor(path: string, onChange: () => void) {
    this.#path = path
    this.#onChange = onChange
  }

  /** When an answer that is due may be computed, in ms since 1970; Infinity where none is due. */
  dueAt(question: RankingQuestion, version: string): number {
    return this.#state.computing || this.#key === keyOf(question, version) ? Number.POSITIVE_INFINITY : this.#restUntil
  }

  /** The ranking for a question, and its computation where `version` of the results is new. */
  ask(question: RankingQuestion, version: string, now = Date.now()): RankingState {
    const asked = keyOf(question, "")
    if (asked !== this.#asked) {
      this.#asked = asked
      this.#key = ""
      this.#restUntil = 0
      this.#state = { ranking: undefined, problem: undefined, computing: this.#state.computing }
    }
    const key = keyOf(question, version)
    if (key === this.#key || this.#state.computing || now < this.#restUntil) return this.#state
    this.#key = key
    this.#state = { ...this.#state, computing: true }
    const began = performance.now()
    const worker = this.#start()
    worker.once("message", (answer: { readonly ranking?: SampleRanking; readonly problem?: string }) => {
      const current = this.#asked === asked
      this.#state = current
        ? { ranking: answer.ranking, problem: answer.problem, computing: false }
        : { ranking: undefined, problem: undefined, computing: false }
      if (!current) this.#key = ""
      this.#restUntil = current ? Date.now() + restFactor * (performance.now() - began) : 0
      this.#onChange()
    })
    worker.postMessage(question)
    return this.#state
  }

  #start(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(new URL("./ranking-worker.ts", import.meta.url), { workerData: { path: this.#path } })
    worker.unref()
    worker.on("error", (error) => {
      this.#worker = undefined
      const problem = error instanceof Error ? error.message : String(error)
      this.#state = { ranking: undefined, problem, computing: false }
      this.#restUntil = Date.now() + 10_000
      this.#onChange()
    })
    this.#worker = worker
    return worker
  }

  /** Ends the thread. */
  close(): void {
    void this.#worker?.terminate()
    this.#worker = undefined
    this.#key = ""
    this.#state = { ranking: undefined, problem: undefined, computing: false }
  }
}

const keyOf = (question: RankingQuestion, version: string) =>
  JSON.stringify([question.experiment, question.profile, question.metric, version])
