/** The small image tasks of the transfer test bed. */
import {
  angleTask,
  deriveSplit,
  drawPerClass,
  drawSubset,
  gatherImages,
  type ImageDataset,
  type ImageSplit,
  inversionTask,
  type Transform,
} from "@exp/data"
import type { HostTensor, HostTensors } from "@exp/tensor"

/** Target tasks: MNIST as it is, with inverted pixels, or turned by k·45° with label k. */
export type TargetName = "digits-1k" | "inv-1k" | "angle-1k"

/** Number of classes of a target. */
export const targetClasses = (name: TargetName): number => (name === "angle-1k" ? 8 : 10)

/** A target task of one seed. */
export interface TargetTask {
  readonly classes: number
  readonly train: ImageSplit
  readonly validation: ImageSplit
  readonly test: ImageSplit
  /** Index of each test image in MNIST's test set: the sample's name, equal for all trials. */
  readonly testIndices: Uint32Array
  readonly shape: readonly [number, number, number]
}

/** Images in the fixed test set. */
export const testSize = 2000

/**
 * 100 images of each digit drawn by the seed, and the same 2000 test images for all seeds.
 *
 * @param holdout fraction of the 1000 that is kept for validation (0.2 while tuning, 0 for the compared run); the
 *   draw is interleaved by class, so both parts are balanced
 */
export function targetTask(name: TargetName, mnist: ImageDataset, seed: number, holdout: number): TargetTask {
  const { shape } = mnist
  const drawn = drawPerClass(mnist.train.labels, { classes: 10, perClass: 100, seed })
  const testIndices = drawSubset(mnist.test.count, testSize, 0)
  const transform: Transform | undefined =
    name === "inv-1k" ? inversionTask(shape) : name === "angle-1k" ? angleTask(shape) : undefined
  const all = deriveSplit(mnist.train, shape, drawn, transform)
  const border = drawn.length - Math.round(drawn.length * holdout)
  const part = (from: number, to: number): ImageSplit => {
    const size = shape[0] * shape[1] * shape[2]
    return {
      images: all.images.subarray(from * size, to * size),
      labels: all.labels.subarray(from, to),
      count: to - from,
    }
  }
  return {
    classes: targetClasses(name),
    train: part(0, border),
    validation: part(border, drawn.length),
    test: deriveSplit(mnist.test, shape, testIndices, transform),
    testIndices,
    shape,
  }
}

/**
 * A batch of fixed size: `images` [size, h, w, c] with pixels in [−1, 1], `labels` int32 [size], `weights` [size]: 1 for
 * real rows and 0 for padding, so that a smaller last batch has the same shape and its mean is over the real rows.
 */
export function imageBatch(
  split: ImageSplit,
  shape: TargetTask["shape"],
  indices: ArrayLike<number>,
  size: number,
): HostTensors {
  const images = new Float32Array(size * shape[0] * shape[1] * shape[2])
  const labels = new Int32Array(size)
  const weights = new Float32Array(size)
  gatherImages(split, shape, indices, images)
  for (let i = 0; i < indices.length; i++) {
    labels[i] = split.labels[indices[i]!]!
    weights[i] = 1
  }
  const tensor = (data: HostTensor["data"], dims: readonly number[], dtype: HostTensor["dtype"]): HostTensor => ({
    data,
    shape: dims,
    dtype,
  })
  return {
    images: tensor(images, [size, ...shape], "float32"),
    labels: tensor(labels, [size], "int32"),
    weights: tensor(weights, [size], "float32"),
  }
}
