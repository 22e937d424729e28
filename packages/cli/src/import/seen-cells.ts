/** One part of the table: the cells whose hashes begin alike. */
class Part {
  #high = new Uint32Array(1 << 8)
  #low = new Uint32Array(1 << 8)
  #value = new Float64Array(1 << 8)
  #count = 0

  add(high: number, low: number, value: number): number | undefined {
    if (this.#count * 10 > this.#high.length * 7) this.#grow()
    const slot = this.#slot(high, low)
    if (this.#low[slot] !== 0) return this.#value[slot]
    this.#high[slot] = high
    this.#low[slot] = low
    this.#value[slot] = value
    this.#count++
    return undefined
  }

  #slot(high: number, low: number): number {
    const mask = this.#high.length - 1
    let slot = (high ^ Math.imul(low, 0x9e3779b1)) & mask
    while (this.#low[slot] !== 0 && (this.#low[slot] !== low || this.#high[slot] !== high)) slot = (slot + 1) & mask
    return slot
  }

  #grow(): void {
    const [high, low, value] = [this.#high, this.#low, this.#value]
    this.#high = new Uint32Array(2 * high.length)
    this.#low = new Uint32Array(2 * high.length)
    this.#value = new Float64Array(2 * high.length)
    for (let k = 0; k < high.length; k++) {
      if (low[k] === 0) continue
      const slot = this.#slot(high[k]!, low[k]!)
      this.#high[slot] = high[k]!
      this.#low[slot] = low[k]!
      this.#value[slot] = value[k]!
    }
    // Detaching gives the memory back at once, not at some later collection.
    for (const old of [high, low, value]) old.buffer.transfer(0)
  }
}

const parts = 64

/**
 * Which (competitor, data set, sample, metric) cells an import has met, with their values: an open-addressing table of
 * 64-bit hashes in typed arrays, 16 bytes a slot, so that ten million cells take a quarter of a gigabyte. It is in parts that grow one
 * after the other, so that no growth needs much more than what is held.
 */
export class SeenCells {
  readonly #parts = Array.from({ length: parts }, () => new Part())

  /**
   * Notes a cell.
   * @returns undefined when it is new, else the value it had before (which stays)
   */
  add(competitor: string, dataset: string, sample: string, metric: string, value: number): number | undefined {
    let a = 0x811c9dc5
    let b = 0x9e3779b9
    for (const part of [competitor, dataset, sample, metric]) {
      for (let i = 0; i < part.length; i++) {
        const c = part.charCodeAt(i)
        a = Math.imul(a ^ c, 0x01000193)
        b = Math.imul(b ^ c, 0x85ebca6b)
        b = (b << 13) | (b >>> 19)
      }
      // A part's end is mixed in, so that "ab", "c" and "a", "bc" differ.
      a = Math.imul(a ^ 0x1f1f1, 0x01000193)
      b = Math.imul(b ^ 0x1f1f1, 0xc2b2ae35)
    }
    a ^= a >>> 16
    a = Math.imul(a, 0x7feb352d)
    a ^= a >>> 15
    b ^= b >>> 15
    b = Math.imul(b, 0x846ca68b)
    b ^= b >>> 16
    // The empty slot is (0, 0).
    const high = a >>> 0
    const low = b >>> 0 || 1
    return this.#parts[(high >>> 26) % parts]!.add(high, low, value)
  }
}
