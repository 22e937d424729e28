/** The wire format of Protocol Buffers (proto3), as far as event files need it. */

/** A message under construction. */
export class MessageWriter {
  #bytes = Buffer.allocUnsafe(256)
  #length = 0

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** An integer of any of the varint types; negative ones take ten bytes. */
  int(field: number, value: number): this {
    this.#varint(field << 3)
    this.#varint(value)
    return this
  }

  double(field: number, value: number): this {
    this.#varint((field << 3) | 1)
    this.#room(8)
    this.#length = this.#bytes.writeDoubleLE(value, this.#length)
    return this
  }

  /** A double of a packed list: its bytes without a key. */
  packedDouble(value: number): this {
    this.#room(8)
    this.#length = this.#bytes.writeDoubleLE(value, this.#length)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint((field << 3) | 2)
    this.#varint(value.length)
    this.#room(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, "utf8"))
  }

  message(field: number, fill: (message: MessageWriter) => void): this {
    const inner = new MessageWriter()
    fill(inner)
    return this.bytes(field, inner.finish())
  }

  #varint(value: number): void {
    this.#room(10)
    if (value < 0) {
      let rest = BigInt.asUintN(64, BigInt(value))
      for (; rest > 127n; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 127n) | 128
      this.#bytes[this.#length++] = Number(rest)
      return
    }
    for (; value > 127; value = Math.floor(value / 128)) this.#bytes[this.#length++] = (value % 128) | 128
    this.#bytes[this.#length++] = value
  }

  #room(needed: number): void {
    if (this.#length + needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + needed))
    larger.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = larger
  }
}

/** Bytes that are no message. */
export class MalformedMessage extends Error {
  override readonly name = "MalformedMessage"
}

/** A field as the wire has it. Integers of 64 bits that a double cannot hold come as bigint. */
export type Field =
  | { readonly number: number; readonly wire: 0; readonly value: number | bigint }
  | { readonly number: number; readonly wire: 1 | 2 | 5; readonly value: Uint8Array }

/**
 * The fields of a message in their order.
 * @throws MalformedMessage for bytes that break off or that no message has
 */
export function* fields(bytes: Uint8Array): Generator<Field> {
  let at = 0
  const varint = (): number | bigint => {
    let low = 0
    for (let shift = 0; shift < 49; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) throw new MalformedMessage("it breaks off within a number")
      low += (byte & 127) * 2 ** shift
      if (byte < 128) return low
    }
    let value = BigInt(low)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new MalformedMessage("it breaks off within a number")
      value |= BigInt(byte & 127) << shift
      if (byte < 128) {
        const signed = BigInt.asIntN(64, value)
        return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed
      }
    }
    throw new MalformedMessage("a number has more than ten bytes")
  }
  while (at < bytes.length) {
    const key = varint()
    if (typeof key !== "number" || key < 8) throw new MalformedMessage("a field has no number")
    const number = Math.floor(key / 8)
    const wire = key % 8
    if (wire === 0) {
      yield { number, wire, value: varint() }
      continue
    }
    if (wire !== 1 && wire !== 2 && wire !== 5) throw new MalformedMessage(`a field has the unknown wire type ${wire}`)
    const length = wire === 1 ? 8 : wire === 5 ? 4 : varint()
    if (typeof length !== "number" || length < 0 || at + length > bytes.length)
      throw new MalformedMessage("a field is longer than its message")
    yield { number, wire, value: bytes.subarray(at, at + length) }
    at += length
  }
}

/** Eight bytes as a double, little-endian. */
export const asDouble = (bytes: Uint8Array, at = 0): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getFloat64(at, true)
/** Four bytes as a float, little-endian. */
export const asFloat = (bytes: Uint8Array, at = 0): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getFloat32(at, true)
export const asText = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8")
