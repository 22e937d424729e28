/**
 * Reads an IDX file of unsigned bytes (the MNIST format): bytes 0,0, type 8, number of dimensions, then the dimensions
 * as big-endian 32-bit integers, then the values. The header is 8 bytes for labels and 16 for images.
 *
 * @returns `bytes` is a view, nothing is copied
 * @throws Error when the type is not unsigned byte, or the length is not what the header says
 */
export function parseIdx(name: string, file: Uint8Array): { shape: readonly number[]; bytes: Uint8Array } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  if (file.length < 4 || view.getUint16(0) !== 0 || file[2] !== 8)
    throw new Error(`${name} is not an IDX file of bytes`)
  const rank = file[3]!
  const start = 4 + 4 * rank
  if (file.length < start) throw new Error(`${name} ends inside its header`)
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i))
  const length = shape.reduce((a, b) => a * b, 1)
  if (file.length !== start + length) throw new Error(`${name} has ${file.length} bytes instead of ${start + length}`)
  return { shape, bytes: file.subarray(start) }
}
