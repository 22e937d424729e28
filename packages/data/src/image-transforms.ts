/**
 * Exact and interpolated image transforms on row-major [height, width, channels] bytes, without allocation: each reads
 * one image at `sourceAt` of `source` and writes one at `targetAt` of `target` (which must not overlap it).
 */

export type ImageShape = readonly [height: number, width: number, channels: number]

/**
 * Rotates by `turns`·90° counter-clockwise, exactly (a permutation of the pixels).
 *
 * @throws RangeError for an odd number of turns of an image that is not square
 */
export function rotateQuarterTurns(
  source: Uint8Array,
  sourceAt: number,
  target: Uint8Array,
  targetAt: number,
  [height, width, channels]: ImageShape,
  turns: number,
): void {
  const k = ((turns % 4) + 4) % 4
  if (k % 2 === 1 && height !== width) throw new RangeError(`a ${height}×${width} image has no quarter turn in place`)
  // source index = start + y·perRow + x·perColumn, in pixels, for the target pixel (y, x)
  const [start, perRow, perColumn] = (
    [
      [0, width, 1],
      [width - 1, -1, width],
      [height * width - 1, -width, -1],
      [(height - 1) * width, 1, -width],
    ] as const
  )[k]!
  let to = targetAt
  for (let y = 0; y < height; y++) {
    let from = sourceAt + (start + y * perRow) * channels
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) target[to++] = source[from + c]!
      from += perColumn * channels
    }
  }
}

/**
 * Rotates by any angle counter-clockwise about the centre of the image, bilinear, with zeros from outside, rounded to
 * the nearest byte. At multiples of 90° it equals {@link rotateQuarterTurns}.
 */
export function rotateBilinear(
  source: Uint8Array,
  sourceAt: number,
  target: Uint8Array,
  targetAt: number,
  [height, width, channels]: ImageShape,
  degrees: number,
): void {
  const turn = ((degrees % 360) + 360) % 360
  const radians = (turn * Math.PI) / 180
  // cos 90° must be 0, not 6e-17, or a quarter turn would read a hair outside of the image
  const cos = turn === 90 || turn === 270 ? 0 : Math.cos(radians)
  const sin = turn === 180 ? 0 : Math.sin(radians)
  const centreY = (height - 1) / 2
  const centreX = (width - 1) / 2
  let to = targetAt
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sourceX = cos * (x - centreX) - sin * (y - centreY) + centreX
      const sourceY = sin * (x - centreX) + cos * (y - centreY) + centreY
      const x0 = Math.floor(sourceX)
      const y0 = Math.floor(sourceY)
      const fx = sourceX - x0
      const fy = sourceY - y0
      const left = x0 >= 0 && x0 < width
      const right = x0 + 1 >= 0 && x0 + 1 < width
      const up = y0 >= 0 && y0 < height
      const down = y0 + 1 >= 0 && y0 + 1 < height
      const from = sourceAt + (y0 * width + x0) * channels
      for (let c = 0; c < channels; c++) {
        let value = 0
        if (up && left) value += (1 - fy) * (1 - fx) * source[from + c]!
        if (up && right) value += (1 - fy) * fx * source[from + channels + c]!
        if (down && left) value += fy * (1 - fx) * source[from + width * channels + c]!
        if (down && right) value += fy * fx * source[from + (width + 1) * channels + c]!
        target[to++] = Math.round(value)
      }
    }
  }
}

/** v → 255 − v over `length` bytes. Source and target may be the same. */
export function invert(
  source: Uint8Array,
  sourceAt: number,
  target: Uint8Array,
  targetAt: number,
  length: number,
): void {
  for (let i = 0; i < length; i++) target[targetAt + i] = 255 - source[sourceAt + i]!
}
