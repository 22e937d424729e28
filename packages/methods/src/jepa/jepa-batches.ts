/** Batches of JEPA pre-training: images, masks and scheduled numbers as pure functions of the step. */
import { derive, type Key, permutation, uniform } from "@exp/random"
import type { HostTensor } from "@exp/tensor"
import { type BlockMaskOptions, type BlockMasks, drawBlockMasks, type TokenGrid } from "./block-masks.ts"

/** Images as bytes, [count, height, width, channels]. */
export interface ByteImages {
  readonly images: Uint8Array
  readonly count: number
  readonly shape: readonly [height: number, width: number, channels: number]
}

/** Mean and standard deviation of each channel, of bytes divided by 255. */
export interface ChannelStatistics {
  readonly mean: readonly number[]
  readonly deviation: readonly number[]
}

/** Statistics over all pixels of all images. */
export function channelStatistics({ images, shape }: ByteImages): ChannelStatistics {
  const channels = shape[2]
  const sums = new Float64Array(channels)
  const squares = new Float64Array(channels)
  for (let i = 0; i < images.length; i++) {
    const x = images[i]! / 255
    sums[i % channels]! += x
    squares[i % channels]! += x * x
  }
  const n = images.length / channels
  const mean = [...sums].map((sum) => sum / n)
  return { mean, deviation: mean.map((m, c) => Math.sqrt(Math.max(1e-12, squares[c]! / n - m * m))) }
}

/** How images are varied. `shift`: up to ±2 pixels; `crop`: random resized crop of 30–100% of the area, as in I-JEPA. */
export type Augmentation = "none" | "shift" | "crop"

/**
 * Standardised images.
 *
 * @param indices which images
 * @param key randomness of the augmentation; image number i of the batch uses (key, i)
 * @returns float32 [indices.length, height, width, channels]
 */
export function imageBatch(
  source: ByteImages,
  indices: ArrayLike<number>,
  statistics: ChannelStatistics,
  augmentation: Augmentation = "none",
  key?: Key,
): HostTensor {
  const [height, width, channels] = source.shape
  const size = height * width * channels
  const data = new Float32Array(indices.length * size)
  const [scale, shift] = [
    statistics.deviation.map((d) => 1 / (255 * d)),
    statistics.mean.map((m, c) => -m / statistics.deviation[c]!),
  ]
  // Outside the picture lies black, as in the data's own margins.
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i]! * size
    const pixel = (y: number, x: number, c: number): number =>
      y < 0 || x < 0 || y >= height || x >= width ? 0 : source.images[from + (y * width + x) * channels + c]!
    const at = place(augmentation, height, width, key && derive(key, i))
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        for (let c = 0; c < channels; c++)
          data[i * size + (y * width + x) * channels + c] = at(y, x, c, pixel) * scale[c]! + shift[c]!
  }
  return { data, shape: [indices.length, height, width, channels], dtype: "float32" }
}

type Pixel = (y: number, x: number, c: number) => number

/** Where pixel (y, x) of the varied image comes from. */
function place(
  augmentation: Augmentation,
  height: number,
  width: number,
  key: Key | undefined,
): (y: number, x: number, c: number, pixel: Pixel) => number {
  if (augmentation === "none" || key === undefined) return (y, x, c, pixel) => pixel(y, x, c)
  if (augmentation === "shift") {
    const [dy, dx] = [Math.floor(uniform(key, 0) * 5) - 2, Math.floor(uniform(key, 1) * 5) - 2]
    return (y, x, c, pixel) => pixel(y + dy, x + dx, c)
  }
  const area = 0.3 + 0.7 * uniform(key, 0)
  const aspect = Math.exp(Math.log(3 / 4) + uniform(key, 1) * (Math.log(4 / 3) - Math.log(3 / 4)))
  const h = Math.min(height, Math.sqrt(area * height * width * aspect))
  const w = Math.min(width, Math.sqrt((area * height * width) / aspect))
  const [top, left] = [uniform(key, 2) * (height - h), uniform(key, 3) * (width - w)]
  return (y, x, c, pixel) => {
    const sy = Math.min(height - 1, Math.max(0, top + ((y + 0.5) * h) / height - 0.5))
    const sx = Math.min(width - 1, Math.max(0, left + ((x + 0.5) * w) / width - 0.5))
    const [y0, x0] = [Math.floor(sy), Math.floor(sx)]
    const [y1, x1] = [Math.min(height - 1, y0 + 1), Math.min(width - 1, x0 + 1)]
    const [fy, fx] = [sy - y0, sx - x0]
    const upper = pixel(y0, x0, c) * (1 - fx) + pixel(y0, x1, c) * fx
    const lower = pixel(y1, x0, c) * (1 - fx) + pixel(y1, x1, c) * fx
    return upper * (1 - fy) + lower * fy
  }
}

/**
 * The images of a step: every epoch is a new permutation, and what does not fill a batch at its end is left out.
 *
 * @returns a function of the step (from 0); it remembers one permutation
 */
export function epochOrder(count: number, batchSize: number, key: Key): (step: number) => Uint32Array {
  if (batchSize > count) throw new RangeError(`a batch of ${batchSize} needs as many images, there are ${count}`)
  const perEpoch = Math.floor(count / batchSize)
  let held: { epoch: number; order: Uint32Array } | undefined
  return (step) => {
    const epoch = Math.floor(step / perEpoch)
    if (held?.epoch !== epoch) held = { epoch, order: permutation(derive(key, "epoch", epoch), count) }
    const from = (step % perEpoch) * batchSize
    return held.order.subarray(from, from + batchSize)
  }
}

/**
 * Masks as inputs of a step.
 *
 * @param contextMultiple context lists are cut to a multiple of this number of tokens (but keep more than `minKeep`), so
 *   that a compiled step meets few shapes; 1 keeps the reference's lengths
 */
export function maskBatch(
  grid: TokenGrid,
  batchSize: number,
  key: Key,
  step: number,
  options: BlockMaskOptions,
  contextMultiple = 1,
): { readonly context: HostTensor; readonly target: HostTensor } {
  const masks = drawBlockMasks(grid, batchSize, key, step, options)
  const kept = Math.max(options.minKeep + 1, Math.floor(masks.contextTokens / contextMultiple) * contextMultiple)
  return {
    context: { data: firstTokens(masks, batchSize, kept), shape: [batchSize, kept], dtype: "int32" },
    target: { data: masks.target, shape: [options.targets * batchSize, masks.targetTokens], dtype: "int32" },
  }
}

function firstTokens(masks: BlockMasks, batchSize: number, kept: number): Int32Array {
  if (kept === masks.contextTokens) return masks.context
  const out = new Int32Array(batchSize * kept)
  for (let i = 0; i < batchSize; i++)
    out.set(masks.context.subarray(i * masks.contextTokens, i * masks.contextTokens + kept), i * kept)
  return out
}

/** Labelled pictures of 0 to `most` squares, for the counting probe. */
export interface CountingImages extends ByteImages {
  readonly counts: Uint8Array
}

/**
 * Black canvases with 0 … `most` squares that do not touch each other; the number is the label, each equally likely.
 * Place, side (2–4 pixels) and brightness (64–255) of a square are drawn from (key, image), so that the sum of the
 * pixels tells the number only roughly.
 */
export function countingImages(
  count: number,
  shape: readonly [height: number, width: number, channels: number],
  key: Key,
  most = 5,
): CountingImages {
  const [height, width, channels] = shape
  const largest = 4
  const images = new Uint8Array(count * height * width * channels)
  const counts = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    const own = derive(key, "counting", i)
    const n = Math.floor(uniform(own, 0) * (most + 1))
    counts[i] = n
    const placed: [number, number][] = []
    for (let draw = 1; placed.length < n; draw += 4) {
      const y = Math.floor(uniform(own, draw) * (height - largest + 1))
      const x = Math.floor(uniform(own, draw + 1) * (width - largest + 1))
      if (placed.some(([py, px]) => Math.abs(py - y) <= largest && Math.abs(px - x) <= largest)) continue
      placed.push([y, x])
      const bright = 64 + Math.floor(uniform(own, draw + 2) * 192)
      const side = 2 + Math.floor(uniform(own, draw + 3) * (largest - 1))
      for (let dy = 0; dy < side; dy++)
        for (let dx = 0; dx < side; dx++)
          for (let c = 0; c < channels; c++) images[((i * height + y + dy) * width + x + dx) * channels + c] = bright
    }
  }
  return { images, count, shape, counts }
}
