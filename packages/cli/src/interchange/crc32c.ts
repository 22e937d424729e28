/** CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), eight bytes a step, and the mask that TFRecord files put on it. */

const tables = Array.from({ length: 8 }, () => new Uint32Array(256))
for (let n = 0; n < 256; n++) {
  let c = n
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1
  tables[0]![n] = c >>> 0
}
for (let n = 0; n < 256; n++) {
  for (let k = 1; k < 8; k++) {
    const before = tables[k - 1]![n]!
    tables[k]![n] = ((before >>> 8) ^ tables[0]![before & 255]!) >>> 0
  }
}
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [Uint32Array, ...Uint32Array[]] & Record<number, Uint32Array>

/** The CRC-32C of bytes, unsigned. RFC 3720, appendix B.4 has examples. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  let i = 0
  for (const whole = bytes.length - 7; i < whole; i += 8) {
    const low = crc ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
    crc =
      t7![low & 255]! ^
      t6![(low >>> 8) & 255]! ^
      t5![(low >>> 16) & 255]! ^
      t4![low >>> 24]! ^
      t3![bytes[i + 4]!]! ^
      t2![bytes[i + 5]!]! ^
      t1![bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[i]!) & 255]!
  return (crc ^ 0xffffffff) >>> 0
}

/** The checksum as TFRecord files hold it: rotated right by 15 bits and shifted by a constant. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes)
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0
}
