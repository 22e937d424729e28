/** Keys and values of one sequence in one layer, with the mean key of every finished block. */

/** Sizes of a cache. */
export interface KvCacheShape {
  readonly kvHeads: number
  readonly headSize: number
  /** Positions that fit. */
  readonly capacity: number
  /** Positions of a block whose mean key is kept; 0: none are kept. */
  readonly blockSize?: number
  /** Positions before the first block. */
  readonly sink?: number
}

/** More positions than a cache was made for. */
export class KvCacheFull extends Error {
  readonly _tag = "KvCacheFull"
  readonly capacity: number
  constructor(capacity: number) {
    super(`the KV cache holds ${capacity} positions and is full; make it with a larger capacity`)
    this.name = "KvCacheFull"
    this.capacity = capacity
  }
}

/**
 * A KV cache. Rows of one head lie together, so that a block of positions is one contiguous piece of memory.
 *
 * Mean keys are written once, when a block becomes full, from the keys themselves.
 */
export class KvCache {
  readonly kvHeads: number
  readonly headSize: number
  readonly capacity: number
  readonly blockSize: number
  readonly sink: number
  /** [kvHeads, capacity, headSize] */
  readonly keys: Float32Array
  /** [kvHeads, capacity, headSize] */
  readonly values: Float32Array
  /** [kvHeads, blocks, headSize], valid for full blocks. */
  readonly meanKeys: Float32Array
  /** Blocks that fit: the second axis of {@link meanKeys}. */
  readonly blockCapacity: number
  #length = 0

  constructor({ kvHeads, headSize, capacity, blockSize = 0, sink = 0 }: KvCacheShape) {
    this.kvHeads = kvHeads
    this.headSize = headSize
    this.capacity = capacity
    this.blockSize = blockSize
    this.sink = sink
    this.keys = new Float32Array(kvHeads * capacity * headSize)
    this.values = new Float32Array(kvHeads * capacity * headSize)
    this.blockCapacity = blockSize > 0 ? Math.max(0, Math.floor((capacity - sink) / blockSize)) : 0
    this.meanKeys = new Float32Array(kvHeads * this.blockCapacity * headSize)
  }

  /** Positions held. */
  get length(): number {
    return this.#length
  }

  /** Blocks that are full and have a mean key. */
  get fullBlocks(): number {
    return this.blockSize > 0 ? Math.max(0, Math.floor((this.#length - this.sink) / this.blockSize)) : 0
  }

  /**
   * Adds a position.
   *
   * @param key [kvHeads · headSize], from `at` on
   * @param value likewise
   * @throws KvCacheFull
   */
  append(key: Float32Array, value: Float32Array, at = 0): void {
    const { headSize, capacity, kvHeads } = this
    if (this.#length >= capacity) throw new KvCacheFull(capacity)
    for (let head = 0; head < kvHeads; head++) {
      const from = at + head * headSize
      const to = (head * capacity + this.#length) * headSize
      for (let i = 0; i < headSize; i++) {
        this.keys[to + i] = key[from + i]!
        this.values[to + i] = value[from + i]!
      }
    }
    this.#length++
    this.#finishBlock()
  }

  /** Forgets all positions from `length` on; mean keys of blocks that stay full stay valid. */
  truncate(length: number): void {
    if (length < 0 || length > this.#length)
      throw new RangeError(`cannot truncate a cache of ${this.#length} positions to ${length}`)
    this.#length = length
  }

  #finishBlock(): void {
    const { blockSize, sink, headSize, capacity, kvHeads } = this
    if (blockSize === 0) return
    const inside = this.#length - sink
    if (inside <= 0 || inside % blockSize !== 0) return
    const block = inside / blockSize - 1
    const first = sink + block * blockSize
    for (let head = 0; head < kvHeads; head++) {
      const mean = (head * this.blockCapacity + block) * headSize
      for (let i = 0; i < headSize; i++) {
        let sum = 0
        for (let row = 0, at = (head * capacity + first) * headSize + i; row < blockSize; row++, at += headSize)
          sum += this.keys[at]!
        this.meanKeys[mean + i] = sum / blockSize
      }
    }
  }
}
