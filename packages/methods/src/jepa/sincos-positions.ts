/**
 * The fixed 2-D sine-cosine table of I-JEPA, [height·width, width of the model] in raster order.
 *
 * With q = dimension/4 and ω_i = 10000^(−i/q): the first half of the channels encodes the COLUMN c as
 * [sin(c·ω), cos(c·ω)], the second half the ROW in the same way.
 *
 * @throws RangeError when `dimension` is not divisible by 4
 */
export function sincosPositions(height: number, width: number, dimension: number, scale = 1): Float32Array {
  if (dimension % 4 !== 0) throw new RangeError(`the sine-cosine table needs a width divisible by 4, got ${dimension}`)
  const q = dimension / 4
  const table = new Float32Array(height * width * dimension)
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const at = (row * width + column) * dimension
      for (let i = 0; i < q; i++) {
        const omega = 10_000 ** (-i / q)
        table[at + i] = scale * Math.sin(column * omega)
        table[at + q + i] = scale * Math.cos(column * omega)
        table[at + 2 * q + i] = scale * Math.sin(row * omega)
        table[at + 3 * q + i] = scale * Math.cos(row * omega)
      }
    }
  }
  return table
}
