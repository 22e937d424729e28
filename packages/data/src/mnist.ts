/** MNIST (LeCun, Cortes and Burges): 60,000 + 10,000 handwritten digits, 28×28 grey, from IDX files. */
import type { CanonicalContent } from "./canonical.ts"
import { type Conversion, imageContent } from "./conversion.ts"
import { parseIdx } from "./idx.ts"

const files: Record<string, string> = {
  "data/train-images-idx3-ubyte": "train.images",
  "data/train-labels-idx1-ubyte": "train.labels",
  "data/t10k-images-idx3-ubyte": "test.images",
  "data/t10k-labels-idx1-ubyte": "test.labels",
}

export function convertMnist(): Conversion {
  const arrays = new Map<string, { shape: readonly number[]; bytes: Uint8Array }>()
  return {
    wanted: (path) => path in files,
    file: (path, bytes) => void arrays.set(files[path]!, parseIdx(path, bytes)),
    finish: (): CanonicalContent => {
      const get = (name: string) => {
        const found = arrays.get(name)
        if (found === undefined) throw new Error(`the archive has no file for ${name}`)
        return found
      }
      const [h, w] = get("train.images").shape.slice(1) as [number, number]
      return imageContent({
        shape: [h, w, 1],
        classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        train: { images: get("train.images").bytes, labels: get("train.labels").bytes },
        test: { images: get("test.images").bytes, labels: get("test.labels").bytes },
      })
    },
  }
}
