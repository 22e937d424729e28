import type { CanonicalContent } from "./canonical.ts"

/**
 * Turns the files of one carrier into the arrays of a canonical file. `file` is called once for every wanted file, in
 * the archive's order; it should keep numbers only, not the file. `finish` throws when something is missing or wrong.
 */
export interface Conversion {
  readonly wanted: (path: string) => boolean
  readonly file: (path: string, bytes: Uint8Array) => void
  readonly finish: () => CanonicalContent
}

/** What every image classification set is made of. Images are [n, height, width, channels], row-major bytes. */
export interface ImageParts {
  readonly shape: readonly [height: number, width: number, channels: number]
  readonly classes: readonly string[]
  readonly superclasses?: readonly string[]
  readonly train: ImagePart
  readonly test: ImagePart
}

interface ImagePart {
  readonly images: Uint8Array
  readonly labels: Uint8Array
  readonly coarseLabels?: Uint8Array
}

/**
 * The canonical content of an image classification set.
 *
 * @throws Error when images and labels do not match, or a label has no class
 */
export function imageContent({ shape, classes, superclasses, train, test }: ImageParts): CanonicalContent {
  const size = shape[0] * shape[1] * shape[2]
  const arrays = [...Object.entries({ train, test })].flatMap(([split, { images, labels, coarseLabels }]) => {
    const count = labels.length
    if (count === 0 || images.length !== count * size)
      throw new Error(`${split}: ${images.length} bytes of images for ${count} labels of ${size} bytes each`)
    for (const label of labels) if (label >= classes.length) throw new Error(`${split}: label ${label} has no class`)
    return [
      { name: `${split}.images`, dtype: "uint8" as const, shape: [count, ...shape], bytes: images },
      { name: `${split}.labels`, dtype: "uint8" as const, shape: [count], bytes: labels },
      ...(coarseLabels === undefined
        ? []
        : [{ name: `${split}.coarseLabels`, dtype: "uint8" as const, shape: [count], bytes: coarseLabels }]),
    ]
  })
  return { arrays, facts: { kind: "images", shape, classes, ...(superclasses && { superclasses }) } }
}
