/**
 * CIFAR-100 (Krizhevsky 2009): 50,000 + 10,000 photographs, 32×32 colour, 100 classes in 20 superclasses.
 *
 * Official binary version: `train.bin` and `test.bin` are records of 3074 bytes (coarse label, fine label, then 1024
 * red, 1024 green and 1024 blue values, row-major); the names are one a line in `fine_label_names.txt` and
 * `coarse_label_names.txt`.
 */
import { type Conversion, imageContent } from "./conversion.ts"

const pixels = 32 * 32
const record = 2 + 3 * pixels

/**
 * Records of the official binary format as [n, 32, 32, 3] bytes and two lists of labels.
 *
 * @throws Error when the file is not a whole number of records, or a label is out of range
 */
export function parseCifar100(name: string, file: Uint8Array) {
  const count = file.length / record
  if (!Number.isInteger(count)) throw new Error(`${name}: ${file.length} bytes are not whole records of ${record}`)
  const images = new Uint8Array(count * 3 * pixels)
  const labels = new Uint8Array(count)
  const coarseLabels = new Uint8Array(count)
  for (let n = 0, to = 0; n < count; n++) {
    const at = n * record
    coarseLabels[n] = file[at]!
    labels[n] = file[at + 1]!
    if (coarseLabels[n]! >= 20 || labels[n]! >= 100)
      throw new Error(`${name}: record ${n} has the labels ${coarseLabels[n]} and ${labels[n]}`)
    const red = at + 2
    for (let i = 0; i < pixels; i++) {
      images[to++] = file[red + i]!
      images[to++] = file[red + pixels + i]!
      images[to++] = file[red + 2 * pixels + i]!
    }
  }
  return { images, labels, coarseLabels }
}

const lines = (bytes: Uint8Array) =>
  new TextDecoder()
    .decode(bytes)
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")

export function convertCifar100(): Conversion {
  const parts = new Map<string, ReturnType<typeof parseCifar100>>()
  const names = new Map<string, readonly string[]>()
  return {
    wanted: (path) => ["train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt"].includes(path),
    file: (path, bytes) => {
      if (path.endsWith(".bin")) parts.set(path, parseCifar100(path, bytes))
      else names.set(path, lines(bytes))
    },
    finish: () => {
      const classes = names.get("fine_label_names.txt")
      const superclasses = names.get("coarse_label_names.txt")
      const train = parts.get("train.bin")
      const test = parts.get("test.bin")
      if (train === undefined || test === undefined) throw new Error("the archive lacks train.bin or test.bin")
      if (classes?.length !== 100 || superclasses?.length !== 20) throw new Error("the archive lacks the label names")
      return imageContent({ shape: [32, 32, 3], classes, superclasses, train, test })
    },
  }
}
