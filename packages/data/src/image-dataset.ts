import type { CanonicalFile } from "./canonical.ts"
import type { catalogue } from "./catalogue.ts"
import { ensureDataset, type LoadOptions } from "./ensure.ts"
import { lookUp } from "./look-up.ts"

/** Labelled images: `images` is [count, height, width, channels], row-major bytes 0..255; `labels[i]` indexes `classes`. */
export interface ImageSplit {
  readonly images: Uint8Array
  readonly labels: Uint8Array
  readonly count: number
  /** Labels of the coarser classes (`superclasses`), for data sets that have them. */
  readonly coarseLabels?: Uint8Array
}

/** An image classification set. The arrays are views into one buffer: treat them as read-only. */
export interface ImageDataset {
  readonly name: string
  readonly shape: readonly [height: number, width: number, channels: number]
  readonly classes: readonly string[]
  readonly superclasses?: readonly string[]
  readonly train: ImageSplit
  readonly test: ImageSplit
  /** Root hash, hex: changes when anything of the data does, so it belongs into the key of whatever is computed from them. */
  readonly hash: string
}

/** Data sets that {@link loadDataset} takes. */
export type ImageDatasetName = {
  [K in keyof typeof catalogue]: (typeof catalogue)[K]["kind"] extends "images" ? K : never
}[keyof typeof catalogue]

/**
 * An image classification set by name, from the cache or else from where it is published. The first call on a machine
 * downloads and converts (tell the user through `onProgress`), later ones read one file.
 *
 * @throws UnknownDataset; DatasetNotCached and DatasetDamaged when offline; DownloadFailed, IntegrityMismatch,
 *   CacheDiskFull, CacheNotWritable, CacheLocked
 */
export async function loadDataset(name: ImageDatasetName, options: LoadOptions = {}): Promise<ImageDataset> {
  return imageDataset(await ensureDataset(lookUp(name, "images"), options))
}

/** The views of a canonical file of images. */
export function imageDataset(file: CanonicalFile): ImageDataset {
  const { dataset, facts, arrays } = file.header
  const { shape, classes, superclasses } = facts as unknown as Pick<ImageDataset, "shape" | "classes" | "superclasses">
  const split = (name: string): ImageSplit => {
    const labels = file.array(`${name}.labels`)
    const coarse = arrays.some((a) => a.name === `${name}.coarseLabels`)
    return {
      images: file.array(`${name}.images`),
      labels,
      count: labels.length,
      ...(coarse && { coarseLabels: file.array(`${name}.coarseLabels`) }),
    }
  }
  return {
    name: dataset,
    shape,
    classes,
    ...(superclasses && { superclasses }),
    train: split("train"),
    test: split("test"),
    hash: file.root,
  }
}
