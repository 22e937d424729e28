/**
 * Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747): 70,000 pictures of clothes, 28×28 grey.
 *
 * The carrier is one JSON file per class, `src/clothes/<class>.json`, whose `data` is a list of rows of 784 integers
 * 0..255. Class 0 has 7002 rows of which two are empty: rows of another length than 784 are dropped, which leaves
 * 7000 in each class. The carrier does not keep the official split; here test = the first 1000 of each class in the
 * carrier's order, train = the other 6000, both sorted by class.
 */
import { type Conversion, imageContent } from "./conversion.ts"

const size = 28 * 28
const perClass = 7000
const testPerClass = 1000

export const fashionClasses = [
  "t-shirt",
  "trouser",
  "pullover",
  "dress",
  "coat",
  "sandal",
  "shirt",
  "sneaker",
  "bag",
  "ankle boot",
] as const

/** The rows of 784 values of one class, one after the other; empty rows are dropped. */
export function parseClothes(name: string, json: Uint8Array): Uint8Array {
  const { data } = JSON.parse(new TextDecoder().decode(json)) as { data: readonly (readonly number[])[] }
  const rows = data.filter((row) => row.length === size)
  const images = new Uint8Array(rows.length * size)
  for (const [i, row] of rows.entries()) {
    for (let j = 0; j < size; j++) {
      const value = row[j]!
      if (!Number.isInteger(value) || value < 0 || value > 255) throw new Error(`${name}: row ${i} holds ${value}`)
      images[i * size + j] = value
    }
  }
  return images
}

export function convertFashionMnist(): Conversion {
  const clothes: Uint8Array[] = []
  const pattern = /^src\/clothes\/(\d)\.json$/
  return {
    wanted: (path) => pattern.test(path),
    file: (path, bytes) => {
      clothes[Number(pattern.exec(path)![1])] = parseClothes(path, bytes)
    },
    finish: () => {
      const split = (from: number, to: number) => {
        const count = to - from
        const images = new Uint8Array(10 * count * size)
        const labels = new Uint8Array(10 * count)
        for (let c = 0; c < 10; c++) {
          const rows = clothes[c]
          if (rows?.length !== perClass * size)
            throw new Error(`class ${c} has ${(rows?.length ?? 0) / size} images instead of ${perClass}`)
          images.set(rows.subarray(from * size, to * size), c * count * size)
          labels.fill(c, c * count, (c + 1) * count)
        }
        return { images, labels }
      }
      return imageContent({
        shape: [28, 28, 1],
        classes: fashionClasses,
        test: split(0, testPerClass),
        train: split(testPerClass, perClass),
      })
    },
  }
}
