import { closeSync, fsyncSync, openSync, writeSync } from "node:fs"

/** A new file that is written from front to back through one buffer, so that its length costs no memory. */
export class FileSink {
  readonly #file: number
  readonly #buffer = Buffer.allocUnsafe(1 << 18)
  #used = 0

  /** @throws when there is a file of that name: nothing is overwritten */
  constructor(path: string) {
    this.#file = openSync(path, "wx")
  }

  text(text: string): void {
    // Three bytes a UTF-16 unit are the most that UTF-8 needs.
    if (text.length * 3 > this.#buffer.length) this.bytes(Buffer.from(text, "utf8"))
    else {
      if (this.#used + text.length * 3 > this.#buffer.length) this.#drain()
      this.#used += this.#buffer.write(text, this.#used, "utf8")
    }
  }

  bytes(bytes: Uint8Array): void {
    if (this.#used + bytes.length > this.#buffer.length) this.#drain()
    if (bytes.length > this.#buffer.length) this.#write(bytes)
    else {
      this.#buffer.set(bytes, this.#used)
      this.#used += bytes.length
    }
  }

  close(): void {
    this.#drain()
    fsyncSync(this.#file)
    closeSync(this.#file)
  }

  #drain(): void {
    this.#write(this.#buffer.subarray(0, this.#used))
    this.#used = 0
  }

  #write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at)
  }
}
