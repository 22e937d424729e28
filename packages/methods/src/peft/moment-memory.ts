/** AdamW's moments held only where they are needed: a parameter gets its own at its first gradient. */
import { initialise, tensorBytes } from "@exp/nn"
import type { HostTensor, HostTensors, Program, StepTime } from "@exp/tensor"
import { markedLayers, trainedNames } from "./layered-step.ts"

const kinds = ["first", "second", "count"] as const

/**
 * A program of a {@link layeredStep} that holds no moments of parameters which had no gradient yet. With `evict`, those of
 * parameters that are not trained at the moment are dropped too and start again from 0: less memory, another algorithm.
 *
 * {@link state} and {@link load} speak of the full state, with zeros for what is not held, so that checkpoints have one form.
 */
export class MomentMemory implements Program {
  readonly device: string
  readonly #inner: Program
  readonly #evict: boolean
  #params: Readonly<Record<string, { readonly shape: readonly number[] }>> = {}
  #held = new Set<string>()

  constructor(inner: Program, options: { readonly evict?: boolean } = {}) {
    this.#inner = inner
    this.device = inner.device
    this.#evict = options.evict ?? false
  }

  /** Bytes of the moments and counters that are held now. */
  get momentBytes(): number {
    let bytes = 0
    for (const name of this.#held) bytes += 8 + 2 * tensorBytes({ shape: this.#params[name]!.shape, dtype: "float32" })
    return bytes
  }

  /** Whether the moments of a parameter are held now. */
  holds(name: string): boolean {
    return this.#held.has(name)
  }

  load(state: HostTensors): void {
    const params: Record<string, { readonly shape: readonly number[] }> = {}
    this.#held = new Set()
    for (const [name, tensor] of Object.entries(state)) {
      if (name.startsWith("params.")) params[name.slice("params.".length)] = { shape: tensor.shape }
      else if (name.startsWith("optimiser.count.") && tensor.data.some((x) => x !== 0))
        this.#held.add(name.slice("optimiser.count.".length))
    }
    this.#params = params
    const kept = Object.entries(state).filter(([name]) => {
      const owner = /^optimiser\.(?:first|second|count)\.(.*)$/.exec(name)?.[1]
      return owner === undefined || this.#held.has(owner)
    })
    this.#inner.load(Object.fromEntries(kept))
  }

  async run(batch: HostTensors, at: StepTime): Promise<HostTensors> {
    if (batch["learning_rate"]) await this.#hold(trainedNames(this.#params, markedLayers(batch)))
    return this.#inner.run(batch, at)
  }

  async runMany(batches: readonly HostTensors[], at: StepTime): Promise<readonly HostTensors[]> {
    const out: HostTensors[] = []
    for (const [i, batch] of batches.entries()) out.push(await this.run(batch, { seed: at.seed, step: at.step + i }))
    return out
  }

  async state(): Promise<HostTensors> {
    const out: Record<string, HostTensor> = { ...(await this.#inner.state()) }
    for (const name of Object.keys(this.#params)) if (!this.#held.has(name)) Object.assign(out, this.#zeros(name))
    return out
  }

  graph() {
    return this.#inner.graph?.()
  }

  dispose(): void {
    this.#inner.dispose()
  }

  /** Makes sure that the moments of `names` are there, and with `evict` no others. */
  async #hold(names: readonly string[]): Promise<void> {
    const missing = names.filter((name) => !this.#held.has(name))
    const wanted = new Set(names)
    const surplus = this.#evict ? [...this.#held].filter((name) => !wanted.has(name)) : []
    if (missing.length === 0 && surplus.length === 0) return
    const next: Record<string, HostTensor> = { ...(await this.#inner.state()) }
    for (const name of surplus) {
      for (const kind of kinds) delete next[`optimiser.${kind}.${name}`]
      this.#held.delete(name)
    }
    for (const name of missing) {
      Object.assign(next, this.#zeros(name))
      this.#held.add(name)
    }
    this.#inner.load(next)
  }

  #zeros(name: string): HostTensors {
    const { shape } = this.#params[name]!
    return {
      [`optimiser.first.${name}`]: initialise.zeros(shape),
      [`optimiser.second.${name}`]: initialise.zeros(shape),
      [`optimiser.count.${name}`]: initialise.zeros([2]),
    }
  }
}
