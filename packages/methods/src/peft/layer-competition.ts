/** The host side of SNELLA during training: which layer may keep how many weights, renewed between epochs. */
import type { HostTensor, HostTensors } from "@exp/tensor"
import { type BudgetSchedule, budgetAt, divideBudget, layerScore, sparsityOf } from "./allocation.ts"
import { thresholdPosition } from "./competition.ts"
import { factorName, type LinearMap } from "./factors.ts"
import type { Tuner } from "./tuners.ts"

/** The budget of each layer through the epochs. */
export class LayerCompetition {
  readonly #maps: ReadonlyArray<LinearMap>
  readonly #sizes: ReadonlyArray<number>
  readonly #schedule: BudgetSchedule
  readonly #uniform: boolean
  #sparsities: number[]

  /**
   * @param epochs E of the schedule
   */
  constructor(tuner: Extract<Tuner, { readonly _tag: "Snella" }>, maps: ReadonlyArray<LinearMap>, epochs: number) {
    this.#maps = maps
    this.#sizes = maps.map((map) => map.inputs * map.outputs)
    this.#schedule = { ...tuner, epochs }
    this.#uniform = tuner.allocation === "uniform"
    this.#sparsities = maps.map(() => tuner.initialSparsity)
  }

  /** s_l of each map now. */
  get sparsities(): ReadonlyArray<number> {
    return this.#sparsities
  }

  /** Takes over s_l of each map, where training goes on from a checkpoint. */
  restore(sparsities: ReadonlyArray<number>): void {
    if (sparsities.length !== this.#maps.length)
      throw new RangeError(`${sparsities.length} sparsities for ${this.#maps.length} maps`)
    this.#sparsities = [...sparsities]
  }

  /** Whether the division of this epoch needs the averages gathered so far. */
  needsScores(epoch: number): boolean {
    return !this.#uniform && this.#budget(epoch).divide
  }

  /** Renews s_l for an epoch, from the moving averages in the training state. */
  renew(epoch: number, state: HostTensors | undefined): void {
    const { budget, divide } = this.#budget(epoch)
    if (!divide) return
    if (this.#uniform) {
      const total = this.#sizes.reduce((a, b) => a + b, 0)
      this.#sparsities = this.#sizes.map(() => sparsityOf(budget, total))
      return
    }
    const scores = this.#maps.map(({ name }) =>
      layerScore(
        ["a", "b"].map((role) => ({
          importance: state![`importance.${factorName(name, role)}`]!.data,
          uncertainty: state![`uncertainty.${factorName(name, role)}`]!.data,
        })),
      ),
    )
    const kept = divideBudget(budget, this.#sizes, scores)
    this.#sparsities = this.#sizes.map((size, l) => sparsityOf(kept[l]!, size))
  }

  /** The `positions` of a batch: ⌊s_l·(n_l − 1)⌋, int32 [maps]. */
  positions(): HostTensor {
    const data = Int32Array.from(this.#sparsities, (s, l) => thresholdPosition(s, this.#sizes[l]!))
    return { data, shape: [data.length], dtype: "int32" }
  }

  /** Each map's part of the surviving weights; 0 for all when none survive. */
  shares(): ReadonlyArray<number> {
    const kept = this.#sparsities.map((s, l) => (1 - s) * this.#sizes[l]!)
    const total = kept.reduce((a, b) => a + b, 0)
    return kept.map((v) => (total > 0 ? v / total : 0))
  }

  #budget(epoch: number) {
    const total = this.#sizes.reduce((a, b) => a + b, 0)
    return budgetAt(this.#schedule, epoch, total)
  }
}
