/** TFRecord files: length (8 bytes), its checksum (4), the record, its checksum (4), again and again. */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"
import { maskedCrc32c } from "./crc32c.ts"
import type { FileSink } from "./file-sink.ts"

/** Longest record that is read: more is taken for damage. */
const longest = 1 << 29

/** Writes one record. */
export function writeRecord(sink: FileSink, record: Uint8Array): void {
  const head = Buffer.allocUnsafe(12)
  head.writeUInt32LE(record.length >>> 0, 0)
  head.writeUInt32LE(Math.floor(record.length / 2 ** 32), 4)
  head.writeUInt32LE(maskedCrc32c(head.subarray(0, 8)), 8)
  const foot = Buffer.allocUnsafe(4)
  foot.writeUInt32LE(maskedCrc32c(record), 0)
  sink.bytes(head)
  sink.bytes(record)
  sink.bytes(foot)
}

/**
 * The records of a file, read through one buffer. A record whose checksum does not match is reported and left out; where
 * the length itself is damaged, or the file ends within a record, reading ends there with a report. A record is valid
 * until the next one is asked for.
 */
export function* readRecords(path: string, onProblem: (problem: string) => void): Generator<Uint8Array> {
  const file = openSync(path, "r")
  try {
    const size = fstatSync(file).size
    let buffer: Buffer = Buffer.allocUnsafe(1 << 18)
    let from = 0
    let to = 0
    let position = 0
    // Makes `wanted` bytes available from `from` on; false at the end of the file.
    const fill = (wanted: number): boolean => {
      if (to - from >= wanted) return true
      if (wanted > buffer.length) {
        const larger = Buffer.allocUnsafe(wanted + (1 << 18))
        buffer.copy(larger, 0, from, to)
        buffer = larger
      } else buffer.copyWithin(0, from, to)
      to -= from
      from = 0
      while (to < wanted) {
        const read = readSync(file, buffer, to, buffer.length - to, null)
        if (read === 0) return false
        to += read
      }
      return true
    }
    for (let number = 1; ; number++) {
      if (!fill(12)) {
        if (to > from)
          onProblem(
            `it ends within record ${number}, at byte ${size}: the ${to - from} bytes from ${position} on are lost`,
          )
        return
      }
      const head = buffer.subarray(from, from + 12)
      const length = head.readUInt32LE(0) + head.readUInt32LE(4) * 2 ** 32
      if (head.readUInt32LE(8) !== maskedCrc32c(head.subarray(0, 8))) {
        onProblem(
          number === 1
            ? "it is no event file: it does not begin with a TFRecord"
            : `the length of record ${number}, at byte ${position}, is damaged: what follows (${size - position} bytes) cannot be read`,
        )
        return
      }
      if (length > longest) {
        onProblem(`record ${number}, at byte ${position}, is ${length} bytes long: what follows is left out`)
        return
      }
      if (!fill(12 + length + 4)) {
        onProblem(
          `it ends within record ${number}, at byte ${size}: the ${size - position} bytes from ${position} on are lost`,
        )
        return
      }
      const record = buffer.subarray(from + 12, from + 12 + length)
      if (buffer.readUInt32LE(from + 12 + length) !== maskedCrc32c(record))
        onProblem(`record ${number}, at byte ${position}, is damaged (its checksum does not match) and is left out`)
      else yield record
      from += 16 + length
      position += 16 + length
    }
  } finally {
    closeSync(file)
  }
}
