import { describe, expect, test } from "vitest"
import {
  angleTask,
  deriveSplit,
  drawPerClass,
  drawSubset,
  epochOrder,
  gatherImages,
  ImageBatches,
  type ImageShape,
  type ImageSplit,
  inversionTask,
  quarterTurnTask,
  rotateBilinear,
  rotateQuarterTurns,
  splitIndices,
} from "../src/data.ts"

const sorted = (a: Iterable<number>) => [...a].sort((x, y) => x - y)
const range = (n: number) => Array.from({ length: n }, (_, i) => i)
const labels = Uint8Array.from({ length: 500 }, (_, i) => ((i * i) % 7) % 3)

describe("splits and draws", () => {
  test("split all items into parts without overlap, the same for the same seed", () => {
    const parts = splitIndices(100, [70, 20, 10], 1)
    expect(parts.map((p) => p.length)).toEqual([70, 20, 10])
    expect(sorted(parts.flatMap((p) => [...p]))).toEqual(range(100))
    expect(splitIndices(100, [70, 20, 10], 1)).toEqual(parts)
    expect(splitIndices(100, [70, 20, 10], 2)).not.toEqual(parts)
    expect(() => splitIndices(10, [6, 5], 1)).toThrow(RangeError)
  })
  test("draw as many of each class, balanced in every prefix, without repetition", () => {
    const drawn = drawPerClass(labels, { classes: 3, perClass: 40, seed: 3 })
    expect(new Set(drawn).size).toBe(120)
    for (let i = 0; i < drawn.length; i++) expect(labels[drawn[i]!]).toBe(i % 3)
    expect(drawPerClass(labels, { classes: 3, perClass: 40, seed: 3 })).toEqual(drawn)
    expect(drawPerClass(labels, { classes: 3, perClass: 40, seed: 4 })).not.toEqual(drawn)
    expect(() => drawPerClass(labels, { classes: 4, perClass: 1, seed: 3 })).toThrow("class 3 has 0 items")
  })
  test("a subset is ascending, an epoch order a permutation that changes with seed, epoch and stream", () => {
    expect([...drawSubset(1000, 50, 7)]).toEqual(sorted(drawSubset(1000, 50, 7)))
    const order = epochOrder(50, 1, 0)
    expect(sorted(order)).toEqual(range(50))
    for (const other of [epochOrder(50, 2, 0), epochOrder(50, 1, 1), epochOrder(50, 1, 0, "other")])
      expect(other).not.toEqual(order)
  })
})

describe("rotation", () => {
  const shape: ImageShape = [5, 5, 2]
  const size = 50
  const image = Uint8Array.from({ length: size }, (_, i) => (i * 37 + 11) % 256)
  const turn = (k: number, from = image) => {
    const to = new Uint8Array(size)
    rotateQuarterTurns(from, 0, to, 0, shape, k)
    return to
  }
  const rotate = (degrees: number, from = image) => {
    const to = new Uint8Array(size)
    rotateBilinear(from, 0, to, 0, shape, degrees)
    return to
  }
  test("by 90° is counter-clockwise: the top right corner goes to the top left", () => {
    const source = Uint8Array.from([1, 2, 3, 4])
    const to = new Uint8Array(4)
    rotateQuarterTurns(source, 0, to, 0, [2, 2, 1], 1)
    expect([...to]).toEqual([2, 4, 1, 3])
  })
  test("by quarter turns adds up, and four are none", () => {
    for (let k = 0; k < 4; k++) expect(turn(1, turn(k))).toEqual(turn(k + 1))
    expect(turn(4)).toEqual(image)
    expect(turn(-1)).toEqual(turn(3))
  })
  test("of an image that is not square works by half turns only", () => {
    const to = new Uint8Array(6)
    rotateQuarterTurns(Uint8Array.from([1, 2, 3, 4, 5, 6]), 0, to, 0, [2, 3, 1], 2)
    expect([...to]).toEqual([6, 5, 4, 3, 2, 1])
    expect(() => rotateQuarterTurns(image, 0, to, 0, [2, 3, 1], 1)).toThrow(RangeError)
  })
  test("by bilinear interpolation equals the exact one at quarter turns", () => {
    for (let k = -1; k <= 5; k++) expect(rotate(90 * k), `${k}`).toEqual(turn(k))
    const even: ImageShape = [4, 4, 1]
    const a = new Uint8Array(16)
    const b = new Uint8Array(16)
    for (let k = 0; k < 4; k++) {
      rotateBilinear(image, 3, a, 0, even, 90 * k)
      rotateQuarterTurns(image, 3, b, 0, even, k)
      expect(a, `${k}`).toEqual(b)
    }
  })
  test("keeps the centre, fills the corners with zeros, and interpolates in between", () => {
    const white = new Uint8Array(81).fill(200)
    const turned = new Uint8Array(81)
    rotateBilinear(white, 0, turned, 0, [9, 9, 1], 45)
    expect(turned[40]).toBe(200)
    expect([turned[0], turned[8], turned[72], turned[80]]).toEqual([0, 0, 0, 0])
    const to = new Uint8Array(25)
    // a point at distance r from the centre keeps r: (2,4) is (dy,dx) = (0,2), which reads at (√2, √2) from the centre
    const single = new Uint8Array(25)
    single[3 * 5 + 3] = 100 // (dy, dx) = (1, 1)
    rotateBilinear(single, 0, to, 0, [5, 5, 1], 45)
    expect(to[2 * 5 + 4]).toBe(Math.round(100 * (2 - Math.SQRT2) ** 2))
  })
})

const shape: ImageShape = [2, 2, 3]
const split: ImageSplit = {
  images: Uint8Array.from({ length: 37 * 12 }, (_, i) => (i * 29) % 256),
  labels: Uint8Array.from({ length: 37 }, (_, i) => i % 5),
  count: 37,
}

describe("batches", () => {
  const make = (options = {}) => new ImageBatches(split, { shape, batchSize: 8, seed: 5, ...options })

  test("are normalised pixels, labels and places, every item once an epoch", () => {
    const batches = make()
    expect(batches.stepsPerEpoch).toBe(5)
    const seen: number[] = []
    for (const batch of batches.epoch(3)) {
      expect(batch.images.length).toBe(batch.count * 12)
      for (let i = 0; i < batch.count; i++) {
        const at = batch.indices[i]!
        seen.push(at)
        expect(batch.labels[i]).toBe(split.labels[at])
        for (let j = 0; j < 12; j++)
          expect(batch.images[i * 12 + j]).toBe(Math.fround((split.images[at * 12 + j]! / 255 - 0.5) / 0.5))
      }
    }
    expect(sorted(seen)).toEqual(range(37))
  })

  test("are a function of the step: any order of asking and any new start gives the same", () => {
    const one = make({ transform: quarterTurnTask(shape) })
    const inOrder = range(12).map((step) => structuredClone(one.at(step)))
    const other = make({ transform: quarterTurnTask(shape) })
    for (const step of [11, 0, 7, 4, 7]) expect(other.at(step)).toEqual(inOrder[step])
    expect(make({ seed: 6 }).at(0).indices).not.toEqual(make().at(0).indices)
    expect(make({ stream: "other" }).at(0).indices).not.toEqual(make().at(0).indices)
    expect(make().at(5).indices).not.toEqual(make().at(0).indices)
  })

  test("reuse their arrays, as many as there are slots", () => {
    const batches = make({ slots: 2 })
    const [a, b] = [batches.at(0), batches.at(1)]
    expect(b.images === a.images).toBe(false)
    expect(batches.at(2)).toBe(a)
    const tail = batches.at(4)
    expect(tail.count).toBe(5)
    expect(tail.images.buffer === b.images.buffer).toBe(true)
  })

  test("can leave out the last one, keep the given order, and take some of the items", () => {
    expect(make({ last: "dropped" }).stepsPerEpoch).toBe(4)
    expect([...make({ indices: [30, 1, 4], shuffle: false }).at(7).indices]).toEqual([30, 1, 4])
    expect(() => make({ indices: [37] })).toThrow("item 37 of a split of 37")
    expect(() => make({ batchSize: 64, last: "dropped" })).toThrow("do not fill a batch")
  })

  test("normalise each channel by its own mean and deviation", () => {
    const mean = [0.1, 0.2, 0.3]
    const sd = [0.5, 0.25, 2]
    const { images, indices } = make({ normalisation: { mean, sd } }).at(0)
    for (let c = 0; c < 3; c++)
      expect(images[c]).toBeCloseTo((split.images[indices[0]! * 12 + c]! / 255 - mean[c]!) / sd[c]!, 6)
    expect(() => make({ normalisation: { mean: [0], sd: 1 } })).toThrow(RangeError)
    expect(() => make({ normalisation: { mean: 0, sd: 0 } })).toThrow(RangeError)
    expect([...gatherImages(split, shape, [2], new Float32Array(12), { mean: 0, sd: 1 })][5]).toBe(
      Math.fround(split.images[2 * 12 + 5]! / 255),
    )
  })

  test("of the quarter turn task use all four turns, label 4·class + k, and turn the pixels so", () => {
    const turns = new Set<number>()
    const batches = make({ transform: quarterTurnTask(shape), normalisation: { mean: 0, sd: 1 / 255 } })
    for (const batch of batches.epoch(0)) {
      for (let i = 0; i < batch.count; i++) {
        const k = batch.labels[i]! % 4
        turns.add(k)
        expect(Math.floor(batch.labels[i]! / 4)).toBe(split.labels[batch.indices[i]!])
        const expected = new Uint8Array(12)
        rotateQuarterTurns(split.images, batch.indices[i]! * 12, expected, 0, shape, k)
        expect(Uint8Array.from(batch.images.subarray(i * 12, (i + 1) * 12), Math.round)).toEqual(expected)
      }
    }
    expect(turns.size).toBe(4)
  })
})

describe("derived splits", () => {
  test("hold copies of the chosen images, transformed", () => {
    const plain = deriveSplit(split, shape, [5, 2])
    expect(plain.images).toEqual(Uint8Array.from([...split.images.subarray(60, 72), ...split.images.subarray(24, 36)]))
    const inverted = deriveSplit(split, shape, [5, 2], inversionTask(shape))
    expect([...inverted.labels]).toEqual([0, 2])
    for (let i = 0; i < 24; i++) expect(inverted.images[i]! + plain.images[i]!).toBe(255)
    const angles = deriveSplit(split, shape, range(16), angleTask(shape, 8))
    expect([...angles.labels]).toEqual([...range(8), ...range(8)])
    expect(angles.images.subarray(0, 12)).toEqual(split.images.subarray(0, 12))
  })
})
