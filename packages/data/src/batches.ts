/** Batches of labelled images, gathered into typed arrays that are allocated once. */
import { bits, type Key, key } from "@exp/random"
import type { ImageSplit } from "./image-dataset.ts"
import type { ImageShape } from "./image-transforms.ts"
import { epochOrder } from "./sampling.ts"

/** pixel → (v/255 − mean)/sd, one number for all channels or one for each. */
export interface Normalisation {
  readonly mean: number | readonly number[]
  readonly sd: number | readonly number[]
}

/** (v/255 − 0.5)/0.5: pixels in [−1, 1]. */
export const symmetric: Normalisation = { mean: 0.5, sd: 0.5 }
/** v/255: pixels in [0, 1]. */
export const unit: Normalisation = { mean: 0, sd: 1 }

/**
 * Writes an image that replaces the one at `at` of `source` to `into` (all of it, height·width·channels bytes) and
 * returns its label. `word` is a random unsigned 32-bit integer of this draw: all randomness must come from it.
 */
export type Transform = (source: Uint8Array, at: number, into: Uint8Array, label: number, word: number) => number

/** The 256 float32 values of each channel, so that normalising is one look-up a value. */
function normalisationTable({ mean, sd }: Normalisation, channels: number): Float32Array {
  const table = new Float32Array(256 * channels)
  for (let c = 0; c < channels; c++) {
    const m = typeof mean === "number" ? mean : mean[c]
    const s = typeof sd === "number" ? sd : sd[c]
    if (m === undefined || s === undefined || !(s > 0)) throw new RangeError(`no mean and positive sd for channel ${c}`)
    for (let v = 0; v < 256; v++) table[c * 256 + v] = (v / 255 - m) / s
  }
  return table
}

function normaliseInto(
  source: Uint8Array,
  at: number,
  out: Float32Array,
  outAt: number,
  size: number,
  table: Float32Array,
) {
  const channels = table.length / 256
  if (channels === 1) for (let i = 0; i < size; i++) out[outAt + i] = table[source[at + i]!]!
  else
    for (let i = 0; i < size; i += channels)
      for (let c = 0; c < channels; c++) out[outAt + i + c] = table[c * 256 + source[at + i + c]!]!
}

/** Bytes → normalised float32 for the images `indices` of a split, in that order, into `out` ([n, h, w, c], row-major). */
export function gatherImages(
  split: Pick<ImageSplit, "images">,
  shape: ImageShape,
  indices: ArrayLike<number>,
  out: Float32Array,
  normalisation: Normalisation = symmetric,
): Float32Array {
  const size = shape[0] * shape[1] * shape[2]
  const table = normalisationTable(normalisation, shape[2])
  for (let i = 0; i < indices.length; i++) normaliseInto(split.images, indices[i]! * size, out, i * size, size, table)
  return out
}

/**
 * A new split of the images `indices`, each passed through `transform`, whose `word` here is the position i in
 * `indices`: how a derived task (inverted, rotated) is made once and for all.
 */
export function deriveSplit(
  split: ImageSplit,
  shape: ImageShape,
  indices: ArrayLike<number>,
  transform?: Transform,
): ImageSplit {
  const size = shape[0] * shape[1] * shape[2]
  const images = new Uint8Array(indices.length * size)
  const labels = new Uint8Array(indices.length)
  const into = new Uint8Array(size)
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!
    if (transform === undefined) {
      images.set(split.images.subarray(index * size, (index + 1) * size), i * size)
      labels[i] = split.labels[index]!
    } else {
      labels[i] = transform(split.images, index * size, into, split.labels[index]!, i)
      images.set(into, i * size)
    }
  }
  return { images, labels, count: indices.length }
}

/**
 * A batch. The arrays belong to the {@link ImageBatches} and are overwritten `slots` batches later: use them, or copy
 * them, before. `images` is [count, h, w, c] float32, `labels` [count] int32, `indices` the images' places in the split.
 */
export interface ImageBatch {
  readonly images: Float32Array
  readonly labels: Int32Array
  readonly indices: Uint32Array
  readonly count: number
}

export interface ImageBatchOptions {
  readonly shape: ImageShape
  readonly batchSize: number
  readonly seed: number
  /** The items to use; default all of the split. */
  readonly indices?: ArrayLike<number>
  readonly normalisation?: Normalisation
  readonly transform?: Transform
  /** What to do with the items that do not fill a batch: a smaller last batch (default) or none. */
  readonly last?: "smaller" | "dropped"
  /** false: always in the given order. Default true: a new order every epoch. */
  readonly shuffle?: boolean
  /** How many batches stay valid at the same time, e.g. for several steps in one call. Default 1. */
  readonly slots?: number
  /** Tells apart independent orders and draws under one seed. Default "batches". */
  readonly stream?: string
}

/**
 * The batches of a training run, by step: `at(step)` is a pure function of split, options and step. A run resumed at
 * step 500 sees what it would have seen, with nothing to save. Two instances with the same seed, stream, item count and
 * batch size give the same items.
 */
export class ImageBatches {
  readonly count: number
  readonly stepsPerEpoch: number
  readonly #split: ImageSplit
  readonly #options: ImageBatchOptions
  readonly #items: Uint32Array
  readonly #size: number
  readonly #table: Float32Array
  readonly #slots: readonly { readonly full: ImageBatch; readonly tail: ImageBatch | undefined }[]
  readonly #scratch: Uint8Array
  #next = 0
  #epoch = -1
  #order: Uint32Array
  #draws: Key

  constructor(split: ImageSplit, options: ImageBatchOptions) {
    const { shape, batchSize, indices, normalisation = symmetric, last = "smaller", slots = 1, seed } = options
    if (!Number.isInteger(batchSize) || batchSize < 1) throw new RangeError(`batch size ${batchSize}`)
    if (!Number.isInteger(slots) || slots < 1) throw new RangeError(`${slots} slots`)
    this.#split = split
    this.#options = options
    this.#items =
      indices === undefined ? Uint32Array.from({ length: split.count }, (_, i) => i) : Uint32Array.from(indices)
    for (const item of this.#items)
      if (item >= split.count) throw new RangeError(`item ${item} of a split of ${split.count}`)
    this.count = this.#items.length
    const rest = this.count % batchSize
    this.stepsPerEpoch = Math.floor(this.count / batchSize) + (rest > 0 && last === "smaller" ? 1 : 0)
    if (this.stepsPerEpoch === 0) throw new RangeError(`${this.count} items do not fill a batch of ${batchSize}`)
    this.#size = shape[0] * shape[1] * shape[2]
    this.#table = normalisationTable(normalisation, shape[2])
    this.#scratch = new Uint8Array(this.#size)
    this.#slots = Array.from({ length: slots }, () => {
      const full: ImageBatch = {
        images: new Float32Array(batchSize * this.#size),
        labels: new Int32Array(batchSize),
        indices: new Uint32Array(batchSize),
        count: batchSize,
      }
      const tail: ImageBatch = {
        images: full.images.subarray(0, rest * this.#size),
        labels: full.labels.subarray(0, rest),
        indices: full.indices.subarray(0, rest),
        count: rest,
      }
      return { full, tail: rest > 0 ? tail : undefined }
    })
    this.#order = new Uint32Array(0)
    this.#draws = key(seed)
  }

  #enter(epoch: number): void {
    if (epoch === this.#epoch) return
    const { seed, shuffle = true, stream = "batches" } = this.#options
    if (shuffle) this.#order = epochOrder(this.count, seed, epoch, stream)
    else if (this.#order.length === 0) this.#order = Uint32Array.from({ length: this.count }, (_, i) => i)
    this.#draws = key(seed, stream, "draw", epoch)
    this.#epoch = epoch
  }

  /** The batch of training step `step` (0-based, counted over epochs). */
  at(step: number): ImageBatch {
    if (!Number.isInteger(step) || step < 0) throw new RangeError(`step ${step}`)
    const epoch = Math.floor(step / this.stepsPerEpoch)
    const from = (step - epoch * this.stepsPerEpoch) * this.#options.batchSize
    this.#enter(epoch)
    const slot = this.#slots[this.#next]!
    this.#next = (this.#next + 1) % this.#slots.length
    const batch = from + this.#options.batchSize <= this.count ? slot.full : slot.tail!
    const { images, labels } = this.#split
    const { transform } = this.#options
    const size = this.#size
    for (let i = 0; i < batch.count; i++) {
      const item = this.#items[this.#order[from + i]!]!
      batch.indices[i] = item
      if (transform === undefined) {
        batch.labels[i] = labels[item]!
        normaliseInto(images, item * size, batch.images, i * size, size, this.#table)
      } else {
        const word = bits(this.#draws, from + i)
        batch.labels[i] = transform(images, item * size, this.#scratch, labels[item]!, word)
        normaliseInto(this.#scratch, 0, batch.images, i * size, size, this.#table)
      }
    }
    return batch
  }

  /** The batches of one epoch in turn. */
  *epoch(epoch: number): Generator<ImageBatch, void, undefined> {
    for (let i = 0; i < this.stepsPerEpoch; i++) yield this.at(epoch * this.stepsPerEpoch + i)
  }
}
