/** Ready transforms: each makes a task out of another one. */
import type { Transform } from "./batches.ts"
import { type ImageShape, invert, rotateBilinear, rotateQuarterTurns } from "./image-transforms.ts"

/** Rotated by k·90° with k uniform per draw, label 4·class + k: the 40-way upstream task of ten classes. */
export function quarterTurnTask(shape: ImageShape): Transform {
  return (source, at, into, label, word) => {
    const k = word & 3
    rotateQuarterTurns(source, at, into, 0, shape, k)
    return 4 * label + k
  }
}

/** v → 255 − v, label kept. */
export function inversionTask(shape: ImageShape): Transform {
  const size = shape[0] * shape[1] * shape[2]
  return (source, at, into, label) => {
    invert(source, at, into, 0, size)
    return label
  }
}

/** Rotated by k·(360°/`angles`), bilinear with zero fill, label k, where k = word mod `angles`. */
export function angleTask(shape: ImageShape, angles = 8): Transform {
  return (source, at, into, _label, word) => {
    const k = word % angles
    rotateBilinear(source, at, into, 0, shape, (k * 360) / angles)
    return k
  }
}
