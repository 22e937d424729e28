/** Makes native binaries of Linux smaller. */
import { chmodSync, readFileSync, statSync, writeFileSync } from "node:fs"

/** Offsets in the header of a 64-bit ELF file, and in an entry of its program header table (System V ABI, "ELF-64"). */
const at = { class: 4, order: 5, programs: 32, sections: 40, programSize: 54, programCount: 56, sectionCount: 60 }
const program = { offset: 8, bytesInFile: 32, size: 56 }

/**
 * Cuts off what a loader never reads, as `strip` does without needing it, for any processor: the symbol table and debug
 * sections stand behind the last loaded byte, and only the section headers, which go too, refer to them. Symbols that
 * linking needs are in a loaded segment and stay.
 *
 * @returns the shorter file, or `undefined` for what is no 64-bit little-endian ELF file or has nothing to cut off
 */
export function strippedElf(file: Uint8Array): Uint8Array | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  if (file.length < 64 || view.getUint32(0) !== 0x7f454c46 || file[at.class] !== 2 || file[at.order] !== 1)
    return undefined
  const table = Number(view.getBigUint64(at.programs, true))
  const size = view.getUint16(at.programSize, true)
  const count = view.getUint16(at.programCount, true)
  let end = table + size * count
  // An object file (no program headers) is nothing but sections.
  if (count === 0 || size < program.size || end > file.length) return undefined
  for (let entry = table; entry < table + size * count; entry += size) {
    const from = Number(view.getBigUint64(entry + program.offset, true))
    end = Math.max(end, from + Number(view.getBigUint64(entry + program.bytesInFile, true)))
  }
  if (end >= file.length) return undefined
  const shorter = file.slice(0, end)
  const header = new DataView(shorter.buffer)
  header.setBigUint64(at.sections, 0n, true)
  // Number of section headers, and which of them holds their names; the size of one, before them, stays.
  header.setUint16(at.sectionCount, 0, true)
  header.setUint16(at.sectionCount + 2, 0, true)
  return shorter
}

/** Strips a file in place, where it is an ELF file, and gives its size afterwards. */
export function stripFile(path: string): number {
  const { mode, size } = statSync(path)
  const shorter = strippedElf(readFileSync(path))
  if (shorter === undefined) return size
  writeFileSync(path, shorter)
  chmodSync(path, mode)
  return shorter.length
}
