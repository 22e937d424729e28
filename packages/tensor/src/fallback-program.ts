/** Programs that run eagerly where their step cannot be compiled. */
import { HiddenRandomness, LargeCapturedConstant, OpWithoutLowering, ValueReadInStep } from "./errors.ts"
import type { HostTensors, Program, ProgramGraph, StepTime } from "./step.ts"

const refusals = [HiddenRandomness, LargeCapturedConstant, OpWithoutLowering, ValueReadInStep]

/** Runs `compiled` until its step turns out not to compile, and from then on a program that `eager` opens. */
export class FallbackProgram implements Program {
  readonly #eager: () => Promise<Program>
  #current: Program
  #settled = false

  constructor(compiled: Program, eager: () => Promise<Program>) {
    this.#current = compiled
    this.#eager = eager
  }

  /** The device in use now: "cpu", or that of the fallback. */
  get device(): string {
    return this.#current.device
  }

  load(state: HostTensors): void {
    this.#current.load(state)
  }

  run(batch: HostTensors, at: StepTime): Promise<HostTensors> {
    return this.#try((program) => program.run(batch, at))
  }

  runMany(batches: readonly HostTensors[], at: StepTime): Promise<readonly HostTensors[]> {
    return this.#try((program) => program.runMany(batches, at))
  }

  state(): Promise<HostTensors> {
    return this.#current.state()
  }

  graph(): ProgramGraph | undefined {
    return this.#current.graph?.()
  }

  dispose(): void {
    this.#current.dispose()
  }

  async #try<A>(f: (program: Program) => Promise<A>): Promise<A> {
    if (this.#settled) return f(this.#current)
    try {
      const result = await f(this.#current)
      this.#settled = true
      return result
    } catch (error) {
      // The trace failed before anything ran: the state is still the one that was loaded.
      if (!refusals.some((refusal) => error instanceof refusal)) throw error
      const eager = await this.#eager()
      eager.load(await this.#current.state())
      this.#current.dispose()
      this.#current = eager
      this.#settled = true
      return f(eager)
    }
  }
}
